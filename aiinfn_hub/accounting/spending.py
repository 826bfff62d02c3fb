"""How the quotas stand, from the ledger, and what is taken from them in advance."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, TypeAlias

import sqlalchemy as sa

from aiinfn_hub.accounting import calendar
from aiinfn_hub.accounting.amounts import GOOD
from aiinfn_hub.accounting.claims import HOLD_S, Books, books, claims_of, counts, of_sessions
from aiinfn_hub.accounting.quotas import (
    DAY,
    HOUR,
    Ask,
    Decision,
    Spell,
    Standing,
    again_at,
    crowded,
    judge,
    meant,
    out_at,
    rules,
    used_by,
)
from aiinfn_hub.accounting.refusals import note_refusal
from aiinfn_hub.accounting.rollups import begin_of
from aiinfn_hub.accounting.subjects import alias_of
from aiinfn_hub.accounting.usage import by_group
from aiinfn_hub.catalogue import Platform, Quota
from aiinfn_hub.contract.offer import QuotaOffer
from aiinfn_hub.store.engine import insert, lock
from aiinfn_hub.store.ledger_tables import record, reservation, subject

#: "person" or "activity", which one, and days up to now.
Key: TypeAlias = tuple[str, str, int]
#: Rows of usage by activity and flavour.
Sums: TypeAlias = dict[Key, list[dict[str, Any]]]
#: Days of which the rate is taken that a forecast goes on with.
RECENT_DAYS = 7
#: Seconds that a quota lasts below which it is looked at closely; longer than any notice and the hour of a sum.
CLOSE_S = 6 * HOUR


def reserve(connection: sa.Connection, platform: Platform, ask: Ask, *, now: float) -> Decision:
    """Take what a session may use out of everybody's reach until the ledger sees it; one reservation a server.

    What is refused is noted: it is demand that no record shows.
    """
    lock(connection, reservation)
    connection.execute(sa.delete(reservation).where(reservation.c.made_at < now - HOLD_S))
    decision = decide(connection, platform, ask, now=now)
    if not decision.verdict.granted:
        note_refusal(connection, ask, decision.verdict.quota.name if decision.verdict.quota else "", now=now)
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


def decide(connection: sa.Connection, platform: Platform, ask: Ask, *, now: float) -> Decision:
    """Whether it may start, and for how long, by every quota that counts it, and by the calendar."""
    met = calendar.ahead(platform, ask, now)
    if not met:
        return _by_quotas(connection, platform, ask, now=now)
    held = of_sessions(books(connection, now=now), ask, now=now)
    booked = calendar.limit(platform.flavour(ask.flavour), met, held, ask, now)
    return min(booked, _by_quotas(connection, platform, ask, now=now), key=lambda one: one.verdict.seconds)


def _by_quotas(connection: sa.Connection, platform: Platform, ask: Ask, *, now: float) -> Decision:
    quotas = meant(platform, ask.activity, platform.flavour(ask.flavour))
    known = books(connection, ask, now=now)
    found = standings(platform, quotas, ask, known, summed(connection, needed(quotas, ask), now=now), now=now)
    verdict = judge(found, ask)
    if verdict.seconds >= ask.planned_s:
        return Decision(verdict)
    # Sums are of whole hours, which is up to an hour too much; before anybody gets less it is looked at to the second.
    limits = [one for one in found if one.quota.gpu_hours is not None]
    closely = [(one, spells(connection, platform, one.quota, ask, known, now=now)) for one in limits]
    exact = [replace(one, used=used_by(one.quota, used, now=now)) for one, used in closely]
    verdict = judge([*(one for one in found if one.quota.gpu_hours is None), *exact], ask)
    if verdict.granted or verdict.quota is None or verdict.quota.gpu_hours is None:
        return Decision(verdict)
    # Each of them has to have room.
    times = [again_at(one.quota, used, needed=ask.least, now=now) for one, used in closely]
    return Decision(verdict, None if None in times else max(time for time in times if time is not None))


def room(connection: sa.Connection, platform: Platform, ask: Ask, *, now: float) -> str:
    """Why there are no units for a job that is to go into the queue; "" if there are."""
    quotas = [
        quota.model_copy(update={"gpu_hours": None})
        for quota in meant(platform, ask.activity, platform.flavour(ask.flavour))
        if quota.units is not None
    ]
    if not quotas:
        return ""
    found = standings(platform, quotas, ask, books(connection, ask, now=now), {}, now=now)
    return next((sentence for one in found if (sentence := crowded(one, ask))), "")


def needed(quotas: Iterable[Quota], ask: Ask) -> set[Key]:
    """Which sums say how these quotas stand. Pure."""
    return {_key(quota, ask) for quota in quotas if quota.gpu_hours is not None}


def _key(quota: Quota, ask: Ask) -> Key:
    return (quota.per, ask.person if quota.per == "person" else ask.activity, quota.window_days)


def summed(connection: sa.Connection, keys: Iterable[Key], *, now: float) -> Sums:
    """Usage by activity and flavour, from the begin of an hour on, so that kept sums are enough."""
    return {
        (per, who, days): by_group(
            connection,
            since=begin_of("hour", now - days * DAY),
            until=now,
            by=("activity", "flavour"),
            person=who if per == "person" else None,
            activity=who if per == "activity" else None,
        )
        for per, who, days in keys
    }


def standings(
    platform: Platform, quotas: Iterable[Quota], ask: Ask, open_books: Books, sums: Sums, *, now: float
) -> list[Standing]:
    """How each quota stands for the person and the activity of `ask`. Pure."""
    claims = list(claims_of(open_books, platform, ask, now=now))
    found = []
    for quota in quotas:
        mine = [claim for claim in claims if counts(platform, quota, ask, vars(claim))]
        used = sums[_key(quota, ask)] if quota.gpu_hours is not None else []
        rows = [row for row in used if counts(platform, quota, ask, row | {"person": ask.person})]
        found.append(
            Standing(
                quota,
                used=sum(row["weighted_gpu_hours"] for row in rows),
                committed=sum(claim.hours(now) for claim in mine),
                held=sum(claim.units for claim in mine if claim.holds),
                queued=sum(claim.units for claim in mine if claim.queued),
                rate=sum(claim.rate for claim in mine if claim.holds),
            )
        )
    return found


def met_by(platform: Platform, person: str, activities: Iterable[str]) -> list[tuple[Ask, list[Quota], list[Quota]]]:
    """For each activity of somebody: the limits of GPU-hours that are met there, and the same of a week. Pure."""
    found = []
    for activity in activities:
        mine = [
            rule
            for rule in rules(platform)
            if rule.gpu_hours is not None and (not rule.activities or activity in rule.activities)
        ]
        lately = [rule.model_copy(update={"window_days": RECENT_DAYS}) for rule in mine]
        found.append((Ask("session", person, activity, "", 0, 0.0, 0.0), mine, lately))
    return found


def offers(
    platform: Platform,
    met: Iterable[tuple[Ask, list[Quota], list[Quota]]],
    open_books: Books,
    sums: Sums,
    *,
    now: float,
) -> list[QuotaOffer]:
    """How every limit of `met_by` stands, and when it is used up. Pure."""
    found: dict[str, QuotaOffer] = {}
    for ask, mine, lately in met:
        stand = [standings(platform, quotas, ask, open_books, sums, now=now) for quotas in (mine, lately)]
        for one, recent in zip(*stand, strict=True):
            # One quota of each activity is one limit a piece; those of the person are the same for all.
            name = one.quota.name if one.quota.per == "person" else f"{one.quota.name}/{ask.activity}"
            out = out_at(one, recent=recent.used, recent_s=RECENT_DAYS * DAY, now=now)
            found[name] = _offer(one, ask.activity, out)
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
        .where(record.c.held_to.is_(None), record.c.held_from.is_not(None), GOOD)
        .where(record.c.kind == "session", record.c.units > 0)
    )
    flavours = {flavour.name: flavour for flavour in platform.flavours}
    open_books = books(connection, now=now)
    sums: Sums = {}
    known: dict[tuple[str, str, str], Standing | None] = {}
    found = {}
    for row in connection.execute(query).mappings():
        key = (row["person"], row["activity"], row["flavour"])
        if key not in known and row["flavour"] in flavours:
            ask = Ask("session", *key, row["units"], row["weight"], 0.0)
            quotas = [q for q in meant(platform, ask.activity, flavours[ask.flavour]) if q.gpu_hours is not None]
            sums |= summed(connection, needed(quotas, ask) - sums.keys(), now=now)
            ends = [
                _closely(connection, platform, one, ask, open_books, now=now)
                for one in standings(platform, quotas, ask, open_books, sums, now=now)
                if one.lasts_s() is not None
            ]
            known[key] = min(ends, key=lambda one: one.lasts_s() or 0.0, default=None)
        if (standing := known.get(key)) is not None:
            found[row["pod_uid"]] = standing
    return found


def _closely(
    connection: sa.Connection, platform: Platform, one: Standing, ask: Ask, open_books: Books, *, now: float
) -> Standing:
    """The same to the second, if it is about to be used up: nobody ends for the rounding of a window."""
    if (one.lasts_s() or 0.0) > CLOSE_S:
        return one
    known = spells(connection, platform, one.quota, ask, open_books, now=now)
    return replace(one, used=used_by(one.quota, known, now=now))


def spells(
    connection: sa.Connection,
    platform: Platform,
    quota: Quota,
    ask: Ask,
    open_books: Books,
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
        GOOD,
        record.c.person == alias_of(ask.person) if quota.per == "person" else record.c.activity == ask.activity,
    )
    used = [
        Spell(row["held_from"], now if row["held_to"] is None else row["held_to"], row["units"] * row["weight"])
        for row in connection.execute(query).mappings()
        if counts(platform, quota, ask, {**row, "person": ask.person})
    ]
    claims = claims_of(open_books, platform, ask, now=now)
    to_come = [Spell(now, c.until, c.rate) for c in claims if counts(platform, quota, ask, vars(c)) and c.until > now]
    return used + to_come
