"""Why somebody waits, in Kueue's words, on the real control plane and on ours; and in ours, made of them."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from support.lines import GATED_BY, Lines, of, revisions
from support.places import Place
from support.trials import condition, events, history, holds, phase, says

from aiinfn_hub.kube.client import CLUSTER_QUEUES, JOBS, PODS, WORKLOADS
from aiinfn_hub.kube.slim import decode_workload
from aiinfn_hub.offload.reasons import queue_reason

pytestmark = pytest.mark.asyncio
Object = dict[str, Any]
NO_FIT = "couldn't assign flavors to pod set main: "


@dataclass(frozen=True)
class Case:
    """How a job comes to wait, what the condition says, and what we tell the person."""

    reason: str
    message: str
    sentence: str
    never: bool = False
    job: Object = field(default_factory=dict)
    gpus: int = 1


CASES = {
    "no such LocalQueue": Case(
        "Inadmissible", "LocalQueue nolq doesn't exist", "Its queue is not set up.", never=True, job={"queue": "nolq"}
    ),
    "no such ClusterQueue": Case(
        "Inadmissible",
        "ClusterQueue nosuch-{unique} doesn't exist",
        "Its queue is not set up.",
        never=True,
        job={"queue": "lost"},
    ),
    "no such flavor": Case(
        "Inadmissible", "ClusterQueue gone-{unique} is inactive", "Its queue is on hold.", job={"queue": "gone"}
    ),
    "a namespace that is not taken": Case(
        "Pending",
        "workload namespace doesn't match ClusterQueue selector",
        "Its queue is not set up.",
        never=True,
        job={"queue": "strict"},
    ),
    "a resource that is not offered": Case(
        "Pending",
        NO_FIT + "resource nvidia.com/mig-1g.10gb unavailable in ClusterQueue",
        "Its queue does not offer nvidia.com/mig-1g.10gb.",
        never=True,
        job={"pod": {"requests": {"nvidia.com/mig-1g.10gb": "1"}}},
    ),
    "more than there ever is": Case(
        "Pending",
        NO_FIT + "insufficient quota for nvidia.com/gpu in flavor gpu-{unique}, previously considered podsets requests "
        "(0) + current podset request (9) > maximum capacity (2)",
        "It asks for more nvidia.com/gpu than its queue can ever give.",
        never=True,
        gpus=9,
    ),
    "a wait": Case(
        "Pending",
        NO_FIT + "insufficient unused quota for nvidia.com/gpu in flavor gpu-{unique}, 1 more needed",
        "It waits for nvidia.com/gpu: 1 more must become free.",
    ),
    "two more": Case(
        "Pending",
        NO_FIT + "insufficient unused quota for nvidia.com/gpu in flavor gpu-{unique}, 2 more needed",
        "It waits for nvidia.com/gpu: 2 more must become free.",
        gpus=2,
    ),
    "nodes of another kind": Case(
        "Pending",
        NO_FIT + "flavor gpu-{unique} doesn't match node affinity",
        "No part of its queue has the hardware it asks for.",
        never=True,
        job={"pod": {"nodeSelector": {"test": "elsewhere"}}},
    ),
    "a gate": Case(
        "AdmissionGated",
        "Admission is gated by: a.example/one",
        "Its inputs are being put in place.",
        job={"annotations": {GATED_BY: "a.example/one"}},
    ),
}


async def _queues(lines: Lines) -> None:
    await lines.usual(2)
    await lines.local_queue("lost", "nosuch")
    await lines.cluster_queue("gone", 1, flavor="missing", active=False)
    await lines.local_queue("gone")
    selector = {"matchLabels": {"kubernetes.io/metadata.name": "another"}}
    await lines.cluster_queue("strict", 1, namespaceSelector=selector, cohortName=lines.named("other"))
    await lines.local_queue("strict")


async def test_each_reason_to_wait_in_its_words_and_in_ours(place: Place) -> None:
    lines = Lines(place)
    await _queues(lines)
    async with history(place, WORKLOADS) as workloads:
        await lines.session("full", 2)
        await workloads.first(of("full", holds("Admitted")))
        for number, (what, case) in enumerate(CASES.items()):
            name, more = f"job-{number}", dict(case.job)
            more.setdefault("pod", {"requests": {"nvidia.com/gpu": str(case.gpus)}})
            if "requests" not in more["pod"]:
                more["pod"]["requests"] = {"nvidia.com/gpu": "1"}
            await lines.job(name, **more)
            wanted = case.message.format(unique=place.unique)
            waits = await workloads.first(of(name, lambda one, w=wanted: w == _said(one)), timeout_s=10)
            assert condition(waits, "QuotaReserved")["reason"] == case.reason, what
            found = queue_reason(decode_workload(json.dumps(waits).encode()))
            assert (found.sentence, found.never) == (case.sentence, case.never), what


def _said(workload: Object) -> str:
    return str(condition(workload, "QuotaReserved").get("message", ""))


async def test_the_cause_of_an_inactive_queue_is_in_the_queue(place: Place) -> None:
    lines = Lines(place)
    await lines.cluster_queue("gone", 1, flavor="missing", active=False)
    found = await place.until(CLUSTER_QUEUES, lines.named("gone"), says("Active", "False"))
    active = condition(found, "Active")
    assert active["reason"] == "FlavorNotFound"
    missing = lines.named("missing")
    assert active["message"] == f"Can't admit new workloads: references missing ResourceFlavor(s): {missing}."
    await lines.flavor("missing")
    await place.until(CLUSTER_QUEUES, lines.named("gone"), holds("Active"))


async def test_a_queue_that_appears_takes_those_that_waited_for_it(place: Place) -> None:
    lines = Lines(place)
    await lines.flavor()
    async with history(place, WORKLOADS) as workloads:
        await lines.job("a")
        await workloads.first(of("a", lambda one: _said(one) == "LocalQueue jobs doesn't exist"))
        await lines.local_queue("jobs")
        await lines.cluster_queue("jobs", 1)
        await workloads.first(of("a", holds("Admitted")))


async def test_reasons_stand_on_the_workload_alone(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(1)
    async with history(place, WORKLOADS) as workloads:
        await lines.session("a", 2)
        waits = await workloads.first(of("a", says("QuotaReserved", "False")))
    told = await events(place, waits["metadata"]["name"], "Pending")
    assert set(told) == {("Pending", _said(waits))}
    assert [reason for reason, _ in await events(place, "a")] == ["CreatedWorkload"]


async def test_labels_that_no_node_has_are_no_reason_for_kueue(place: Place) -> None:
    lines = Lines(place)
    await lines.flavor("gpu", {"test": "nowhere"})
    await lines.cluster_queue("sessions", 1)
    await lines.local_queue("sessions")
    async with history(place, WORKLOADS) as workloads:
        await lines.session("a")
        await workloads.first(of("a", holds("Admitted")))
        found = await place.until(PODS, "a", says("PodScheduled", "False", "Unschedulable"))
    assert "didn't match Pod's node affinity/selector" in condition(found, "PodScheduled")["message"]


async def test_a_missing_priority_class_means_no_workload_and_no_word_until_it_is_there(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(3)
    label = {"kueue.x-k8s.io/priority-class": lines.named("late")}
    async with history(place, WORKLOADS) as workloads:
        await lines.job("a", labels=label)
        await lines.session("b", labels=label)
        await place.until(JOBS, "a", holds("Suspended"))
        await lines.session("later")
        await workloads.first(of("later", holds("Admitted")))
        assert revisions(workloads, "a") == revisions(workloads, "b") == []
        assert [reason for reason, _ in await events(place, "a")] == ["Suspended"]
        assert await events(place, "b") == []
        await lines.priority("late", 7)
        for name in ("a", "b"):
            made = await workloads.first(of(name, holds("Admitted")))
            assert made["spec"]["priority"] == 7
            assert made["spec"]["priorityClassRef"] == {
                "group": "kueue.x-k8s.io",
                "kind": "WorkloadPriorityClass",
                "name": lines.named("late"),
            }
    await place.until(PODS, "b", phase("Running"))
