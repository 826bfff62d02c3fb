"""The ledger's answers that are lists: records, what is held now, and occupation over time."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from aiinfn_hub.accounting.amounts import GOOD, overlap
from aiinfn_hub.accounting.subjects import NAME, alias_of
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.store.ledger_tables import record, subject

MAX_STEPS = 2000


def _scope(*, person: str | None, activity: str | None) -> list[sa.ColumnElement[bool]]:
    """Whose records are meant; None is everybody's."""
    found = [record.c.person == alias_of(person)] if person is not None else []
    return found if activity is None else [*found, record.c.activity == activity]


def records(
    connection: sa.Connection,
    *,
    since: float,
    until: float,
    person: str | None = None,
    activity: str | None = None,
    limit: int = 1000,
) -> list[dict[str, Any]]:
    """Rows of `record` that touch the window, waiting ones included, newest first.

    `person` is the name, or the alias of somebody who was erased; `attempt` counts the pods of a job from 1.
    """
    waiting = sa.and_(record.c.held_from.is_(None), record.c.created_at < until, record.c.created_at >= since)
    names = {"person": NAME, "attempt": _attempt()}
    columns = [column for column in record.c if column.name not in names]
    query = (
        sa.select(*columns, *(value.label(name) for name, value in names.items()))
        .select_from(record)
        .join(subject, subject.c.alias == record.c.person)
        .where(*_scope(person=person, activity=activity), sa.or_(overlap(since, until), waiting))
        .order_by(record.c.created_at.desc(), record.c.pod_uid)
        .limit(limit)
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _attempt() -> sa.ScalarSelect[int]:
    """Which pod of its job it is; 1 for a session."""
    other = record.alias()
    earlier = sa.or_(other.c.created_at < record.c.created_at, other.c.pod_uid == record.c.pod_uid)
    before = sa.select(sa.func.count()).where(other.c.run_id == record.c.run_id, other.c.run_id != "", earlier)
    return sa.case((record.c.run_id == "", 1), else_=before.correlate(record).scalar_subquery())  # type: ignore[return-value]


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
        overlap(since, until),
        record.c.units > 0,
        GOOD,
    )
    series: dict[str, list[float]] = {}
    for flavour, units, held_from, held_to in connection.execute(query):
        values = series.setdefault(flavour, [0.0] * steps)
        begin, end = max(held_from, since), until if held_to is None else min(held_to, until)
        for step in range(int((begin - since) // width), min(steps, int((end - since) // width) + 1)):
            left = since + step * width
            values[step] += units * max(0.0, min(end, left + width) - max(begin, left)) / width
    return series
