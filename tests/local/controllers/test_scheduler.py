"""The scheduler over HTTP against the embedded API."""

from __future__ import annotations

import asyncio
import time

import pytest
from support.kubefake import a_node, a_pod, add_nodes, eventually, raw, reasons, running

from aiinfn_hub.kube.client import NODES, PODS, PRIORITY_CLASSES, KubeClient
from aiinfn_hub.kube.slim import decode_node
from aiinfn_hub.local.controllers.bookings import Bookings
from aiinfn_hub.local.controllers.constraints import decode_claimant
from aiinfn_hub.local.controllers.scheduler import Scheduler

pytestmark = pytest.mark.asyncio


async def node_of(client: KubeClient, name: str) -> str:
    pod = await client.get(PODS, name, "default")
    return pod["spec"].get("nodeName", "")


async def scheduled(client: KubeClient, name: str) -> dict[str, str]:
    pod = await client.get(PODS, name, "default")
    return next((c for c in pod["status"].get("conditions", ()) if c["type"] == "PodScheduled"), {})


async def test_a_pod_is_bound_and_the_event_says_where(client: KubeClient) -> None:
    await add_nodes(client, a_node("n1"), a_node("gpu", gpu=1))
    async with running(Scheduler(client).run()):
        await client.create(PODS, a_pod("p", gpu=1))
        assert await eventually(lambda: node_of(client, "p")) == "gpu"
        assert (await scheduled(client, "p"))["status"] == "True"
        assert ("Scheduled", "Successfully assigned default/p to gpu") in await eventually(lambda: reasons(client, "p"))


async def test_a_pod_that_fits_nowhere_is_told_why_and_placed_once_there_is_room(client: KubeClient) -> None:
    await add_nodes(client, a_node("gpu", gpu=1))
    async with running(Scheduler(client).run()):
        await client.create(PODS, a_pod("first", gpu=1))
        await eventually(lambda: node_of(client, "first"))
        await client.create(PODS, a_pod("second", gpu=1))
        condition = await eventually(lambda: scheduled(client, "second"))
        assert (condition["status"], condition["reason"]) == ("False", "Unschedulable")
        assert condition["message"].startswith("0/1 nodes are available: 1 Insufficient nvidia.com/gpu.")
        assert ("FailedScheduling", condition["message"]) in await eventually(lambda: reasons(client, "second"))
        await client.delete(PODS, "first", "default", grace_s=0)
        assert await eventually(lambda: node_of(client, "second")) == "gpu"


async def test_a_finished_pod_gives_its_room_to_one_that_waits(client: KubeClient) -> None:
    await add_nodes(client, a_node("gpu", gpu=1))
    async with running(Scheduler(client).run()):
        await client.create(PODS, a_pod("first", gpu=1))
        await eventually(lambda: node_of(client, "first"))
        await client.create(PODS, a_pod("second", gpu=1))
        await eventually(lambda: scheduled(client, "second"))
        await client.patch(PODS, "first", {"status": {"phase": "Succeeded"}}, "default", subresource="status")
        await eventually(lambda: node_of(client, "second"))


async def test_the_more_important_pod_goes_first(client: KubeClient) -> None:
    async with running(Scheduler(client).run()):
        for name, value in (("low", 1), ("high", 1000)):
            klass = {"metadata": {"name": name}, "value": value}
            await client.create(PRIORITY_CLASSES, klass)
            await client.create(PODS, a_pod(name, gpu=1, priorityClassName=name))
        await eventually(lambda: scheduled(client, "high"))
        await add_nodes(client, a_node("gpu", gpu=1))
        await eventually(lambda: node_of(client, "high"))
        assert not await node_of(client, "low")


async def test_heartbeats_of_nodes_make_no_work(client: KubeClient) -> None:
    await add_nodes(client, a_node("n1"))
    scheduler = Scheduler(client)
    async with running(scheduler.run()):
        await client.create(PODS, a_pod("p", gpu=1))
        await eventually(lambda: scheduled(client, "p"))
        passes, one_pass = 0, scheduler._pass

        async def counted() -> None:
            nonlocal passes
            passes += 1
            await one_pass()

        scheduler._pass = counted  # type: ignore[method-assign]
        for minute in range(5):
            beat = {"type": "Ready", "status": "True", "lastHeartbeatTime": f"2026-01-01T00:0{minute}:00Z"}
            await client.patch(
                NODES, "n1", {"status": {"conditions": [beat]}}, strategy="strategic", subresource="status"
            )
        await asyncio.sleep(0.1)
        assert passes == 0
        await client.patch(NODES, "n1", {"metadata": {"labels": {"new": "label"}}})
        await eventually(lambda: passes == 1)


async def test_a_restarted_scheduler_says_nothing_twice_and_knows_what_is_taken(client: KubeClient) -> None:
    await add_nodes(client, a_node("gpu", gpu=1))
    async with running(Scheduler(client).run()):
        await client.create(PODS, a_pod("first", gpu=1))
        await eventually(lambda: node_of(client, "first"))
        await client.create(PODS, a_pod("second", gpu=1))
        await eventually(lambda: scheduled(client, "second"))
    before = (await client.get(PODS, "second", "default"))["metadata"]["resourceVersion"]
    async with running(Scheduler(client).run()):
        await client.create(PODS, a_pod("third", gpu=1))
        await eventually(lambda: scheduled(client, "third"))
        assert (await client.get(PODS, "second", "default"))["metadata"]["resourceVersion"] == before


async def test_a_thousand_pods_for_twenty_places_are_decided_quickly(client: KubeClient) -> None:
    bookings = Bookings()
    for number in range(10):
        bookings.set_node(decode_node(raw(a_node(f"n{number}", gpu=2))))
    scheduler, bound = Scheduler(client), []
    scheduler.bookings = bookings
    scheduler._write = lambda coroutine: (bound.append(coroutine.__name__), coroutine.close())  # type: ignore[assignment]
    for number in range(1000):
        pod = a_pod(f"p{number}", gpu=1)
        pod["metadata"]["uid"] = f"u{number}"
        claimant = decode_claimant(raw(pod))
        scheduler._pending[claimant.uid] = claimant
    spent = time.process_time()
    await scheduler._pass()
    assert time.process_time() - spent < 1.0
    assert (bound.count("_bind"), bound.count("_refuse")) == (20, 980)


async def test_a_gated_pod_waits_until_its_gate_goes(client: KubeClient) -> None:
    await add_nodes(client, a_node("n1"))
    async with running(Scheduler(client).run()):
        await client.create(PODS, a_pod("p", schedulingGates=[{"name": "example.org/hold"}]))
        condition = await eventually(lambda: scheduled(client, "p"))
        assert condition["reason"] == "SchedulingGated"
        await client.create(PODS, a_pod("other"))
        await eventually(lambda: node_of(client, "other"))
        assert not await node_of(client, "p")
        await client.patch(PODS, "p", {"spec": {"schedulingGates": None}}, "default")
        assert await eventually(lambda: node_of(client, "p")) == "n1"


async def test_a_waiting_pod_goes_to_a_node_that_comes_later_or_is_uncordoned(client: KubeClient) -> None:
    async with running(Scheduler(client).run()):
        await client.create(PODS, a_pod("p"))
        assert (await eventually(lambda: scheduled(client, "p")))["message"] == "no nodes available to schedule pods"
        await add_nodes(client, a_node("n1", unschedulable=True))
        await eventually(lambda: _says(client, "p", "were unschedulable"))
        await client.patch(NODES, "n1", {"spec": {"unschedulable": None}})
        assert await eventually(lambda: node_of(client, "p")) == "n1"


async def _says(client: KubeClient, name: str, words: str) -> bool:
    return words in (await scheduled(client, name)).get("message", "")


async def test_pods_of_a_burst_never_overbook_a_node(client: KubeClient) -> None:
    await add_nodes(client, a_node("a", gpu=3), a_node("b", gpu=4))
    async with running(Scheduler(client).run()):
        for number in range(12):
            await client.create(PODS, a_pod(f"p{number}", gpu=1))

        async def placed() -> list[str]:
            pods, _ = await client.list(PODS)
            nodes = [p["spec"]["nodeName"] for p in pods if p["spec"].get("nodeName")]
            return nodes if len(nodes) == 7 else []

        nodes = await eventually(placed)
        assert (nodes.count("a"), nodes.count("b")) == (3, 4)


async def test_a_pod_for_another_scheduler_is_left_alone(client: KubeClient) -> None:
    await add_nodes(client, a_node("n1"))
    async with running(Scheduler(client).run()):
        await client.create(PODS, a_pod("theirs", schedulerName="other"))
        await client.create(PODS, a_pod("ours"))
        await eventually(lambda: node_of(client, "ours"))
        assert not await node_of(client, "theirs")
