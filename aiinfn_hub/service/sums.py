"""The sums over ledger and runs that a scrape tells."""

from __future__ import annotations

import sqlalchemy as sa

from aiinfn_hub.accounting.usage import by_group
from aiinfn_hub.offload import runs
from aiinfn_hub.store.ledger_tables import record

Hours = dict[tuple[str, str, str], float]


def sums(connection: sa.Connection, now: float) -> tuple[Hours, dict[tuple[str, str], int], dict[str, int]]:
    """Weighted hours by (activity, flavour, kind), jobs by (activity, state), and records by state.

    States are "open", "closed", and "quarantined", whatever else those are.
    """
    by = ("activity", "flavour", "kind")
    rows = by_group(connection, since=0.0, until=now, by=by)
    hours = {(row["activity"], row["flavour"], row["kind"]): float(row["weighted_gpu_hours"]) for row in rows}
    state = sa.case((record.c.quarantine != "", "quarantined"), (record.c.held_to.is_not(None), "closed"), else_="open")
    counted = connection.execute(sa.select(state.label("state"), sa.func.count().label("number")).group_by(state))
    records = {"open": 0, "closed": 0, "quarantined": 0} | {row.state: row.number for row in counted}
    return hours, runs.counts(connection), records
