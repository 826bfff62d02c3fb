"""The Jupyter server extension: the person's jobs for pages of their own server, under /aiinfn.

The browser speaks to its own server only, with Jupyter's own login and XSRF check; the session's token stays here.

| request | answer |
|---|---|
| GET /aiinfn/api/jobs?name=&state=&before=&limit= | {"jobs": [JobView]} |
| GET /aiinfn/api/jobs/ID | JobView |
| GET /aiinfn/api/jobs/ID/frames?after=&wait= | FramePage |
| GET /aiinfn/api/jobs/ID/why | Why |
| POST /aiinfn/api/jobs/ID/cancel | JobView |
| POST /aiinfn/api/jobs/ID/retry {cpu, mem, gpu, time, to} | JobView of a new job |
| POST /aiinfn/api/jobs/ID/extend {time} | JobView |
| GET /aiinfn/api/jobs/ID/outputs/NAME | its bytes |
| GET /aiinfn/api/sweeps/ID | SweepView |
| POST /aiinfn/api/sweeps/ID/cancel | SweepView |
| POST /aiinfn/api/sweeps/ID/retry {cpu, mem, gpu, time, to} | SweepView, with new jobs for what did not succeed |
| GET /aiinfn/api/notices | {"notices": [Notice]} |
| POST /aiinfn/api/keep | SessionLife; the person is here |
| POST /aiinfn/api/extend, {"ends": ...} | SessionLife; the session goes on for longer than to this end |
| websocket /aiinfn/events | {"jobs": [JobView], "until": when} at once (those not over, and all since then; null: all
there are), then {"jobs": [JobView]} that changed; {"error": ...} while unknown;
{"notices": [Notice]} and {"life": SessionLife}, all of them at once, and again when they change |
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
from jupyter_server.auth.decorator import authorized
from jupyter_server.base.handlers import APIHandler
from jupyter_server.utils import url_path_join
from tornado import web

from aiinfn_hub.contract.life import Extension
from aiinfn_hub.errors import AiinfnError
from aiinfn_labext.amounts import change_of
from aiinfn_labext.events import NEWEST, RESOURCE, EventsHandler, views
from aiinfn_labext.jobs import Offload
from aiinfn_labext.presence import Presence, presence_of

#: Seconds of the longest long poll; each open job waits in one of the threads.
MAX_WAIT_S = 20.0
THREADS = 64


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

    def words(self, known: set[str]) -> dict[str, str]:
        """The body: an object of words, with these names or some of them."""
        try:
            found = msgspec.json.decode(self.request.body, type=dict[str, str])
        except msgspec.MsgspecError as error:
            raise web.HTTPError(400, f"The body is no object of words: {error}") from error
        if found.keys() - known:
            raise web.HTTPError(400, f"Nothing is known as {', '.join(sorted(found.keys() - known))}.")
        return found

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
        limit, before = int(self.number("limit", NEWEST)), self.number("before", 0)
        await self.answer(lambda: {"jobs": views(self.offload, name=name, state=state, before=before, limit=limit)})


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


class RetryHandler(_Handler):
    """A job once more."""

    @web.authenticated
    @authorized
    async def post(self, job: str) -> None:
        """The same again; cpu, mem, gpu, time and to of the body are different, as people write them."""
        changes = self.words({"cpu", "mem", "gpu", "time", "to"})
        await self.answer(lambda: self.offload.found(job).again(change_of(**changes)).view)


class MoreTimeHandler(_Handler):
    """A job for longer."""

    @web.authenticated
    @authorized
    async def post(self, job: str) -> None:
        """{"time"}: how much longer, as people write it."""
        time = self.words({"time"}).get("time", "")
        await self.answer(lambda: self.offload.found(job).extend(time))


class OutputHandler(_Handler):
    """A value of a job, as a file."""

    @web.authenticated
    @authorized
    async def get(self, job: str, name: str) -> None:
        """Its bytes."""
        try:
            _, data = await asyncio.wrap_future(self.threads.submit(lambda: self.offload.found(job).fetch(name)))
        except AiinfnError as error:
            self.set_status(error.status)
            self.finish(msgspec.json.encode(error.to_json()))
            return
        self.set_header("Content-Disposition", "attachment")
        self.set_header("Content-Security-Policy", "sandbox; default-src 'none'")
        self.finish(data, set_content_type="application/octet-stream")


class SweepHandler(_Handler):
    """A sweep."""

    @web.authenticated
    @authorized
    async def get(self, sweep: str) -> None:
        """The latest job of each of its points."""
        await self.answer(lambda: self.offload.sweeps.find(sweep).view)


class CancelSweepHandler(_Handler):
    """The end of a sweep."""

    @web.authenticated
    @authorized
    async def post(self, sweep: str) -> None:
        """Ask all of it to end."""
        await self.answer(lambda: self.offload.sweeps.find(sweep).cancel())


class RetrySweepHandler(_Handler):
    """A sweep once more."""

    @web.authenticated
    @authorized
    async def post(self, sweep: str) -> None:
        """What did not succeed again; the body is as for a job."""
        changes = self.words({"cpu", "mem", "gpu", "time", "to"})
        await self.answer(lambda: self.offload.sweeps.find(sweep).retry(**changes))


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


def add_handlers(application: web.Application, offload: Offload) -> Presence:
    """Add the routes to a Jupyter server; what its loop is to run beside them."""
    job = r"/api/jobs/([A-Za-z0-9_-]+)"
    routes: list[tuple[str, type[web.RequestHandler]]] = [
        ("/api/jobs", JobsHandler),
        (job, JobHandler),
        (job + "/frames", FramesHandler),
        (job + "/why", WhyHandler),
        (job + "/cancel", CancelHandler),
        (job + "/retry", RetryHandler),
        (job + "/extend", MoreTimeHandler),
        (job + "/outputs/([^/]+)", OutputHandler),
        (r"/api/sweeps/([A-Za-z0-9_-]+)", SweepHandler),
        (r"/api/sweeps/([A-Za-z0-9_-]+)/cancel", CancelSweepHandler),
        (r"/api/sweeps/([A-Za-z0-9_-]+)/retry", RetrySweepHandler),
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
