"""Sums by hour, day and month of UTC, so that a report over a year does not read a million records.

They are derived: `roll` makes them of what is settled, `spoil` takes out those that a changed record touches, and
whoever sums believes only those that table `rolled` has.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import sqlalchemy as sa

from aiinfn_hub.accounting.amounts import GOOD, amounts, counts, overlap, put_aside, within
from aiinfn_hub.store.engine import insert, lock
from aiinfn_hub.store.ledger_tables import AMOUNTS, COUNTS, GROUPS, month, record, rolled, rollup

HOUR, DAY = 3600.0, 86400.0
#: From the longest on: a report uses the longest that fits.
GRAINS = ("month", "day", "hour")
#: Seconds after the end of an hour before it is summed: what ended in it has been heard of by then.
SETTLE_S = 300.0
#: Among so many records the first good one is looked for: those of clocks that stood at 1970 come before it.
_FIRST = 1000
#: After every time there is: an open record's end.
FAR = 1e12
#: What every sum of a record depends on, from its begin to its end.
_MEASURED = ("active_s", "measured_s", "energy_j")
_HELD = ("units", "weight", "compute_weight", "memory_weight", "cpu_millis", "memory_bytes")
_WHOLE = (*GROUPS, *_HELD, *_MEASURED, "quarantine", "created_at", "held_from", "ran_from")


@dataclass(frozen=True)
class Span:
    """A stretch of time [start, until), in Unix seconds; `grain` says whose sums cover it, "" for records alone."""

    start: float
    until: float
    grain: str = ""


def begin_of(grain: str, moment: float) -> float:
    """When the hour, day or month of UTC began that a moment is in."""
    if grain != "month":
        width = HOUR if grain == "hour" else DAY
        return moment // width * width
    at = datetime.fromtimestamp(moment, UTC)
    return datetime(at.year, at.month, 1, tzinfo=UTC).timestamp()


def end_of(grain: str, begin: float) -> float:
    """When the period ends that begins there."""
    if grain != "month":
        return begin + (HOUR if grain == "hour" else DAY)
    # 32 days after a first there is always the next month.
    return begin_of("month", (datetime.fromtimestamp(begin, UTC) + timedelta(days=32)).timestamp())


def moment(at: float) -> str:
    """A time of UTC as 2026-11-30T12:00Z."""
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="minutes").replace("+00:00", "Z")


def cover(connection: sa.Connection, since: float, until: float) -> list[Span]:
    """The window in order of time: the longest periods whose sums are known, and what is left between them."""
    spans = [Span(since, until)]
    for grain in GRAINS:
        spans = [part for span in spans for part in ([span] if span.grain else _split(connection, span, grain))]
    return [span for span in spans if span.until > span.start]


def _split(connection: sa.Connection, gap: Span, grain: str) -> list[Span]:
    query = (
        sa.select(rolled.c.start, rolled.c.until)
        .where(rolled.c.grain == grain, rolled.c.start >= gap.start, rolled.c.until <= gap.until)
        .order_by(rolled.c.start)
    )
    runs: list[Span] = []
    for start, until in connection.execute(query):
        if runs and runs[-1].until == start:
            runs[-1] = Span(runs[-1].start, until, grain)
        else:
            runs.append(Span(start, until, grain))
    edges = [Span(gap.start, gap.start), *runs, Span(gap.until, gap.until)]
    between = [Span(before.until, after.start) for before, after in pairwise(edges)]
    return [span for gap, run in zip(between, [*runs, None], strict=True) for span in (gap, run) if span is not None]


def roll(connection: sa.Connection, *, now: float) -> bool:
    """Sum the oldest day of which hours are missing, and the month when it is complete.

    A day at a time, because whoever writes meanwhile waits.

    Returns:
        Whether there may be more to do.
    """
    lock(connection, rolled)
    first = first_moment(connection)
    if first is None:
        return False
    gaps = [span for span in cover(connection, begin_of("month", first), _settled(connection, now)) if not span.grain]
    if not gaps:
        return False
    day, first_day = begin_of("day", gaps[0].start), begin_of("month", gaps[0].start)
    for gap in gaps:
        if gap.start < day + DAY:
            _sum_hours(connection, gap.start, min(gap.until, day + DAY))
    _sum_up(connection, "hour", Span(day, day + DAY, "day"))
    _sum_up(connection, "day", Span(first_day, end_of("month", first_day), "month"))
    return gaps[-1].until > day + DAY


def first_moment(connection: sa.Connection) -> float | None:
    """When the first record begins whose times can be true; None if there is none."""
    query = sa.select(record.c.held_from, record.c.quarantine).where(record.c.held_from.is_not(None))
    rows = connection.execute(query.order_by(record.c.held_from).limit(_FIRST)).all()
    return next((float(row.held_from) for row in rows if not row.quarantine), None)


def _settled(connection: sa.Connection, now: float) -> float:
    """Up to when nothing is in the air: the hour is over, and every open record was seen after it."""
    seen = sa.select(sa.func.min(record.c.last_seen)).where(record.c.held_to.is_(None), record.c.held_from.is_not(None))
    last_seen = connection.execute(seen).scalar()
    return begin_of("hour", min(now - SETTLE_S, now if last_seen is None else last_seen))


def _hours(start: float, until: float) -> list[float]:
    return [start + number * HOUR for number in range(int((until - start) // HOUR))]


def _sum_hours(connection: sa.Connection, start: float, until: float) -> None:
    hours = _hours(start, until)
    if not hours:
        return
    connection.execute(
        sa.delete(rollup).where(rollup.c.grain == "hour", rollup.c.start >= start, rollup.c.start < until)
    )
    rows = [{"grain": "hour", "start": hour, "until": hour + HOUR} for hour in hours]
    connection.execute(sa.insert(rolled), rows)
    if connection.dialect.name != "sqlite":
        # PostgreSQL has no idea yet how many there are now, and would read the records once for each of them.
        connection.exec_driver_sql("ANALYZE rolled")
    # "+ 0", so that no index is used for the stretch: SQLite would begin with its hours, and read all records for each.
    this = sa.and_(rolled.c.grain == "hour", rolled.c.start + 0 >= start, rolled.c.start + 0 < until)
    since, end = rolled.c.start, rolled.c.until
    for meant, first, last in (
        (sa.and_(GOOD, overlap(start, until), within(since, end)), record.c.held_from, record.c.held_to),
        (sa.and_(put_aside(start, until), put_aside(since, end)), record.c.created_at, record.c.created_at),
    ):
        # Bounds on the hour for which there is an index: each record finds its own few.
        near = sa.and_(since > first - HOUR, since <= sa.func.coalesce(last, until))
        _add_hours(connection, sa.and_(this, near), meant)


def _add_hours(connection: sa.Connection, hours: sa.ColumnElement[bool], meant: sa.ColumnElement[bool]) -> None:
    since, until = rolled.c.start, rolled.c.until
    columns = counts(since, until) | amounts(since, until)
    keys = [record.c[name] for name in GROUPS]
    query = (
        sa.select(sa.literal("hour"), since, *keys, *(sa.func.sum(columns[name]) for name in COUNTS + AMOUNTS))
        .select_from(record)
        .join(rolled, hours)
        .where(meant)
        .group_by(since, *keys)
    )
    _add(connection, query)


def _add(connection: sa.Connection, query: sa.Select[Any]) -> None:
    """Put sums in place; to a row that is there already they are added."""
    keys = ["grain", "start", *GROUPS]
    statement = insert(connection, rollup).from_select([*keys, *COUNTS, *AMOUNTS], query)
    added = {name: rollup.c[name] + statement.excluded[name] for name in COUNTS + AMOUNTS}
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=added))


def _sum_up(connection: sa.Connection, parts: str, whole: Span) -> None:
    """The sums of a day or a month from those of its hours or days, if all of them are there."""
    inside = sa.and_(rolled.c.grain == parts, rolled.c.start >= whole.start, rolled.c.until <= whole.until)
    covered = connection.execute(sa.select(sa.func.sum(rolled.c.until - rolled.c.start)).where(inside)).scalar()
    if covered != whole.until - whole.start:
        return
    mine = (rollup.c.grain == whole.grain, rollup.c.start == whole.start)
    connection.execute(sa.delete(rollup).where(*mine))
    connection.execute(sa.delete(rolled).where(rolled.c.grain == whole.grain, rolled.c.start == whole.start))
    keys = [rollup.c[name] for name in GROUPS]
    query = (
        sa.select(sa.literal(whole.grain), sa.literal(whole.start), *keys, *summed(whole.start))
        .where(rollup.c.grain == parts, rollup.c.start >= whole.start, rollup.c.start < whole.until)
        .group_by(*keys)
    )
    _add(connection, query)
    connection.execute(sa.insert(rolled).values(grain=whole.grain, start=whole.start, until=whole.until))


def summed(first: float) -> list[sa.ColumnElement[Any]]:
    """The sum of each column over several periods: what was carried counts once, into the first of them."""
    carried = sa.case((rollup.c.start == first, rollup.c.carried), else_=0)
    columns = {name: rollup.c[name] for name in COUNTS + AMOUNTS} | {"carried": carried}
    return [sa.func.sum(column).label(name) for name, column in columns.items()]


def touched(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> Span | None:
    """The time in which sums are others since a record changed; None if none are.

    What `roll` has summed of an open record was seen, so that a heartbeat alone changes none of it.
    """
    if before is None:
        return _life(after)
    if any(before[name] != after[name] for name in _WHOLE):
        lives = [life for row in (before, after) if (life := _life(row)) is not None]
        return Span(min(s.start for s in lives), max(s.until for s in lives)) if lives else None
    # Only an end has moved, or what is known of it.
    if all(before[name] == after[name] for name in ("held_to", "uncertainty_s")):
        return None
    ends = [FAR if row["held_to"] is None else row["held_to"] for row in (before, after)]
    return Span(min(ends), max(ends))


def _life(row: Mapping[str, Any]) -> Span | None:
    if row["quarantine"]:
        return Span(row["created_at"], row["created_at"])
    if row["held_from"] is None:
        return None
    return Span(row["held_from"], FAR if row["held_to"] is None else row["held_to"])


def spoil(connection: sa.Connection, spans: Iterable[Span]) -> None:
    """Take out the periods that any of these touches: what they sum is no longer true.

    A closed month keeps its sums; what is known later is a correction.
    """
    newest = connection.execute(sa.select(sa.func.max(rolled.c.until))).scalar()
    closed = connection.execute(sa.select(sa.func.max(month.c.until))).scalar() or 0.0
    for span in _together(span for span in spans if newest is not None and span.start <= newest):
        touched_by = (rolled.c.start <= span.until, rolled.c.until >= span.start)
        connection.execute(sa.delete(rolled).where(*touched_by, rolled.c.start >= closed))


def _together(spans: Iterable[Span]) -> list[Span]:
    """The same time in as few stretches as there are."""
    found: list[Span] = []
    for span in sorted(spans, key=lambda s: s.start):
        if found and span.start <= found[-1].until + HOUR:
            found[-1] = Span(found[-1].start, max(found[-1].until, span.until))
        else:
            found.append(span)
    return found
