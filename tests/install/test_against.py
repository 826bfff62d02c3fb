"""A platform file against a cluster: the example and its nodes, with one thing changed on either side."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import pytest
import yaml
from support.exampleworld import A100, EXAMPLE, nodes

from aiinfn_hub.catalogue import Platform, example_path, parse_platform
from aiinfn_hub.catalogue.document import spell
from aiinfn_hub.install.against import Cluster, Remark, compare
from aiinfn_hub.install.against_sites import compare_sites
from aiinfn_hub.kube.slim import Node, Taint

CLAIMS = {"homes": "Bound", "shared": "Bound", "cvmfs": "Bound"}
GPU, SLICE, PRODUCT = "nvidia.com/gpu", "nvidia.com/mig-1g.5gb", "nvidia.com/gpu.product"
SLICES = {"1g.10gb": 7, "1g.5gb": 7, "2g.20gb": 3, "3g.40gb": 1, "4g.40gb": 1, "7g.80gb": 1}
ALL = ", ".join(["nvidia.com/gpu x16", *(f"nvidia.com/mig-{profile} x{count}" for profile, count in SLICES.items())])
NO_SCHEDULE, MASTER = "virtual-node.interlink/no-schedule", "node-role.kubernetes.io/control-plane"


def cluster(**changes: Any) -> Cluster:
    """The example's, as it should be."""
    known: dict[str, Any] = {
        "nodes": nodes(),
        "namespaces": ["aiinfn", "aiinfn-system", "default"],
        "claims": CLAIMS,
        "secrets": ["object-store"],
    }
    return Cluster(**(known | changes))


def example(change: Callable[[dict[str, Any]], object]) -> Platform:
    """The example's platform file, changed."""
    data = yaml.safe_load(example_path().read_text())
    change(data)
    return parse_platform(yaml.safe_dump(data))


def flavour(name: str, **changes: Any) -> Callable[[dict[str, Any]], object]:
    """The example with another flavour."""
    return lambda data: next(f for f in data["flavours"] if f["name"] == name).update(changes)


def remarks(platform: Platform = EXAMPLE, seen: Cluster | None = None) -> list[Remark]:
    seen = seen or cluster()
    return [*compare(platform, seen), *compare_sites(platform, seen)]


def told(found: Sequence[Remark], *, notes: bool = False) -> list[tuple[str, str, str]]:
    """Path, message and nearest."""
    return [
        (spell(one.finding.location), one.finding.message, one.finding.nearest) for one in found if one.note is notes
    ]


def with_node(name: str, **changes: Any) -> list[Node]:
    """The example's nodes, one of them changed; labels and allocatable are added to what it has."""

    def changed(node: Node) -> Node:
        if node.name != name:
            return node
        more = {
            key: getattr(node, key) | value if key in ("labels", "allocatable") else value
            for key, value in changes.items()
        }
        return msgspec.structs.replace(node, **more)

    return [changed(node) for node in nodes()]


def test_the_example_fits_its_nodes() -> None:
    assert remarks() == []


MISTAKES: dict[str, tuple[Callable[[dict[str, Any]], object], tuple[str, str, str]]] = {
    "a model that is written otherwise": (
        flavour("t4", node_selector={PRODUCT: "NVIDIA-Tesla-T4"}),
        (
            'flavours[1].node_selector["nvidia.com/gpu.product"]',
            "no node has nvidia.com/gpu.product=NVIDIA-Tesla-T4; nvidia.com/gpu is on 4 nodes",
            "Tesla-T4",
        ),
    ),
    "a label that is written otherwise": (
        flavour("t4", node_selector={"nvidia.com/gpu-product": "Tesla-T4"}),
        (
            'flavours[1].node_selector["nvidia.com/gpu-product"]',
            "no node has a label nvidia.com/gpu-product; nvidia.com/gpu is on 4 nodes",
            "nvidia.com/gpu.product",
        ),
    ),
    "labels that no node has together": (
        flavour("t4", node_selector={PRODUCT: "Tesla-T4", "kubernetes.io/hostname": "gpu-2"}),
        ("flavours[1].node_selector", "no node has all of these labels; nvidia.com/gpu is on 4 nodes", ""),
    ),
    "slices of another profile": (
        flavour("a100-40-1g.5gb", resource="nvidia.com/mig-2g.10gb", mig="2g.10gb"),
        (
            "flavours[5].resource",
            f"no node offers nvidia.com/mig-2g.10gb; on 1 node with these labels there is {GPU} x2, {SLICE} x7",
            SLICE,
        ),
    ),
    "a resource of other nodes": (
        flavour("t4", resource="nvidia.com/mig-1g.10gb", mig="1g.10gb"),
        (
            "flavours[1].resource",
            "no node offers nvidia.com/mig-1g.10gb; on 1 node with these labels there is nvidia.com/gpu x8",
            "nvidia.com/gpu",
        ),
    ),
    "a taint that it does not tolerate": (
        flavour("t4", tolerations=[]),
        (
            "flavours[1].tolerations",
            "the taint nvidia.com/gpu=present:NoSchedule of gpu-1 is not tolerated",
            "{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}",
        ),
    ),
    "a taint with another value": (
        flavour("t4", tolerations=[{"key": "nvidia.com/gpu", "operator": "Equal", "value": "absent"}]),
        (
            "flavours[1].tolerations",
            "the taint nvidia.com/gpu=present:NoSchedule of gpu-1 is not tolerated",
            "{key: nvidia.com/gpu, operator: Exists, effect: NoSchedule}",
        ),
    ),
    "more units than there are": (
        flavour("t4", units=9),
        ("flavours[1].units", "is 9, and 8 are on 1 node: the rest is admitted and never placed", ""),
    ),
    "more in one unit than a node has": (
        flavour("t4", count=9),
        ("flavours[1].count", "no node offers 9 nvidia.com/gpu: the most is 8", ""),
    ),
    "more memory than a node has": (
        flavour("t4", memory={"choices": ["1Gi", "600Gi"], "default": "1Gi"}),
        ("flavours[1].memory.choices", "nobody can have 600Gi: the largest node allocates 512Gi", ""),
    ),
    "more CPU than all nodes have": (
        lambda data: data["capacity"].update(cpu=600),
        ("capacity.cpu", "is 600, and 512 are on 7 nodes: the rest is admitted and never placed", ""),
    ),
    "a namespace of another name": (
        lambda data: data.update(namespace="aiinfn-sysstem"),
        ("namespace", "the cluster has no namespace aiinfn-sysstem", "aiinfn-system"),
    ),
    "a claim of another name": (
        lambda data: data["volumes"][0].update(claim="home"),
        ("volumes[0].claim", "aiinfn has no claim home", "homes"),
    ),
    "a secret that is not there": (
        lambda data: data["volumes"][6].update(secret="s3"),
        ("volumes[6].secret", "aiinfn has no Secret s3", ""),
    ),
    "a site whose node is called otherwise": (
        lambda data: data["sites"][2].update(node_selector={"kubernetes.io/hostname": "leonard"}),
        (
            'sites[2].node_selector["kubernetes.io/hostname"]',
            "no node has kubernetes.io/hostname=leonard",
            "leonardo",
        ),
    ),
    "a site whose taint is not tolerated": (
        lambda data: data["sites"][1].update(tolerations=[]),
        (
            "sites[1].tolerations",
            "the taint virtual-node.interlink/no-schedule=true:NoSchedule of cnaf-tier1 is not tolerated",
            "{key: virtual-node.interlink/no-schedule, operator: Exists, effect: NoSchedule}",
        ),
    ),
    "a site that gives less": (
        lambda data: data["sites"][2]["capacity"]["units"].update({"a100-40": 33}),
        (
            'sites[2].capacity.units["a100-40"]',
            "is 33, and 32 are on leonardo: the rest is admitted and never placed",
            "",
        ),
    ),
    "a site that does not know the model": (
        lambda data: data["sites"][2].update(
            flavours=["cpu", "t4"], capacity={"cpu": 1, "memory": "1Gi", "units": {"t4": 0}}
        ),
        (
            "sites[2].flavours[1]",
            "t4 asks for nvidia.com/gpu.product=Tesla-T4, which leonardo does not have",
            "kubectl label node leonardo nvidia.com/gpu.product=Tesla-T4",
        ),
    ),
}


@pytest.mark.parametrize(("change", "wanted"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_of_the_file_is_told_with_its_place_and_the_nearest(
    change: Callable[[dict[str, Any]], object], wanted: tuple[str, str, str]
) -> None:
    assert wanted in told(remarks(example(change)))


@pytest.mark.parametrize(("change", "wanted"), MISTAKES.values(), ids=MISTAKES)
def test_one_mistake_is_told_once(change: Callable[[dict[str, Any]], object], wanted: tuple[str, str, str]) -> None:
    found = told(remarks(example(change)))
    assert len(found) == len(set(found)) <= 2


CHANGED: dict[str, tuple[dict[str, Any], tuple[str, str, str]]] = {
    "a node that lost its plug-in": (
        {"nodes": [n for n in nodes() if n.name != "fpga-1"]},
        (
            "flavours[11].resource",
            f"no node offers amd.com/xilinx_u55c_gen3x16_xdma_base_3-0; on 6 nodes there is {ALL}",
            "",
        ),
    ),
    "a node that keeps something for itself": (
        {"nodes": with_node("cpu-1", allocatable={"cpu": 63_000})},
        ("capacity.cpu", "is 512, and 511 are on 7 nodes: the rest is admitted and never placed", ""),
    ),
    "a claim that is not bound": (
        {"claims": CLAIMS | {"shared": "Pending"}},
        ("volumes[1].claim", "the claim shared is Pending, not Bound: pods that mount it wait", ""),
    ),
    "a virtual node without its taint": (
        {"nodes": with_node("leonardo", taints=())},
        (
            "sites[2].node_selector",
            f"its node leonardo lacks the taint {NO_SCHEDULE}: any pod of the cluster may be sent there",
            "kubectl taint node leonardo virtual-node.interlink/no-schedule=true:NoSchedule",
        ),
    ),
    "no nodes at all": (
        {"nodes": []},
        (
            'flavours[1].node_selector["nvidia.com/gpu.product"]',
            "no node has a label nvidia.com/gpu.product; nvidia.com/gpu is on 0 nodes",
            "",
        ),
    ),
    "nodes that may not be listed": (
        {"nodes": None, "unread": ("the cluster does not let you list nodes",)},
        ("", "could not be compared: the cluster does not let you list nodes", ""),
    ),
}


@pytest.mark.parametrize(("changes", "wanted"), CHANGED.values(), ids=CHANGED)
def test_a_change_of_the_cluster_is_told(changes: dict[str, Any], wanted: tuple[str, str, str]) -> None:
    assert wanted in told(remarks(seen=cluster(**changes)))


NOTES: dict[str, tuple[dict[str, Any], tuple[str, str, str]]] = {
    "more devices than units": (
        {"nodes": with_node("gpu-1", allocatable={"nvidia.com/gpu": 10})},
        ("flavours[1].units", "is 8, and 10 are on 1 node: the rest stays idle", ""),
    ),
    "more memory than the quota": (
        {"nodes": with_node("cpu-1", allocatable={"memory": 257 * 2**30})},
        ("capacity.memory", "is 3712Gi, and 3713Gi are on 7 nodes: the rest stays idle", ""),
    ),
    "a node that nothing can reach": (
        {
            "nodes": [
                *nodes(),
                Node(
                    uid="m",
                    name="master",
                    taints=(Taint(MASTER, "", "NoSchedule"),),
                    allocatable={"cpu": 8000},
                ),
            ]
        },
        (
            "flavours",
            f"no flavour tolerates the taint {MASTER}:NoSchedule of master: nothing runs there",
            "",
        ),
    ),
    "one of two nodes that is kept away": (
        {
            "nodes": [
                *nodes(),
                Node(
                    uid="t",
                    name="gpu-9",
                    labels={PRODUCT: "Tesla-T4"},
                    taints=(Taint("kept", "x", "NoExecute"),),
                    allocatable={"nvidia.com/gpu": 8, "cpu": 1},
                ),
            ]
        },
        (
            "flavours[1].tolerations",
            "the taint kept=x:NoExecute of gpu-9 is not tolerated",
            "{key: kept, operator: Exists, effect: NoExecute}",
        ),
    ),
    "a site that is silent": (
        {"nodes": with_node("leonardo", ready=False)},
        ("sites[2].name", "its node leonardo is not Ready: jobs wait", ""),
    ),
}


@pytest.mark.parametrize(("changes", "wanted"), NOTES.values(), ids=NOTES)
def test_what_is_no_mistake_is_a_note(changes: dict[str, Any], wanted: tuple[str, str, str]) -> None:
    found = remarks(seen=cluster(**changes))
    assert wanted in told(found, notes=True)
    assert told(found) == []


FINE: dict[str, dict[str, Any]] = {
    "a cordoned node": {
        "nodes": with_node(
            "gpu-1",
            unschedulable=True,
            taints=(
                Taint("nvidia.com/gpu", "present", "NoSchedule"),
                Taint("node.kubernetes.io/unschedulable", "", "NoSchedule"),
            ),
        )
    },
    "a taint that only asks": {"nodes": with_node("gpu-1", taints=(Taint("a", "b", "PreferNoSchedule"),))},
    "claims and secrets that could not be read": {"claims": None, "secrets": None, "namespaces": None},
    "a site with more than the quota": {
        "nodes": with_node("leonardo", allocatable={"cpu": 10**7, "nvidia.com/gpu": 99})
    },
    "more claims": {"claims": CLAIMS | {"other": "Lost"}},
}


@pytest.mark.parametrize("changes", FINE.values(), ids=FINE)
def test_what_does_nobody_harm_is_not_told(changes: dict[str, Any]) -> None:
    assert remarks(seen=cluster(**changes)) == []


def test_a_flavour_of_two_devices_counts_whole_units_of_each_node() -> None:
    pairs = example(flavour("t4", count=2, units=4))
    assert told(remarks(pairs)) == []
    odd = with_node("gpu-1", allocatable={"nvidia.com/gpu": 7})
    assert told(remarks(pairs, cluster(nodes=odd))) == [
        ("flavours[1].units", "is 4, and 3 are on 1 node: the rest is admitted and never placed", "")
    ]


def test_virtual_nodes_are_no_part_of_the_cluster() -> None:
    here = [node for node in nodes() if node.labels.get(PRODUCT) != A100 or node.name == "leonardo"]
    paths = {path for path, *_ in told(remarks(seen=cluster(nodes=here)))}
    assert 'flavours[4].node_selector["nvidia.com/gpu.product"]' in paths


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("teaching", []),
        (
            "teachng",
            [
                (
                    "activities",
                    "node gpu-1 is reserved for 'teachng', which is no activity: nothing runs there",
                    "teaching",
                )
            ],
        ),
    ],
)
def test_a_node_is_kept_for_an_activity_that_there_is(value: str, wanted: list[tuple[str, str, str]]) -> None:
    known = [msgspec.structs.replace(one, name="gpu-1") if i == 0 else one for i, one in enumerate(nodes())]
    known[0] = msgspec.structs.replace(known[0], taints=(*known[0].taints, Taint("reserved", value, "NoSchedule")))
    found = remarks(seen=cluster(nodes=known))
    assert told(found) == wanted
    assert told(found, notes=True) == told(remarks(), notes=True)
