"""How the quotas stand, from the ledger, and what is taken from them in advance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from aiinfn_hub.accounting.quotas import DAY, HOUR, Ask, Spell, Standing, Verdict, again_at, judge, meant
from aiinfn_hub.accounting.rollups import begin_of
from aiinfn_hub.accounting.subjects import alias_of, aliases
from aiinfn_hub.accounting.usage import by_group
from aiinfn_hub.catalogue import Platform, Quota
from aiinfn_hub.contract.jobs import FINAL
from aiinfn_hub.store.engine import insert, lock
from aiinfn_hub.store.tables import record, refusal, reservation, run, subject

#: Seconds from a reservation to the pod on its node: pulling an image may take that long, and what waits longer in the
#: queue asks again when its turn comes.
HOLD_S = 900.0


@dataclass(frozen=True)
class Claim:
    """Something that holds or is about to hold units, and may go on until `until` (Unix seconds)."""

    person: str
    activity: str
    flavour: str
    units: int
    rate: float
    until: float
    holds: bool

    def hours(self, now: float) -> float:
        """Weighted GPU-hours that it may still use."""
        return self.rate * max(0.0, self.until - now) / HOUR


@dataclass(frozen=True)
class Decision:
    """What was decided, and when enough would be left again if nothing else starts (None: nobody knows, or never)."""

    verdict: Verdict
    again_at: float | None = None


def reserve(connection: sa.Connection, platform: Platform, ask: Ask, *, now: float) -> Decision:
    """Take what a session may use out of everybody's reach until the ledger sees it; one reservation a server.

    What is refused is noted: it is demand that no record shows.
    """
    lock(connection, reservation)
    connection.execute(sa.delete(reservation).where(reservation.c.made_at < now - HOLD_S))
    decision = decide(connection, platform, ask, now=now)
    if not decision.verdict.granted:
        note_refusal(connection, ask, decision, now=now)
        return decision
    row = {
        "person": ask.person,
        "server": ask.server,
        "activity": ask.activity,
        "flavour": ask.flavour,
        "units": ask.units,
        "weight": ask.weight,
        "planned_s": decision.verdict.seconds,
        "made_at": now,
    }
    statement = insert(connection, reservation).values(row)
    connection.execute(statement.on_conflict_do_update(index_elements=["person", "server"], set_=row))
    return decision


def decide(
    connection: sa.Connection,
    platform: Platform,
    ask: Ask,
    *,
    now: float,
) -> Decision:
    """Whether it may start, by every quota that counts it."""
    quotas = meant(platform, ask.activity, platform.flavour(ask.flavour))
    found = standings(connection, platform, quotas, ask, now=now)
    verdict = judge(found, ask)
    if verdict.granted or verdict.quota is None or verdict.quota.gpu_hours is None:
        return Decision(verdict)
    # Sums are of whole hours, which is up to an hour too much; before anybody is sent away it is looked at closely.
    quota = verdict.quota
    known = spells(connection, platform, quota, ask, now=now)
    exact = sum(s.rate * max(0.0, min(s.end, now) - max(s.begin, now - quota.window_days * DAY)) for s in known) / HOUR
    verdict = judge([replace(one, used=exact) if one.quota == quota else one for one in found], ask)
    needed = ask.gpu_hours if ask.kind == "job" else min(ask.gpu_hours, ask.rate * 0.25)
    again = None if verdict.granted else again_at(quota, known, needed=needed, now=now)
    return Decision(verdict, again)


def standings(
    connection: sa.Connection,
    platform: Platform,
    quotas: Iterable[Quota],
    ask: Ask,
    *,
    now: float,
) -> list[Standing]:
    """How each quota stands for the person and the activity of `ask`."""
    claims = list(_claims(connection, platform, ask, now=now))
    sums: dict[tuple[str, int], list[dict[str, Any]]] = {}
    found = []
    for quota in quotas:
        key = (quota.per, quota.window_days)
        if quota.gpu_hours is not None and key not in sums:
            sums[key] = by_group(
                connection,
                since=begin_of("hour", now - quota.window_days * DAY),
                until=now,
                by=("activity", "flavour"),
                person=ask.person if quota.per == "person" else None,
                activity=ask.activity if quota.per == "activity" else None,
            )
        mine = [claim for claim in claims if _counts(platform, quota, ask, vars(claim))]
        rows = [row for row in sums.get(key, ()) if _counts(platform, quota, ask, row | {"person": ask.person})]
        found.append(
            Standing(
                quota,
                used=sum(row["weighted_gpu_hours"] for row in rows),
                committed=sum(claim.hours(now) for claim in mine),
                held=sum(claim.units for claim in mine if claim.holds),
                rate=sum(claim.rate for claim in mine if claim.holds),
            )
        )
    return found


def least_left(connection: sa.Connection, platform: Platform, *, now: float) -> dict[str, Standing]:
    """Of every session that holds an accelerator, by the uid of its pod: the quota that is used up first."""
    names = ("pod_uid", "activity", "flavour", "units", "weight")
    query = (
        sa.select(subject.c.name.label("person"), *(record.c[name] for name in names))
        .join(subject, subject.c.alias == record.c.person)
        .where(record.c.held_to.is_(None), record.c.held_from.is_not(None), record.c.quarantine == "")
        .where(record.c.kind == "session", record.c.units > 0)
    )
    flavours = {flavour.name: flavour for flavour in platform.flavours}
    known: dict[tuple[str, str, str], Standing | None] = {}
    found = {}
    for row in connection.execute(query).mappings():
        key = (row["person"], row["activity"], row["flavour"])
        if key not in known and row["flavour"] in flavours:
            ask = Ask("session", *key, row["units"], row["weight"], 0.0)
            quotas = [q for q in meant(platform, ask.activity, flavours[ask.flavour]) if q.gpu_hours is not None]
            ends = [one for one in standings(connection, platform, quotas, ask, now=now) if one.lasts_s() is not None]
            known[key] = min(ends, key=lambda one: one.lasts_s() or 0.0, default=None)
        if (standing := known.get(key)) is not None:
            found[row["pod_uid"]] = standing
    return found


def spells(
    connection: sa.Connection,
    platform: Platform,
    quota: Quota,
    ask: Ask,
    *,
    now: float,
) -> list[Spell]:
    """What a quota counts, one by one: what was used in its window, and what may still be."""
    since = now - quota.window_days * DAY
    columns = (
        record.c.activity,
        record.c.flavour,
        record.c.units,
        record.c.weight,
        record.c.held_from,
        record.c.held_to,
    )
    query = sa.select(*columns).where(
        record.c.held_from < now,
        sa.or_(record.c.held_to.is_(None), record.c.held_to > since),
        record.c.units > 0,
        record.c.quarantine == "",
        record.c.person == alias_of(ask.person) if quota.per == "person" else record.c.activity == ask.activity,
    )
    used = [
        Spell(row["held_from"], now if row["held_to"] is None else row["held_to"], row["units"] * row["weight"])
        for row in connection.execute(query).mappings()
        if _counts(platform, quota, ask, {**row, "person": ask.person})
    ]
    claims = _claims(connection, platform, ask, now=now)
    to_come = [Spell(now, c.until, c.rate) for c in claims if _counts(platform, quota, ask, vars(c)) and c.until > now]
    return used + to_come


def note_refusal(connection: sa.Connection, ask: Ask, decision: Decision, *, now: float) -> None:
    """Write down what was asked for and not given."""
    quota = decision.verdict.quota
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
            quota=quota.name if quota else "",
        )
    )


def _counts(platform: Platform, quota: Quota, ask: Ask, one: Mapping[str, Any]) -> bool:
    """Whether a quota, for who asks, counts something of this person, activity and flavour."""
    mine = one["person"] == ask.person if quota.per == "person" else one["activity"] == ask.activity
    if not mine or (quota.activities and one["activity"] not in quota.activities):
        return False
    if quota.flavours:
        return one["flavour"] in quota.flavours
    known = next((f for f in platform.flavours if f.name == one["flavour"]), None)
    return known is None or known.accelerator


def _claims(connection: sa.Connection, platform: Platform, ask: Ask, *, now: float) -> Iterable[Claim]:
    """Of the person or the activity, but for who asks."""
    held = list(_held(connection, ask))
    running = {row["run_id"]: row for row in held if row["run_id"]}
    for row in held:
        if row["kind"] != "session" or (row["person"], row["server"]) == (ask.person, ask.server):
            continue
        yield _claim(row, until=row["held_from"] + row["planned_s"], holds=True)
    seen = {(row["person"], row["server"]) for row in held if row["kind"] == "session"}
    for row in _reserved(connection, ask, now=now):
        if (row["person"], row["server"]) not in seen and (row["person"], row["server"]) != (ask.person, ask.server):
            yield _claim(row, until=now + row["planned_s"], holds=True)
    weights = {flavour.name: flavour.weight for flavour in platform.flavours}
    for row in _jobs(connection, ask):
        if row["run_id"] == ask.run_id:
            continue
        one = running.get(row["run_id"])
        begin = one["held_from"] if one else now
        weighed = {**row, "weight": one["weight"] if one else weights.get(row["flavour"], 0.0)}
        yield _claim(weighed, until=begin + row["planned_s"], holds=one is not None)


def _claim(row: Mapping[str, Any], *, until: float, holds: bool) -> Claim:
    rate = row["units"] * row["weight"]
    return Claim(row["person"], row["activity"], row["flavour"], row["units"], rate, until, holds)


def _held(connection: sa.Connection, ask: Ask) -> list[Mapping[str, Any]]:
    names = ("kind", "server", "run_id", "activity", "flavour", "units", "weight", "held_from", "planned_s")
    query = (
        sa.select(subject.c.name.label("person"), *(record.c[name] for name in names))
        .join(subject, subject.c.alias == record.c.person)
        .where(record.c.held_to.is_(None), record.c.held_from.is_not(None), record.c.quarantine == "")
        .where(sa.or_(subject.c.name == ask.person, record.c.activity == ask.activity))
    )
    return [dict(row) for row in connection.execute(query).mappings()]


def _reserved(connection: sa.Connection, ask: Ask, *, now: float) -> list[Mapping[str, Any]]:
    mine = sa.or_(reservation.c.person == ask.person, reservation.c.activity == ask.activity)
    query = sa.select(reservation).where(mine, reservation.c.made_at >= now - HOLD_S)
    return [dict(row) for row in connection.execute(query).mappings()]


def _jobs(connection: sa.Connection, ask: Ask) -> list[Mapping[str, Any]]:
    """Runs that are not over, with the seconds that they asked for."""
    seconds = run.c.request["resources"]["time_s"].as_integer()
    query = sa.select(
        run.c.id.label("run_id"), run.c.owner.label("person"), run.c.activity, run.c.flavour, run.c.units,
        sa.func.coalesce(seconds, 0).label("planned_s"),
    ).where(
        run.c.state.not_in([state.value for state in FINAL]),
        sa.or_(run.c.owner == ask.person, run.c.activity == ask.activity),
    )  # fmt: skip
    return [dict(row) for row in connection.execute(query).mappings()]
