"""The runner listener: what a job in the cluster says and asks. Bearer tokens, a port of its own, no cookies."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
import sqlalchemy as sa
from tornado.web import RequestHandler

from aiinfn_hub.contract.jobs import ValueRef, Vitals, Wire
from aiinfn_hub.errors import Conflict, Forbidden, InvalidInput, NotAuthenticated, NotFound, TooLarge
from aiinfn_hub.identity.web import ApiHandler
from aiinfn_hub.offload import blobs, capability, frames, results, runs
from aiinfn_hub.offload.bell import Bell
from aiinfn_hub.offload.blobs import BlobStore
from aiinfn_hub.offload.capability import HEARTBEAT_S
from aiinfn_hub.offload.pace import Pace
from aiinfn_hub.offload.receive import CollectingHandler, ReceivingHandler, send_file
from aiinfn_hub.offload.results import Report
from aiinfn_hub.offload.runs import Run
from aiinfn_hub.store.engine import Database

MAX_FRAMES_BODY = 32 * 1024**2
MAX_FRAMES = 1000
_MAX_BODY = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class Gate:
    """What the listener needs.

    Args:
        pieces: those of checkpoints, by their owners.
        belongs: whether a pod (uid) was made by the run's Job, as the cluster says.
        clock: Unix seconds.
    """

    database: Database
    blobs: BlobStore
    pieces: BlobStore
    bell: Bell
    belongs: Callable[[Run, str], Awaitable[bool]]
    clock: Callable[[], float] = time.time
    pace: Pace = field(default_factory=Pace)
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("aiinfn.runs"))


class Introduction(Wire, frozen=True):
    """A pod's first words."""

    pod_uid: str


class RunHandler(ApiHandler):
    """A route for runs: the bearer's token is read here, and checked by the method's own transaction."""

    gate: Gate

    def initialize(self, gate: Gate) -> None:
        """Given by `routes`."""
        self.gate = gate

    async def prepare(self) -> None:
        """The token, and the limits of the request.

        Raises:
            NotAuthenticated: no token.
            TooLarge: the body is.
        """
        self.token = bearer(self)
        self.gate.pace.take(self.token)
        if len(self.request.body) > _MAX_BODY:
            raise TooLarge(f"At most {_MAX_BODY // 1024} KiB at once.")

    def check_xsrf_cookie(self) -> None:
        """No cookie is ever read here."""

    async def authenticated(self, run_id: str) -> tuple[Run, int]:
        """The run and the attempt of the token."""
        return await self.gate.database.write(capability.authenticate, run_id, self.token, now=self.gate.clock())


class ExchangeHandler(RunHandler):
    """POST: the capability for a working token, once for each pod."""

    async def post(self, run_id: str) -> None:
        """Introduction -> {"token", "attempt", "limit_s", "restore", "heartbeat_s"}."""
        pod_uid = self.read(Introduction).pod_uid
        gate, now = self.gate, self.gate.clock()
        run = await gate.database.write(capability.check, run_id, self.token, now=now)
        if not pod_uid or not await gate.belongs(run, pod_uid):
            gate.log.warning("%s: pod %.60r, which is not of its Job, came with its capability.", run_id, pod_uid)
            raise Forbidden("This pod was not made by the run's Job.")
        try:
            grant = await gate.database.write(capability.exchange, run_id, self.token, pod_uid, now=now)
        except Conflict:
            gate.log.warning("%s: a second exchange for pod %.60r was refused.", run_id, pod_uid)
            raise
        gate.bell.ring(run_id)
        self.send({**grant._asdict(), "heartbeat_s": HEARTBEAT_S})


class InputHandler(RunHandler):
    """GET: an input that the run lists."""

    async def get(self, run_id: str, sha256: str) -> None:
        """-> bytes."""
        run, _ = await self.authenticated(run_id)
        if all(value.sha256 != sha256 for value in run.wanted.sent.values()):
            raise NotFound("This run has no such input.")
        await send_file(self, self.gate.blobs.existing(run.owner, sha256), sha256)


class RunFramesHandler(CollectingHandler, RunHandler):
    """POST: frames of the attempt; pictures are larger than words."""

    most = MAX_FRAMES_BODY

    async def post(self, run_id: str) -> None:
        """{"frames": [...]} and Vitals -> {"next", "cancel", "limit_s"}."""
        said = await asyncio.to_thread(read_frames, self.collected())
        following, orders = await self.gate.database.write(_append, run_id, self.token, *said, now=self.gate.clock())
        self.gate.bell.ring(run_id)
        self.send({"next": following, **orders})


class HeartbeatHandler(RunHandler):
    """POST: the run is alive."""

    async def post(self, run_id: str) -> None:
        """Vitals -> {"cancel", "limit_s"}."""
        vitals = self.read(Vitals)
        self.send(await self.gate.database.write(_live, run_id, self.token, vitals, now=self.gate.clock()))


class ResultHandler(RunHandler):
    """POST: how the attempt ended."""

    async def post(self, run_id: str) -> None:
        """Report -> {}."""
        report = self.read(Report)
        await self.gate.database.write(_finish, run_id, self.token, report, now=self.gate.clock())
        self.gate.bell.ring(run_id)
        self.send({})


class RunOutputHandler(ReceivingHandler):
    """PUT: a value that the run returns."""

    def initialize(self, gate: Gate) -> None:
        """Given by `routes`."""
        self.gate = gate
        self.blobs = gate.blobs

    def check_xsrf_cookie(self) -> None:
        """No cookie is ever read here."""

    async def introduce(self) -> None:
        """The token is checked by `admit`, and again with the bytes in hand."""
        self.token = bearer(self)
        self.gate.pace.take(self.token)

    async def admit(self, *path: str) -> tuple[str, str]:
        """A declared name, a codec that we know, an announced hash, a token that still counts."""
        headers, now = self.request.headers, self.gate.clock()
        run, _ = await self.gate.database.write(capability.authenticate, path[0], self.token, now=now)
        self.codec, self.summary = headers.get("X-Aiinfn-Codec", ""), headers.get("X-Aiinfn-Summary", "")
        results.check_output(run, path[1], self.codec)
        await self.gate.database.read(blobs.check_room, run.owner, int(headers.get("Content-Length", "0")))
        return run.owner, blobs.check_hash(headers.get("X-Aiinfn-Sha256", ""))

    async def put(self, run_id: str, name: str) -> None:
        """-> 201."""
        size = await self.received()
        value = ValueRef(self.codec, self.request.headers["X-Aiinfn-Sha256"], size, self.summary)
        await self.gate.database.write(_store, run_id, self.token, name, value, now=self.gate.clock())
        self.gate.bell.ring(run_id)
        self.send({}, 201)


def bearer(handler: RequestHandler) -> str:
    """The bearer's token.

    Raises:
        NotAuthenticated: there is none.
    """
    scheme, _, token = handler.request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token or not token.isascii():
        raise NotAuthenticated("A run speaks with its own token.")
    return token


def read_frames(body: bytes) -> tuple[list[dict[str, Any]], Vitals]:
    """The frames of a request, and what the attempt says of itself.

    Tolerant of what Python's own encoder writes (half surrogate pairs, NaN).

    Raises:
        InvalidInput: the body is no list of frames.
        TooLarge: too many at once.
    """
    try:
        found = json.loads(body, parse_constant=lambda _name: None)
    except (ValueError, RecursionError) as error:
        raise InvalidInput(f"The body is no JSON: {error}.") from error
    batch = found.get("frames") if isinstance(found, dict) else None
    if not isinstance(batch, list) or not all(isinstance(frame, dict) for frame in batch):
        raise InvalidInput('The body is {"frames": [...]}.')
    if len(batch) > MAX_FRAMES:
        raise TooLarge(f"At most {MAX_FRAMES} frames at once.")
    try:
        return batch, msgspec.convert({name: value for name, value in found.items() if name != "frames"}, Vitals)
    except msgspec.ValidationError as error:
        raise InvalidInput(f"What the attempt says of itself cannot be read: {error}.") from error


def _append(
    connection: sa.Connection, run_id: str, token: str, batch: list[dict[str, Any]], vitals: Vitals, *, now: float
) -> tuple[int, dict[str, Any]]:
    run, attempt = capability.authenticate(connection, run_id, token, now=now)
    runs.note_vitals(connection, run, vitals, now=now)
    return frames.append(connection, run, attempt, batch, now=now), _orders(connection, run, attempt)


def _live(connection: sa.Connection, run_id: str, token: str, vitals: Vitals, *, now: float) -> dict[str, Any]:
    run, attempt = capability.authenticate(connection, run_id, token, now=now)
    runs.note_vitals(connection, run, vitals, now=now)
    return _orders(connection, run, attempt)


def _orders(connection: sa.Connection, run: Run, attempt: int) -> dict[str, Any]:
    """What the service wants of an attempt: that it ends, and the seconds that it may take."""
    return {"cancel": run.cancel_requested, "limit_s": capability.limit_s(connection, run, attempt)}


def _store(connection: sa.Connection, run_id: str, token: str, name: str, value: ValueRef, *, now: float) -> None:
    """The token is checked once more: the upload may have outlived its attempt."""
    run, _ = capability.authenticate(connection, run_id, token, now=now)
    results.check_output(run, name, value.codec)
    blobs.note(connection, run.owner, value.sha256, value.size, now=now)
    results.put(connection, run_id, name, value)


def _finish(connection: sa.Connection, run_id: str, token: str, report: Report, *, now: float) -> None:
    run, _ = capability.authenticate(connection, run_id, token, now=now)
    runs.note_vitals(connection, run, report.vitals, now=now)
    results.finish(connection, run, report, now=now)


def routes(*, gate: Gate) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """The routes of the listener."""
    given = {"gate": gate}
    run = r"/runs/([0-9a-z]{26})"
    return [
        (rf"{run}/exchange", ExchangeHandler, given),
        (rf"{run}/inputs/([0-9a-f]{{64}})", InputHandler, given),
        (rf"{run}/frames", RunFramesHandler, given),
        (rf"{run}/heartbeat", HeartbeatHandler, given),
        (rf"{run}/outputs/([^/]+)", RunOutputHandler, given),
        (rf"{run}/result", ResultHandler, given),
    ]
