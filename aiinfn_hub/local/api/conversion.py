"""The same object in another version: an event of events.k8s.io, a queue of an older Kueue."""

from __future__ import annotations

from typing import Any

from aiinfn_hub.local.api.kinds import Resource
from aiinfn_hub.local.api.store import Stored, encode

Object = dict[str, Any]

#: events.k8s.io/v1 -> core/v1
_EVENT_FIELDS = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_EVENT_FIELDS_BACK = {core: new for new, core in _EVENT_FIELDS.items()}


def to_stored(resource: Resource, obj: Object) -> Object:
    """An object as it came, in the version that is kept."""
    if resource.kind == resource.stored:
        return obj
    return _renamed(resource, obj, _EVENT_FIELDS) | {"apiVersion": resource.stored.api_version}


def served(resource: Resource, stored: Stored) -> Object:
    """An object as it is kept, in the version that was asked for; do not mutate it."""
    if resource.kind == resource.stored:
        return stored.obj
    return _renamed(resource, stored.obj, _EVENT_FIELDS_BACK) | {"apiVersion": resource.kind.api_version}


def served_json(resource: Resource, stored: Stored) -> bytes:
    """The same as JSON."""
    return stored.raw if resource.kind == resource.stored else encode(served(resource, stored))


def _renamed(resource: Resource, obj: Object, names: dict[str, str]) -> Object:
    if resource.stored.plural != "events":
        return obj
    return {names.get(key, key): value for key, value in obj.items()}
