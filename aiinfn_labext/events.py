"""The one websocket of a page of JupyterLab: the person's jobs, the notices, and how long the session goes on."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from aiinfn_hub.contract.jobs import FINAL, JobState, JobView
from aiinfn_hub.contract.life import SessionLife
from aiinfn_hub.contract.notices import Notice
from aiinfn_hub.errors import AiinfnError, InvalidInput, NotFound, Unavailable
from aiinfn_labext.jobs import Offload
from aiinfn_labext.presence import Presence

RESOURCE = "aiinfn"
#: Seconds between two looks at the jobs for an open page.
EVERY_S = 2.0
#: Seconds after which a look that goes on is said: the client has more patience than somebody who reads the page.
SLOW_S = 6.0
#: And at what the platform has to say.
NOTICES_EVERY_S = 10.0
#: Jobs that a page is told of at once beside those that are not over, the most that one question is answered with, and
#: those that are asked for one by one in each look.
NEWEST, MOST, LOOKS = 50, 500, 20
NOT_OVER = ",".join(state for state in JobState if state not in FINAL)


class EventsHandler(WebSocketMixin, WebSocketHandler, JupyterHandler):
    """The one websocket of a page: the jobs and the notices, then what changes."""

    auth_resource = RESOURCE
    _tasks: tuple[asyncio.Task[None], ...] = ()

    def initialize(self, offload: Offload, threads: ThreadPoolExecutor, presence: Presence) -> None:
        """Keep what the routes give."""
        self.offload = offload
        self.threads = threads
        self.presence = presence

    @ws_authenticated
    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Open the websocket for somebody who may read jobs."""
        await super().get(*args, **kwargs)

    def open(self, *args: Any, **kwargs: Any) -> None:
        """Start to watch."""
        super().open(*args, **kwargs)
        self._tasks = (asyncio.create_task(self._push_jobs()), asyncio.create_task(self._push_notices()))

    def on_message(self, message: Any) -> None:
        """Nothing is expected from the page."""

    def on_close(self) -> None:
        """Stop to watch."""
        for task in self._tasks:
            task.cancel()
        super().on_close()

    async def _push_notices(self) -> None:
        known: list[Notice] | None = None
        life: SessionLife | None = None
        with contextlib.suppress(WebSocketClosedError):
            while True:
                if self.presence.life != life:
                    life = self.presence.life
                    await self.write_message(msgspec.json.encode({"life": life}))
                # Whether the service answers, the jobs tell; what it said last is still true for all that we know.
                with contextlib.suppress(AiinfnError):
                    notices = await asyncio.wrap_future(self.threads.submit(self.presence.notices))
                    if notices != known:
                        await self.write_message(msgspec.json.encode({"notices": notices}))
                    known = notices
                await asyncio.sleep(NOTICES_EVERY_S)

    async def _push_jobs(self) -> None:
        told = Told(self.offload)
        with contextlib.suppress(WebSocketClosedError):
            while True:
                look = asyncio.wrap_future(self.threads.submit(told.news))
                in_time, _ = await asyncio.wait({look}, timeout=SLOW_S)
                if not in_time:
                    late = Unavailable(f"The aiinfn service has not answered for {SLOW_S:g} s.")
                    await self.write_message(msgspec.json.encode(late.to_json()))
                try:
                    message = await look
                except AiinfnError as error:
                    told = Told(self.offload)
                    message = error.to_json()
                if message or not in_time:  # if nothing is new, that it answers again
                    await self.write_message(msgspec.json.encode(message or {"jobs": []}))
                await asyncio.sleep(EVERY_S)


class Told:
    """What a page was told of the jobs: all that are not over, and the newest ones."""

    def __init__(self, offload: Offload) -> None:
        self._offload = offload
        self._known: dict[str, JobView] | None = None

    def news(self) -> dict[str, Any]:
        """What is new, as a message; empty if nothing is. The first one says up to when all jobs are in it.

        Raises:
            AiinfnError: they cannot be asked for.
        """
        active = views(self._offload, state=NOT_OVER, limit=MOST)
        newest = views(self._offload, limit=NEWEST)  # asked later, so that its word on a job is the last one
        found = {view.id: view for view in [*active, *newest]}
        if self._known is None:
            self._known = found
            return {"jobs": [*found.values()], "until": newest[-1].submitted_at if len(newest) == NEWEST else None}
        found |= self._left(found)
        changed = [view for job, view in found.items() if self._known.get(job) != view]
        self._known = found
        return {"jobs": changed} if changed else {}

    def _left(self, found: Mapping[str, JobView]) -> dict[str, JobView]:
        """Those that were not over and are neither that nor new any more; the rest of many, as they were."""
        known = self._known or {}
        left = [view for job, view in known.items() if job not in found and not view.final]
        kept = {view.id: view for view in left}
        for job in list(kept)[:LOOKS]:
            try:
                kept[job] = self._offload.found(job).view
            except NotFound:  # for good
                del kept[job]
        return kept


def views(
    offload: Offload, *, name: str = "", state: str = "", before: float = 0, limit: int = NEWEST
) -> list[JobView]:
    """My jobs, newest first; with `before` (Unix seconds), those submitted at that time or earlier.

    Raises:
        InvalidInput: a limit that is none.
    """
    if not 1 <= limit <= MOST:
        raise InvalidInput(f"limit is {limit}.", hint=f"It goes from 1 to {MOST}.")
    return [job.view for job in offload.jobs(name=name, state=state, before=before, limit=limit)]
