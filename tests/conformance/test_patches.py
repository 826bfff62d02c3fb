"""Merge patch, strategic merge patch and JSON patch, with what differs from their standards."""

from __future__ import annotations

from typing import Any

import pytest
from support.asking import JSON_PATCH, MERGE, STRATEGIC, Ask, play
from support.places import Place

pytestmark = pytest.mark.asyncio

MAP = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}}
START = Ask("POST configmaps", MAP | {"metadata": {"name": "a", "finalizers": ["example.com/b"]}}, 201)
#: A finalizer would keep the namespace.
END = Ask("PATCH configmaps/a", {"metadata": {"finalizers": None}}, kind=MERGE, has={"metadata.finalizers": None})
#: Which operation it was stays unsaid.
MISFIT = "the server rejected our request due to an error in our request"


def operation(op: str, path: str, code: int = 200, /, *, has: dict[str, Any] | None = None, **rest: Any) -> Ask:
    """One operation of a JSON patch; what does not fit is 422."""
    reason, says = ("Invalid", MISFIT) if code == 422 else ("", "")
    body = [{"op": op, "path": path, **{key.rstrip("_"): value for key, value in rest.items()}}]
    return Ask("PATCH configmaps/a", body, code, reason, says, kind=JSON_PATCH, has=has)


OPERATIONS = [
    START,
    operation("test", "/data/k", value="v"),
    operation("test", "/data/k", 422, value="other"),
    operation("test", "/data/none", value=None),
    operation("test", "/nope/x/y", 422, value=None),
    operation("add", "/data/x", value="1", has={"data.x": "1"}),
    operation("add", "/nope/x", 422, value="1"),
    # Unlike RFC 6902, as a test of a field that is not there for null:
    operation("replace", "/data/new", value="1", has={"data.new": "1"}),
    operation("remove", "/data/none", 422),
    operation("replace", "/nope/x", 422, value="1"),
    operation("remove", "/nope/x", 422),
    operation("remove", "/data/new", has={"data.new": None}),
    operation("copy", "/data/y", from_="/data/k", has={"data.y": "v"}),
    operation("move", "/data/z", from_="/data/y", has={"data.y": None, "data.z": "v"}),
    operation("move", "/data/z", 422, from_="/data/none"),
    operation("add", "/metadata/finalizers/-", value="example.com/z",
              has={"metadata.finalizers": ["example.com/b", "example.com/z"]}),
    operation("add", "/metadata/finalizers/5", 422, value="example.com/y"),
    operation("replace", "/metadata/finalizers/5", 422, value="example.com/y"),
    operation("remove", "/metadata/finalizers/5", 422),
    operation("nosuch", "/data/k", 422),
    Ask("PATCH configmaps/a", [{"op": "add", "value": "x"}], 422, "Invalid", MISFIT, kind=JSON_PATCH),
    Ask("PATCH configmaps/a", [], kind=JSON_PATCH),
    Ask("PATCH configmaps/a", {"a": 1}, 400, "BadRequest", kind=JSON_PATCH),
    # One that fails undoes those before it.
    Ask("PATCH configmaps/a", [{"op": "add", "path": "/data/half", "value": "1"}, {"op": "no"}], 422,
        kind=JSON_PATCH),
    Ask("GET configmaps/a", has={"data.half": None}),
    END,
]  # fmt: skip


def finalizers(*wanted: str) -> dict[str, Any]:
    return {"metadata.finalizers": [f"example.com/{name}" for name in wanted]}


def strategic(patch: Any, code: int = 200, says: str = "", has: dict[str, Any] | None = None) -> Ask:
    return Ask("PATCH configmaps/a", patch, code, says=says, kind=STRATEGIC, has=has)


MERGES = [
    START,
    Ask("PATCH configmaps/a", {"data": {"k": None, "n": "1"}}, kind=MERGE, has={"data": {"n": "1"}}),
    Ask("PATCH configmaps/a", {"data": {"n": 5}}, 422, "Invalid", fields=("patch",), kind=MERGE),
    Ask("PATCH configmaps/a", "{bad", 400, "BadRequest", kind=MERGE),
    Ask("PATCH configmaps/a", {}, 415, "UnsupportedMediaType", "415: Unsupported Media Type"),
    Ask("PATCH configmaps/a", {}, 415, "UnsupportedMediaType", kind="text/plain"),
    # What a strategic patch adds to a list goes to its front.
    strategic({"metadata": {"finalizers": ["example.com/a"]}}, has=finalizers("a", "b")),
    strategic({"metadata": {"finalizers": ["example.com/c"],
                            "$setElementOrder/finalizers": ["example.com/b", "example.com/c"]}},
              has=finalizers("a", "b", "c")),
    strategic({"metadata": {"$deleteFromPrimitiveList/finalizers": ["example.com/a", "example.com/b"]}},
              has=finalizers("c")),
    strategic({"data": {"$patch": "replace", "n": "2"}}, has={"data": {"n": "2"}}),
    strategic({"data": {"$patch": "nosuch", "n": "1"}}, 500, "unknown patch type: nosuch in map"),
    strategic({"data": {"n": 5}}, 422),
    strategic({"data": None}, has={"data": None}),
    END,
]  # fmt: skip

POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "p"},
    "spec": {
        "automountServiceAccountToken": False,
        "schedulingGates": [{"name": "example.com/held"}],
        "containers": [{"name": "main", "image": "i:1"}],
    },
}


def conditions(*patches: dict[str, Any], code: int = 200, says: str = "", order: str = "", **more: Any) -> Ask:
    """A strategic patch of the conditions of a pod, and the order in which their types are then."""
    has = {f"status.conditions.{index}.type": name for index, name in enumerate(order.split())}
    has |= {f"status.conditions.{len(has)}": None} if order else {}
    body = {"status": {"conditions": list(patches), **more}}
    return Ask("PATCH pods/p/status", body, code, says=says, kind=STRATEGIC, has=has)


def is_true(kind: str, status: str = "True") -> dict[str, Any]:
    return {"type": kind, "status": status}


ORDER = {"$setElementOrder/conditions": [{"type": "B"}, {"type": "D"}]}
LISTS = [
    Ask("POST pods", POD, 201, has={"status.conditions.0.type": "PodScheduled"}),
    conditions(is_true("A"), is_true("B"), order="A B PodScheduled"),
    conditions(is_true("C"), is_true("A", "False"), order="C A B PodScheduled"),
    conditions(is_true("D"), order="C A B D PodScheduled", **ORDER),
    conditions({"type": "A", "$patch": "delete"}, order="C B D PodScheduled"),
    conditions({"status": "True"}, code=500, says="does not contain declared merge key: type"),
    conditions(is_true("Z"), {"$patch": "replace"}, order="Z"),
]


@pytest.mark.parametrize("asks", [OPERATIONS, MERGES, LISTS], ids=["JSON patch", "maps", "lists of named things"])
async def test_a_patch_changes_what_it_names(place: Place, asks: list[Ask]) -> None:
    await play(place, asks)
