"""Sweeps in the database: runs that belong together, of which only so many are in the queue at once.

Each point is a run of its own, so that the queue lets in as many as there is room for, wherever that is, and an
eviction, a retry or more time is about one of them (see `docs/decisions/0018-a-sweep-is-many-jobs.md`).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from aiinfn_hub.contract.jobs import FINAL, JobState
from aiinfn_hub.contract.sweeps import SweepRequest, SweepView
from aiinfn_hub.errors import Conflict, NotFound, QuotaExceeded
from aiinfn_hub.offload import checkpoints, results, runs
from aiinfn_hub.offload.entry import MAX_ACTIVE, Budget, check_inputs
from aiinfn_hub.offload.runs import ACTIVE, NewRun, Run
from aiinfn_hub.store import tables

_T, _R = tables.sweep, tables.run
_WAITS = "{at_once} of its sweep are under way, which is as many as may be at once."


class Waits(Enum):
    """What a run that is not in the queue yet waits for."""

    NOT, UNITS, SWEEP = range(3)


class Sweep(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table."""

    id: str
    owner: str
    name: str
    at_once: int
    submitted_at: float
    digest: str
    cell: str
    idempotency_key: str


def new_runs(base: NewRun, asked: SweepRequest, places: Sequence[int], key: str) -> list[NewRun]:
    """A run for each of these points: the same as the plan of the first says, with the values of its own."""
    return [
        msgspec.structs.replace(
            base,
            request=asked.of(place),
            place=place,
            point=asked.points[place],
            idempotency_key=f"{key}:{place}",
        )
        for place in places
    ]


def enter(
    connection: sa.Connection, asked: SweepRequest, new: Sequence[NewRun], key: str, budget: Budget, *, now: float
) -> tuple[Sweep, bool]:
    """The sweep, and whether it is new. All of its runs come into being, or none.

    Raises:
        Conflict: the key was used for another one, or inputs were not sent.
        QuotaExceeded: too many jobs that are not over, or no quota has room for all of it.
    """
    request = asked.request
    sweep = Sweep(
        id=runs.new_id(now),
        owner=new[0].owner,
        name=request.name,
        at_once=asked.at_once,
        submitted_at=now,
        digest=asked.digest,
        cell=request.origin.get("cell_id", ""),
        idempotency_key=key,
    )
    try:
        with connection.begin_nested():
            connection.execute(_T.insert().values(msgspec.structs.asdict(sweep)))
    except IntegrityError:
        found = _one(connection, (_T.c.owner == sweep.owner) & (_T.c.idempotency_key == key))
        if (found.name, found.digest) != (sweep.name, sweep.digest):
            raise Conflict(
                f"This Idempotency-Key already belongs to the sweep {found.name} ({found.id}), which is another one.",
                hint="Use a new key for a new sweep.",
            ) from None
        return found, False
    _add(connection, sweep, new, budget, now=now)
    return sweep, True


def again(
    connection: sa.Connection, sweep: Sweep, new: Sequence[tuple[Run, NewRun]], budget: Budget, *, now: float
) -> None:
    """Runs that take the places of those that did not succeed, and go on from what they have kept.

    Raises:
        Conflict: somebody was quicker.
        QuotaExceeded: as for `enter`.
    """
    _one(connection, _T.c.id == sweep.id, lock=True)
    latest = {run.place: run.id for run in latest_of(connection, sweep.id)}
    if any(latest[old.place] != old.id for old, _ in new):
        raise Conflict(f"Points of {sweep.name} were tried again in this moment.", hint="Look at it once more.")
    made = _add(connection, sweep, [run for _, run in new], budget, now=now)
    for (old, _), run in zip(new, made, strict=True):
        checkpoints.hand_on(connection, old, run)


def _add(connection: sa.Connection, sweep: Sweep, new: Sequence[NewRun], budget: Budget, *, now: float) -> list[Run]:
    check_inputs(connection, new[0], now=now)
    waits = _WAITS.format(at_once=sweep.at_once)
    made = []
    for one in new:
        run, _ = runs.create(connection, msgspec.structs.replace(one, sweep=sweep.id), now=now)
        made.append(run)
        if len(made) > sweep.at_once:
            runs.note(connection, run.id, now=now, reason=waits)
    if runs.count_active(connection, sweep.owner) > MAX_ACTIVE:
        raise QuotaExceeded(
            f"With these {len(new)} points you would have more than {MAX_ACTIVE} jobs that are not over.",
            hint="Cancel some, or wait for them.",
        )
    budget.check(connection, made[-1], now=now)  # the others have their claims by now
    return made


def let_in(connection: sa.Connection, run: Run, budget: Budget, *, now: float) -> tuple[str, Waits]:
    """Let a run into the queue, or say why it waits, and for what."""
    if run.sweep:
        sweep = _one(connection, _T.c.id == run.sweep, lock=True)
        going = _R.c.state.in_([state.value for state in ACTIVE]) & _R.c.placed_at.is_not(None)
        query = sa.select(sa.func.count()).where((_R.c.sweep == run.sweep) & going)
        if connection.execute(query).scalar_one() >= sweep.at_once:
            return _WAITS.format(at_once=sweep.at_once), Waits.SWEEP
    why = budget.place(connection, run, now=now)
    return (f"{why} It goes into the queue when there is room.", Waits.UNITS) if why else ("", Waits.NOT)


def waiting(connection: sa.Connection, sweep_id: str) -> list[Run]:
    """Those that are not in the queue yet and not to be cancelled, in the order of their points; a few of them."""
    mine = (_R.c.sweep == sweep_id) & (_R.c.state == JobState.STAGING.value) & _R.c.placed_at.is_(None)
    query = sa.select(_R).where(mine & _R.c.cancel_requested.is_(False)).order_by(_R.c.place, _R.c.id).limit(10)
    return [runs.of_row(row) for row in connection.execute(query).mappings()]


def find(connection: sa.Connection, owner: str, id_or_name: str) -> Sweep:
    """A sweep of this owner: by identifier, or the latest of that name.

    Raises:
        NotFound: this person has none; whether somebody else does is not told.
    """
    mine = (_T.c.owner == owner) & sa.or_(_T.c.id == id_or_name, _T.c.name == id_or_name)
    row = connection.execute(sa.select(_T).where(mine).order_by(_T.c.submitted_at.desc()).limit(1)).mappings().first()
    if row is None:
        raise NotFound(f"You have no sweep {id_or_name[:60]!r}.", hint="%%offload NAME --sweep lr=0.1,0.01 makes one.")
    return Sweep(**row)


def latest_of(connection: sa.Connection, sweep_id: str) -> list[Run]:
    """The latest run of each point, in the order of the points."""
    rows = connection.execute(sa.select(_R).where(_R.c.sweep == sweep_id).order_by(_R.c.place, _R.c.id)).mappings()
    return [*{row["place"]: runs.of_row(row) for row in rows}.values()]


def cancel(connection: sa.Connection, sweep: Sweep, *, now: float) -> list[Run]:
    """Note the wish for all that are not over, so that none of them goes into the queue any more; those.

    Raises:
        Conflict: all are over.
    """
    _one(connection, _T.c.id == sweep.id, lock=True)
    going = [run for run in latest_of(connection, sweep.id) if run.state not in FINAL]
    if not going:
        raise Conflict(f"The sweep {sweep.name} is over.", hint="There is nothing left to cancel.")
    return [runs.ask_to_cancel(connection, run.id, now=now) for run in going]


def view(connection: sa.Connection, sweep: Sweep) -> SweepView:
    """The sweep as its owner sees it."""
    return SweepView(
        id=sweep.id,
        name=sweep.name,
        at_once=sweep.at_once,
        submitted_at=sweep.submitted_at,
        jobs=results.views(connection, latest_of(connection, sweep.id)),
        digest=sweep.digest,
        cell=sweep.cell,
    )


def _one(connection: sa.Connection, condition: sa.ColumnElement[bool], *, lock: bool = False) -> Sweep:
    query = sa.select(_T).where(condition)
    row: Any = connection.execute(query.with_for_update() if lock else query).mappings().first()
    if row is None:
        raise NotFound("There is no such sweep.")
    return Sweep(**row)
