"""Keys that wait to be looked at: each at most once in the queue, never by two at once; failures wait longer."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from aiinfn_hub.errors import AiinfnError, Conflict, NotFound

#: Seconds before a key that failed is looked at again: the first and the longest pause.
BACKOFF_S = (0.02, 10.0)


class WorkQueue:
    """As client-go's rate limiting queue, on the event loop."""

    def __init__(self, log: logging.Logger) -> None:
        self.log = log
        self._waiting: asyncio.Queue[str] = asyncio.Queue()
        self._queued: set[str] = set()
        self._busy: set[str] = set()
        self._again: set[str] = set()
        self._failures: dict[str, int] = {}
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def add(self, key: str) -> None:
        """Look at a key soon; if it is being looked at, once more afterwards."""
        if key in self._busy:
            self._again.add(key)
        elif key not in self._queued:
            self._queued.add(key)
            self._waiting.put_nowait(key)

    def add_after(self, key: str, delay_s: float) -> None:
        """Look at a key after a while; the earliest of several such wishes counts."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + delay_s:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(max(0.0, delay_s), self._ring, key)

    def _ring(self, key: str) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def run(self, handle: Callable[[str], Awaitable[None]], workers: int) -> None:
        """Look at keys until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(handle))
        finally:
            for timer in self._timers.values():
                timer.cancel()

    async def _work(self, handle: Callable[[str], Awaitable[None]]) -> None:
        while True:
            key = await self._waiting.get()
            self._queued.discard(key)
            self._busy.add(key)
            try:
                await handle(key)
                self._failures.pop(key, None)
            except AiinfnError as error:
                stale = isinstance(error, (Conflict, NotFound))  # we saw an old state; the news are on their way
                self.log.log(logging.DEBUG if stale else logging.WARNING, "%s: %s", key, error)
                self._retry(key)
            except Exception:  # the loop outlives a mistake over one key
                self.log.exception("Looking at %s failed.", key)
                self._retry(key)
            finally:
                self._busy.discard(key)
            if key in self._again:
                self._again.discard(key)
                self.add(key)

    def _retry(self, key: str) -> None:
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        first, longest = BACKOFF_S
        self.add_after(key, min(longest, first * 2 ** min(failures, 20)))
