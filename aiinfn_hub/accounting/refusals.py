"""Demand that no record shows: what was asked for and not given."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from aiinfn_hub.accounting.quotas import Ask
from aiinfn_hub.accounting.subjects import alias_of, aliases
from aiinfn_hub.store.ledger_tables import refusal


def note_refusal(connection: sa.Connection, ask: Ask, quota: str, *, now: float) -> None:
    """Write down what was asked for and not given, and the name of the quota; "" for another limit."""
    alias = aliases(connection, [ask.person], now=now)[ask.person]
    connection.execute(
        sa.insert(refusal).values(
            at=now,
            person=alias,
            activity=ask.activity,
            flavour=ask.flavour,
            kind=ask.kind,
            units=ask.units,
            gpu_hours=ask.gpu_hours,
            quota=quota,
        )
    )


def refused(
    connection: sa.Connection, *, since: float, until: float, person: str | None = None, activity: str | None = None
) -> list[dict[str, Any]]:
    """Demand that no record shows: what was asked for and not given, by activity, flavour and quota."""
    keys = (refusal.c.activity, refusal.c.flavour, refusal.c.kind, refusal.c.quota)
    scope = [refusal.c.person == alias_of(person)] if person is not None else []
    scope += [refusal.c.activity == activity] if activity is not None else []
    query = (
        sa.select(*keys, sa.func.count().label("asks"), sa.func.sum(refusal.c.gpu_hours).label("weighted_gpu_hours"))
        .where(refusal.c.at >= since, refusal.c.at < until, *scope)
        .group_by(*keys)
        .order_by(*keys)
    )
    return [dict(row) for row in connection.execute(query).mappings()]
