"""What the controllers do when single requests fail, or are done and their answer is lost."""

from __future__ import annotations

import pytest
from support.faulty import FaultyClient
from support.kubefake import FakeKubelet, a_job, a_node, a_pod, add_nodes, eventually, reasons, running
from support.queues import QUEUE, condition, two_queues

from aiinfn_hub.errors import AiinfnError, Conflict, Forbidden, Unavailable
from aiinfn_hub.kube.client import JOBS, PODS, WORKLOADS, KubeClient
from aiinfn_hub.local.controllers import JobController, QueueController, Scheduler

pytestmark = pytest.mark.asyncio

AWAY = Unavailable("no answer")


@pytest.fixture(name="faulty")
def _faulty(client: KubeClient) -> FaultyClient:
    return FaultyClient.of(client)


async def bound(client: KubeClient, name: str) -> str:
    return (await client.get(PODS, name, "default"))["spec"].get("nodeName", "")


async def complete(client: KubeClient, name: str) -> bool:
    found = (await client.get(JOBS, name, "default"))["status"].get("conditions", ())
    return any(c["type"] == "Complete" for c in found)


@pytest.mark.parametrize("done", [False, True], ids=["the binding is not made", "only its answer is lost"])
async def test_a_binding_that_fails_is_made_again_and_nothing_is_booked_twice(
    client: KubeClient, faulty: FaultyClient, *, done: bool
) -> None:
    await add_nodes(client, a_node("gpu", gpu=2))
    faulty.fail(PODS, "binding", AWAY, done=done)
    scheduler = Scheduler(faulty)
    async with running(scheduler.run()):
        for name in ("first", "second"):
            await client.create(PODS, a_pod(name, gpu=1))
        for name in ("first", "second"):
            assert await eventually(lambda: bound(client, name)) == "gpu"  # noqa: B023  # asked within the round
        await eventually(lambda: scheduler.bookings.views["gpu"].free("nvidia.com/gpu") == 0)


async def test_a_pod_that_went_while_it_was_bound_holds_nothing(client: KubeClient, faulty: FaultyClient) -> None:
    await add_nodes(client, a_node("gpu", gpu=1))
    faulty.fail(PODS, "binding", Conflict("changed"))
    scheduler = Scheduler(faulty)
    async with running(scheduler.run()):
        await client.create(PODS, a_pod("gone", gpu=1))
        await eventually(lambda: not faulty._faults)
        await client.delete(PODS, "gone", "default", grace_s=0)
        await client.create(PODS, a_pod("next", gpu=1))
        assert await eventually(lambda: bound(client, "next")) == "gpu"


async def test_a_reason_that_could_not_be_told_is_told_later(client: KubeClient, faulty: FaultyClient) -> None:
    faulty.fail(PODS, "status", AWAY)
    async with running(Scheduler(faulty).run()):
        await client.create(PODS, a_pod("p"))
        await eventually(lambda: not faulty._faults)

        async def told() -> bool:
            found = (await client.get(PODS, "p", "default"))["status"].get("conditions", ())
            return any("no nodes available" in c.get("message", "") for c in found)

        await eventually(told)


@pytest.mark.parametrize(
    ("kind", "subresource", "error", "done"),
    [
        pytest.param(PODS, "", AWAY, False, id="a pod is not created"),
        pytest.param(JOBS, "status", AWAY, False, id="the status is not written"),
        pytest.param(JOBS, "status", AWAY, True, id="the status is written and the answer lost"),
        pytest.param(JOBS, "status", Conflict("changed"), False, id="somebody else changed the Job"),
    ],
)
async def test_a_job_completes_with_one_pod_whatever_fails_once(  # a table
    client: KubeClient,
    faulty: FaultyClient,
    kind: object,
    subresource: str,
    error: AiinfnError,
    done: bool,
) -> None:
    await add_nodes(client, a_node("n1"))
    faulty.fail(kind, subresource, error, done=done)  # type: ignore[arg-type]
    kubelet = FakeKubelet(client, lambda pod: 0)
    async with running(Scheduler(client).run(), JobController(faulty).run(), kubelet.run()):
        await client.create(JOBS, a_job("fit"))
        await eventually(lambda: complete(client, "fit"))
        pods, _ = await client.list(PODS)
        assert len(pods) == 1
        assert (await client.get(JOBS, "fit", "default"))["status"]["succeeded"] == 1


async def test_a_pod_that_may_not_be_created_is_spoken_of(client: KubeClient, faulty: FaultyClient) -> None:
    faulty.fail(PODS, "", Forbidden("exceeded quota"))
    async with running(JobController(faulty).run()):
        await client.create(JOBS, a_job("fit"))

        async def said() -> bool:
            return ("FailedCreate", "Error creating: exceeded quota") in await reasons(client, "fit")

        await eventually(said)


@pytest.mark.parametrize("done", [False, True], ids=["it is not written", "only its answer is lost"])
async def test_an_admission_that_could_not_be_written_is_decided_again(
    client: KubeClient, faulty: FaultyClient, *, done: bool
) -> None:
    await add_nodes(client, a_node("gpu", labels={"gpu": "a100"}, gpu=1))
    await two_queues(client, 1)
    faulty.fail(WORKLOADS, "status", AWAY, done=done)
    kubelet = FakeKubelet(client)
    async with running(Scheduler(client).run(), QueueController(faulty).run(), kubelet.run()):
        await client.create(PODS, a_pod("s", gpu=1, meta={"namespace": "default", "labels": {QUEUE: "sessions"}}))

        async def is_running() -> bool:
            return (await client.get(PODS, "s", "default"))["status"].get("phase") == "Running"

        await eventually(is_running)
        assert (await condition(client, "s", "Admitted"))["status"] == "True"


async def test_a_workload_whose_answer_was_lost_is_not_made_twice(client: KubeClient, faulty: FaultyClient) -> None:
    await add_nodes(client, a_node("gpu", labels={"gpu": "a100"}, gpu=1))
    await two_queues(client, 1)
    faulty.fail(WORKLOADS, "", AWAY, done=True)
    async with running(QueueController(faulty).run()):
        await client.create(PODS, a_pod("s", gpu=1, meta={"namespace": "default", "labels": {QUEUE: "sessions"}}))
        await eventually(lambda: condition(client, "s", "Admitted"))
        workloads, _ = await client.list(WORKLOADS)
        assert len(workloads) == 1
