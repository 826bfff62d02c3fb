"""The stream of a start: what it waits for, as it changes, and Kubernetes' own events beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from typing import Any, Protocol

from aiinfn_hub.sessions.symptoms import Diagnosis
from aiinfn_hub.sessions.way_out import WayOut

_PROGRESS = {"quota": 10, "queue": 30, "node": 50, "start": 75}


class Session(Protocol):
    """What the stream needs to know of the spawner."""

    @property
    def starting(self) -> bool:
        """Whether the start is under way."""

    @property
    def events(self) -> list[dict[str, Any]]:
        """Kubernetes' Events of the pod, oldest first."""

    async def diagnosis(self) -> Diagnosis:
        """What it waits for."""

    async def way_out(self, found: Diagnosis) -> WayOut | None:
        """What to choose instead."""


async def progress(session: Session) -> AsyncIterator[dict[str, Any]]:
    """Messages for JupyterHub's progress stream until the start is over."""
    told: tuple[Diagnosis, WayOut | None] | None = None
    shown = 0
    while True:
        over = not session.starting
        events = session.events
        for event in events[shown:]:
            yield {"message": f"{event['type']}: {event['message']}", "raw_event": event}
        shown = len(events)
        found = replace(await session.diagnosis(), said="")
        instead = await session.way_out(found)
        if told != (found, instead):
            told = (found, instead)
            message = f"{found.sentence} {found.next_step}".strip()
            news = asdict(found) | {"instead": asdict(instead) if instead else None}
            yield {"progress": _PROGRESS[found.step], "message": message, "aiinfn": news}
        if over:
            return
        await asyncio.sleep(1)
