"""The Jupyter server extension: the person's jobs for pages of their own server, under /aiinfn.

The browser speaks to its own server only, with Jupyter's own login and XSRF check; the session's token stays here.

| request | answer |
|---|---|
| GET /aiinfn/api/jobs?name=&state=&limit= | {"jobs": [JobView]} |
| GET /aiinfn/api/jobs/ID | JobView |
| GET /aiinfn/api/jobs/ID/frames?after=&wait= | FramePage |
| GET /aiinfn/api/jobs/ID/why | Why |
| POST /aiinfn/api/jobs/ID/cancel | JobView |
| GET /aiinfn/api/notices | {"notices": [Notice]} |
| POST /aiinfn/api/keep | SessionLife; the person is here |
| POST /aiinfn/api/extend, {"ends": ...} | SessionLife; the session goes on for longer than to this end |
| websocket /aiinfn/events | {"jobs": [JobView]} at once, then those that changed; {"error": ...} while unknown;
{"notices": [Notice]} and {"life": SessionLife}, all of them at once, and again when they change |
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from jupyter_server.auth.decorator import authorized, ws_authenticated
from jupyter_server.base.handlers import APIHandler, JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.utils import url_path_join
from tornado import web
from tornado.websocket import WebSocketClosedError, WebSocketHandler

from aiinfn_hub.contract.jobs import JobView
from aiinfn_hub.contract.life import Extension, SessionLife
from aiinfn_hub.contract.notices import Notice
from aiinfn_hub.errors import AiinfnError, InvalidInput
from aiinfn_labext.jobs import Offload
from aiinfn_labext.presence import Presence, presence_of

RESOURCE = "aiinfn"
#: Seconds between two looks at the jobs for an open page, and the longest long poll.
EVERY_S = 2.0
#: And at what the platform has to say.
NOTICES_EVERY_S = 10.0
MAX_WAIT_S = 20.0
THREADS = 16


class _Handler(APIHandler):
    """Base: JSON out, our errors with their status."""

    auth_resource = RESOURCE

    def initialize(self, offload: Offload, threads: ThreadPoolExecutor, presence: Presence) -> None:
        self.offload = offload
        self.threads = threads
        self.presence = presence

    async def answer(self, call: Callable[[], Any]) -> None:
        """Send what the call, which blocks, returns, or the error that it raises."""
        await self.send(asyncio.wrap_future(self.threads.submit(call)))

    async def send(self, found: Awaitable[Any]) -> None:
        """Send what is found, or the error that is raised instead."""
        try:
            value, status = await found, 200
        except AiinfnError as error:
            value, status = error.to_json(), error.status
        self.set_status(status)
        self.finish(msgspec.json.encode(value))

    def number(self, name: str, default: float) -> float:
        """A number of the query."""
        text = self.get_query_argument(name, str(default))
        try:
            return float(text)
        except ValueError:
            raise web.HTTPError(400, f"{name} is no number: {text!r}") from None


class JobsHandler(_Handler):
    """My jobs."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """List them, newest first."""
        name, state = self.get_query_argument("name", ""), self.get_query_argument("state", "")
        limit = int(self.number("limit", 50))
        await self.answer(lambda: {"jobs": _views(self.offload, name=name, state=state, limit=limit)})


class JobHandler(_Handler):
    """One job."""

    @web.authenticated
    @authorized
    async def get(self, job: str) -> None:
        """Where it is."""
        await self.answer(lambda: self.offload.found(job).view)


class FramesHandler(_Handler):
    """The output of a job."""

    @web.authenticated
    @authorized
    async def get(self, job: str) -> None:
        """Frames after a sequence number, with a long poll."""
        after, wait_s = int(self.number("after", 0)), min(self.number("wait", 0), MAX_WAIT_S)
        await self.answer(lambda: self.offload.found(job).page(after, wait_s))


class WhyHandler(_Handler):
    """Why a job is as it is."""

    @web.authenticated
    @authorized
    async def get(self, job: str) -> None:
        """A sentence and a next step."""
        await self.answer(lambda: self.offload.found(job).why())


class CancelHandler(_Handler):
    """The end of a job."""

    @web.authenticated
    @authorized
    async def post(self, job: str) -> None:
        """Ask it to end."""
        await self.answer(lambda: self.offload.found(job).end())


class NoticesHandler(_Handler):
    """What the platform has to say."""

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """To me, or about this session."""
        await self.answer(lambda: {"notices": self.presence.notices()})


class KeepHandler(_Handler):
    """I am here."""

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """The session is used, whatever it does."""
        await self.send(self.presence.keep())


class ExtendHandler(_Handler):
    """More time."""

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """For longer than to the end that the page knows."""
        try:
            wish = msgspec.json.decode(self.request.body, type=Extension)
        except msgspec.MsgspecError as error:
            raise web.HTTPError(400, f"This is no wish for more time: {error}") from error
        await self.send(self.presence.extend(wish.ends))


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
                    views = {
                        view.id: view for view in await asyncio.wrap_future(self.threads.submit(_views, self.offload))
                    }
                except AiinfnError as error:
                    known = None
                    await self.write_message(msgspec.json.encode(error.to_json()))
                else:
                    changed = [view for view in views.values() if known is None or known.get(view.id) != view]
                    if changed or known is None:
                        await self.write_message(msgspec.json.encode({"jobs": changed}))
                    known = views
                await asyncio.sleep(EVERY_S)


def add_handlers(application: web.Application, offload: Offload) -> Presence:
    """Add the routes to a Jupyter server; what its loop is to run beside them."""
    job = r"/api/jobs/([A-Za-z0-9_-]+)"
    routes: list[tuple[str, type[web.RequestHandler]]] = [
        ("/api/jobs", JobsHandler),
        (job, JobHandler),
        (job + "/frames", FramesHandler),
        (job + "/why", WhyHandler),
        (job + "/cancel", CancelHandler),
        ("/api/notices", NoticesHandler),
        ("/api/keep", KeepHandler),
        ("/api/extend", ExtendHandler),
        ("/events", EventsHandler),
    ]
    base = application.settings["base_url"]
    # The client blocks; a long poll must not take the threads that the rest of the server shares.
    threads = ThreadPoolExecutor(THREADS, thread_name_prefix="aiinfn")
    presence = presence_of(application.settings, offload.service, threads)
    given = {"offload": offload, "threads": threads, "presence": presence}
    application.add_handlers(".*$", [(url_path_join(base, "aiinfn", path), handler, given) for path, handler in routes])
    return presence


def _views(offload: Offload, *, name: str = "", state: str = "", limit: int = 50) -> list[JobView]:
    if not 1 <= limit <= 500:
        raise InvalidInput(f"limit is {limit}.", hint="It goes from 1 to 500.")
    return [job.view for job in offload.jobs(name=name, state=state, limit=limit)]
