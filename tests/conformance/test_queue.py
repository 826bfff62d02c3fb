"""How Kueue lets Jobs and pods in, and what it writes on them, on the real control plane and on ours."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.lines import GPU, QUEUE, Lines, of, revisions, ways
from support.places import Place
from support.trials import condition, events, history, holds, job, phase

from aiinfn_hub.kube.client import CLUSTER_QUEUES, JOBS, LOCAL_QUEUES, PODS, WORKLOADS

pytestmark = pytest.mark.asyncio
Object = dict[str, Any]
ADMITTED = {"QuotaReserved": ["True QuotaReserved"], "Admitted": ["True Admitted"]}


async def test_a_session_is_marked_placed_and_let_in(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(2)
    async with history(place, WORKLOADS) as workloads, history(place, PODS) as pods:
        made = await lines.session("s")
        await pods.until("s", phase("Running"))
        await workloads.first(of("s", holds("Admitted")))
    meta = made["metadata"]
    assert meta["labels"] == {QUEUE: "sessions", "kueue.x-k8s.io/managed": "true"}
    assert meta["finalizers"] == ["kueue.x-k8s.io/managed"]
    assert re.fullmatch("[0-9a-f]{8}", meta["annotations"]["kueue.x-k8s.io/role-hash"])
    gates = [{"name": "kueue.x-k8s.io/admission"}, {"name": "kueue.x-k8s.io/topology"}]
    assert made["spec"]["schedulingGates"] == gates
    workload, runs = await lines.workload("s"), await place.get(PODS, "s")
    assert ways(revisions(workloads, "s")) == ADMITTED
    assert re.fullmatch("pod-s-[0-9a-f]{5}", workload["metadata"]["name"])
    assert runs["metadata"]["labels"] == meta["labels"] | {
        "kueue.x-k8s.io/cluster-queue-name": lines.named("sessions"),
        "kueue.x-k8s.io/local-queue-name": "sessions",
        "kueue.x-k8s.io/podset": "main",
    }
    assert runs["metadata"]["annotations"]["kueue.x-k8s.io/workload"] == workload["metadata"]["name"]
    assert runs["spec"]["nodeSelector"] == {"test": place.unique}
    assert "schedulingGates" not in runs["spec"]
    told = await events(place, "s", "CreatedWorkload", "Started")
    assert ("CreatedWorkload", f"Created Workload: {place.namespace}/{workload['metadata']['name']}") in told
    assert ("Started", f"Admitted by clusterQueue {lines.named('sessions')}") in told


async def test_the_workload_says_what_was_asked_and_what_was_given(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(2)
    async with history(place, WORKLOADS) as workloads:
        made = await lines.job("j", parallelism=2, completions=3)
        workload = await workloads.first(of("j", holds("Admitted")))
    assert workload["metadata"]["labels"] == {"kueue.x-k8s.io/job-uid": made["metadata"]["uid"]}
    assert workload["metadata"]["ownerReferences"] == [
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": "j",
            "uid": made["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    spec = workload["spec"]
    assert (spec["queueName"], spec["active"], spec["priority"]) == ("jobs", True, 0)
    (podset,) = spec["podSets"]
    assert (podset["name"], podset["count"]) == ("main", 2)
    assert podset["template"]["metadata"] == {"labels": {"batch.kubernetes.io/job-name": "j"}}
    assert workload["status"]["admission"] == {
        "clusterQueue": lines.named("jobs"),
        "podSetAssignments": [
            {"name": "main", "count": 2, "flavors": {GPU: lines.named("gpu")}, "resourceUsage": {GPU: "2"}}
        ],
    }
    messages = {name: condition(workload, name)["message"] for name in ADMITTED}
    assert messages == {
        "QuotaReserved": f"Quota reserved in ClusterQueue {lines.named('jobs')}",
        "Admitted": "The workload is admitted",
    }
    told = dict(await events(place, workload["metadata"]["name"], "QuotaReserved", "Admitted"))
    assert told["QuotaReserved"].startswith(f"Quota reserved in ClusterQueue {lines.named('jobs')}, wait time since")
    assert told["Admitted"].startswith(f"Admitted by ClusterQueue {lines.named('jobs')}, wait time since reservation")


async def test_a_job_is_suspended_at_birth_and_started_where_its_flavor_is(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(2)
    async with history(place, JOBS) as jobs:
        made = await lines.job("j", suspend=False)
        started = await jobs.until("j", lambda one: not one["spec"]["suspend"])
    assert made["spec"]["suspend"]
    template = started["spec"]["template"]
    assert template["spec"]["nodeSelector"] == {"test": place.unique}
    assert {key: label for key, label in template["metadata"]["labels"].items() if "kueue" in key} == {
        "kueue.x-k8s.io/cluster-queue-name": lines.named("jobs"),
        "kueue.x-k8s.io/local-queue-name": "jobs",
        "kueue.x-k8s.io/podset": "main",
    }
    assert list(template["metadata"]["annotations"]) == ["kueue.x-k8s.io/workload"]
    told = await events(place, "j", "CreatedWorkload", "Started")
    assert ("Started", f"Admitted by clusterQueue {lines.named('jobs')}") in told


async def test_what_runs_without_a_queue_is_left_alone(place: Place) -> None:
    await place.create(JOBS, job("j"))
    await place.until(JOBS, "j", holds("Complete"))
    assert await Lines(place).workload("j") == {}


ENDINGS = [
    ("session", "true", "Succeeded", ""),
    ("session", "exit 3", "Failed", ""),
    ("job", "true", "Succeeded", "Reached expected number of succeeded pods"),
    ("job", "exit 3", "Failed", "Job has reached the specified backoff limit"),
]


@pytest.mark.parametrize(("what", "script", "reason", "message"), ENDINGS)
async def test_the_end_frees_the_quota(place: Place, what: str, script: str, reason: str, message: str) -> None:
    lines = Lines(place)
    await lines.usual(1)
    async with history(place, WORKLOADS) as workloads:
        await (lines.session if what == "session" else lines.job)("a", script=script)
        ended = await workloads.first(of("a", holds("Finished")))
        await lines.session("b")
        await workloads.first(of("b", holds("Admitted")))
    finished = condition(ended, "Finished")
    assert (finished["reason"], finished["message"]) == (reason, message)
    if what == "job":
        name = f"{place.namespace}/{ended['metadata']['name']}"
        told = await events(place, "a", "FinishedWorkload")
        assert told[-1] == ("FinishedWorkload", f"Workload '{name}' is declared finished")
    else:
        await place.until(PODS, "a", lambda one: "finalizers" not in one["metadata"])


async def test_a_session_takes_no_quota_of_another_session(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(1)
    async with history(place, WORKLOADS) as workloads, history(place, PODS) as pods:
        await lines.session("a")
        await pods.until("a", phase("Running"))
        await lines.session("b")
        await workloads.first(of("b", lambda one: condition(one, "QuotaReserved").get("status") == "False"))
        await place.client.delete(PODS, "a", place.namespace)
        await pods.until("b", phase("Running"))
    assert "Evicted" not in ways(revisions(workloads, "a"))


async def test_a_deleted_session_gives_its_quota_back_before_it_has_ended(place: Place, tmp_path: Any) -> None:
    wait = f"until [ -e {tmp_path}/die ]; do sleep 0.05; done"
    script = f"trap '{wait}; exit 1' TERM; touch {tmp_path}/up; while :; do sleep 0.05; done"
    lines = Lines(place)
    await lines.usual(1)
    async with history(place, WORKLOADS) as workloads, history(place, PODS) as pods:
        await lines.session("a", script=script, terminationGracePeriodSeconds=30)
        await pods.until("a", phase("Running"))
        await lines.session("b")
        await place.client.delete(PODS, "a", place.namespace)
        await workloads.first(of("b", holds("Admitted")))
        assert "a" not in pods.gone
        (tmp_path / "die").touch()
        await pods.until_gone("a")
    ended = condition(revisions(workloads, "a")[-1], "Finished")
    assert (ended["reason"], ended["message"]) == ("OwnerNotFound", "The workload's owner no longer exists")


async def test_a_deleted_job_gives_its_quota_back(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(1)
    async with history(place, WORKLOADS) as workloads:
        await lines.job("a")
        workload = await workloads.first(of("a", holds("Admitted")))
        await place.client.delete(JOBS, "a", place.namespace)
        await workloads.until_gone(workload["metadata"]["name"])
        await lines.job("b")
        await workloads.first(of("b", holds("Admitted")))


async def test_queues_count_who_waits_and_who_runs(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(2)
    await lines.job("a", 2)
    for name in ("b", "c"):
        await lines.job(name, 1)
    counts = {"pendingWorkloads": 2, "reservingWorkloads": 1, "admittedWorkloads": 1}
    full = await place.until(CLUSTER_QUEUES, lines.named("jobs"), lambda one: counts.items() <= one["status"].items())
    await place.until(LOCAL_QUEUES, "jobs", lambda one: counts.items() <= one["status"].items())
    used = [{"name": lines.named("gpu"), "resources": [{"name": GPU, "total": "2", "borrowed": "2"}]}]
    assert full["status"]["flavorsUsage"] == full["status"]["flavorsReservation"] == used
    active = condition(full, "Active")
    assert (active["status"], active["reason"], active["message"]) == ("True", "Ready", "Can admit new workloads")


async def test_quota_below_its_use_evicts_nobody_and_lets_nobody_in(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(2)
    async with history(place, WORKLOADS) as workloads:
        await lines.session("a", 2)
        await workloads.first(of("a", holds("Admitted")))
        queue = await place.client.get(CLUSTER_QUEUES, lines.named("sessions"))
        groups = queue["spec"]["resourceGroups"]
        groups[0]["flavors"][0]["resources"][0]["nominalQuota"] = "1"
        await place.client.patch(CLUSTER_QUEUES, lines.named("sessions"), {"spec": {"resourceGroups": groups}})
        await place.until(
            CLUSTER_QUEUES,
            lines.named("sessions"),
            lambda one: one["status"]["flavorsUsage"][0]["resources"][0]["borrowed"] == "1",
        )
        await lines.session("b")
        await workloads.first(of("b", lambda one: condition(one, "QuotaReserved").get("status") == "False"))
        await place.client.delete(PODS, "a", place.namespace)
        await workloads.first(of("b", holds("Admitted")))
    assert "Evicted" not in ways(revisions(workloads, "a"))


@pytest.mark.parametrize(("selector", "flavor"), [({}, "one"), ({"kind": "two"}, "two")])
async def test_the_first_flavor_that_the_pod_can_go_to_is_taken(
    place: Place, selector: dict[str, str], flavor: str
) -> None:
    lines = Lines(place)
    for name in ("one", "two"):
        await lines.flavor(name, {"kind": name})
    resources = [{"name": GPU, "nominalQuota": "1"}]
    flavors = [{"name": lines.named(name), "resources": resources} for name in ("one", "two")]
    groups = [{"coveredResources": [GPU], "flavors": flavors}]
    await lines.cluster_queue("sessions", 1, resourceGroups=groups)
    await lines.local_queue("sessions")
    async with history(place, WORKLOADS) as workloads:
        await lines.session("a", nodeSelector=selector)
        given = await workloads.first(of("a", holds("Admitted")))
        assert given["status"]["admission"]["podSetAssignments"][0]["flavors"] == {GPU: lines.named(flavor)}
        await lines.session("b")
        second = await workloads.first(of("b", holds("Admitted")))
    other = "two" if flavor == "one" else "one"
    assert second["status"]["admission"]["podSetAssignments"][0]["flavors"] == {GPU: lines.named(other)}
