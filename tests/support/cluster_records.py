"""Slim pods and nodes for tests that need no API."""

from __future__ import annotations

from itertools import count
from typing import Any

from aiinfn_hub.kube.slim import Node, Pod, Taint
from aiinfn_hub.pods import names

_numbers = count(1)


def pod(flavour: str = "t4", *, kind: str = "session", person: str = "alice", **changes: Any) -> Pod:
    """A running session of alice with one T4 on node gpu-1; `requests` are added to its CPU and memory."""
    uid = changes.pop("uid", f"uid-{next(_numbers)}")
    requests = {"cpu": 2000, "memory": 8 * 2**30} | changes.pop("requests", {"nvidia.com/gpu": 1})
    labels = {names.KIND: kind, names.FLAVOUR: flavour, names.ACTIVITY: "lhcb", names.PERSON: person}
    known: dict[str, Any] = {
        "name": f"jupyter-{person}",
        "namespace": "aiinfn",
        "rv": "1",
        "node": "gpu-1",
        "phase": "Running",
        "created": 100.0,
        "scheduled": 101.0,
        "labels": labels,
        "annotations": {names.PERSON_NAME: person},
    }
    return Pod(uid=uid, requests=requests, **known | changes)


def stranger(**changes: Any) -> Pod:
    """A pod that is none of ours, in another namespace."""
    return pod(**{"labels": {}, "annotations": {}, "namespace": "batch", "name": "other", **changes})


def node(name: str = "gpu-1", product: str = "Tesla-T4", **changes: Any) -> Node:
    """A node that is well; `allocatable` is added to its 64 cores and 256 GiB."""
    allocatable = {"cpu": 64000, "memory": 256 * 2**30} | changes.pop("allocatable", {"nvidia.com/gpu": 8})
    known: dict[str, Any] = {
        "labels": {"nvidia.com/gpu.product": product} if product else {},
        "ready": True,
        "capacity": allocatable,
    }
    return Node(uid=name, name=name, allocatable=allocatable, **known | changes)


def taint(key: str, value: str = "", effect: str = "NoSchedule") -> Taint:
    return Taint(key, value, effect)
