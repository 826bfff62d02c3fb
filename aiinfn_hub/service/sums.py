"""The sums over ledger and runs that a scrape tells."""

from __future__ import annotations

import sqlalchemy as sa

from aiinfn_hub.accounting.reports import usage
from aiinfn_hub.offload import runs
from aiinfn_hub.store.tables import record

Hours = dict[tuple[str, str, str], float]


def sums(connection: sa.Connection, now: float) -> tuple[Hours, dict[tuple[str, str], int], dict[str, int]]:
    """Weighted hours by (activity, flavour, kind), jobs by (activity, state), and records by "open" and "closed"."""
    by = ("activity", "flavour", "kind")
    rows = usage(connection, since=0.0, until=now, by=by)
    hours = {(row["activity"], row["flavour"], row["kind"]): float(row["weighted_gpu_hours"]) for row in rows}
    closed = record.c.held_to.is_not(None)
    counted = connection.execute(sa.select(closed, sa.func.count()).group_by(closed))
    records = {"open": 0, "closed": 0} | {"closed" if is_closed else "open": count for is_closed, count in counted}
    return hours, runs.counts(connection), records
