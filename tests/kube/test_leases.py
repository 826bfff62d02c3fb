"""Leadership by a Lease: one at a time, handed over, lost in time, whatever the clocks say."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.brokenapi import Script, client_of, failure
from support.kubefake import eventually

from aiinfn_hub.errors import Unavailable
from aiinfn_hub.kube.client import LEASES, KubeClient
from aiinfn_hub.kube.leases import Leadership

pytestmark = pytest.mark.asyncio


class Work:
    """Counts how many run at the same time."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.most = 0

    def of(self, name: str) -> Any:
        async def work() -> None:
            self.running.append(name)
            self.most = max(self.most, len(self.running))
            try:
                await asyncio.sleep(3600)
            finally:
                self.running.remove(name)

        return work


def candidate(client: KubeClient, name: str, **options: Any) -> Leadership:
    return Leadership(client, "observer", "default", name, **({"duration_s": 0.6, "retry_s": 0.05} | options))


async def ended(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def lease(client: KubeClient) -> dict[str, Any]:
    return (await client.get(LEASES, "observer", "default"))["spec"]


async def test_the_first_one_works_and_renews(client: KubeClient) -> None:
    work, first = Work(), candidate(client, "a")
    task = asyncio.create_task(first.run(work.of("a")))
    await eventually(lambda: work.running == ["a"])
    before = await lease(client)
    assert (before["holderIdentity"], before["leaseTransitions"], first.held) == ("a", 0, True)

    async def renewed() -> bool:
        return (await lease(client))["renewTime"] != before["renewTime"]

    await eventually(renewed)
    assert (await lease(client))["acquireTime"] == before["acquireTime"]
    await ended(task)


async def test_a_second_one_waits_and_takes_over_at_once_when_the_first_stops(client: KubeClient) -> None:
    work = Work()
    first = asyncio.create_task(candidate(client, "a", duration_s=30.0).run(work.of("a")))
    await eventually(lambda: work.running == ["a"])
    second = asyncio.create_task(candidate(client, "b", duration_s=30.0).run(work.of("b")))
    await asyncio.sleep(0.3)
    assert work.running == ["a"]
    await ended(first)
    await eventually(lambda: work.running == ["b"], 3)
    assert (await lease(client))["leaseTransitions"] == 1
    assert work.most == 1
    await ended(second)


async def test_a_dead_holder_is_replaced_after_the_duration_whatever_its_clock_said(client: KubeClient) -> None:
    spec = {
        "holderIdentity": "dead",
        "leaseDurationSeconds": 1,
        "renewTime": "2099-01-01T00:00:00.000000Z",
        "leaseTransitions": 4,
    }
    await client.create(LEASES, {"metadata": {"name": "observer", "namespace": "default"}, "spec": spec})
    work, loop = Work(), asyncio.get_running_loop()
    begun = loop.time()
    task = asyncio.create_task(candidate(client, "b").run(work.of("b")))
    await eventually(lambda: work.running == ["b"])
    assert loop.time() - begun >= 1.0
    assert (await lease(client))["leaseTransitions"] == 5
    await ended(task)


async def test_a_holder_in_the_past_who_still_renews_is_left_alone(client: KubeClient) -> None:
    spec = {"holderIdentity": "slow-clock", "leaseDurationSeconds": 1, "renewTime": "2001-01-01T00:00:00.000000Z"}
    await client.create(LEASES, {"metadata": {"name": "observer", "namespace": "default"}, "spec": spec})
    work = Work()
    task = asyncio.create_task(candidate(client, "b").run(work.of("b")))
    for second in range(8):
        renewal = {"spec": {"renewTime": f"2001-01-01T00:00:0{second}.000000Z"}}
        await client.patch(LEASES, "observer", renewal, "default")
        await asyncio.sleep(0.2)
    assert work.running == []
    await ended(task)


async def test_whoever_loses_the_lease_stops_and_is_told(client: KubeClient) -> None:
    work, lost = Work(), asyncio.Event()
    task = asyncio.create_task(candidate(client, "a", on_lost=lost.set).run(work.of("a")))
    await eventually(lambda: work.running == ["a"])
    usurper = {"spec": {"holderIdentity": "b", "leaseDurationSeconds": 3600}}
    await client.patch(LEASES, "observer", usurper, "default")
    await asyncio.wait_for(lost.wait(), 3)
    assert work.running == []
    await client.patch(LEASES, "observer", {"spec": {"holderIdentity": ""}}, "default")
    await eventually(lambda: work.running == ["a"])
    await ended(task)


async def test_without_the_api_the_work_stops_before_the_lease_runs_out(client: KubeClient) -> None:
    work, lost, loop = Work(), asyncio.Event(), asyncio.get_running_loop()
    first = candidate(client, "a", on_lost=lost.set, duration_s=0.9)
    task = asyncio.create_task(first.run(work.of("a")))
    await eventually(lambda: work.running == ["a"])
    async with client_of(Script(failure(503, "ServiceUnavailable"))) as broken:
        first.client, begun = broken, loop.time()
        await asyncio.wait_for(lost.wait(), 3)
        assert loop.time() - begun < 0.9
        assert work.running == []
        first.client = client
        await ended(task)


async def test_an_api_that_hangs_is_as_bad_as_one_that_is_away(client: KubeClient) -> None:
    async def hang(_: Any) -> Any:
        await asyncio.sleep(3600)

    work, lost = Work(), asyncio.Event()
    first = candidate(client, "a", on_lost=lost.set)
    task = asyncio.create_task(first.run(work.of("a")))
    await eventually(lambda: work.running == ["a"])
    async with client_of(Script(hang), request_s=60.0) as broken:
        first.client = broken
        await asyncio.wait_for(lost.wait(), 3)
        first.client = client
        await ended(task)


async def test_a_change_by_somebody_else_does_not_cost_the_lease(client: KubeClient) -> None:
    work, lost = Work(), asyncio.Event()
    task = asyncio.create_task(candidate(client, "a", on_lost=lost.set).run(work.of("a")))
    await eventually(lambda: work.running == ["a"])
    for number in range(20):
        await client.patch(LEASES, "observer", {"metadata": {"labels": {"n": str(number)}}}, "default")
        await asyncio.sleep(0.03)
    assert work.running == ["a"]
    assert not lost.is_set()
    await ended(task)


async def test_of_five_candidates_one_works_at_a_time_until_each_had_its_turn(client: KubeClient) -> None:
    work = Work()
    tasks = {n: asyncio.create_task(candidate(client, n).run(work.of(n))) for n in "abcde"}
    for _ in range(5):
        await eventually(lambda: work.running)
        await ended(tasks.pop(work.running[0]))
    assert work.most == 1


async def test_work_that_ends_or_fails_gives_the_lease_back(client: KubeClient) -> None:
    async def fail() -> None:
        raise Unavailable("the database is away")

    async def end() -> None:
        return

    await candidate(client, "a").run(end)
    assert (await lease(client))["holderIdentity"] == ""
    with pytest.raises(Unavailable, match="the database is away"):
        await candidate(client, "a").run(fail)
    assert (await lease(client))["holderIdentity"] == ""
