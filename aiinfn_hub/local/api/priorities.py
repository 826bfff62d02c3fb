"""Priority classes: the admission plug-in that turns a pod's class into a number."""

from __future__ import annotations

from typing import Any

from aiinfn_hub.local.api import status
from aiinfn_hub.local.api.kinds import Resource
from aiinfn_hub.local.api.persistence import Ref
from aiinfn_hub.local.api.store import Store

_TABLE = ("scheduling.k8s.io", "priorityclasses")


def resolve_priority(resource: Resource, pod: dict[str, Any], store: Store) -> None:
    """Fill in `spec.priority` and `spec.preemptionPolicy`.

    Raises:
        Forbidden: there is no such class.
    """
    spec = pod["spec"]
    name = spec.get("priorityClassName", "")
    if not name:
        default = next((s.obj for s in store.select(_TABLE) if s.obj.get("globalDefault")), None)
        if default is not None:
            spec["priorityClassName"] = default["metadata"]["name"]
        _fill(spec, default or {})
        return
    found = store.get(Ref(*_TABLE, "", name))
    if found is None:
        why = f"no PriorityClass with name {name} was found"
        raise status.forbidden(resource, pod["metadata"].get("name", ""), why)
    _fill(spec, found.obj)


def _fill(spec: dict[str, Any], priority_class: dict[str, Any]) -> None:
    spec["priority"] = priority_class.get("value", 0)
    spec["preemptionPolicy"] = priority_class.get("preemptionPolicy", "PreemptLowerPriority")
