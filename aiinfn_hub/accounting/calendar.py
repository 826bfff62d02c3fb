"""Sessions and the calendar: nobody starts into units that are somebody else's then. Pure.

Jobs are not asked: what they hold is lent, and Kueue takes it back for a session at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aiinfn_hub.accounting.claims import Claim
from aiinfn_hub.accounting.quotas import Ask, Decision, Verdict
from aiinfn_hub.catalogue import CalendarReservation, Flavour, Platform, Quota


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


def limit(
    flavour: Flavour, met: Sequence[CalendarReservation], held: Iterable[Claim], ask: Ask, now: float
) -> Decision:
    """For how long a session may run beside these reservations: to the begin of the first that leaves no room.

    Args:
        flavour: what it asks for; its `units` are all that there are.
        met: as `ahead` has them.
        held: what the sessions of everybody else hold.
        ask: the session.
        now: Unix seconds.
    """
    # One whose time is over is about to be stopped, and is still there.
    known = [
        (one.activity, one.units, max(one.until, now + 1.0))
        for one in held
        if one.flavour == flavour.name or one.flavour in flavour.formerly
    ]
    for one in met:
        at = max(one.begins, now)
        kept = _kept([other for other in met if other.active(at)], known, at)
        others = sum(units for activity, units, until in known if until > at and activity not in kept)
        if others + ask.units + sum(kept.values()) <= (flavour.units or 0):
            continue
        seconds = at - now
        many = f"1 unit of {flavour.title} is" if one.units == 1 else f"{one.units} units of {flavour.title} are"
        said = f"{many} reserved for {one.title}"
        title = f"units of {flavour.title} beside {one.title}"
        rule = Quota(name=one.name, title=title, units=one.units, gpu_hours=None, window_days=30)
        if seconds < ask.least_s:
            return Decision(Verdict(0.0, rule, f"{said} now, and the others are in use."), one.ends)
        return Decision(Verdict(seconds, rule, f"{said} when this session would still run: it ends before."))
    return Decision(Verdict(ask.planned_s))


def _kept(active: Iterable[CalendarReservation], held: Sequence[tuple[str, int, float]], at: float) -> dict[str, int]:
    """Units that are each activity's: those that are reserved, or more if it holds more."""
    reserved: dict[str, int] = {}
    for one in active:
        reserved[one.activity] = reserved.get(one.activity, 0) + one.units
    return {
        activity: max(units, sum(taken for who, taken, until in held if until > at and who == activity))
        for activity, units in reserved.items()
    }
