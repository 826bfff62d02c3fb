"""What of a pod can change later, by whom, and what cannot."""

from __future__ import annotations

from typing import Any

import pytest
from support.asking import JSON_PATCH, MERGE, STRATEGIC, Ask, play
from support.places import Place

pytestmark = pytest.mark.asyncio

NOWHERE = {"nowhere": "true"}
GATES = [{"name": "example.com/a"}, {"name": "example.com/b"}]
REQUIRED = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
OTHER_UID = "00000000-0000-0000-0000-000000000001"


def pod(name: str, **spec: Any) -> dict[str, Any]:
    """A pod that no node takes."""
    main = {"name": "main", "image": "i:1", "command": ["sleep", "100"]}
    common = {"automountServiceAccountToken": False, "containers": [main], "nodeSelector": NOWHERE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": common | spec}


def terms(*expressions: dict[str, Any]) -> dict[str, Any]:
    required = {"nodeSelectorTerms": [{"matchExpressions": [one]} for one in expressions]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


def silence(key: str) -> dict[str, Any]:
    """What is added to each pod."""
    return {"key": f"node.kubernetes.io/{key}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300}


def change(patch: dict[str, Any], code: int = 200, says: str = "", *fields: str, name: str = "a", **has: Any) -> Ask:
    """A strategic patch of a pod's specification."""
    found = {key.replace("_", "."): value for key, value in has.items()}
    reason = "Invalid" if code == 422 else ""
    return Ask(f"PATCH pods/{name}", {"spec": patch}, code, reason, says, fields, found, STRATEGIC)


def binding(name: str, node: str = "{node}", **meta: Any) -> dict[str, Any]:
    target = {"kind": "Node", "name": node} if node else {"kind": "Node"}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name, **meta}, "target": target}


FROZEN = "pod updates may not change fields other than `spec.containers[*].image`"
CHANGES = [
    Ask("POST pods", pod("a"), 201),
    change({"containers": [{"name": "main", "image": "i:2"}]}, metadata_generation=2),
    change({"containers": [{"name": "main", "command": ["x"]}]}, 422, FROZEN, "spec"),
    change({"nodeSelector": {"c": "d"}}, 422, FROZEN, "spec"),
    change({"priority": 1}, 422, FROZEN, "spec"),
    change({"nodeName": "x"}, 422, FROZEN, "spec"),
    change({"terminationGracePeriodSeconds": 1}, 422, FROZEN, "spec"),
    change({"activeDeadlineSeconds": 100}),
    change({"activeDeadlineSeconds": 200}, 422, "must be less than or equal to previous value"),
    change({"activeDeadlineSeconds": 50}, spec_activeDeadlineSeconds=50),
    change({"activeDeadlineSeconds": None}, 422, "must not update from a positive integer to nil value"),
    change({"schedulingGates": [{"name": "example.com/new"}]}, 422, "only deletion is allowed, but found new",
           "spec.schedulingGates[0].name"),
    Ask("PATCH pods/a", [{"op": "add", "path": "/spec/tolerations/-", "value": {"key": "x", "operator": "Exists"}}],
        kind=JSON_PATCH, has={"spec.tolerations.2.key": "x"}),
    Ask("PATCH pods/a", [{"op": "remove", "path": "/spec/tolerations/2"}], 422, kind=JSON_PATCH,
        says="existing toleration can not be modified except its tolerationSeconds", fields=("spec.tolerations",)),
    Ask("PATCH pods/a", {"metadata": {"labels": {"l": "m"}}}, kind=MERGE, has={"metadata.labels": {"l": "m"}}),
    Ask("PATCH pods/a", {"metadata": {"uid": OTHER_UID}}, 422, "Invalid", fields=("metadata.uid",), kind=MERGE),
]  # fmt: skip
ANY_A = {"key": "a", "operator": "Exists"}
NARROWING = [
    Ask("POST pods", pod("g", schedulingGates=GATES), 201),
    change({"nodeSelector": {"c": "d"}}, name="g", spec_nodeSelector=NOWHERE | {"c": "d"}),
    change({"nodeSelector": {"c": "z"}}, 422, "only additions to spec.nodeSelector are allowed", "spec.nodeSelector",
           name="g"),
    change({"nodeSelector": None}, 422, "only additions to spec.nodeSelector are allowed", name="g"),
    change(terms(ANY_A), name="g"),
    change({"affinity": None}, 422, "no additions/deletions to non-empty NodeSelectorTerms", REQUIRED, name="g"),
    change(terms(ANY_A, ANY_A), 422, "no additions/deletions to non-empty NodeSelectorTerms", REQUIRED, name="g"),
    change(terms({"key": "b", "operator": "Exists"}), 422, "only additions are allowed", f"{REQUIRED}[0]", name="g"),
    Ask("PATCH pods/g", {"spec": {"tolerations": []}}, kind=MERGE, has={"spec.tolerations.0": silence("not-ready")}),
    change({"schedulingGates": [{"name": "example.com/new"}]}, 422, "only deletion is allowed", name="g"),
    Ask("POST pods/g/binding", binding("g"), 409, "Conflict",
        "pod g has non-empty .spec.schedulingGates"),
    change({"schedulingGates": [{"name": "example.com/a", "$patch": "delete"}]}, name="g",
           spec_schedulingGates=[{"name": "example.com/b"}]),
    Ask("PATCH pods/g", {"spec": {"schedulingGates": None}}, kind=MERGE, has={"spec.schedulingGates": None}),
    change({"nodeSelector": {"e": "f"}}, 422, FROZEN, "spec", name="g"),
]  # fmt: skip


@pytest.mark.parametrize("asks", [CHANGES, NARROWING], ids=["of any pod", "of a gated pod"])
async def test_little_of_a_specification_can_change(place: Place, asks: list[Ask]) -> None:
    await play(place, asks)


def status_patch(status: dict[str, Any], code: int = 200, **more: Any) -> Ask:
    return Ask("PATCH pods/a/status", {"status": status}, code, kind=STRATEGIC, **more)


STATUS = [
    Ask("POST pods", pod("a") | {"status": {"phase": "Running"}}, 201, has={"status.phase": "Pending"}),
    Ask("PATCH pods/a", {"status": {"message": "m"}}, kind=MERGE, has={"status.message": None}),
    status_patch({"message": "m"}, has={"status.message": "m", "metadata.generation": 1}),
    Ask("PATCH pods/a/status", {"spec": {"nodeSelector": {"z": "z"}}, "status": {"message": "n"}}, kind=STRATEGIC,
        has={"spec.nodeSelector": NOWHERE, "status.message": "n"}),
    Ask("PATCH pods/a/status", {"metadata": {"labels": {"via": "status"}}}, kind=STRATEGIC,
        has={"metadata.labels.via": "status"}),
    Ask("PATCH pods/a/status", {"metadata": {"uid": OTHER_UID}, "status": {}}, 422, "Invalid",
        fields=("metadata.uid",), kind=STRATEGIC),
    status_patch({"phase": "Running"}),
    Ask("GET pods/a/status", has={"status.phase": "Running", "spec.nodeSelector": NOWHERE}),
]  # fmt: skip


async def test_a_status_is_changed_on_its_own_path_only(place: Place) -> None:
    await play(place, STATUS)


BINDINGS = [
    Ask("POST pods", pod("a"), 201),
    Ask("POST pods/none/binding", binding("none"), 404, "NotFound"),
    Ask(
        "POST pods/a/binding", binding("a", uid=OTHER_UID), 409, "Conflict", "Precondition failed: UID in precondition"
    ),
    Ask("POST pods/a/binding", binding("b"), 400, "BadRequest", "name in URL does not match name in Binding object"),
    Ask("POST pods/a/binding", binding("a", ""), 500, says="target.name: Required value"),
    Ask("POST pods/a/binding", binding("a", "elsewhere", annotations={"x": "y"}), 201, has={"status": "Success"}),
    Ask("GET pods/a", has={"spec.nodeName": "elsewhere", "metadata.annotations": {"x": "y"}, "metadata.generation": 1}),
    Ask("POST pods/a/binding", binding("a"), 409, "Conflict", 'pod a is already assigned to node "elsewhere"'),
    Ask("GET pods?fieldSelector=spec.nodeName%3Delsewhere", has={"items.0.metadata.name": "a"}),
]


async def test_a_pod_is_bound_once(place: Place) -> None:
    await play(place, BINDINGS)
