"""What holds units or is about to, and may go on: for a person and an activity, from ledger, reservations and runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from aiinfn_hub.accounting.amounts import GOOD
from aiinfn_hub.accounting.quotas import HOUR, Ask
from aiinfn_hub.catalogue import Platform, Quota
from aiinfn_hub.contract.jobs import FINAL
from aiinfn_hub.store.ledger_tables import extension, record, reservation, subject
from aiinfn_hub.store.tables import run

#: Seconds from a reservation to the pod on its node: pulling an image may take that long, and what waits longer in the
#: queue asks again when its turn comes.
HOLD_S = 900.0


@dataclass(frozen=True)
class Claim:
    """Something that holds or is about to hold units, and may go on until `until` (Unix seconds).

    A job that is `queued` may get them at any moment; one that waits for units of its quota has no claim to those.
    """

    person: str
    activity: str
    flavour: str
    units: int
    rate: float
    until: float
    holds: bool
    queued: bool = False

    def hours(self, now: float) -> float:
        """Weighted GPU-hours that it may still use."""
        return self.rate * max(0.0, self.until - now) / HOUR


def counts(platform: Platform, quota: Quota, ask: Ask, one: Mapping[str, Any]) -> bool:
    """Whether a quota, for who asks, counts something of this person, activity and flavour."""
    mine = one["person"] == ask.person if quota.per == "person" else one["activity"] == ask.activity
    if not mine or (quota.activities and one["activity"] not in quota.activities):
        return False
    if quota.flavours:
        return one["flavour"] in quota.flavours
    known = platform.known_flavour(one["flavour"])
    return known is None or known.accelerator


@dataclass(frozen=True)
class Books:
    """What is open: records that hold something, reservations, and runs that are not over; as rows by name."""

    held: Sequence[Mapping[str, Any]] = ()
    reserved: Sequence[Mapping[str, Any]] = ()
    jobs: Sequence[Mapping[str, Any]] = ()


def books(connection: sa.Connection, ask: Ask | None = None, *, now: float) -> Books:
    """Everything that is open, or what concerns the person and the activity of `ask`."""
    return Books(_held(connection, ask), _reserved(connection, ask, now=now), _jobs(connection, ask))


def claims_of(open_books: Books, platform: Platform, ask: Ask, *, now: float) -> Iterable[Claim]:
    """Of the person or the activity, but for who asks. Pure."""

    def mine(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [row for row in rows if row["person"] == ask.person or row["activity"] == ask.activity]

    held = mine(open_books.held)
    running = {row["run_id"]: row for row in held if row["run_id"]}
    yield from of_sessions(Books(held, mine(open_books.reserved)), ask, now=now)
    weights = {flavour.name: flavour.weight for flavour in platform.flavours}
    for row in mine(open_books.jobs):
        if row["run_id"] == ask.run_id:
            continue
        one = running.get(row["run_id"])
        begin = one["held_from"] if one else now
        weighed = {**row, "weight": one["weight"] if one else weights.get(row["flavour"], 0.0)}
        queued = one is None and row["placed_at"] is not None
        yield _claim(weighed, until=begin + row["planned_s"], holds=one is not None, queued=queued)


def of_sessions(open_books: Books, ask: Ask, *, now: float) -> Iterable[Claim]:
    """Of all sessions in the books, and those about to start, but for who asks. Pure."""
    own = (ask.person, ask.server)
    sessions = [((row["person"], row["server"]), row) for row in open_books.held if row["kind"] == "session"]
    for who, row in sessions:
        if who != own:
            yield _claim(row, until=row["held_from"] + row["planned_s"], holds=True)
    seen = {own, *(who for who, _ in sessions)}
    for row in open_books.reserved:
        if (row["person"], row["server"]) not in seen:
            yield _claim(row, until=now + row["planned_s"], holds=True)


def _claim(row: Mapping[str, Any], *, until: float, holds: bool, queued: bool = False) -> Claim:
    rate = row["units"] * row["weight"]
    return Claim(row["person"], row["activity"], row["flavour"], row["units"], rate, until, holds, queued)


def _held(connection: sa.Connection, ask: Ask | None) -> list[Mapping[str, Any]]:
    names = ("kind", "server", "run_id", "activity", "flavour", "units", "weight", "held_from")
    planned = record.c.planned_s + sa.func.coalesce(extension.c.seconds, 0.0)
    query = (
        sa.select(subject.c.name.label("person"), *(record.c[name] for name in names), planned.label("planned_s"))
        .join(subject, subject.c.alias == record.c.person)
        .join(extension, extension.c.pod_uid == record.c.pod_uid, isouter=True)
        .where(record.c.held_to.is_(None), record.c.held_from.is_not(None), GOOD)
    )
    return _rows(connection, query, ask, subject.c.name, record.c.activity)


def _reserved(connection: sa.Connection, ask: Ask | None, *, now: float) -> list[Mapping[str, Any]]:
    query = sa.select(reservation).where(reservation.c.made_at >= now - HOLD_S)
    return _rows(connection, query, ask, reservation.c.person, reservation.c.activity)


def _jobs(connection: sa.Connection, ask: Ask | None) -> list[Mapping[str, Any]]:
    """Runs that are not over, with the seconds that they asked for."""
    seconds = run.c.request["resources"]["time_s"].as_integer()
    query = sa.select(
        run.c.id.label("run_id"), run.c.owner.label("person"), run.c.activity, run.c.flavour, run.c.units,
        run.c.placed_at,
        sa.func.coalesce(seconds, 0).label("planned_s"),
    ).where(run.c.state.not_in([state.value for state in FINAL]))  # fmt: skip
    return _rows(connection, query, ask, run.c.owner, run.c.activity)


def _rows(
    connection: sa.Connection, query: sa.Select[Any], ask: Ask | None, person: sa.Column[Any], activity: sa.Column[Any]
) -> list[Mapping[str, Any]]:
    if ask is not None:
        query = query.where(sa.or_(person == ask.person, activity == ask.activity))
    return [dict(row) for row in connection.execute(query).mappings()]
