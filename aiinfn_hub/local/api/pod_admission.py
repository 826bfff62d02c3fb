"""What admission plug-ins do to a new pod: its account must be there, its class is turned into a number."""

from __future__ import annotations

from typing import Any

from aiinfn_hub.local.api import status
from aiinfn_hub.local.api.kinds import Resource
from aiinfn_hub.local.api.persistence import Ref
from aiinfn_hub.local.api.store import Store

_TABLE = ("scheduling.k8s.io", "priorityclasses")


def check_account(resource: Resource, namespace: str, pod: dict[str, Any], store: Store) -> None:
    """Refuse an account that is not there; `default` is taken for granted, because nobody makes it here.

    Raises:
        Forbidden: there is no such ServiceAccount.
    """
    name = pod["spec"]["serviceAccountName"]
    if name != "default" and store.get(Ref("", "serviceaccounts", namespace, name)) is None:
        why = f'error looking up service account {namespace}/{name}: serviceaccount "{name}" not found'
        raise status.forbidden(resource, pod["metadata"].get("name", ""), why)


def resolve_priority(resource: Resource, pod: dict[str, Any], store: Store) -> None:
    """Fill in `spec.priority` and `spec.preemptionPolicy`.

    Raises:
        Forbidden: there is no such class, or the pod names another number.
    """
    spec = pod["spec"]
    name = spec.get("priorityClassName", "")
    if not name:
        default = next((s.obj for s in store.select(_TABLE) if s.obj.get("globalDefault")), None)
        if default is not None:
            spec["priorityClassName"] = default["metadata"]["name"]
        _fill(resource, pod, default or {})
        return
    found = store.get(Ref(*_TABLE, "", name))
    if found is None:
        why = f"no PriorityClass with name {name} was found"
        raise status.forbidden(resource, pod["metadata"].get("name", ""), why)
    _fill(resource, pod, found.obj)


def _fill(resource: Resource, pod: dict[str, Any], priority_class: dict[str, Any]) -> None:
    spec, value = pod["spec"], priority_class.get("value", 0)
    if spec.get("priority", value) != value:
        why = f"the integer value of priority ({spec['priority']}) must not be provided in pod spec; "
        why += f"priority admission controller computed {value} from the given PriorityClass name"
        raise status.forbidden(resource, pod["metadata"].get("name", ""), why)
    spec["priority"] = value
    spec["preemptionPolicy"] = priority_class.get("preemptionPolicy", "PreemptLowerPriority")
