"""Which nodes may run a pod: the chosen accelerator is required, never preferred."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aiinfn_hub.catalogue.models import LOCAL, Flavour, Site, Toleration
from aiinfn_hub.pods import names

#: A taint that no node has, but every flavor of the queues: the place that its quota is of. A pod tolerates the one of
#: the place where it goes, so that Kueue can charge it nowhere else. Labels cannot say that: Kueue 0.19 compares only
#: those that a flavor has itself, so that one without labels takes every pod.
PLACE = names.PREFIX + "site"

#: A taint by which an operator keeps a node for an activity: `kubectl taint node NAME reserved=ACTIVITY:NoSchedule`.
RESERVED = "reserved"

#: Labels that the vendors' operators put on nodes with accelerators.
ACCELERATOR_LABELS = ("nvidia.com/gpu.present", "amd.com/gpu.device-id", "intel.feature.node.kubernetes.io/gpu")


def placement(flavour: Flavour, site: Site | None = None, activity: str = "") -> dict[str, Any]:
    """The pod's `affinity` (when there is any) and `tolerations`.

    Selectors of flavour and site must both hold: whoever asks for an A100 gets that or waits. A flavour without an
    accelerator merely prefers nodes that have none, so that CPU work never fails for want of a plain node. One of the
    tolerations names the place, for Kueue; one, on the cluster itself, the activity whose nodes may be used too.
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
    tolerations = [*flavour.tolerations, *(site.tolerations if site else ()), place(site)]
    tolerations += [reserved_for(activity)] if activity and (site is None or site.kind == "local") else []
    found: dict[str, Any] = {"tolerations": [_toleration(t) for t in dict.fromkeys(tolerations)]}
    return found | ({"affinity": {"nodeAffinity": node_affinity}} if node_affinity else {})


def place(site: Site | None = None) -> Toleration:
    """What only pods that go to the site have; to the cluster itself without one."""
    name = LOCAL if site is None or site.kind == "local" else site.name
    return Toleration(key=PLACE, operator="Equal", value=name, effect="NoSchedule")


def reserved_for(activity: str) -> Toleration:
    """What only pods of the activity have: nodes that an operator keeps for it take them."""
    return Toleration(key=RESERVED, operator="Equal", value=activity)


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
