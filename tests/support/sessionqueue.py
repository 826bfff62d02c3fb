"""A queue for the sessions of the small platform, as Kueue would keep it: so many devices, and no more."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from support.queues import PLENTY, cluster_queue, flavor, local_queue, priority_class

from aiinfn_hub.hub.session_objects import gates
from aiinfn_hub.kube.client import (
    CLUSTER_QUEUES,
    LOCAL_QUEUES,
    PODS,
    RESOURCE_FLAVORS,
    WORKLOAD_PRIORITY_CLASSES,
    KubeClient,
)
from aiinfn_hub.local.controllers import QueueController
from aiinfn_hub.pods import names

SLICE = "nvidia.com/mig-1g.5gb"


async def make_queue(client: KubeClient, slices: int, gpus: int = 8) -> None:
    """One ClusterQueue for all activities; the namespace must be there."""
    await client.create(RESOURCE_FLAVORS, flavor("any"))
    quota = PLENTY | {SLICE: slices, "nvidia.com/gpu": gpus}
    await client.create(CLUSTER_QUEUES, cluster_queue(names.INTERACTIVE, quota, flavor="any"))
    for activity in ("lhcb", "cms", "fpga"):
        queue = local_queue(names.interactive_queue(activity), names.INTERACTIVE)
        await client.create(LOCAL_QUEUES, queue | {"metadata": queue["metadata"] | {"namespace": "aiinfn"}})
    await client.create(WORKLOAD_PRIORITY_CLASSES, priority_class(names.INTERACTIVE, 10000))


@asynccontextmanager
async def session_queue(client: KubeClient, slices: int = 1) -> AsyncIterator[None]:
    """The queue with its controller; the API server needs `admit` of the controllers as its admission."""
    await make_queue(client, slices)
    task = asyncio.create_task(QueueController(client).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def resize(client: KubeClient, slices: int) -> None:
    """Another number of slices."""
    quota: dict[str, Any] = PLENTY | {SLICE: slices, "nvidia.com/gpu": 8}
    wanted = cluster_queue(names.INTERACTIVE, quota, flavor="any")
    await client.patch(CLUSTER_QUEUES, names.INTERACTIVE, {"spec": wanted["spec"]})


async def hold(client: KubeClient) -> None:
    """Somebody has a slice, as soon as the queue lets them."""
    amounts = {"cpu": "1", "memory": "1Gi", SLICE: "1"}
    labels = {names.QUEUE: "lhcb-interactive", names.PRIORITY: names.INTERACTIVE}
    container = {"name": "x", "image": "x", "resources": {"requests": amounts, "limits": amounts}}
    pod = {"metadata": {"name": "holder", "labels": labels}, "spec": {"containers": [container]}}
    await client.create(PODS, pod, "aiinfn")
    async with asyncio.timeout(60):
        while gates(await client.get(PODS, "holder", "aiinfn")):
            await asyncio.sleep(0.05)
