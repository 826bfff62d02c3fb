"""What is done to a pod by posting to it: a scheduler binds it, a drain evicts it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from aiinfn_hub.local.api import deletion, status
from aiinfn_hub.local.api.kinds import Resource
from aiinfn_hub.local.api.objects import Objects
from aiinfn_hub.local.api.pod_shape import Metadata

Object = dict[str, Any]
Action = Callable[[Objects, Resource, str, str, Object], Object]


class _Target(msgspec.Struct):
    kind: str = "Node"
    name: str = ""


class _Binding(msgspec.Struct):
    target: _Target = msgspec.field(default_factory=_Target)
    metadata: Metadata = msgspec.field(default_factory=Metadata)


def bind(objects: Objects, resource: Resource, namespace: str, name: str, binding: Object) -> Object:
    """Give a pod to a node, once.

    Raises:
        InvalidInput: the binding names no node.
        NotFound: there is no such pod.
        Conflict: it is bound, gated or being deleted, or it is another pod by now.
    """
    old = objects.get(resource, namespace, name)
    wanted = _binding(binding)
    if wanted.metadata.name != name:
        raise status.bad_request("name in URL does not match name in Binding object")
    if wanted.target.kind != "Node" or not wanted.target.name:
        raise status.internal(str(status.Problem.required("target.name")))
    meta, spec, uid = old.obj["metadata"], old.obj["spec"], wanted.metadata.uid
    why = ""
    if uid and uid != meta["uid"]:
        raise status.other_object(resource, (namespace, name), uid, meta["uid"])
    if "deletionTimestamp" in meta:
        why = f"pod {name} is being deleted, cannot be assigned to a host"
    elif spec.get("nodeName"):
        why = f'pod {name} is already assigned to node "{spec["nodeName"]}"'
    elif spec.get("schedulingGates"):
        why = f"pod {name} has non-empty .spec.schedulingGates"
    if why:
        raise status.conflict(resource, name, why, "binding")
    new = old.fresh()
    new["spec"]["nodeName"] = wanted.target.name
    new["metadata"]["annotations"] = (meta.get("annotations") or {}) | (wanted.metadata.annotations or {})
    set_condition(new, {"type": "PodScheduled", "status": "True", "lastTransitionTime": objects.now()})
    objects.replace(resource, old, new)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def _binding(body: Object) -> _Binding:
    try:
        return msgspec.convert(body, _Binding)
    except msgspec.ValidationError as error:
        raise status.bad_request(f'Binding in version "v1" cannot be handled as a Binding: {error}') from error


def evict(objects: Objects, resource: Resource, namespace: str, name: str, eviction: Object) -> Object:
    """Delete a pod with its grace; there are no disruption budgets here.

    Raises:
        NotFound: there is no such pod.
        Conflict: a precondition does not hold.
    """
    options = deletion.parse_options(eviction.get("deleteOptions"), {})
    old = objects.get(resource, namespace, name)
    new = old.fresh()
    set_condition(new, _DISRUPTED | {"lastTransitionTime": objects.now()})
    objects.replace(resource, old, new)
    deletion.delete(objects, resource, namespace, name, options)
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


#: What a Job's failure policy knows an evicted pod by.
_DISRUPTED = {
    "type": "DisruptionTarget",
    "status": "True",
    "reason": "EvictionByEvictionAPI",
    "message": "Eviction API: evicting",
}


def set_condition(pod: Object, condition: Object) -> None:
    """Put a condition in the place of the one of its type."""
    found = pod.setdefault("status", {}).setdefault("conditions", [])
    found[:] = [c for c in found if c.get("type") != condition["type"]] + [condition]


ACTIONS: dict[str, Action] = {"binding": bind, "eviction": evict}
