"""A platform that fits on a page: one flavour of each sort, two activities, one volume of each kind."""

from __future__ import annotations

from typing import Any

from aiinfn_hub.catalogue import Platform

GI = 1024**3
DIGEST = "sha256:" + "ab" * 32

POSIX = {"image": f"docker.io/library/busybox@{DIGEST}"}


def flavour(name: str, **more: Any) -> dict[str, Any]:
    """A CPU flavour, or with `vendor` and `resource` one with an accelerator."""
    return {
        "name": name,
        "title": f"Flavour {name}",
        "cpu": {"choices": ["2", "4"], "default": "2"},
        "memory": {"choices": ["4Gi", "8Gi"], "default": "4Gi"},
        "max_lifetime": "12h",
        **more,
    }


FLAVOURS = [
    flavour("cpu", cpu={"choices": ["1", "2", "4"], "default": "1"}),
    flavour(
        "t4",
        title="NVIDIA T4",
        vendor="nvidia",
        model="T4",
        resource="nvidia.com/gpu",
        device_memory="16Gi",
        node_selector={"nvidia.com/gpu.product": "Tesla-T4"},
        compute_weight="0.2",
        memory_weight="0.4",
        max_per_user=1,
    ),
    flavour(
        "a100-1g.5gb",
        title="NVIDIA A100 slice <1g> & 5 GB",
        vendor="nvidia",
        model="A100",
        mig="1g.5gb",
        resource="nvidia.com/mig-1g.5gb",
        device_memory="5Gi",
        node_selector={"nvidia.com/gpu.product": "NVIDIA-A100-PCIE-40GB", "zone": "one"},
        tolerations=[{"key": "nvidia.com/gpu", "effect": "NoSchedule"}],
        compute_weight="1/7",
        memory_weight="1/8",
        cpu={"choices": ["2", "8"], "default": "2"},
        max_lifetime="8h",
    ),
    flavour(
        "u55c",
        title="AMD U55C FPGA",
        vendor="xilinx",
        resource="amd.com/xilinx_u55c_gen3x16_xdma_base_3-0",
        node_selector={"fpga": "u55c"},
        compute_weight=0.5,
        activities=["fpga"],
    ),
    flavour(
        "far",
        title="A card at a site",
        vendor="nvidia",
        resource="nvidia.com/gpu",
        node_selector={"site": "far"},
        compute_weight=1,
    ),
]

IMAGES = [
    {"name": "pytorch", "title": "PyTorch 2.9", "ref": "ghcr.io/infn/pytorch:2.9", "labels": {"cuda": "13"}},
    {"name": "root", "title": "ROOT 6", "ref": f"ghcr.io/infn/root:6@{DIGEST}"},
    {"name": "old", "title": "PyTorch 2.1", "ref": "ghcr.io/infn/pytorch:2.1", "hidden": True},
    {"name": "gone", "title": "TensorFlow", "ref": "ghcr.io/infn/tf:1", "hidden": True, "redirect": "pytorch"},
    {"name": "box", "title": "Box", "ref": "ghcr.io/infn/box:1", "hidden": True, "labels": {"proot": "5.4"}},
]

VOLUMES = [
    {"name": "home", "kind": "home", "mount": "/home/jovyan", "claim": "homes", "sub_path": "home/{person}"},
    {"name": "share", "kind": "activity", "mount": "/shared", "claim": "shares", "sub_path": "shared/{activity}"},
    {
        "name": "public",
        "kind": "public",
        "mount": "/public",
        "claim": "shares",
        "sub_path": "public",
        "optional": True,
        "default": True,
    },
    {"name": "scratch", "kind": "scratch", "mount": "/scratch", "size": "10Gi"},
    {
        "name": "cvmfs",
        "kind": "cvmfs",
        "mount": "/cvmfs",
        "claim": "cvmfs",
        "read_only": True,
        "optional": True,
        "default": False,
    },
    {
        "name": "s3",
        "kind": "object-store",
        "mount": "/var/run/s3",
        "secret": "s3-public",
        "optional": True,
        "default": False,
    },
]

ACTIVITIES = [
    {"name": "lhcb", "title": "LHCb flash simulation", "group": "/aiinfn/lhcb", "gid": 20001, "gpu_hours": 40},
    {"name": "cms", "title": "CMS machine learning", "group": "/aiinfn/cms", "gid": 20002},
    {"name": "fpga", "title": "FPGA studies", "group": "/aiinfn/fpga", "gid": 20003},
]


def small_document(**changes: Any) -> dict[str, Any]:
    """The platform as its file says it, with some of its parts replaced."""
    return {
        "version": 1,
        "name": "Test platform",
        "access": {"allowed_groups": ["/aiinfn"], "admin_groups": ["/aiinfn/admins"]},
        "flavours": FLAVOURS,
        "images": IMAGES,
        "image_policy": {"registries": ["ghcr.io/infn/*"], "apptainer": ["/cvmfs/unpacked.infn.it"]},
        "volumes": VOLUMES,
        "sites": [
            {
                "name": "here",
                "kind": "local",
                "title": "This cluster",
                "flavours": ["cpu", "t4", "a100-1g.5gb", "u55c"],
            },
            {
                "name": "leonardo",
                "kind": "interlink",
                "backend": "slurm",
                "title": "Leonardo",
                "flavours": ["far"],
                "node_selector": {"kubernetes.io/hostname": "vk-leonardo"},
                "tolerations": [{"key": "virtual-node.interlink/no-schedule", "effect": "NoSchedule"}],
            },
        ],
        "activities": ACTIVITIES,
        **changes,
    }


def small_platform(**changes: Any) -> Platform:
    """The same as a model."""
    return Platform.model_validate(small_document(**changes))
