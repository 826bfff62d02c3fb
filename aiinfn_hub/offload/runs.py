"""Runs in the database: created once, moved along legal transitions only. Plain functions over a connection."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from aiinfn_hub.contract.jobs import FINAL, TRANSITIONS, JobRequest, JobState, Scalar, Vitals
from aiinfn_hub.errors import Conflict, InvalidInput, NotFound
from aiinfn_hub.store import tables

_T = tables.run
_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
#: States that a sweep looks at.
ACTIVE = tuple(state for state in JobState if state not in FINAL)


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table; see there for the units."""

    id: str
    owner: str
    name: str
    activity: str
    activity_reason: str
    request: dict[str, Any]
    state: JobState
    reason: str
    target: str
    flavour: str
    units: int
    queue: str
    image: str
    job_name: str
    job_uid: str
    attempt: int
    submitted_at: float
    placed_at: float | None = None
    started_at: float | None
    finished_at: float | None
    exit_code: int | None
    verdict: str
    missing: dict[str, str]
    idempotency_key: str
    capability_hash: str
    capability_expires_at: float | None
    cancel_requested: bool
    frames: int
    frame_bytes: int
    updated_at: float
    digest: str = ""
    memory: int | None = None
    checkpointed_at: float | None = None
    metrics: dict[str, float | None] = {}
    sweep: str = ""
    place: int = 0
    point: dict[str, Scalar] = {}

    @property
    def wanted(self) -> JobRequest:
        """The request as it was sent."""
        return msgspec.convert(self.request, JobRequest)

    @property
    def final(self) -> bool:
        """Whether nothing more is expected."""
        return self.state in FINAL


class NewRun(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a run before it exists."""

    owner: str
    activity: str
    activity_reason: str
    request: JobRequest
    target: str
    flavour: str
    units: int
    queue: str
    image: str
    idempotency_key: str
    sweep: str = ""
    place: int = 0
    point: dict[str, Scalar] = {}


def new_id(now: float) -> str:
    """A ULID in lower case: sorts by time, fits labels and DNS names, and starts with a digit as no job's name does."""
    number = (int(now * 1000) << 80) | secrets.randbits(80)
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def create(connection: sa.Connection, new: NewRun, *, now: float) -> tuple[Run, bool]:
    """The run, and whether it is new: the same key with the same request is the same run.

    Raises:
        Conflict: the key was used for another request.
    """
    row = {
        **{name: getattr(new, name) for name in new.__struct_fields__},
        "id": new_id(now),
        "name": new.request.name,
        "request": msgspec.to_builtins(new.request),
        "state": JobState.STAGING.value,
        "missing": {},
        "metrics": {},
        "submitted_at": now,
        "updated_at": now,
        "digest": new.request.digest,
    }
    try:
        with connection.begin_nested():
            connection.execute(_T.insert().values(row))
    except IntegrityError:
        key = (_T.c.owner == new.owner) & (_T.c.idempotency_key == new.idempotency_key)
        found = _one(connection, key)
        if (found.name, found.digest) != (row["name"], row["digest"]):  # its time may have been extended since
            raise Conflict(
                f"This Idempotency-Key already belongs to the job {found.name} ({found.id}), which is another one.",
                hint="Use a new key for a new job.",
            ) from None
        return found, False
    return get(connection, row["id"]), True


def get(connection: sa.Connection, run_id: str, *, lock: bool = False) -> Run:
    """The run; with `lock`, nobody else changes it before this transaction ends.

    Raises:
        NotFound: there is none.
    """
    return _one(connection, _T.c.id == run_id, lock=lock)


def find(connection: sa.Connection, owner: str, id_or_name: str) -> Run:
    """A run of this owner: by identifier, or the latest of that name.

    Raises:
        NotFound: this person has none; whether somebody else does is not told.
    """
    mine = _T.c.owner == owner
    query = sa.select(_T).where(mine & (_T.c.id == id_or_name) | mine & (_T.c.name == id_or_name))
    # No name starts with a digit, and every identifier does, so that only one side can match.
    row = connection.execute(query.order_by(_T.c.submitted_at.desc(), _T.c.id.desc()).limit(1)).mappings().first()
    if row is None:
        raise NotFound(f"You have no job {id_or_name[:60]!r}.", hint="`%offload` lists yours.")
    return of_row(row)


def search(
    connection: sa.Connection,
    owner: str,
    *,
    name: str | None = None,
    states: Sequence[JobState] = (),
    before: float = 0,
    limit: int = 50,
) -> list[Run]:
    """The owner's runs, newest first; with `before`, those submitted at that time or earlier."""
    query = sa.select(_T).where(_T.c.owner == owner)
    if name is not None:
        query = query.where(_T.c.name == name)
    if states:
        query = query.where(_T.c.state.in_([state.value for state in states]))
    if before:
        query = query.where(_T.c.submitted_at <= before)
    query = query.order_by(_T.c.submitted_at.desc(), _T.c.id.desc()).limit(limit)
    return [of_row(row) for row in connection.execute(query).mappings()]


def active(connection: sa.Connection) -> list[Run]:
    """Every run that is not over, oldest first."""
    query = sa.select(_T).where(_T.c.state.in_([state.value for state in ACTIVE]))
    query = query.order_by(_T.c.submitted_at, _T.c.place, _T.c.id)
    return [of_row(row) for row in connection.execute(query).mappings()]


def count_active(connection: sa.Connection, owner: str) -> int:
    """How many of the owner's runs are not over."""
    mine = (_T.c.owner == owner) & _T.c.state.in_([state.value for state in ACTIVE])
    return connection.execute(sa.select(sa.func.count()).where(mine)).scalar_one()


def counts(connection: sa.Connection) -> dict[tuple[str, str], int]:
    """How many runs there are, by activity and state; for the metrics."""
    query = sa.select(_T.c.activity, _T.c.state, sa.func.count()).group_by(_T.c.activity, _T.c.state)
    return {(activity, state): count for activity, state, count in connection.execute(query)}


def move(
    connection: sa.Connection, /, run_id: str, state: JobState, *, now: float, reason: str = "", **changes: Any
) -> bool:
    """Bring a run to a state, with its reason and other columns. False, and nothing done, if that is no legal step.

    The state it is in already is a legal step, which may bring a new reason, unless the run is over.
    An eviction opens the next attempt. An end gets its time.
    """
    run = get(connection, run_id, lock=True)
    if state is not run.state and state not in TRANSITIONS[run.state]:
        return False
    if state is run.state and (run.final or _unchanged(run, reason, changes)):
        return False
    values = {"state": state.value, "reason": reason[:1000], "updated_at": now, **changes}
    if state is JobState.EVICTED and run.state is not JobState.EVICTED:
        values.setdefault("attempt", run.attempt + 1)
    if state in FINAL:
        values.setdefault("finished_at", now)
    connection.execute(_T.update().where(_T.c.id == run_id).values(values))
    return True


def note(connection: sa.Connection, /, run_id: str, *, now: float, **changes: Any) -> None:
    """Change other columns of a run, whatever its state."""
    connection.execute(_T.update().where(_T.c.id == run_id).values(updated_at=now, **changes))


def note_vitals(connection: sa.Connection, run: Run, vitals: Vitals, *, now: float) -> None:
    """Remember the most bytes that a run was seen to have, not each page of them, and the numbers of its work."""
    memory = vitals.memory if vitals.memory > 1.01 * (run.memory or 0) else run.memory
    metrics = vitals.metrics or run.metrics  # an attempt says all of its own; those of several would have no bound
    if (memory, metrics) != (run.memory, run.metrics):
        note(connection, run.id, now=now, memory=memory, metrics=metrics)


def extend(connection: sa.Connection, run_id: str, time_s: int, *, now: float) -> Run:
    """Let a run take so many seconds in all; the run as it is then. Those that it has are no change.

    Raises:
        Conflict: the run is over.
        InvalidInput: it has more.
    """
    run = get(connection, run_id, lock=True)
    if run.final:
        raise Conflict(f"The job {run.name} is over: {run.state.value}.", hint="Retry it with more time.")
    if time_s < run.wanted.resources.time_s:
        raise InvalidInput(f"The job {run.name} has {run.wanted.resources.time_s} s already, which is more.")
    resources = {**run.request["resources"], "time_s": time_s}
    note(connection, run_id, now=now, request={**run.request, "resources": resources})
    return get(connection, run_id)


def ask_to_cancel(connection: sa.Connection, run_id: str, *, now: float) -> Run:
    """Note the wish; the run as it is then.

    Raises:
        Conflict: the run is over.
    """
    run = get(connection, run_id, lock=True)
    if run.state is JobState.CANCELLED or (run.cancel_requested and not run.final):
        return run
    if run.final:
        raise Conflict(f"The job {run.name} is over: {run.state.value}.", hint="There is nothing left to cancel.")
    note(connection, run_id, now=now, cancel_requested=True)
    return get(connection, run_id)


def _unchanged(run: Run, reason: str, changes: Mapping[str, Any]) -> bool:
    return run.reason == reason[:1000] and all(getattr(run, name) == value for name, value in changes.items())


def _one(connection: sa.Connection, condition: sa.ColumnElement[bool], *, lock: bool = False) -> Run:
    query = sa.select(_T).where(condition)
    row = connection.execute(query.with_for_update() if lock else query).mappings().first()
    if row is None:
        raise NotFound("There is no such job.")
    return of_row(row)


def of_row(row: Mapping[Any, Any]) -> Run:
    """A row of the table."""
    return Run(**{**row, "state": JobState(row["state"])})
