"""The frames of a run in the database: append-only, numbered once for everybody, bounded in size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.offload import outputs, runs
from aiinfn_hub.offload.outputs import Frame
from aiinfn_hub.offload.runs import Run
from aiinfn_hub.store import tables

_T = tables.frame


@dataclass(frozen=True)
class Limits:
    """How much of a run's output is kept: the beginning, and the latest; what is between is counted.

    `accepted_bytes` bounds what one run can make us write at all.
    """

    head_frames: int = 5000
    head_bytes: int = 24 * 1024**2
    tail_frames: int = 500
    tail_bytes: int = 8 * 1024**2
    accepted_bytes: int = 1024**3


LIMITS = Limits()


def append(
    connection: sa.Connection,
    run: Run,
    attempt: int,
    batch: Sequence[Mapping[str, Any]],
    *,
    now: float,
    limits: Limits = LIMITS,
) -> int:
    """Store the frames of an attempt that are new, in the order of their `seq`; the next `seq` that is expected.

    A frame that was delivered before is recognised by its number, so a batch may be sent again after a lost answer.
    A frame that cannot be shown is replaced by a line that says so: it must not stop those behind it.

    Raises:
        InvalidInput: a frame without a number.
    """
    following = _last_of(connection, run.id, attempt) + 1
    seq, taken, cut = run.frames, run.frame_bytes, _cut(connection, run.id)
    rows = []
    for frame in sorted(batch, key=_number):
        number = _number(frame)
        if number < following:
            continue
        following = number + 1
        body = _cleaned(frame, run.id)
        if body is None:
            continue
        taken += outputs.size(body)
        if taken > limits.accepted_bytes:
            continue
        if cut is None and (seq >= limits.head_frames or taken > limits.head_bytes):
            seq = cut = seq + 1
            rows.append({"seq": seq, "attempt": 0, "attempt_seq": 0, "body": outputs.notice("some output is left out")})
        seq += 1
        rows.append({"seq": seq, "attempt": attempt, "attempt_seq": number, "body": body})
    if rows:
        connection.execute(_T.insert(), [{"run_id": run.id, **row} for row in rows])
        runs.note(connection, run.id, now=now, frames=seq, frame_bytes=taken)
        if cut is not None:
            _shorten(connection, run.id, cut, limits)
    return following


def announce(connection: sa.Connection, run: Run, attempt: int, text: str, *, now: float) -> None:
    """Put a line of ours before the frames of an attempt; once."""
    seen = sa.select(_T.c.seq).where((_T.c.run_id == run.id) & (_T.c.attempt == attempt) & (_T.c.attempt_seq == 0))
    if connection.execute(seen).first() is None:
        body = outputs.notice(text)
        row = {"run_id": run.id, "seq": run.frames + 1, "attempt": attempt, "attempt_seq": 0, "body": body}
        connection.execute(_T.insert().values(row))
        runs.note(connection, run.id, now=now, frames=run.frames + 1)


def after(
    connection: sa.Connection, run_id: str, seq: int, *, limit: int = 500, max_bytes: int = 8 * 1024**2
) -> list[Frame]:
    """The frames after number `seq`, each with its own `seq`: at most so many, and about so many bytes."""
    query = sa.select(_T.c.seq, _T.c.body).where((_T.c.run_id == run_id) & (_T.c.seq > seq))
    found: list[Frame] = []
    for number, body in connection.execute(query.order_by(_T.c.seq).limit(limit)):
        max_bytes -= outputs.size(body)
        if found and max_bytes < 0:
            break
        found.append({"seq": number, **body})
    return found


def _number(frame: Mapping[str, Any]) -> int:
    number = frame.get("seq")
    if not isinstance(number, int) or not 1 <= number < 2**31:
        raise InvalidInput("A frame has no sequence number from 1 on.")
    return number


def _cleaned(frame: Mapping[str, Any], run_id: str) -> Frame | None:
    try:
        return outputs.clean(frame, run_id)
    except InvalidInput as error:
        return outputs.notice(f"an output was left out: {error.message}")


def _last_of(connection: sa.Connection, run_id: str, attempt: int) -> int:
    mine = (_T.c.run_id == run_id) & (_T.c.attempt == attempt)
    return connection.execute(sa.select(sa.func.max(_T.c.attempt_seq)).where(mine)).scalar() or 0


def _cut(connection: sa.Connection, run_id: str) -> int | None:
    """The number of the line that stands for what was left out, if there is one."""
    mark = (_T.c.run_id == run_id) & (_T.c.attempt == 0) & (_T.c.attempt_seq == 0)
    return connection.execute(sa.select(_T.c.seq).where(mark)).scalar()


def _shorten(connection: sa.Connection, run_id: str, cut: int, limits: Limits) -> None:
    """Drop the oldest frames behind the mark until the rest fits, and say how many are missing."""
    behind = (_T.c.run_id == run_id) & (_T.c.seq > cut)
    length = sa.func.length(sa.cast(_T.c.body, sa.Text))
    newest_first = sa.select(_T.c.seq, length).where(behind).order_by(_T.c.seq.desc())
    room, keep_from = limits.tail_bytes, cut + 1
    for kept, (number, taken) in enumerate(connection.execute(newest_first)):
        room -= taken
        if kept and (room < 0 or kept >= limits.tail_frames):
            keep_from = number + 1
            break
    connection.execute(_T.delete().where(behind & (_T.c.seq < keep_from)))
    body = outputs.notice(f"{keep_from - cut - 1} outputs are left out here")
    connection.execute(_T.update().where((_T.c.run_id == run_id) & (_T.c.seq == cut)).values(body=body))
