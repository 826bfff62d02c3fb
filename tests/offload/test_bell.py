from __future__ import annotations

import asyncio

import pytest

from aiinfn_hub.offload.bell import Bell, woken


@pytest.mark.asyncio
async def test_a_ring_wakes_everybody_who_waits_for_this_run() -> None:
    bell = Bell()
    with bell.listen("a") as one, bell.listen("a") as other, bell.listen("b") as third:
        bell.ring("a")
        assert (one.is_set(), other.is_set(), third.is_set()) == (True, True, False)


@pytest.mark.asyncio
async def test_a_ring_between_looking_and_waiting_is_not_lost() -> None:
    bell = Bell()
    with bell.listen("a") as event:
        bell.ring("a")
        await asyncio.wait_for(woken(event, 60), 1)
        assert not event.is_set()


@pytest.mark.asyncio
async def test_nobody_waits_for_ever() -> None:
    with Bell().listen("a") as event:
        await asyncio.wait_for(woken(event, 0.01), 1)


@pytest.mark.asyncio
@pytest.mark.parametrize("turns", range(5))
async def test_a_cancel_in_the_moment_of_a_ring_is_not_lost(turns: int) -> None:
    bell = Bell()

    async def wait_for_ever() -> None:
        with bell.listen("a") as event:
            while True:
                await woken(event, 60)

    task = asyncio.create_task(wait_for_ever())
    await asyncio.sleep(0.01)
    bell.ring("a")
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done, _ = await asyncio.wait({task}, timeout=1)
    assert done, "it went on"


def test_whoever_left_is_forgotten() -> None:
    bell = Bell()
    with bell.listen("a"), bell.listen("a"):
        pass
    assert bell._waiting == {}
    bell.ring("a")
