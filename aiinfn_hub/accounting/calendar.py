"""Sessions and the calendar: nobody starts into units that are somebody else's then. Pure.

Jobs are not asked: what they hold is lent, and Kueue takes it back for a session at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aiinfn_hub.accounting.claims import Books
from aiinfn_hub.accounting.quotas import Ask, Verdict
from aiinfn_hub.catalogue import CalendarReservation, Flavour, Platform, Quota


@dataclass(frozen=True)
class Holding:
    """Units that a session of an activity holds, at most until a time (Unix seconds)."""

    activity: str
    units: int
    until: float


@dataclass(frozen=True)
class Limit:
    """The verdict of the calendar, and when it would be another one if it refuses (Unix seconds)."""

    verdict: Verdict
    again_at: float | None = None


def ahead(platform: Platform, ask: Ask, now: float) -> list[CalendarReservation]:
    """The reservations of others that something would meet, the next one first."""
    if ask.kind != "session":
        return []
    found = [
        one
        for one in platform.reservations
        if one.flavour == ask.flavour and one.activity != ask.activity
        if one.begins < now + ask.planned_s and one.ends > now
    ]
    return sorted(found, key=lambda one: one.begins)


def holdings(open_books: Books, ask: Ask, now: float) -> list[Holding]:
    """What everybody's sessions hold of the flavour, but for the one that asks."""
    own = (ask.person, ask.server)
    held = [row for row in open_books.held if row["kind"] == "session" and row["flavour"] == ask.flavour]
    seen = {own, *((row["person"], row["server"]) for row in held)}
    # One whose time is over is about to be stopped, and is still there.
    found = [
        Holding(row["activity"], row["units"], max(row["held_from"] + row["planned_s"], now + 1.0))
        for row in held
        if (row["person"], row["server"]) != own
    ]
    return found + [
        Holding(row["activity"], row["units"], now + row["planned_s"])
        for row in open_books.reserved
        if row["flavour"] == ask.flavour and (row["person"], row["server"]) not in seen
    ]


def limit(flavour: Flavour, met: Sequence[CalendarReservation], held: Iterable[Holding], ask: Ask, now: float) -> Limit:
    """For how long a session may run beside these reservations: to the begin of the first that leaves no room.

    Args:
        flavour: what it asks for; its `units` are all that there are.
        met: as `ahead` has them.
        held: as `holdings` has it.
        ask: the session.
        now: Unix seconds.
    """
    known = list(held)
    for one in met:
        at = max(one.begins, now)
        kept = _kept([other for other in met if other.active(at)], known, at)
        others = sum(h.units for h in known if h.until > at and h.activity not in kept)
        if others + ask.units + sum(kept.values()) <= (flavour.units or 0):
            continue
        seconds = at - now
        many = f"1 unit of {flavour.title} is" if one.units == 1 else f"{one.units} units of {flavour.title} are"
        said = f"{many} reserved for {one.title}"
        title = f"units of {flavour.title} beside {one.title}"
        rule = Quota(name=one.name, title=title, units=one.units, gpu_hours=None, window_days=30)
        if seconds < ask.least_s:
            return Limit(Verdict(0.0, rule, f"{said} now, and the others are in use."), one.ends)
        return Limit(Verdict(seconds, rule, f"{said} when this session would still run: it ends before."))
    return Limit(Verdict(ask.planned_s))


def _kept(active: Iterable[CalendarReservation], held: Sequence[Holding], at: float) -> dict[str, int]:
    """Units that are each activity's: those that are reserved, or more if it holds more."""
    reserved: dict[str, int] = {}
    for one in active:
        reserved[one.activity] = reserved.get(one.activity, 0) + one.units
    return {
        activity: max(units, sum(h.units for h in held if h.until > at and h.activity == activity))
        for activity, units in reserved.items()
    }
