"""What is there in every cluster from the start: its namespaces and the two priority classes of the system."""

from __future__ import annotations

from aiinfn_hub.local.api.kinds import Resources
from aiinfn_hub.local.api.objects import Objects, ref

_NAMESPACES = ("default", "kube-system", "kube-public", "kube-node-lease")
_PRIORITIES = {"system-node-critical": 2_000_001_000, "system-cluster-critical": 2_000_000_000}


def plant(objects: Objects, resources: Resources) -> None:
    """Create what is missing."""
    namespaces = resources.builtin(("", "namespaces"))
    classes = resources.builtin(("scheduling.k8s.io", "priorityclasses"))
    for name in _NAMESPACES:
        if objects.store.get(ref(namespaces, "", name)) is None:
            objects.create(namespaces, "", {"metadata": {"name": name}})
    for name, value in _PRIORITIES.items():
        if objects.store.get(ref(classes, "", name)) is None:
            objects.create(classes, "", {"metadata": {"name": name}, "value": value})
