"""The ledger's writes: functions over one connection, each a whole transaction of `Database.write`.

A record holds its units from `held_from` (bound to a node) to `held_to` (last container ended);
weighted seconds are seconds x units x weight, with the weight of the flavour when the pod was first seen.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import sqlalchemy as sa

from aiinfn_hub.accounting.fold import fold
from aiinfn_hub.accounting.rollups import spoil, touched
from aiinfn_hub.accounting.sighting import Sighting, absent
from aiinfn_hub.accounting.subjects import aliases
from aiinfn_hub.store.engine import among, insert, lock
from aiinfn_hub.store.ledger_tables import observation, record, rolled
from aiinfn_hub.store.tables import run


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
    lock(connection, rolled)
    known = _seen(connection, {s.pod_uid for s in sightings})
    connection.execute(insert(connection, observation).on_conflict_do_nothing(), rows)
    # What is stored of a sighting that comes twice is what it was at first: the later of a key counts.
    _derive(connection, [*sightings, *known], known={s.pod_uid for s in known})
    return len({_key(s) for s in sightings} - {_key(s) for s in known})


def _key(sighting: Sighting) -> tuple[str, ...]:
    return (sighting.source, sighting.pod_uid, sighting.kind, sighting.resource_version)


def rebuild(connection: sa.Connection, pod_uids: Collection[str]) -> None:
    """Derive the records of these pods again from their observations, keeping the newest heartbeat."""
    lock(connection, rolled)
    _derive(connection, _seen(connection, pod_uids), known=pod_uids)


def _seen(connection: sa.Connection, pod_uids: Collection[str]) -> list[Sighting]:
    query = sa.select(observation).where(among(connection, observation.c.pod_uid, pod_uids))
    return [Sighting.from_payload(row._asdict()) for row in connection.execute(query)]


def _derive(connection: sa.Connection, sightings: Iterable[Sighting], *, known: Collection[str]) -> None:
    """The records of these sightings; `known` are the pods of which there were some before."""
    by_pod: dict[str, list[Sighting]] = {}
    for sighting in sightings:
        by_pod.setdefault(sighting.pod_uid, []).append(sighting)
    before = _records(connection, by_pod)
    # What comes after the observations were let go is not all that there ever was.
    gone = {uid for uid, row in before.items() if uid not in known and row["held_to"] is not None}
    rows = [row for uid, seen in by_pod.items() if uid not in gone and (row := fold(seen)) is not None]
    if not rows:
        return
    _name(connection, rows)
    _place(connection, rows, before)
    for row in rows:
        _keep_heartbeat(row, before.get(row["pod_uid"]))
        _keep_measured(row, before.get(row["pod_uid"]))
    spans = [span for row in rows if (span := touched(before.get(row["pod_uid"]), row)) is not None]
    statement = insert(connection, record)
    changes = {column.name: statement.excluded[column.name] for column in record.c if not column.primary_key}
    connection.execute(statement.on_conflict_do_update(index_elements=["pod_uid"], set_=changes), rows)
    spoil(connection, spans)


def _records(connection: sa.Connection, pod_uids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    query = sa.select(record).where(among(connection, record.c.pod_uid, pod_uids))
    return {row.pod_uid: row._asdict() for row in connection.execute(query)}


def _name(connection: sa.Connection, rows: list[dict[str, Any]]) -> None:
    """The alias in place of each name."""
    known = aliases(connection, {row["person"] for row in rows}, now=max(row["last_seen"] for row in rows))
    for row in rows:
        row["person"] = known[row["person"]]


def _place(connection: sa.Connection, rows: list[dict[str, Any]], before: Mapping[str, Mapping[str, Any]]) -> None:
    """Where each ran: a job at the place that it was sent to, which stays known when the job is forgotten."""
    wanted = {row["run_id"] for row in rows} - {""}
    query = sa.select(run.c.id, run.c.target).where(among(connection, run.c.id, wanted))
    targets = {found.id: found.target for found in connection.execute(query)} if wanted else {}
    for row in rows:
        known = before.get(row["pod_uid"], {"site": ""})["site"]
        row["site"] = targets.get(row["run_id"], known)


def _keep_heartbeat(row: dict[str, Any], before: Mapping[str, Any] | None) -> None:
    row["last_seen"] = max(row["last_seen"], before["last_seen"] if before else 0.0)
    if row["end_source"] == "last-seen":
        # A heartbeat after the last observation is the better evidence: the pod still held its devices then.
        row["uncertainty_s"] = max(0.0, row["uncertainty_s"] - (row["last_seen"] - row["held_to"]))
        row["held_to"] = row["last_seen"]
    ended = row["held_from"] is not None and row["held_to"] is not None
    row["length_s"] = row["held_to"] - row["held_from"] if ended else None


def _keep_measured(row: dict[str, Any], before: Mapping[str, Any] | None) -> None:
    """What was measured of it is measured again if its times have changed."""
    same = before is not None and all(before[name] == row[name] for name in ("held_from", "held_to"))
    for name in ("active_s", "measured_s", "energy_j"):
        row[name] = before[name] if before is not None and same else None


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
