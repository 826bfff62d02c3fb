"""Who holds units now and until when at most, and how long others really held theirs: what a forecast is made from."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from typing import Any, TypeAlias

import sqlalchemy as sa

from aiinfn_hub.accounting.amounts import GOOD
from aiinfn_hub.accounting.rollups import DAY
from aiinfn_hub.capacity.forecast import Holder
from aiinfn_hub.store.ledger_tables import extension, record
from aiinfn_hub.store.tables import run

#: Days of cases, and at most so many, the newest: people change their habits, and the platform its limits.
KEEP_DAYS, AT_MOST = 60, 5000

#: By flavour and kind, sorted: held time as a share of the time that was asked for.
Cases: TypeAlias = dict[tuple[str, str], list[float]]

#: Seconds that a session or a job asked for, with those by which it was extended; NULL where nobody knows.
_OF_SESSION = sa.func.nullif(record.c.planned_s, 0.0) + sa.func.coalesce(extension.c.seconds, 0.0)
_PLANNED = sa.func.coalesce(_OF_SESSION, run.c.request["resources"]["time_s"].as_integer())


def _records(*columns: sa.ColumnElement[Any]) -> sa.Select[Any]:
    query = sa.select(record.c.flavour, record.c.kind, _PLANNED.label("planned_s"), *columns)
    query = query.join(run, run.c.id == record.c.run_id, isouter=True)
    query = query.join(extension, extension.c.pod_uid == record.c.pod_uid, isouter=True)
    return query.where(GOOD, record.c.units > 0)


def cases(connection: sa.Connection, *, now: float) -> Cases:
    """What ended in the last days, with an end that somebody saw."""
    ended = (record.c.held_to > now - KEEP_DAYS * DAY, record.c.length_s > 0, record.c.end_source != "last-seen")
    query = _records(record.c.length_s).where(*ended).order_by(record.c.held_to.desc()).limit(AT_MOST)
    found: Cases = defaultdict(list)
    for row in connection.execute(query):
        if row.planned_s:
            found[row.flavour, row.kind].append(row.length_s / row.planned_s)
    return {key: sorted(shares) for key, shares in found.items()}


def holders(connection: sa.Connection, *, elsewhere: Collection[str] = ()) -> dict[str, list[Holder]]:
    """By flavour, everything that holds units of the cluster's own now; `elsewhere` are sites whose units are not."""
    query = _records(record.c.units, record.c.held_from).where(
        record.c.held_to.is_(None), record.c.held_from.is_not(None), record.c.site.not_in(elsewhere)
    )
    found: dict[str, list[Holder]] = defaultdict(list)
    for row in connection.execute(query):
        found[row.flavour].append(Holder(row.kind, row.units, row.held_from, float(row.planned_s or 0.0)))
    return dict(found)
