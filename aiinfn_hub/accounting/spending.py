"""How the quotas stand, from the ledger, and what is taken from them in advance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import sqlalchemy as sa

from aiinfn_hub.accounting.claims import HOLD_S, claims_of, counts
from aiinfn_hub.accounting.quotas import (
    DAY,
    HOUR,
    Ask,
    Spell,
    Standing,
    Verdict,
    again_at,
    judge,
    meant,
    out_at,
    rules,
    used_by,
)
from aiinfn_hub.accounting.rollups import begin_of
from aiinfn_hub.accounting.subjects import alias_of, aliases
from aiinfn_hub.accounting.usage import by_group
from aiinfn_hub.catalogue import Platform, Quota
from aiinfn_hub.contract.offer import QuotaOffer
from aiinfn_hub.store.engine import insert, lock
from aiinfn_hub.store.ledger_tables import record, refusal, reservation, subject

#: Rows of usage by activity and flavour: of a person or an activity, in so many days up to now.
Sums: TypeAlias = dict[tuple[str, str, int], list[dict[str, Any]]]
#: Days of which the rate is taken that a forecast goes on with.
RECENT_DAYS = 7
#: Seconds that a quota lasts below which it is looked at closely; longer than any notice and the hour of a sum.
CLOSE_S = 6 * HOUR


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
    exact = used_by(quota, known, now=now)
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
    sums: Sums | None = None,
) -> list[Standing]:
    """How each quota stands for the person and the activity of `ask`; `sums` are used and added to."""
    claims = list(claims_of(connection, platform, ask, now=now))
    sums = {} if sums is None else sums
    found = []
    for quota in quotas:
        key = (quota.per, ask.person if quota.per == "person" else ask.activity, quota.window_days)
        if quota.gpu_hours is not None and key not in sums:
            sums[key] = by_group(
                connection,
                since=begin_of("hour", now - quota.window_days * DAY),
                until=now,
                by=("activity", "flavour"),
                person=ask.person if quota.per == "person" else None,
                activity=ask.activity if quota.per == "activity" else None,
            )
        mine = [claim for claim in claims if counts(platform, quota, ask, vars(claim))]
        rows = [row for row in sums.get(key, ()) if counts(platform, quota, ask, row | {"person": ask.person})]
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


def of_person(
    connection: sa.Connection, platform: Platform, person: str, activities: Iterable[str], *, now: float, sums: Sums
) -> list[QuotaOffer]:
    """How every limit of GPU-hours stands that somebody of these activities meets, and when it is used up."""
    found: dict[str, QuotaOffer] = {}
    for activity in activities:
        mine = [
            rule
            for rule in rules(platform)
            if rule.gpu_hours is not None and (not rule.activities or activity in rule.activities)
        ]
        ask = Ask("session", person, activity, "", 0, 0.0, 0.0)
        lately = [rule.model_copy(update={"window_days": RECENT_DAYS}) for rule in mine]
        now_and_lately = standings(connection, platform, [*mine, *lately], ask, now=now, sums=sums)
        for one, recent in zip(now_and_lately[: len(mine)], now_and_lately[len(mine) :], strict=True):
            # One quota of each activity is one limit a piece; those of the person are the same for all.
            name = one.quota.name if one.quota.per == "person" else f"{one.quota.name}/{activity}"
            found[name] = _offer(one, activity, out_at(one, recent=recent.used, recent_s=RECENT_DAYS * DAY, now=now))
    return list(found.values())


def _offer(one: Standing, activity: str, out: float | None) -> QuotaOffer:
    quota = one.quota
    return QuotaOffer(
        quota.name,
        quota.title,
        quota.gpu_hours or 0.0,
        quota.window_days,
        round(one.used, 3),
        round(one.committed, 3),
        list(quota.activities) if quota.per == "person" else [activity],
        list(quota.flavours),
        out,
    )


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
            ends = [
                _closely(connection, platform, one, ask, now=now)
                for one in standings(connection, platform, quotas, ask, now=now)
                if one.lasts_s() is not None
            ]
            known[key] = min(ends, key=lambda one: one.lasts_s() or 0.0, default=None)
        if (standing := known.get(key)) is not None:
            found[row["pod_uid"]] = standing
    return found


def _closely(connection: sa.Connection, platform: Platform, one: Standing, ask: Ask, *, now: float) -> Standing:
    """The same to the second, if it is about to be used up: nobody ends for the rounding of a window."""
    if (one.lasts_s() or 0.0) > CLOSE_S:
        return one
    known = spells(connection, platform, one.quota, ask, now=now)
    return replace(one, used=used_by(one.quota, known, now=now))


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
        if counts(platform, quota, ask, {**row, "person": ask.person})
    ]
    claims = claims_of(connection, platform, ask, now=now)
    to_come = [Spell(now, c.until, c.rate) for c in claims if counts(platform, quota, ask, vars(c)) and c.until > now]
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
