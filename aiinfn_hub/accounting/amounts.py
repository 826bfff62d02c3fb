"""What is summed over records, as SQL: the same expressions for any window and for the sums kept by hour.

A window is [since, until) in Unix seconds, as numbers or as columns. A record counts with the part of its held time
that lies in the window, and an open one up to its end.
"""

from __future__ import annotations

from typing import TypeAlias

import sqlalchemy as sa

from aiinfn_hub.accounting.fold import HEARTBEAT_S
from aiinfn_hub.store.ledger_tables import record

Bound: TypeAlias = float | sa.ColumnElement[float]

#: By its length, because an index that finds nearly everything must not be preferred to one that finds little.
GOOD = sa.func.length(record.c.quarantine) == 0
#: Seconds of a long record; there are few of them, and they are found by their length.
LONG_S = 2 * 86400.0


def overlap(since: float, until: float) -> sa.ColumnElement[bool]:
    """Whether a record held something in the window, or began there and ended at once.

    Said in such a way that each part has an index that leaves few records: "begins before the end and ends after the
    begin" has none, and reads half of them.
    """
    begin, end = record.c.held_from, record.c.held_to
    parts = (
        sa.and_(begin >= since, begin < until),
        sa.and_(begin < since, end.is_(None)),
        sa.and_(begin >= since - LONG_S, begin < since, end > since),
        sa.and_(begin < since - LONG_S, end > since, record.c.length_s > LONG_S),
    )
    return record.c.pod_uid.in_(sa.union_all(*(sa.select(record.c.pod_uid).where(part) for part in parts)))


def within(since: Bound, until: Bound) -> sa.ColumnElement[bool]:
    """The same as `overlap`, in short: for records that are found already."""
    begin, end = record.c.held_from, record.c.held_to
    return sa.and_(begin < until, sa.or_(end.is_(None), end > since, begin >= since))


def put_aside(since: Bound, until: Bound) -> sa.ColumnElement[bool]:
    """Whether a record in quarantine belongs to the window: by its creation, because its other times mean nothing."""
    # Not `!=`, for which an index is of no use; there are few of them, if all is well.
    return sa.and_(record.c.quarantine > "", record.c.created_at >= since, record.c.created_at < until)


def counts(since: Bound, until: Bound) -> dict[str, sa.ColumnElement[int]]:
    """1 for each record that is meant: names of `ledger_tables.COUNTS`."""
    begins = sa.and_(GOOD, record.c.held_from >= since, record.c.held_from < until)
    carried = sa.and_(GOOD, record.c.held_from < since, within(since, until))
    return {
        "started": sa.case((begins, 1), else_=0),
        "carried": sa.case((carried, 1), else_=0),
        "quarantined": sa.case((put_aside(since, until), 1), else_=0),
    }


def amounts(since: Bound, until: Bound) -> dict[str, sa.ColumnElement[float]]:
    """Seconds, and seconds times what was held: names of `ledger_tables.AMOUNTS`; 0 in quarantine."""
    held = _within(record.c.held_from, record.c.held_to, since, until)
    ran = _within(record.c.ran_from, record.c.held_to, since, until)
    unseen = _unseen_s(since, until)
    begins = record.c.held_from >= since
    found = {
        "waited_s": sa.case((begins, record.c.held_from - record.c.created_at), else_=0.0),
        "held_s": held,
        "ran_s": sa.case((record.c.ran_from.is_not(None), ran), else_=0.0),
        "device_s": held * record.c.units,
        "weighted_s": held * record.c.units * record.c.weight,
        "compute_s": held * record.c.units * record.c.compute_weight,
        "memory_s": held * record.c.units * record.c.memory_weight,
        "core_s": held * record.c.cpu_millis / 1000.0,
        "byte_s": held * record.c.memory_bytes,
        "storage_byte_s": held * record.c.storage_bytes,
        "observed_s": held - unseen,
        "inferred_s": unseen + _missed_s(until),
        **{name: _part(record.c[name], held) for name in ("active_s", "measured_s", "energy_j")},
    }
    meant = sa.and_(GOOD, within(since, until))
    return {name: sa.case((meant, value), else_=0.0) for name, value in found.items()}


def _part(measured: sa.Column[float], held: sa.ColumnElement[float]) -> sa.ColumnElement[float]:
    """What was measured over a whole life, by the part of it that lies in the window."""
    return sa.case((record.c.length_s > 0, sa.func.coalesce(measured, 0.0) * held / record.c.length_s), else_=0.0)


def _within(begin: sa.Column[float], end: sa.Column[float], since: Bound, until: Bound) -> sa.ColumnElement[float]:
    """Seconds of an interval in the window, never below 0. CASE: a scalar minimum has two names in two databases."""
    last = sa.case((end < until, end), else_=until)
    first = sa.case((begin > since, begin), else_=since)
    return sa.case((last > first, last - first), else_=0.0)


def _unseen_s(since: Bound, until: Bound) -> sa.ColumnElement[float]:
    """What an open record held in the window since it was out of sight: charged, and not sure.

    A heartbeat that is only due does not make it so.
    """
    begin = sa.case((record.c.held_from > since, record.c.held_from), else_=since)
    seen = sa.case((record.c.last_seen > begin, record.c.last_seen), else_=begin)
    out_of_sight = sa.and_(record.c.held_to.is_(None), record.c.last_seen < until - 2 * HEARTBEAT_S)
    return sa.case((out_of_sight, until - seen), else_=0.0)


def _missed_s(until: Bound) -> sa.ColumnElement[float]:
    """By how much longer a record that ended in the window unseen may have held units: not charged, and not sure.

    Of records that overlap the window; each ends in one hour.
    """
    return sa.case((record.c.held_to <= until, record.c.uncertainty_s), else_=0.0)
