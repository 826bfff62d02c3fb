"""The Job controller over HTTP, with the scheduler and a kubelet that plays along."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from support.kubefake import FakeKubelet, a_job, a_node, add_nodes, eventually, running

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


async def _ready(client: KubeClient, name: str, count: int) -> bool:
    return (await status(client, name)).get("ready") == count


async def test_twenty_completions_run_at_most_four_at_a_time(client: KubeClient) -> None:
    kubelet = FakeKubelet(client, lambda pod: 0)
    async with await cluster(client, kubelet):
        await client.create(JOBS, a_job("sweep", completions=20, parallelism=4))
        await eventually(finished(client, "sweep", "Complete"), 30)
        assert (await status(client, "sweep"))["succeeded"] == 20
        assert 1 < kubelet.most_active <= 4


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
