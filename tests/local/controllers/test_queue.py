"""The queue over HTTP, with Job controller, scheduler and a kubelet that plays along; Kueue as it was seen."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from support.kubefake import FakeKubelet, a_job, a_node, a_pod, add_nodes, eventually, raw, running
from support.queues import QUEUE, condition, two_queues

from aiinfn_hub.kube.client import (
    CLUSTER_QUEUES,
    JOBS,
    PODS,
    KubeClient,
)
from aiinfn_hub.local.controllers import JobController, QueueController, Scheduler
from aiinfn_hub.local.controllers.queue_shapes import decode_cluster_queue

pytestmark = pytest.mark.asyncio


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


async def waits(client: KubeClient, name: str) -> tuple[str, str] | None:
    found = await condition(client, name, "QuotaReserved")
    return (found["reason"], found["message"]) if found.get("status") == "False" else None


async def test_a_job_unsuspended_by_hand_is_suspended_again(client: KubeClient) -> None:
    async with await cluster(client, gpus=1):
        await client.create(JOBS, job("first"))
        await eventually(lambda: started(client, "first"))
        await client.create(JOBS, job("sly"))
        await eventually(lambda: waits(client, "sly"))
        await client.patch(JOBS, "sly", {"spec": {"suspend": False}}, "default")
        await eventually(lambda: suspended(client, "sly"))
        assert await started(client, "first")


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
