"""Forgets values that nobody has used for a month and checkpoints of runs that are over; removes files of no row."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import sqlalchemy as sa

from aiinfn_hub.errors import Unavailable
from aiinfn_hub.offload import blobs, checkpoints, runs
from aiinfn_hub.offload.blobs import BlobStore
from aiinfn_hub.store.engine import Database

INTERVAL_S = 3600.0


async def keep_house(
    database: Database,
    store: BlobStore,
    pieces: BlobStore,
    *,
    clock: Callable[[], float] = time.time,
    log: logging.Logger | None = None,
) -> None:
    """Sweep now and every hour, until cancelled."""
    log = log or logging.getLogger("aiinfn.offload")
    while True:
        try:
            await sweep(database, store, pieces, now=clock())
        except Unavailable as error:
            log.warning("Values could not be swept: %s", error)
        except Exception:  # the loop outlives what nobody expected
            log.exception("Sweeping the values failed.")
        await asyncio.sleep(INTERVAL_S)


async def sweep(database: Database, store: BlobStore, pieces: BlobStore, *, now: float) -> tuple[int, int]:
    """Expire rows, then remove files without one: (rows, files)."""
    expired = await database.write(_expire, now=now)
    expired += await database.write(checkpoints.forget, now=now)
    known = await database.read(blobs.hashes_by_folder)
    removed = await asyncio.to_thread(store.sweep, lambda folder: known.get(folder, set()))
    needed = await database.read(checkpoints.pieces_by_folder)
    removed += await asyncio.to_thread(pieces.sweep, lambda folder: needed.get(folder, set()))
    return expired, removed


def _expire(connection: sa.Connection, *, now: float) -> int:
    needed = {(run.owner, value.sha256) for run in runs.active(connection) for value in run.wanted.sent.values()}
    return blobs.expire(connection, needed, now=now)
