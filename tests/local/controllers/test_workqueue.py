"""The work queue: no key lost, none twice at once, failures later."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from support.kubefake import eventually, running

from aiinfn_hub.errors import Conflict, Unavailable
from aiinfn_hub.local.controllers.workqueue import WorkQueue

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def working(handle: Callable[[str], Awaitable[None]], workers: int = 3) -> AsyncIterator[WorkQueue]:
    queue = WorkQueue(logging.getLogger("test"))
    async with running(queue.run(handle, workers)):
        yield queue


async def test_a_key_added_often_is_looked_at_once() -> None:
    seen: Counter[str] = Counter()

    async def handle(key: str) -> None:
        seen[key] += 1

    async with working(handle) as queue:
        for _ in range(10):
            queue.add("a")
        queue.add("b")
        await eventually(lambda: seen["a"] and seen["b"])
        await asyncio.sleep(0.02)
        assert seen == {"a": 1, "b": 1}


async def test_a_key_added_meanwhile_is_looked_at_again_and_never_by_two() -> None:
    now, most, seen = 0, 0, 0

    async def handle(key: str) -> None:
        nonlocal now, most, seen
        now, seen = now + 1, seen + 1
        most = max(most, now)
        await asyncio.sleep(0.03)
        now -= 1

    async with working(handle) as queue:
        queue.add("a")
        await eventually(lambda: now == 1)
        queue.add("a")
        queue.add("a")
        await eventually(lambda: seen == 2 and now == 0)
        await asyncio.sleep(0.05)
        assert (seen, most) == (2, 1)


@pytest.mark.parametrize("error", [Conflict("stale"), Unavailable("away"), ZeroDivisionError("bug")])
async def test_a_failure_is_tried_again_and_stops_no_other_key(
    error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    seen: Counter[str] = Counter()

    async def handle(key: str) -> None:
        seen[key] += 1
        if key == "bad" and seen[key] < 4:
            raise error

    async with working(handle, workers=1) as queue:
        queue.add("bad")
        queue.add("good")
        await eventually(lambda: seen == {"bad": 4, "good": 1})
    warned = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert bool(warned) is not isinstance(error, Conflict), "an old state is nobody's fault"


async def test_later_means_the_earliest_wish() -> None:
    seen: list[float] = []
    loop = asyncio.get_running_loop()

    async def handle(key: str) -> None:
        seen.append(loop.time())

    async with working(handle) as queue:
        begun = loop.time()
        queue.add_after("a", 60)
        queue.add_after("a", 0.05)
        queue.add_after("a", 30)
        await eventually(lambda: seen)
        assert 0.04 < seen[0] - begun < 1.0
        await asyncio.sleep(0.1)
        assert len(seen) == 1
