"""Wakes those who wait for news of a run. In memory only: whoever is not woken looks again by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress


class Bell:
    """One event for everybody who waits for the same run."""

    def __init__(self) -> None:
        self._waiting: dict[str, set[asyncio.Event]] = {}

    def ring(self, run_id: str) -> None:
        """There is news of this run. Called on the event loop."""
        for event in self._waiting.get(run_id, ()):
            event.set()

    @contextmanager
    def listen(self, run_id: str) -> Iterator[asyncio.Event]:
        """An event that every ring from now on sets: listen first, then look, then wait, so that no ring is lost."""
        event = asyncio.Event()
        listeners = self._waiting.setdefault(run_id, set())
        listeners.add(event)
        try:
            yield event
        finally:
            listeners.discard(event)
            if not listeners and self._waiting.get(run_id) is listeners:
                del self._waiting[run_id]


async def woken(event: asyncio.Event, seconds: float) -> None:
    """Return when the event is set (and clear it), or after so many seconds."""
    with suppress(TimeoutError):
        # Not `wait_for`: in Python 3.11 it loses a cancellation that comes in the same moment as the event.
        async with asyncio.timeout(max(0.0, seconds)):
            await event.wait()
    event.clear()
