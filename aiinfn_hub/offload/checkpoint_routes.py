"""What a job in the cluster keeps of its work, and gets back: a part of the runner listener."""

from __future__ import annotations

import asyncio
from typing import Any

import sqlalchemy as sa
from tornado.web import RequestHandler

from aiinfn_hub.errors import InvalidInput, NotFound
from aiinfn_hub.offload import blobs, capability, checkpoints
from aiinfn_hub.offload.blobs import BlobStore
from aiinfn_hub.offload.checkpoints import Kept
from aiinfn_hub.offload.receive import ReceivingHandler, send_file
from aiinfn_hub.offload.run_routes import Gate, RunHandler, bearer
from aiinfn_hub.offload.runs import Run


class CheckpointsHandler(RunHandler):
    """POST: a checkpoint is complete. GET: those that there are."""

    async def post(self, run_id: str) -> None:
        """Kept -> {}; 404 if a piece must be sent (again)."""
        kept = self.read(Kept)
        kept.check()
        run, _ = await self.authenticated(run_id)
        await asyncio.to_thread(_check_pieces, self.gate.pieces, run.owner, kept)
        gone = await self.gate.database.write(_keep, run_id, self.token, kept, now=self.gate.clock())
        for sha256 in gone:
            self.gate.pieces.path(run.owner, sha256).unlink(missing_ok=True)
        self.gate.bell.ring(run_id)
        self.send({})

    async def get(self, run_id: str) -> None:
        """-> {"checkpoints": [Kept]}, the latest first."""
        run, _ = await self.authenticated(run_id)
        self.send({"checkpoints": await self.gate.database.read(checkpoints.of_run, run.id)})


class PieceHandler(ReceivingHandler):
    """PUT: a piece of a checkpoint that is to come. GET: one of a checkpoint that is there."""

    def initialize(self, gate: Gate) -> None:
        """Given by `routes`."""
        self.gate = gate
        self.blobs = gate.pieces

    def check_xsrf_cookie(self) -> None:
        """No cookie is ever read here."""

    async def introduce(self) -> None:
        """The token is checked by the methods."""
        self.token = bearer(self)
        self.gate.pace.take(self.token)

    async def authenticated(self, run_id: str) -> Run:
        """The run of the token."""
        now = self.gate.clock()
        return (await self.gate.database.write(capability.authenticate, run_id, self.token, now=now))[0]

    async def admit(self, *path: str) -> tuple[str, str]:
        """A token that counts, a hash that is one, and room."""
        run = await self.authenticated(path[0])
        size = int(self.request.headers.get("Content-Length", "0"))
        await self.gate.database.read(checkpoints.check_room, run.owner, size)
        return run.owner, blobs.check_hash(path[1])

    async def put(self, _run_id: str, _sha256: str) -> None:
        """-> 201."""
        await self.received()
        self.send({}, 201)

    async def get(self, run_id: str, sha256: str) -> None:
        """-> bytes."""
        if self.refusal is not None:
            raise self.refusal
        run = await self.authenticated(run_id)
        await self.gate.database.read(checkpoints.check_piece, run.id, sha256)
        await send_file(self, self.gate.pieces.existing(run.owner, sha256), sha256)


def _check_pieces(store: BlobStore, owner: str, kept: Kept) -> None:
    for piece in kept.pieces:
        path = store.path(owner, piece.sha256)
        if not path.is_file():
            raise NotFound(f"The piece {piece.sha256} is not here.", hint="Send it (again).")
        if path.stat().st_size != piece.size:
            raise InvalidInput(f"The piece {piece.sha256} has not {piece.size} bytes.")


def _keep(connection: sa.Connection, run_id: str, token: str, kept: Kept, *, now: float) -> set[str]:
    run, attempt = capability.authenticate(connection, run_id, token, now=now)
    return checkpoints.keep(connection, run, attempt, kept, now=now)


def routes(*, gate: Gate) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """These routes of the listener."""
    given = {"gate": gate}
    run = r"/runs/([0-9a-z]{26})"
    return [
        (rf"{run}/checkpoints", CheckpointsHandler, given),
        (rf"{run}/pieces/([0-9a-f]{{64}})", PieceHandler, given),
    ]
