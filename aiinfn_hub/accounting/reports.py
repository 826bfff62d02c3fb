"""The ledger's answers: records, usage by person, activity or flavour, and occupation over time.

A window is [since, until) in Unix seconds; a record counts with the part of its held time that lies in the window, and
an open one up to `until` or now, whichever is earlier.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from aiinfn_hub.accounting.ledger import HEARTBEAT_S
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.store.tables import record

GROUPS = {"person": record.c.person, "activity": record.c.activity, "flavour": record.c.flavour, "kind": record.c.kind}
MAX_STEPS = 2000


def _scope(*, person: str | None, activity: str | None) -> list[sa.ColumnElement[bool]]:
    """Whose records are meant; None is everybody's."""
    pairs = ((record.c.person, person), (record.c.activity, activity))
    return [column == value for column, value in pairs if value is not None]


def _overlap(since: float, until: float) -> list[sa.ColumnElement[bool]]:
    return [record.c.held_from < until, sa.or_(record.c.held_to.is_(None), record.c.held_to > since)]


def _held_s(since: float, until: float) -> sa.ColumnElement[float]:
    """Seconds of a record in the window. CASE, because the two databases name the scalar minimum differently."""
    end = sa.case((record.c.held_to < until, record.c.held_to), else_=until)
    begin = sa.case((record.c.held_from > since, record.c.held_from), else_=since)
    return end - begin


def records(
    connection: sa.Connection,
    *,
    since: float,
    until: float,
    person: str | None = None,
    activity: str | None = None,
    limit: int = 1000,
) -> list[dict[str, Any]]:
    """Rows of `record` that touch the window, waiting ones included, newest first."""
    waiting = sa.and_(record.c.held_from.is_(None), record.c.created_at < until, record.c.created_at >= since)
    query = (
        sa.select(record)
        .where(*_scope(person=person, activity=activity), sa.or_(sa.and_(*_overlap(since, until)), waiting))
        .order_by(record.c.created_at.desc(), record.c.pod_uid)
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def usage(
    connection: sa.Connection,
    *,
    since: float,
    until: float,
    by: tuple[str, ...] = ("activity",),
    person: str | None = None,
    activity: str | None = None,
) -> list[dict[str, Any]]:
    """One row a group: sessions and jobs counted, held, device and weighted device hours.

    `observed_hours` are the part of the held ones that was seen. `inferred_hours` are those of which nobody knows
    whether they were held: what an open record held since it was last seen, and the time between the last look at a pod
    and the list that lacked it. `quarantined` records have times that cannot be true, and no hours.

    Raises:
        InvalidInput: `by` names no column of `GROUPS`.
    """
    unknown = [name for name in by if name not in GROUPS]
    if unknown:
        raise InvalidInput(f"Usage cannot be grouped by {unknown[0]!r}.", hint=f"Use one of {', '.join(GROUPS)}.")
    held = _held_s(since, until)
    hours = {
        "held_hours": held,
        "device_hours": held * record.c.units,
        "weighted_gpu_hours": held * record.c.units * record.c.weight,
        "cpu_core_hours": held * record.c.cpu_millis / 1000.0,
        "observed_hours": held - _unseen_s(since, until),
        "inferred_hours": _unseen_s(since, until) + _missed_s(since, until),
    }
    good = record.c.quarantine == ""
    groups = [GROUPS[name].label(name) for name in by]
    query = (
        sa.select(
            *groups,
            sa.func.count().label("records"),
            *(_sum(sa.case((good, column), else_=0.0) / 3600.0).label(name) for name, column in hours.items()),
            _sum(sa.case((good, 0), else_=1)).label("quarantined"),
        )
        .where(*_scope(person=person, activity=activity), *_overlap(since, until))
        .group_by(*groups)
        .order_by(*groups)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def coverage(rows: Sequence[Mapping[str, Any]]) -> float | None:
    """The share of the time in these rows of `usage` that was seen, 0 to 1; None where there is none."""
    observed, inferred = (sum(row[name] for row in rows) for name in ("observed_hours", "inferred_hours"))
    return observed / (observed + inferred) if observed + inferred > 0 else None


def certainty(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """How much of it was seen, in sentences: a sum that does not say so is taken for the truth."""
    share, lines = coverage(rows), []
    if share is not None:
        minutes = 60 * sum(row["inferred_hours"] for row in rows)
        lines.append(f"{100 * share:.1f} % observed, {minutes:.0f} min inferred.")
    if quarantined := sum(row["quarantined"] for row in rows):
        lines.append(f"{quarantined} in quarantine: their times cannot be true, and they count nothing.")
    return lines


def _unseen_s(since: float, until: float) -> sa.ColumnElement[float]:
    """What an open record held in the window since it was out of sight: charged, and not sure.

    A heartbeat that is only due does not make it so.
    """
    seen = sa.case((record.c.last_seen > since, record.c.last_seen), else_=since)
    out_of_sight = sa.and_(record.c.held_to.is_(None), record.c.last_seen < until - 2 * HEARTBEAT_S)
    return sa.case((out_of_sight, until - seen), else_=0.0)


def _missed_s(since: float, until: float) -> sa.ColumnElement[float]:
    """By how much longer a record that ended in the window unseen may have held units: not charged, and not sure."""
    ended_here = sa.and_(record.c.held_to > since, record.c.held_to <= until)
    return sa.case((ended_here, record.c.uncertainty_s), else_=0.0)


def _sum(column: sa.ColumnElement[Any]) -> sa.ColumnElement[Any]:
    return sa.func.coalesce(sa.func.sum(column), 0)


def weighted_hours(connection: sa.Connection, windows: Mapping[str, float], *, now: float) -> dict[str, float]:
    """Weighted GPU-hours that each activity used since its own time, up to now."""
    return {
        activity: sum(row["weighted_gpu_hours"] for row in usage(connection, since=since, until=now, activity=activity))
        for activity, since in windows.items()
    }


def held_now(connection: sa.Connection, *, activity: str | None = None) -> dict[str, int]:
    """Units of accelerators that open records hold, by flavour."""
    query = (
        sa.select(record.c.flavour, sa.func.sum(record.c.units))
        .where(*_scope(person=None, activity=activity), record.c.held_to.is_(None), record.c.held_from.is_not(None))
        .where(record.c.units > 0)
        .group_by(record.c.flavour)
    )
    return {flavour: int(units) for flavour, units in connection.execute(query)}


def occupation(
    connection: sa.Connection, *, since: float, until: float, steps: int = 96, activity: str | None = None
) -> dict[str, list[float]]:
    """Mean units held in each of `steps` equal parts of the window, by flavour; accelerators only.

    Raises:
        InvalidInput: an empty window, or too many steps.
    """
    if not 0 < steps <= MAX_STEPS or until <= since:
        raise InvalidInput(f"A plot has a window that is not empty, and 1 to {MAX_STEPS} steps.")
    width = (until - since) / steps
    query = sa.select(record.c.flavour, record.c.units, record.c.held_from, record.c.held_to).where(
        *_scope(person=None, activity=activity),
        *_overlap(since, until),
        record.c.units > 0,
        record.c.quarantine == "",
    )
    series: dict[str, list[float]] = {}
    for flavour, units, held_from, held_to in connection.execute(query):
        values = series.setdefault(flavour, [0.0] * steps)
        begin, end = max(held_from, since), until if held_to is None else min(held_to, until)
        for step in range(int((begin - since) // width), min(steps, int((end - since) // width) + 1)):
            left = since + step * width
            values[step] += units * max(0.0, min(end, left + width) - max(begin, left)) / width
    return series
