"""What runs keep of their work outside their pods: rows of complete checkpoints, and pieces in a store of their own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import sqlalchemy as sa

from aiinfn_hub.contract.jobs import JobState, Wire
from aiinfn_hub.errors import InvalidInput, NotFound, QuotaExceeded
from aiinfn_hub.offload import runs
from aiinfn_hub.offload.blobs import check_hash
from aiinfn_hub.offload.runs import Run
from aiinfn_hub.pods.names import slug
from aiinfn_hub.store import tables

_T = tables.checkpoint
#: Complete ones that are kept of each path, so that a damaged one is not the end; and paths of one run.
KEPT, MAX_PATHS = 2, 20
MAX_PATH = 1024
#: Bytes that the checkpoints of one person may take.
MAX_PER_PERSON = 20 * 1024**3
#: Seconds for which those of a run that failed are kept, for `retry`.
KEEP_S = 7 * 24 * 3600.0


class Piece(Wire, frozen=True):
    """A piece of a checkpoint, in bytes."""

    sha256: str
    size: int


class Kept(Wire, frozen=True):
    """A checkpoint, all of whose pieces have come."""

    path: str
    pieces: list[Piece]
    attempt: int = 0

    def check(self) -> None:
        """Raise `InvalidInput` for what no runner keeps."""
        if not 0 < len(self.path) <= MAX_PATH or not self.path.isprintable():
            raise InvalidInput(f"The path of a checkpoint has 1 to {MAX_PATH} printable characters.")
        for piece in self.pieces:
            check_hash(piece.sha256)
            if piece.size < 0:
                raise InvalidInput("A piece has no less than 0 bytes.")


def check_room(connection: sa.Connection, owner: str, size: int, *, most: int = MAX_PER_PERSON) -> None:
    """Raise `QuotaExceeded` if the person's checkpoints would take more than `most` bytes."""
    held = connection.execute(sa.select(sa.func.sum(_T.c.size)).where(_T.c.owner == owner)).scalar() or 0
    if int(held) + size > most:
        raise QuotaExceeded(
            f"Your checkpoints take {int(held) // 1024**2} MiB, of {most // 1024**2} MiB.",
            hint="Keep less of the work; those of jobs that have succeeded go by themselves.",
        )


def keep(connection: sa.Connection, run: Run, attempt: int, kept: Kept, *, now: float) -> set[str]:
    """Note a complete checkpoint; the hashes of pieces that no checkpoint of the person needs any more.

    Raises:
        InvalidInput: too many paths.
        QuotaExceeded: the person has no room for it.
    """
    size = sum(piece.size for piece in kept.pieces)
    check_room(connection, run.owner, size)
    here = connection.execute(sa.select(_T.c.number, _T.c.path).where(_T.c.run_id == run.id)).all()
    if len({row.path for row in here} | {kept.path}) > MAX_PATHS:
        raise InvalidInput(
            f"A job keeps at most {MAX_PATHS} paths.", hint="Put the files into one folder, and keep that."
        )
    number = max((row.number for row in here), default=0) + 1
    row = {"run_id": run.id, "number": number, "owner": run.owner, "path": kept.path, "attempt": attempt}
    pieces = [{"sha256": piece.sha256, "size": piece.size} for piece in kept.pieces]
    connection.execute(_T.insert().values(**row, made_at=now, size=size, pieces=pieces))
    runs.note(connection, run.id, now=now, checkpointed_at=now)
    earlier = sorted((row.number for row in here if row.path == kept.path), reverse=True)
    return _drop(connection, run.owner, run.id, earlier[KEPT - 1 :])


def usable(connection: sa.Connection, run: Run) -> bool:
    """Whether the next attempt of a run has something to go on from."""
    query = sa.select(_T.c.number).where(_T.c.run_id == run.id).limit(1)
    return run.wanted.on_evict != "restart" and connection.execute(query).first() is not None


def of_run(connection: sa.Connection, run_id: str) -> list[Kept]:
    """The checkpoints of a run, the latest first."""
    rows = connection.execute(sa.select(_T).where(_T.c.run_id == run_id).order_by(_T.c.number.desc()))
    return [Kept(row.path, [Piece(**piece) for piece in row.pieces], row.attempt) for row in rows]


def check_piece(connection: sa.Connection, run_id: str, sha256: str) -> None:
    """Raise `NotFound` for what is no piece of this run's checkpoints."""
    if all(piece.sha256 != sha256 for kept in of_run(connection, run_id) for piece in kept.pieces):
        raise NotFound("This run has no such piece.")


def hand_on(connection: sa.Connection, old: Run, new: Run) -> None:
    """Give a run that is tried again what the one before has kept."""
    for row in connection.execute(sa.select(_T).where(_T.c.run_id == old.id)).mappings().all():
        connection.execute(_T.insert().values({**row, "run_id": new.id}))
        runs.note(connection, new.id, now=new.updated_at, checkpointed_at=old.checkpointed_at)


def forget(connection: sa.Connection, *, now: float, keep_s: float = KEEP_S) -> int:
    """Let go of the checkpoints of runs that are over: of those that failed after `keep_s` seconds; how many."""
    run = tables.run
    failed = run.c.state.in_([JobState.FAILED.value, JobState.LOST.value]) & (run.c.finished_at > now - keep_s)
    over = run.c.state.not_in([state.value for state in runs.ACTIVE]) & ~failed
    query = sa.delete(_T).where(_T.c.run_id.in_(sa.select(run.c.id).where(over)))
    return connection.execute(query).rowcount


def pieces_by_folder(connection: sa.Connection) -> dict[str, set[str]]:
    """The hashes of all pieces that are needed, by the person's slug."""
    found: dict[str, set[str]] = {}
    for owner, pieces in connection.execute(sa.select(_T.c.owner, _T.c.pieces)):
        found.setdefault(slug(owner), set()).update(_hashes([pieces]))
    return found


def _drop(connection: sa.Connection, owner: str, run_id: str, numbers: Collection[int]) -> set[str]:
    if not numbers:
        return set()
    old = (_T.c.run_id == run_id) & _T.c.number.in_(numbers)
    gone = _hashes(connection.execute(sa.select(_T.c.pieces).where(old)).scalars())
    connection.execute(_T.delete().where(old))
    return gone - _hashes(connection.execute(sa.select(_T.c.pieces).where(_T.c.owner == owner)).scalars())


def _hashes(rows: Iterable[Sequence[dict[str, str]]]) -> set[str]:
    return {piece["sha256"] for pieces in rows for piece in pieces}
