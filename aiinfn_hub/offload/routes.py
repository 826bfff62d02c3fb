"""Jobs over HTTP, for people and their notebooks. A job is its owner's alone: to anybody else it does not exist."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any
from urllib.parse import quote

import msgspec
import sqlalchemy as sa
from tornado.web import RequestHandler

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.jobs import FramePage, JobRequest, JobState, JobView
from aiinfn_hub.errors import InvalidInput, NotFound, TooLarge
from aiinfn_hub.identity.person import Caller
from aiinfn_hub.identity.web import ApiHandler
from aiinfn_hub.offload import blobs, frames, plan, results, runs
from aiinfn_hub.offload.bell import Bell, woken
from aiinfn_hub.offload.blobs import BlobStore
from aiinfn_hub.offload.follow import Follower
from aiinfn_hub.offload.orders import with_manifest
from aiinfn_hub.offload.outlook import Outlook
from aiinfn_hub.offload.receive import ReceivingHandler, send_file
from aiinfn_hub.offload.runs import Run
from aiinfn_hub.offload.session import Heritage
from aiinfn_hub.offload.submit import Submitter
from aiinfn_hub.offload.why import why
from aiinfn_hub.store.engine import Database

MAX_BODY = 1024**2
#: Seconds that a long poll may last: shorter than the time-outs of the proxies on the way.
MAX_WAIT_S = 50.0
#: Seconds after which a waiting poll looks again by itself, because another process may have taken the news.
LOOK_S = 5.0
_KEY_LENGTH = 200


@dataclass(frozen=True, kw_only=True)
class Room:
    """What the routes need.

    Args:
        heritage: what a caller's session (by name) gives to a job.
        clock: Unix seconds.
    """

    platform: Platform
    database: Database
    blobs: BlobStore
    submitter: Submitter
    follower: Follower
    bell: Bell
    heritage: Callable[[Caller, str], Awaitable[Heritage]]
    outlook: Outlook
    clock: Callable[[], float] = time.time


class JobHandler(ApiHandler):
    """What the routes share."""

    room: Room

    def initialize(self, room: Room) -> None:
        """Given by `routes`."""
        self.room = room

    async def prepare(self) -> None:
        """Who calls, and nothing larger than a request can be.

        Raises:
            TooLarge: the body is.
        """
        if len(self.request.body) > MAX_BODY:
            raise TooLarge(f"A request may have at most {MAX_BODY // 1024} KiB.", hint="Values travel as blobs.")
        await super().prepare()

    def idempotency_key(self) -> str:
        """By which the same request is known when it comes again; a new one where none was sent."""
        key = self.request.headers.get("Idempotency-Key") or secrets.token_hex(16)
        if len(key) > _KEY_LENGTH or not key.isprintable():
            raise InvalidInput(f"An Idempotency-Key has at most {_KEY_LENGTH} printable characters.")
        return key

    async def mine(self, id_or_name: str) -> Run:
        """The caller's run."""
        return await self.room.database.read(runs.find, self.caller.person.name, id_or_name)

    async def view(self, run: Run) -> JobView:
        """The run with its values."""
        view = results.view(run, await self.room.database.read(results.of_run, run.id))
        return (await self.room.outlook.add([view]))[0]


class JobsHandler(JobHandler):
    """POST submits a job, GET lists the caller's."""

    async def post(self) -> None:
        """JobRequest -> JobView: 201 if new, 200 if this Idempotency-Key has brought it before."""
        request = self.read(JobRequest)
        heritage = await self.room.heritage(self.caller, request.server)
        key = self.idempotency_key()
        run, created = await self.room.submitter.submit(self.caller.person, request, heritage, key)
        self.send(await self.view(run), 201 if created else 200)

    async def get(self) -> None:
        """Query: name, state (comma list), before (Unix seconds), limit -> {"jobs": [JobView]}, newest first."""
        states = [_state(word) for word in self.argument("state", "", str).split(",") if word]
        limit = min(max(1, self.argument("limit", 50, int)), 500)
        name = self.argument("name", None, str)
        before = self.argument("before", 0.0, float)
        wanted = {"name": name, "states": states, "before": before, "limit": limit}
        views = await self.room.database.read(_list, self.caller.person.name, wanted)
        self.send({"jobs": await self.room.outlook.add(views)})


class OneJobHandler(JobHandler):
    """GET: one job, by identifier or by name."""

    async def get(self, id_or_name: str) -> None:
        """-> JobView."""
        self.send(await self.view(await self.mine(id_or_name)))


class FramesHandler(JobHandler):
    """GET: the output of a job, at once or as soon as there is more."""

    _closed = False
    _event: asyncio.Event | None = None

    async def get(self, id_or_name: str) -> None:
        """Query: after (seq), wait (seconds), state (what the caller knows) -> FramePage."""
        after = max(0, self.argument("after", 0, int))
        wait = min(max(0.0, self.argument("wait", 0.0, float)), MAX_WAIT_S)
        known = self.argument("state", "", str)
        run = await self.mine(id_or_name)
        deadline = asyncio.get_running_loop().time() + wait
        with self.room.bell.listen(run.id) as self._event:
            page = await self.room.database.read(_page, run.id, after)
            known = known or page.job.state
            reason = page.job.reason
            while not (page.frames or page.job.final or page.job.state != known or page.job.reason != reason):
                left = deadline - asyncio.get_running_loop().time()
                if left <= 0 or self._closed:
                    break
                await woken(self._event, min(left, LOOK_S))
                page = await self.room.database.read(_page, run.id, after)
        if not self._closed:
            self.send(msgspec.structs.replace(page, job=(await self.room.outlook.add([page.job]))[0]))

    def on_connection_close(self) -> None:
        """Nobody waits any more."""
        super().on_connection_close()
        self._closed = True
        if self._event is not None:
            self._event.set()


class WhyHandler(JobHandler):
    """GET: why a job waits, or ended as it did."""

    async def get(self, id_or_name: str) -> None:
        """-> Why."""
        run = await self.mine(id_or_name)
        follower = self.room.follower
        self.send(why(run, follower.sight(run), follower.workloads.items.values()))


class OutputHandler(JobHandler):
    """GET, HEAD: the bytes of a value that a job returned."""

    async def get(self, id_or_name: str, name: str) -> None:
        """-> bytes, with X-Aiinfn-Codec and X-Aiinfn-Sha256."""
        run = await self.mine(id_or_name)
        value = (await self.room.database.read(results.of_run, run.id)).get(name)
        if value is None:
            raise NotFound(f"{run.name} has no value {name[:60]!r}.", hint=_absence(run, name))
        path = self.room.blobs.existing(run.owner, value.sha256)
        self.set_header("X-Aiinfn-Codec", value.codec)
        self.set_header("X-Aiinfn-Sha256", value.sha256)
        await send_file(self, path, quote(f"{run.name}.{name}", safe=""))

    head = get


class PlanHandler(JobHandler):
    """POST: what would happen to a job."""

    async def post(self) -> None:
        """JobRequest -> Plan, with the manifest; nothing is submitted."""
        request = self.read(JobRequest)
        heritage = await self.room.heritage(self.caller, request.server)
        made = plan.make_plan(self.room.platform, self.caller.person, request, heritage)
        shipment, owner = self.room.submitter.shipment, self.caller.person.name
        self.send(with_manifest(self.room.platform, owner, request, made, heritage, shipment))


class TargetsHandler(JobHandler):
    """GET: where the caller can send jobs."""

    async def get(self) -> None:
        """-> {"targets": [Target]}."""
        self.send({"targets": plan.targets(self.room.platform, self.caller.person)})


class BlobHandler(ReceivingHandler):
    """PUT, GET, HEAD: bytes by their SHA-256, the caller's own."""

    def initialize(self, room: Room) -> None:
        """Given by `routes`."""
        self.room = room
        self.blobs = room.blobs

    async def admit(self, *path: str) -> tuple[str, str]:
        """Room for it, and a hash that is one."""
        owner, size = self.caller.person.name, int(self.request.headers.get("Content-Length", "0"))
        sha256 = blobs.check_hash(path[0])
        await self.room.database.read(blobs.check_room, owner, size)
        return owner, sha256

    async def put(self, sha256: str) -> None:
        """-> 201."""
        size = await self.received()
        await self.room.database.write(blobs.note, self.caller.person.name, sha256, size, now=self.room.clock())
        self.send({"sha256": sha256, "size": size}, 201)

    async def get(self, sha256: str) -> None:
        """-> bytes; 404 if it must be sent (again)."""
        if self.refusal is not None:
            raise self.refusal
        owner = self.caller.person.name
        path = self.room.blobs.existing(owner, sha256)
        # Whoever asks is about to use it; what has expired must be sent again, even if its file is still there.
        await self.room.database.write(blobs.touch, owner, sha256, now=self.room.clock())
        await send_file(self, path, sha256)

    head = get


def routes(prefix: str, *, room: Room) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """The routes of the room below `prefix`."""
    given = {"room": room}
    job = rf"{prefix}/api/jobs/([^/]+)"
    return [
        (rf"{prefix}/api/blobs/([^/]+)", BlobHandler, given),
        (rf"{prefix}/api/jobs", JobsHandler, given),
        (job, OneJobHandler, given),
        (rf"{job}/frames", FramesHandler, given),
        (rf"{job}/why", WhyHandler, given),
        (rf"{job}/outputs/([^/]+)", OutputHandler, given),
        (rf"{prefix}/api/plan", PlanHandler, given),
        (rf"{prefix}/api/targets", TargetsHandler, given),
    ]


def _state(word: str) -> JobState:
    if word not in set(JobState):
        near = get_close_matches(word, list(JobState), n=1)
        hint = f"Did you mean {near[0]}?" if near else f"States: {', '.join(JobState)}."
        raise InvalidInput(f"{word[:40]!r} is no state of a job.", hint=hint)
    return JobState(word)


def _absence(run: Run, name: str) -> str:
    if name in run.missing:
        return run.missing[name]
    if not run.final:
        return f"The job is {run.state.value}; values come when it ends."
    return f"Values that were asked for: {', '.join(run.wanted.outputs) or 'none'}."


def _list(connection: sa.Connection, owner: str, wanted: dict[str, Any]) -> list[JobView]:
    return results.views(connection, runs.search(connection, owner, **wanted))


def _page(connection: sa.Connection, run_id: str, after: int) -> FramePage:
    # The run first: a frame that comes in between is there, and a final state never hides the last ones.
    view = results.view(runs.get(connection, run_id), results.of_run(connection, run_id))
    return FramePage(job=view, frames=frames.after(connection, run_id, after))
