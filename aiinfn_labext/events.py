"""The one websocket of a page of JupyterLab: the person's jobs, the notices, and how long the session goes on."""

from __future__ import annotations

import asyncio
import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from jupyter_server.auth.decorator import ws_authenticated
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from aiinfn_hub.contract.jobs import JobView
from aiinfn_hub.contract.life import SessionLife
from aiinfn_hub.contract.notices import Notice
from aiinfn_hub.errors import AiinfnError, InvalidInput
from aiinfn_labext.jobs import Offload
from aiinfn_labext.presence import Presence

RESOURCE = "aiinfn"
#: Seconds between two looks at the jobs for an open page.
EVERY_S = 2.0
#: And at what the platform has to say.
NOTICES_EVERY_S = 10.0


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
        known: dict[str, JobView] | None = None
        with contextlib.suppress(WebSocketClosedError):
            while True:
                try:
                    found = await asyncio.wrap_future(self.threads.submit(views, self.offload))
                except AiinfnError as error:
                    known = None
                    await self.write_message(msgspec.json.encode(error.to_json()))
                else:
                    changed = [view for view in found if known is None or known.get(view.id) != view]
                    if changed or known is None:
                        await self.write_message(msgspec.json.encode({"jobs": changed}))
                    known = {view.id: view for view in found}
                await asyncio.sleep(EVERY_S)


def views(offload: Offload, *, name: str = "", state: str = "", limit: int = 50) -> list[JobView]:
    """My jobs, newest first.

    Raises:
        InvalidInput: a limit that is none.
    """
    if not 1 <= limit <= 500:
        raise InvalidInput(f"limit is {limit}.", hint="It goes from 1 to 500.")
    return [job.view for job in offload.jobs(name=name, state=state, limit=limit)]
