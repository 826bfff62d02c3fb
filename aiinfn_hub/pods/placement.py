"""Which nodes may run a pod: the chosen accelerator is required, never preferred."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiinfn_hub.catalogue.models import Flavour, Site, Toleration

#: Labels that the vendors' operators put on nodes with accelerators.
ACCELERATOR_LABELS = ("nvidia.com/gpu.present", "amd.com/gpu.device-id", "intel.feature.node.kubernetes.io/gpu")


def placement(flavour: Flavour, site: Site | None = None) -> dict[str, Any]:
    """The pod's `affinity` (when there is any) and `tolerations`.

    Selectors of flavour and site must both hold: whoever asks for an A100 gets that or waits. A flavour without an
    accelerator merely prefers nodes that have none, so that CPU work never fails for want of a plain node.
    """
    required = [
        {"key": key, "operator": "In", "values": [value]}
        for key, value in sorted(_merged(flavour.node_selector, site.node_selector if site else {}).items())
    ]
    node_affinity: dict[str, Any] = {}
    if required:
        terms = {"nodeSelectorTerms": [{"matchExpressions": required}]}
        node_affinity["requiredDuringSchedulingIgnoredDuringExecution"] = terms
    if not flavour.accelerator and site is None:
        node_affinity["preferredDuringSchedulingIgnoredDuringExecution"] = [_avoid_accelerators()]
    tolerations = [*flavour.tolerations, *(site.tolerations if site else ())]
    found: dict[str, Any] = {"tolerations": [_toleration(t) for t in dict.fromkeys(tolerations)]}
    return found | ({"affinity": {"nodeAffinity": node_affinity}} if node_affinity else {})


def _avoid_accelerators() -> dict[str, Any]:
    absent = [{"key": key, "operator": "DoesNotExist"} for key in ACCELERATOR_LABELS]
    return {"weight": 100, "preference": {"matchExpressions": absent}}


def _merged(flavour: Mapping[str, str], site: Mapping[str, str]) -> dict[str, str]:
    """Both selectors; a site's value wins, because a virtual node labels its accelerators in its own way."""
    return {**flavour, **site}


def _toleration(toleration: Toleration) -> dict[str, str]:
    fields = {
        "key": toleration.key,
        "operator": toleration.operator,
        "value": toleration.value,
        "effect": toleration.effect,
    }
    return {name: value for name, value in fields.items() if value}
