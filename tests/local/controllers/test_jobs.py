"""The Job controller over HTTP, with the scheduler and a kubelet that plays along."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from support.kubefake import FakeKubelet, a_job, a_node, add_nodes, eventually, reasons, running

from aiinfn_hub.errors import NotFound
from aiinfn_hub.kube.client import JOBS, PODS, KubeClient
from aiinfn_hub.local.controllers.jobs import JobController
from aiinfn_hub.local.controllers.scheduler import Scheduler

pytestmark = pytest.mark.asyncio


async def cluster(client: KubeClient, kubelet: FakeKubelet | None = None) -> AbstractAsyncContextManager[None]:
    await add_nodes(client, a_node("n1", cpu=64))
    controller = JobController(client, backoff_s=0.1)
    return running(Scheduler(client).run(), controller.run(), (kubelet or FakeKubelet(client, lambda pod: 0)).run())


async def status(client: KubeClient, name: str) -> dict[str, Any]:
    return (await client.get(JOBS, name, "default"))["status"]


def finished(client: KubeClient, name: str, kind: str) -> Callable[[], Any]:
    async def condition() -> dict[str, Any] | None:
        conditions = (await status(client, name)).get("conditions", ())
        return next((c for c in conditions if c["type"] == kind and c["status"] == "True"), None)

    return condition


async def pods_of(client: KubeClient, name: str) -> list[dict[str, Any]]:
    pods, _ = await client.list(PODS, "default", labels=f"batch.kubernetes.io/job-name={name}")
    return list(pods)


async def test_a_job_completes_and_its_pods_are_its_own(client: KubeClient) -> None:
    async with await cluster(client):
        await client.create(JOBS, a_job("fit"))
        condition = await eventually(finished(client, "fit", "Complete"))
        assert (condition["reason"], condition["message"]) == (
            "CompletionsReached",
            "Reached expected number of succeeded pods",
        )
        found = await status(client, "fit")
        assert found["succeeded"] == 1
        assert found["startTime"] <= found["completionTime"]
        assert "active" not in found
        assert "uncountedTerminatedPods" not in found
        (pod,) = await pods_of(client, "fit")
        owner = pod["metadata"]["ownerReferences"][0]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("Job", "fit", True)
        assert not pod["metadata"].get("finalizers")
        said = [reason for reason, _ in await eventually(lambda: reasons(client, "fit"))]
        assert said == ["SuccessfulCreate", "Completed"]


async def test_twenty_completions_run_at_most_four_at_a_time(client: KubeClient) -> None:
    kubelet = FakeKubelet(client, lambda pod: 0)
    async with await cluster(client, kubelet):
        await client.create(JOBS, a_job("sweep", completions=20, parallelism=4))
        await eventually(finished(client, "sweep", "Complete"), 30)
        assert (await status(client, "sweep"))["succeeded"] == 20
        assert 1 < kubelet.most_active <= 4


async def test_each_index_of_an_indexed_job_runs_once(client: KubeClient) -> None:
    async with await cluster(client):
        await client.create(JOBS, a_job("grid", completions=5, parallelism=2, completionMode="Indexed"))
        await eventually(finished(client, "grid", "Complete"), 30)
        assert (await status(client, "grid"))["completedIndexes"] == "0-4"
        pods = await pods_of(client, "grid")
        key = "batch.kubernetes.io/job-completion-index"
        assert sorted(p["metadata"]["annotations"][key] for p in pods) == ["0", "1", "2", "3", "4"]
        assert {p["spec"]["hostname"] for p in pods} == {f"grid-{i}" for i in range(5)}
        assert all(p["spec"]["containers"][0]["env"][0]["name"] == "JOB_COMPLETION_INDEX" for p in pods)


async def test_a_job_that_fails_too_often_fails(client: KubeClient) -> None:
    async with await cluster(client, FakeKubelet(client, lambda pod: 1)):
        await client.create(JOBS, a_job("bad", backoffLimit=2))
        condition = await eventually(finished(client, "bad", "Failed"), 20)
        assert (condition["reason"], condition["message"]) == (
            "BackoffLimitExceeded",
            "Job has reached the specified backoff limit",
        )
        assert (await status(client, "bad"))["failed"] == 3
        assert len(await pods_of(client, "bad")) == 3
        assert await finished(client, "bad", "FailureTarget")()


async def test_an_exit_code_can_fail_the_job_at_once(client: KubeClient) -> None:
    rules = [
        {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [70, 71]}},
    ]
    async with await cluster(client, FakeKubelet(client, lambda pod: 70)):
        await client.create(JOBS, a_job("cell", backoffLimit=3, podFailurePolicy={"rules": rules}))
        condition = await eventually(finished(client, "cell", "Failed"))
        (pod,) = await pods_of(client, "cell")
        assert condition["reason"] == "PodFailurePolicy"
        assert condition["message"] == (
            f"Container main for pod default/{pod['metadata']['name']} failed with exit code 70"
            " matching FailJob rule at index 1"
        )


async def test_suspending_deletes_the_pods_uses_up_no_failure_and_resuming_starts_anew(client: KubeClient) -> None:
    kubelet = FakeKubelet(client, grace_s=0.2)
    async with await cluster(client, kubelet):
        await client.create(JOBS, a_job("long", backoffLimit=0, parallelism=2, completions=2))
        await eventually(lambda: _ready(client, "long", 2))
        first = {p["metadata"]["uid"] for p in await pods_of(client, "long")}
        await client.patch(JOBS, "long", {"spec": {"suspend": True}}, "default")
        await eventually(finished(client, "long", "Suspended"))
        found = await status(client, "long")
        assert "startTime" not in found
        assert "active" not in found
        await eventually(lambda: _none(client, "long"))
        kubelet.ending = lambda pod: 0
        await client.patch(JOBS, "long", {"spec": {"suspend": False}}, "default")
        await eventually(finished(client, "long", "Complete"))
        found = await status(client, "long")
        assert "failed" not in found
        assert not first & {p["metadata"]["uid"] for p in await pods_of(client, "long")}
        said = [reason for reason, _ in await reasons(client, "long")]
        assert "Suspended" in said
        assert "Resumed" in said


async def _ready(client: KubeClient, name: str, count: int) -> bool:
    return (await status(client, name)).get("ready") == count


async def _none(client: KubeClient, name: str) -> bool:
    return not await pods_of(client, name)


async def test_a_job_created_suspended_has_no_pods_and_no_start(client: KubeClient) -> None:
    async with await cluster(client):
        await client.create(JOBS, a_job("held", suspend=True))
        await eventually(finished(client, "held", "Suspended"))
        assert await _none(client, "held")
        assert "startTime" not in await status(client, "held")


async def test_the_deadline_ends_the_job_and_its_pods(client: KubeClient) -> None:
    async with await cluster(client, FakeKubelet(client)):
        await client.create(JOBS, a_job("slow", activeDeadlineSeconds=1))
        condition = await eventually(finished(client, "slow", "Failed"))
        assert (condition["reason"], condition["message"]) == (
            "DeadlineExceeded",
            "Job was active longer than specified deadline",
        )
        assert await _none(client, "slow")


async def test_a_finished_job_and_its_pods_vanish_after_their_time(client: KubeClient) -> None:
    async with await cluster(client):
        await client.create(JOBS, a_job("brief", ttlSecondsAfterFinished=0))

        async def gone() -> bool:
            try:
                await client.get(JOBS, "brief", "default")
            except NotFound:
                return True
            return False

        await eventually(gone)
        await eventually(lambda: _none(client, "brief"))


async def test_deleting_a_job_ends_its_pods(client: KubeClient) -> None:
    async with await cluster(client, FakeKubelet(client)):
        await client.create(JOBS, a_job("doomed"))
        await eventually(lambda: _ready(client, "doomed", 1))
        await client.delete(JOBS, "doomed", "default")
        await eventually(lambda: _none(client, "doomed"))


async def test_a_pod_deleted_by_somebody_counts_as_failed_and_is_replaced(client: KubeClient) -> None:
    kubelet = FakeKubelet(client)
    async with await cluster(client, kubelet):
        await client.create(JOBS, a_job("hit", backoffLimit=1))
        await eventually(lambda: _ready(client, "hit", 1))
        (pod,) = await pods_of(client, "hit")
        await client.delete(PODS, pod["metadata"]["name"], "default")
        kubelet.ending = lambda pod: 0
        await eventually(finished(client, "hit", "Complete"), 20)
        assert (await status(client, "hit"))["failed"] == 1
