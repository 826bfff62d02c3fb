"""Which node a pod goes to, and what is said where none takes it: word for word, because people read it."""

from __future__ import annotations

from typing import Any

import pytest
from support.places import Place

from aiinfn_hub.kube.client import EVENTS, NODES, PODS

pytestmark = pytest.mark.asyncio

Object = dict[str, Any]
GPU = "nvidia.com/gpu"
HEAD = "0/1 nodes are available"
HOPELESS = f"no new claims to deallocate, preemption: {HEAD}: 1 Preemption is not helpful for scheduling."
FULL = f"no new claims to deallocate, preemption: {HEAD}: 1 No preemption victims found for incoming pod."
ELSEWHERE = f"{HEAD}: 1 node(s) didn't match Pod's node affinity/selector. {HOPELESS}"


def pod(place: Place, name: str, needs: Object | None = None, **spec: Any) -> Object:
    """A pod for the place's own node; what it needs is its limit."""
    main = {"name": "main", "image": "i:1", "command": ["sleep", "100"], "resources": {"limits": needs or {}}}
    common = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 0,
        "nodeSelector": {"test": place.unique},
        "containers": [main],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": common | spec}


def scheduled(found: Object) -> Object:
    """The condition PodScheduled; {} if there is none."""
    conditions = found["status"].get("conditions", ())
    return next((one for one in conditions if one["type"] == "PodScheduled"), {})


async def verdict(place: Place, manifest: Object) -> tuple[str, str]:
    """What the scheduler says of a new pod: the reason of its condition and the message; the node if it was bound."""
    await place.create(PODS, manifest)
    found = await place.until(PODS, manifest["metadata"]["name"], scheduled, "looked at by the scheduler")
    condition = scheduled(found)
    return condition.get("reason", found["spec"].get("nodeName", "")), condition.get("message", "")


def node_terms(**expression: Any) -> Object:
    term = {"matchFields": [expression]} if expression["key"] == "metadata.name" else {"matchExpressions": [expression]}
    required = {"nodeSelectorTerms": [term]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


REFUSED: dict[str, tuple[Object, Object, str]] = {
    "more cpu than a node has": ({"cpu": "17"}, {}, f"{HEAD}: 1 Insufficient cpu. {HOPELESS}"),
    "more of two": (
        {"cpu": "17", "memory": "65Gi"},
        {},
        f"{HEAD}: 1 Insufficient cpu, 1 Insufficient memory. {HOPELESS}",
    ),
    "more GPUs than a node has": ({GPU: "5"}, {}, f"{HEAD}: 1 Insufficient {GPU}. {HOPELESS}"),
    "a device of which there is none": (
        {"example.com/none": "1"},
        {},
        f"{HEAD}: 1 Insufficient example.com/none. {HOPELESS}",
    ),
    "another selector": ({}, {"nodeSelector": {"no": "where"}}, ELSEWHERE),
    "an affinity": ({}, {"affinity": node_terms(key="none", operator="Exists")}, ELSEWHERE),
    # The taint comes before the selector, the selector before the resources.
    "selector and resources": ({"cpu": "17"}, {"nodeSelector": {"no": "where"}}, ELSEWHERE),
}


@pytest.mark.parametrize("row", REFUSED.values(), ids=list(REFUSED))
async def test_what_no_node_takes_waits_with_a_reason(place: Place, row: tuple[Object, Object, str]) -> None:
    needs, spec, message = row
    assert await verdict(place, pod(place, "a", needs, **spec)) == ("Unschedulable", message)


async def test_who_comes_later_waits_until_there_is_room(place: Place) -> None:
    assert await verdict(place, pod(place, "first", {GPU: "3"})) == (place.node.name, "")
    assert await verdict(place, pod(place, "second", {GPU: "2"})) == (
        "Unschedulable",
        f"{HEAD}: 1 Insufficient {GPU}. {FULL}",
    )
    await place.client.delete(PODS, "first", place.namespace)
    found = await place.until(PODS, "second", lambda pod: pod["spec"].get("nodeName"), "bound")
    assert scheduled(found)["status"] == "True"
    assert "message" not in scheduled(found)


async def test_a_finished_pod_holds_nothing(place: Place) -> None:
    short = pod(place, "first", {GPU: "4"}, restartPolicy="Never")
    short["spec"]["containers"][0]["command"] = ["true"]
    await place.create(PODS, short)
    await place.until(PODS, "first", lambda pod: pod["status"]["phase"] == "Succeeded", "at its end")
    await place.create(PODS, pod(place, "second", {GPU: "4"}))
    await place.until(PODS, "second", lambda pod: pod["spec"].get("nodeName"), "bound")


TAINTS: dict[str, tuple[Object, Object, bool]] = {
    "minds": ({"key": "example.com/held", "value": "x", "effect": "NoSchedule"}, {}, False),
    "tolerates the value": (
        {"key": "example.com/held", "value": "x", "effect": "NoSchedule"},
        {"key": "example.com/held", "value": "x"},
        True,
    ),
    "tolerates another value": (
        {"key": "example.com/held", "value": "x", "effect": "NoSchedule"},
        {"key": "example.com/held", "value": "y"},
        False,
    ),
    "tolerates another effect": (
        {"key": "example.com/held", "effect": "NoSchedule"},
        {"key": "example.com/held", "operator": "Exists", "effect": "NoExecute"},
        False,
    ),
    "tolerates everything": ({"key": "example.com/held", "effect": "NoExecute"}, {"operator": "Exists"}, True),
    "is only disliked": ({"key": "example.com/held", "effect": "PreferNoSchedule"}, {}, True),
}


@pytest.mark.parametrize("row", TAINTS.values(), ids=list(TAINTS))
async def test_a_taint_keeps_away_who_does_not_tolerate_it(place: Place, row: tuple[Object, Object, bool]) -> None:
    taint, toleration, taken = row
    await place.client.patch(NODES, place.node.name, {"spec": {"taints": [taint]}})
    reason, message = await verdict(place, pod(place, "a", tolerations=[toleration] if toleration else []))
    if taken:
        assert reason == place.node.name
    else:
        assert (reason, message) == ("Unschedulable", f"{HEAD}: 1 node(s) had untolerated taint(s). {HOPELESS}")
        await place.client.patch(NODES, place.node.name, {"spec": {"taints": None}})
        await place.until(PODS, "a", lambda pod: pod["spec"].get("nodeName"), "bound")


async def test_a_cordoned_node_takes_nobody_and_is_tainted(place: Place) -> None:
    await place.client.patch(NODES, place.node.name, {"spec": {"unschedulable": True}})
    assert await verdict(place, pod(place, "a")) == (
        "Unschedulable",
        f"{HEAD}: 1 node(s) were unschedulable. {HOPELESS}",
    )

    def tainted(node: Object) -> bool:
        taints = [(taint["key"], taint["effect"]) for taint in node["spec"].get("taints") or ()]
        return ("node.kubernetes.io/unschedulable", "NoSchedule") in taints

    await place.until(NODES, place.node.name, tainted, "tainted")
    await place.client.patch(NODES, place.node.name, {"spec": {"unschedulable": None}})
    await place.until(PODS, "a", lambda pod: pod["spec"].get("nodeName"), "bound")
    await place.until(NODES, place.node.name, lambda node: not tainted(node), "without the taint")


async def test_a_gated_pod_is_looked_at_when_its_last_gate_is_gone(place: Place) -> None:
    gates = [{"name": "example.com/a"}, {"name": "example.com/b"}]
    made = await place.create(PODS, pod(place, "a", schedulingGates=gates))
    gated = scheduled(made)
    assert (gated["status"], gated["reason"]) == ("False", "SchedulingGated")
    for rest in (gates[1:], None):
        await place.client.patch(PODS, "a", {"spec": {"schedulingGates": rest}}, place.namespace)
    found = await place.until(PODS, "a", lambda pod: pod["spec"].get("nodeName"), "bound")
    assert scheduled(found)["status"] == "True"
    assert "reason" not in scheduled(found)


async def test_another_scheduler_s_pods_are_left_to_it(place: Place) -> None:
    await place.create(PODS, pod(place, "other", schedulerName="other"))
    await place.create(PODS, pod(place, "ours"))
    await place.until(PODS, "ours", lambda pod: pod["spec"].get("nodeName"), "bound")
    assert not scheduled(await place.get(PODS, "other"))


async def test_a_node_is_named_by_its_field(place: Place) -> None:
    affinity = node_terms(key="metadata.name", operator="In", values=[place.node.name])
    assert await verdict(place, pod(place, "a", nodeSelector={}, affinity=affinity)) == (place.node.name, "")


async def test_the_scheduler_says_it_in_events_without_a_count(place: Place) -> None:
    await place.create(PODS, pod(place, "ok"))
    await place.create(PODS, pod(place, "no", {"cpu": "17"}))

    async def event(name: str) -> Object:
        await place.until(PODS, name, scheduled, "looked at")
        fields = f"involvedObject.kind=Pod,involvedObject.name={name},reportingComponent=default-scheduler"
        while True:
            found, _ = await place.client.list(EVENTS, place.namespace, fields=fields)
            if found:
                return found[0]

    ok, no = await event("ok"), await event("no")
    assert (ok["type"], ok["reason"], ok["action"]) == ("Normal", "Scheduled", "Binding")
    assert ok["message"] == f"Successfully assigned {place.namespace}/ok to {place.node.name}"
    assert (no["type"], no["reason"], no["action"]) == ("Warning", "FailedScheduling", "Scheduling")
    assert no["message"] == f"{HEAD}: 1 Insufficient cpu. {HOPELESS}"
    for one in (ok, no):
        assert (one["source"], one["firstTimestamp"], one["lastTimestamp"]) == ({}, None, None)
        assert "count" not in one
        assert one["eventTime"].endswith("Z")
