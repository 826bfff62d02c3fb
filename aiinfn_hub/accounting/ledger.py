"""The ledger's writes: functions over one connection, each a whole transaction of `Database.write`.

A record holds its units from `held_from` (bound to a node) to `held_to` (last container ended);
weighted seconds are seconds x units x weight, with the weight of the flavour when the pod was first seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import groupby

import sqlalchemy as sa

from aiinfn_hub.accounting.fold import fold
from aiinfn_hub.accounting.sighting import Sighting, absent
from aiinfn_hub.store.engine import insert
from aiinfn_hub.store.tables import observation, record

#: Seconds between heartbeats: the most by which an inferred end can be wrong.
HEARTBEAT_S = 60.0


def observe(connection: sa.Connection, sightings: Collection[Sighting]) -> int:
    """Note what was seen and bring the records of those pods up to date; the number of observations that were new.

    Idempotent: a watch that is replayed, or two observers at once, change nothing.
    """
    if not sightings:
        return 0
    rows = [
        {
            "source": s.source,
            "pod_uid": s.pod_uid,
            "kind": s.kind,
            "resource_version": s.resource_version,
            "observed_at": s.observed_at,
            "payload": s.payload(),
        }
        for s in sightings
    ]
    pods = {s.pod_uid for s in sightings}
    # Of these pods only: a count of the whole table would make each write slower than the one before.
    known = sa.select(sa.func.count()).where(observation.c.pod_uid.in_(pods))
    before = connection.execute(known).scalar_one()
    connection.execute(insert(connection, observation).on_conflict_do_nothing(), rows)
    rebuild(connection, pods)
    return int(connection.execute(known).scalar_one() - before)


def rebuild(connection: sa.Connection, pod_uids: Collection[str]) -> None:
    """Derive the records of these pods again from their observations, keeping the newest heartbeat."""
    query = sa.select(observation).where(observation.c.pod_uid.in_(pod_uids)).order_by(observation.c.pod_uid)
    seen = [Sighting.from_payload(row._asdict()) for row in connection.execute(query)]
    rows = [row for _, group in groupby(seen, key=lambda s: s.pod_uid) if (row := fold(group)) is not None]
    heartbeats = _heartbeats(connection, pod_uids)
    for row in rows:
        row["last_seen"] = max(row["last_seen"], heartbeats.get(row["pod_uid"], 0.0))
        if row["end_source"] == "last-seen":
            # A heartbeat after the last observation is the better evidence: the pod still held its devices then.
            row["uncertainty_s"] = max(0.0, row["uncertainty_s"] - (row["last_seen"] - row["held_to"]))
            row["held_to"] = row["last_seen"]
    if rows:
        statement = insert(connection, record)
        changes = {column.name: statement.excluded[column.name] for column in record.c if not column.primary_key}
        connection.execute(statement.on_conflict_do_update(index_elements=["pod_uid"], set_=changes), rows)


def _heartbeats(connection: sa.Connection, pod_uids: Collection[str]) -> dict[str, float]:
    query = sa.select(record.c.pod_uid, record.c.last_seen).where(record.c.pod_uid.in_(pod_uids))
    return {row.pod_uid: row.last_seen for row in connection.execute(query)}


def open_uids(connection: sa.Connection) -> set[str]:
    """The pods whose records are open."""
    return set(connection.execute(sa.select(record.c.pod_uid).where(record.c.held_to.is_(None))).scalars())


def heartbeat(connection: sa.Connection, alive: Iterable[str], *, now: float) -> int:
    """Note that these pods are still there; the number of open records that were touched."""
    statement = (
        sa.update(record)
        .where(record.c.pod_uid == sa.bindparam("uid"), record.c.held_to.is_(None), record.c.last_seen < now)
        .values(last_seen=now)
    )
    rows = [{"uid": uid} for uid in alive]
    return connection.execute(statement, rows).rowcount if rows else 0


def close_absent(connection: sa.Connection, present: Collection[str], *, now: float) -> int:
    """Close every open record whose pod a complete list lacks, at the time it was last seen; how many."""
    gone = open_uids(connection) - set(present)
    observe(connection, [absent(uid, now=now) for uid in gone])
    return len(gone)
