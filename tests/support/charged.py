"""Which flavor Kueue charges for each pod: one table for the rendered queues, the embedded queue and the real Kueue."""

from __future__ import annotations

from typing import Any

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.pods import names
from aiinfn_hub.pods.placement import placement
from aiinfn_hub.pods.resources import resources

GPU, SLICE, FPGA = "nvidia.com/gpu", "nvidia.com/mig-1g.5gb", "amd.com/xilinx_u55c_gen3x16_xdma_base_3-0"
MEMORY = 4 * 2**30

#: Of the example: flavour, site and queue -> the flavor of CPU and memory, and that of the device.
CHARGED: dict[str, tuple[str, str, str, str, dict[str, str]]] = {
    "a session on CPU": ("cpu", "", names.INTERACTIVE, "any-node", {}),
    "a session on a T4": ("t4", "", names.INTERACTIVE, "any-node", {GPU: "t4"}),
    "a session on a slice": ("a100-40-1g.5gb", "", names.INTERACTIVE, "any-node", {SLICE: "any-node"}),
    "a session on an FPGA": ("u55c", "", names.INTERACTIVE, "any-node", {FPGA: "any-node"}),
    "a job here on CPU": ("cpu", "local", names.BATCH, "any-node", {}),
    "a job here on a T4": ("t4", "local", names.BATCH, "any-node", {GPU: "t4"}),
    "a job here on an A100, which a site has too": ("a100-40", "local", names.BATCH, "any-node", {GPU: "a100-40"}),
    "a job here on a slice": ("a100-40-1g.5gb", "local", names.BATCH, "any-node", {SLICE: "any-node"}),
    "a job for Leonardo on CPU": ("cpu", "leonardo", names.BATCH, "site.leonardo", {}),
    "a job for Leonardo on an A100": (
        "a100-40",
        "leonardo",
        names.BATCH,
        "site.leonardo",
        {GPU: "site.leonardo.a100-40"},
    ),
    "a job for the Tier-1": ("cpu", "cnaf-tier1", names.BATCH, "site.cnaf-tier1", {}),
    "a job for another site": ("cpu", "recas-bari", names.BATCH, "site.recas-bari", {}),
}


def placed(platform: Platform, flavour: str, site: str = "", cpu_millis: int = 2000) -> dict[str, Any]:
    """The specification of a session's pod, or of a job's for a site, as far as it is placed."""
    kind = platform.flavour(flavour)
    container = {"name": "main", "image": "i", "resources": resources(kind, cpu_millis, MEMORY)}
    return {"containers": [container], **placement(kind, platform.site(site) if site else None)}
