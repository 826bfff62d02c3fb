"""The queue over HTTP, with Job controller, scheduler and a kubelet that plays along; Kueue as it was seen."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from support.kubefake import FakeKubelet, a_job, a_node, a_pod, add_nodes, eventually, raw, reasons, running
from support.queues import PRIORITY, QUEUE, condition, local_queue, priority_class, two_queues, workload_of

from aiinfn_hub.errors import NotFound
from aiinfn_hub.kube.client import (
    CLUSTER_QUEUES,
    JOBS,
    LOCAL_QUEUES,
    PODS,
    WORKLOAD_PRIORITY_CLASSES,
    WORKLOADS,
    KubeClient,
)
from aiinfn_hub.local.controllers import JobController, QueueController, Scheduler
from aiinfn_hub.local.controllers.queue_shapes import decode_cluster_queue

pytestmark = pytest.mark.asyncio

UNASSIGNED = "couldn't assign flavors to pod set main:"


async def cluster(
    client: KubeClient, *, gpus: int = 2, kubelet: FakeKubelet | None = None
) -> AbstractAsyncContextManager[None]:
    await add_nodes(client, a_node("gpu", labels={"gpu": "a100"}, gpu=gpus, cpu=64), a_node("plain"))
    await two_queues(client, gpus)
    return running(
        Scheduler(client).run(),
        JobController(client, backoff_s=0.1).run(),
        QueueController(client).run(),
        (kubelet or FakeKubelet(client)).run(),
    )


def session(name: str, gpu: int = 1, queue: str = "sessions", **spec: Any) -> dict[str, Any]:
    return a_pod(name, gpu=gpu, meta={"labels": {QUEUE: queue}}, **spec)


def job(name: str, gpu: int = 1, queue: str = "jobs", **spec: Any) -> dict[str, Any]:
    return a_job(name, labels={QUEUE: queue}, pod={"gpu": gpu}, **spec)


async def phase(client: KubeClient, name: str) -> str:
    return (await client.get(PODS, name, "default"))["status"].get("phase", "")


async def is_running(client: KubeClient, name: str) -> bool:
    return await phase(client, name) == "Running"


async def suspended(client: KubeClient, name: str) -> bool:
    return (await client.get(JOBS, name, "default"))["spec"]["suspend"]


async def started(client: KubeClient, name: str) -> bool:
    return (await client.get(JOBS, name, "default"))["status"].get("ready", 0) > 0


async def is_gone(client: KubeClient, kind: Any, name: str) -> bool:
    try:
        await client.get(kind, name, "default")
    except NotFound:
        return True
    return False


async def waits(client: KubeClient, name: str) -> tuple[str, str] | None:
    found = await condition(client, name, "QuotaReserved")
    return (found["reason"], found["message"]) if found.get("status") == "False" else None


async def test_a_session_with_free_quota_is_placed_where_its_flavor_is(client: KubeClient) -> None:
    async with await cluster(client):
        await client.create(PODS, session("s"))
        await eventually(lambda: is_running(client, "s"))
        pod = await client.get(PODS, "s", "default")
        assert not pod["spec"].get("schedulingGates")
        assert pod["spec"]["nodeSelector"] == {"gpu": "a100"}
        assert pod["metadata"]["labels"]["kueue.x-k8s.io/cluster-queue-name"] == "interactive"
        workload = await workload_of(client, "s")
        assert pod["metadata"]["annotations"]["kueue.x-k8s.io/workload"] == workload["metadata"]["name"]
        assert workload["status"]["admission"]["podSetAssignments"][0]["flavors"]["nvidia.com/gpu"] == "a100"
        admitted = await condition(client, "s", "Admitted")
        assert (admitted["reason"], admitted["message"]) == ("Admitted", "The workload is admitted")
        assert [r for r, _ in await reasons(client, "s") if r in ("CreatedWorkload", "Started")] == [
            "CreatedWorkload",
            "Started",
        ]


async def test_a_session_waits_gated_and_starts_when_another_ends(client: KubeClient) -> None:
    async with await cluster(client, gpus=1):
        await client.create(PODS, session("first"))
        await eventually(lambda: is_running(client, "first"))
        await client.create(PODS, session("second"))
        assert await eventually(lambda: waits(client, "second")) == (
            "Pending",
            f"{UNASSIGNED} insufficient unused quota for nvidia.com/gpu in flavor a100, 1 more needed",
        )
        pod = await client.get(PODS, "second", "default")
        assert [gate["name"] for gate in pod["spec"]["schedulingGates"]] == [
            "kueue.x-k8s.io/admission",
            "kueue.x-k8s.io/topology",
        ]
        await client.delete(PODS, "first", "default")
        await eventually(lambda: is_running(client, "second"))
        await eventually(lambda: is_gone(client, PODS, "first"))


async def test_a_gate_of_our_own_holds_an_admitted_session(client: KubeClient) -> None:
    async with await cluster(client):
        await client.create(PODS, session("ticket", schedulingGates=[{"name": "aiinfn.infn.it/ticket"}]))
        await eventually(lambda: condition(client, "ticket", "Admitted"))

        async def only_ours() -> bool:
            spec = (await client.get(PODS, "ticket", "default"))["spec"]
            return spec.get("schedulingGates") == [{"name": "aiinfn.infn.it/ticket"}]

        await eventually(only_ours)
        assert await phase(client, "ticket") == "Pending"


async def test_a_session_deleted_while_gated_is_gone_at_once_and_frees_its_place(client: KubeClient) -> None:
    async with await cluster(client, gpus=1):
        await client.create(PODS, session("first"))
        await eventually(lambda: is_running(client, "first"))
        await client.create(PODS, session("second"))
        await eventually(lambda: waits(client, "second"))
        await client.delete(PODS, "second", "default")
        await eventually(lambda: is_gone(client, PODS, "second"))
        await eventually(lambda: _no_workload(client, "second"))


async def _no_workload(client: KubeClient, name: str) -> bool:
    return not await workload_of(client, name)


async def test_a_job_starts_when_admitted_and_gives_its_quota_back_when_done(client: KubeClient) -> None:
    kubelet = FakeKubelet(client)
    async with await cluster(client, gpus=1, kubelet=kubelet):
        await client.create(JOBS, job("first"))
        await eventually(lambda: started(client, "first"))
        found = await client.get(JOBS, "first", "default")
        assert found["spec"]["template"]["spec"]["nodeSelector"] == {"gpu": "a100"}
        await client.create(JOBS, job("second"))
        assert "1 more needed" in (await eventually(lambda: waits(client, "second")))[1]
        assert await suspended(client, "second")
        kubelet.ending = lambda pod: 0
        await eventually(lambda: condition(client, "second", "Finished"))
        over = await condition(client, "first", "Finished")
        assert (over["reason"], over["message"]) == ("Succeeded", "Job finished successfully")


async def test_a_session_takes_back_what_a_job_borrowed_and_the_job_resumes(client: KubeClient) -> None:
    kubelet = FakeKubelet(client, grace_s=0.2)
    async with await cluster(client, gpus=2, kubelet=kubelet):
        for name in ("early", "late"):
            await client.create(JOBS, job(name, backoffLimit=0))
            await eventually(lambda: started(client, name))  # noqa: B023  # asked within the round
            await asyncio.sleep(1.0)  # conditions carry whole seconds, and the latest admitted one gives way
        await client.create(PODS, session("s"))
        assert "Pending the preemption of 1 workload(s)" in str(await eventually(lambda: waits(client, "s")))
        await eventually(lambda: is_running(client, "s"))
        assert await started(client, "early")
        evicted = await condition(client, "late", "Evicted")
        assert (evicted["status"], evicted["reason"]) == ("True", "Preempted")
        assert evicted["message"].startswith("Preempted to accommodate a workload (UID: ")
        preempted = await condition(client, "late", "Preempted")
        assert preempted["reason"] == "InCohortReclamation"
        late = await client.get(JOBS, "late", "default")
        assert late["spec"]["suspend"]
        assert not late["spec"]["template"]["spec"].get("nodeSelector")
        assert (await condition(client, "late", "Requeued"))["status"] == "True"

        kubelet.ending = lambda pod: 0
        await eventually(lambda: condition(client, "late", "Finished"))
        late = await client.get(JOBS, "late", "default")
        assert "failed" not in late["status"]
        assert (await condition(client, "late", "Evicted"))["status"] == "False"
        said = [reason for reason, _ in await reasons(client, "late")]
        assert said.count("Started") == 1 or "Stopped" in said


async def test_sessions_above_the_nominal_quota_wait_and_evict_nobody(client: KubeClient) -> None:
    async with await cluster(client, gpus=1):
        await client.create(PODS, session("s1"))
        await eventually(lambda: is_running(client, "s1"))
        await client.create(PODS, session("s2"))
        assert "Pending the preemption" not in (await eventually(lambda: waits(client, "s2")))[1]
        assert await is_running(client, "s1")


async def test_asking_for_more_than_there_ever_is_says_so(client: KubeClient) -> None:
    async with await cluster(client, gpus=2):
        await client.create(PODS, session("greedy", gpu=9))
        reason, message = await eventually(lambda: waits(client, "greedy"))
        assert reason == "Pending"
        assert message == (
            f"{UNASSIGNED} insufficient quota for nvidia.com/gpu in flavor a100, previously considered podsets"
            " requests (0) + current podset request (9) > maximum capacity (2)"
        )


async def test_a_missing_queue_is_named_and_creating_it_admits(client: KubeClient) -> None:
    async with await cluster(client):
        await client.create(PODS, session("s", queue="nolq"))
        assert await eventually(lambda: waits(client, "s")) == ("Inadmissible", "LocalQueue nolq doesn't exist")
        await client.create(LOCAL_QUEUES, local_queue("nolq", "nosuchcq"))
        await eventually(lambda: _waits_for(client, "s", "ClusterQueue nosuchcq doesn't exist"))
        await client.patch(LOCAL_QUEUES, "nolq", {"spec": {"clusterQueue": "interactive"}}, "default")
        await eventually(lambda: is_running(client, "s"))


async def _is_told(client: KubeClient, name: str, words: tuple[str, str]) -> bool:
    return await waits(client, name) == words


async def _waits_for(client: KubeClient, name: str, message: str) -> bool:
    return (await waits(client, name) or ("", ""))[1] == message


async def test_a_queue_on_hold_keeps_what_runs_and_admits_nothing(client: KubeClient) -> None:
    async with await cluster(client):
        await client.create(PODS, session("before"))
        await eventually(lambda: is_running(client, "before"))
        await client.patch(CLUSTER_QUEUES, "interactive", {"spec": {"stopPolicy": "Hold"}})
        await client.create(PODS, session("after"))
        assert await eventually(lambda: waits(client, "after")) == (
            "Inadmissible",
            "ClusterQueue interactive is inactive",
        )
        assert await is_running(client, "before")
        await client.patch(CLUSTER_QUEUES, "interactive", {"spec": {"stopPolicy": "None"}})
        await eventually(lambda: is_running(client, "after"))


async def test_a_missing_priority_class_is_silent_and_heals(client: KubeClient) -> None:
    async with await cluster(client):
        pod = session("s")
        pod["metadata"]["labels"][PRIORITY] = "nope"
        await client.create(PODS, pod)
        await client.create(PODS, session("other"))
        await eventually(lambda: is_running(client, "other"))
        assert await workload_of(client, "s") == {}
        assert not await reasons(client, "s")
        await client.create(WORKLOAD_PRIORITY_CLASSES, priority_class("nope", 7))
        await eventually(lambda: is_running(client, "s"))
        assert (await workload_of(client, "s"))["spec"]["priority"] == 7


async def test_a_job_gated_by_its_inputs_is_admitted_once_the_annotation_goes(client: KubeClient) -> None:
    key = "kueue.x-k8s.io/admission-gated-by"
    async with await cluster(client):
        held = job("held")
        held["metadata"]["annotations"] = {key: "aiinfn.infn.it/inputs"}
        await client.create(JOBS, held)
        assert await eventually(lambda: waits(client, "held")) == (
            "AdmissionGated",
            "Admission is gated by: aiinfn.infn.it/inputs",
        )
        await client.patch(JOBS, "held", {"metadata": {"annotations": {key: None}}}, "default")
        await eventually(lambda: started(client, "held"))


async def test_a_deactivated_workload_gives_way_and_stays_away(client: KubeClient) -> None:
    async with await cluster(client, gpus=1):
        await client.create(JOBS, job("held"))
        await eventually(lambda: started(client, "held"))
        name = (await workload_of(client, "held"))["metadata"]["name"]
        await client.patch(WORKLOADS, name, {"spec": {"active": False}}, "default")
        await eventually(lambda: suspended(client, "held"))
        await client.create(JOBS, job("next"))
        await eventually(lambda: started(client, "next"))
        await eventually(lambda: _is_told(client, "held", ("Inadmissible", "The workload is deactivated")))


async def test_a_job_unsuspended_by_hand_is_suspended_again(client: KubeClient) -> None:
    async with await cluster(client, gpus=1):
        await client.create(JOBS, job("first"))
        await eventually(lambda: started(client, "first"))
        await client.create(JOBS, job("sly"))
        await eventually(lambda: waits(client, "sly"))
        await client.patch(JOBS, "sly", {"spec": {"suspend": False}}, "default")
        await eventually(lambda: suspended(client, "sly"))
        assert await started(client, "first")


async def test_a_deleted_job_gives_its_quota_back(client: KubeClient) -> None:
    async with await cluster(client, gpus=1):
        await client.create(JOBS, job("first"))
        await eventually(lambda: started(client, "first"))
        await client.create(JOBS, job("second"))
        await eventually(lambda: waits(client, "second"))
        await client.delete(JOBS, "first", "default")
        await eventually(lambda: started(client, "second"))


async def test_everything_goes_on_after_the_controllers_were_away(client: KubeClient) -> None:
    kubelet = FakeKubelet(client)
    async with await cluster(client, gpus=1, kubelet=kubelet):
        await client.create(PODS, session("s1"))
        await eventually(lambda: is_running(client, "s1"))
        await client.create(PODS, session("s2"))
        await eventually(lambda: waits(client, "s2"))
    async with running(Scheduler(client).run(), QueueController(client).run(), kubelet.run()):
        assert await is_running(client, "s1")
        assert await waits(client, "s2")
        await client.delete(PODS, "s1", "default")
        await eventually(lambda: is_running(client, "s2"))


async def test_queues_say_what_they_hold_and_who_waits(client: KubeClient) -> None:
    async with await cluster(client, gpus=1):
        await client.create(PODS, session("s1"))
        await eventually(lambda: is_running(client, "s1"))
        await client.create(PODS, session("s2"))

        async def settled() -> dict[str, Any]:
            status = (await client.get(CLUSTER_QUEUES, "interactive")).get("status", {})
            return status if (status.get("pendingWorkloads"), status.get("admittedWorkloads")) == (1, 1) else {}

        status = await eventually(settled)
        assert (status["conditions"][0]["status"], status["conditions"][0]["reason"]) == ("True", "Ready")
        used = {one["name"]: one["total"] for one in status["flavorsUsage"][0]["resources"]}
        assert used == {"cpu": "1", "memory": str(2**30), "nvidia.com/gpu": "1"}
        line = (await client.get(LOCAL_QUEUES, "sessions", "default"))["status"]
        assert (line["pendingWorkloads"], line["admittedWorkloads"]) == (1, 1)
        await client.patch(CLUSTER_QUEUES, "interactive", {"spec": {"stopPolicy": "Hold"}})
        await eventually(lambda: _inactive(client))


async def _inactive(client: KubeClient) -> bool:
    line = (await client.get(LOCAL_QUEUES, "sessions", "default"))["status"]
    return line["conditions"][0]["reason"] == "ClusterQueueIsInactive"


async def test_a_pod_that_borrowed_is_told_why_and_deleted_for_good(client: KubeClient) -> None:
    kubelet = FakeKubelet(client, grace_s=0.5)
    async with await cluster(client, gpus=1, kubelet=kubelet):
        await client.create(PODS, session("guest", queue="jobs"))
        await eventually(lambda: is_running(client, "guest"))
        await client.create(PODS, session("owner"))

        async def told() -> dict[str, Any]:
            found = (await client.get(PODS, "guest", "default"))["status"]["conditions"]
            return next((c for c in found if c["type"] == "TerminationTarget"), {})

        target = await eventually(told)
        assert (target["status"], target["reason"]) == ("True", "WorkloadEvictedDueToPreempted")
        assert target["message"].endswith("preemptor path: /aiinfn/interactive; preemptee path: /aiinfn/batch")
        await eventually(lambda: is_gone(client, PODS, "guest"))
        await eventually(lambda: is_running(client, "owner"))


async def test_what_queues_say_of_themselves_makes_no_work(client: KubeClient) -> None:
    async with await cluster(client):
        await client.create(PODS, session("s"))
        await eventually(lambda: is_running(client, "s"))
        found = await client.get(CLUSTER_QUEUES, "interactive")
        quiet = QueueController(client)
        before = decode_cluster_queue(raw(found))
        after = decode_cluster_queue(raw(found | {"status": {"pendingWorkloads": 7}}))
        quiet._setting_changed("MODIFIED", after, before)
        assert not quiet._wake.is_set()
        after.spec.stop_policy = "Hold"
        quiet._setting_changed("MODIFIED", after, before)
        assert quiet._wake.is_set()
