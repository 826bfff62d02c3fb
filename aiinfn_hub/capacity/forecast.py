"""When the next unit is given back: from the time limits of those who hold one, and from how long others did. Pure.

What is held ends at its limit at the latest. How much earlier is taken from cases: how long sessions and jobs of the
same kind really lasted, as a share of what they had asked for. Only those cases count that lasted longer than the
holder has by now. The chance that enough units are free at a time follows from the chances of the holders, one by one;
the range is from the time at which it is one in four to that at which it is three in four.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

#: Cases below which nothing is said but the time limits: of fewer, one more changes the answer by much.
ENOUGH = 8
#: The chances between which the range lies.
EARLY, LATE = 0.25, 0.75


@dataclass(frozen=True)
class Holder:
    """Something that holds units of a flavour since a time, and for `planned_s` seconds at most (0: nobody knows)."""

    kind: str
    units: int
    since: float
    planned_s: float

    @property
    def until(self) -> float | None:
        """Its end at the latest; None if nobody knows."""
        return self.since + self.planned_s if self.planned_s > 0 else None


@dataclass(frozen=True)
class Forecast:
    """When so many units are free; times are Unix seconds.

    Attributes:
        early: at the earliest, as a rule; None without enough cases.
        late: at the latest, as a rule.
        limit: at the latest of all, by the time limits; None if nobody knows.
        cases: from how many the range is.
    """

    early: float | None
    late: float | None
    limit: float | None
    cases: int = 0


def forecast(
    holders: Sequence[Holder], cases: Mapping[str, Sequence[float]], *, place: int, now: float
) -> Forecast | None:
    """When the unit of who has this place is free; None if the holders give back fewer than that.

    Args:
        holders: of one flavour.
        cases: by kind, sorted: held time as a share of the time that was asked for.
        place: 1 for the next unit.
        now: Unix seconds.
    """
    known = [holder for holder in holders if holder.until is not None]
    limit = _limit(known, place, now)
    if limit is None:
        return None
    used = sum(len(cases.get(kind, ())) for kind in {holder.kind for holder in known})
    if any(len(cases.get(holder.kind, ())) < ENOUGH for holder in known):
        return Forecast(None, None, limit)
    ends = [_ends(holder, cases[holder.kind], now) for holder in known]
    times = sorted({time for mine in ends for time in mine})
    early, late = (_when(known, ends, times, place, chance) for chance in (EARLY, LATE))
    return Forecast(early, late, limit, used)


def _limit(holders: Sequence[Holder], place: int, now: float) -> float | None:
    """When enough are free if everything lasts as long as it may; what is overdue can end at any moment."""
    free = 0
    for holder in sorted(holders, key=lambda holder: holder.until or 0.0):
        free += holder.units
        if free >= place:
            return max(now, holder.until or 0.0)
    return None


def _ends(holder: Holder, cases: Sequence[float], now: float) -> list[float]:
    """The times at which it may end, each as likely as the others, sorted."""
    elapsed = (now - holder.since) / holder.planned_s
    longer = cases[bisect_right(cases, elapsed) :]
    limit = holder.since + holder.planned_s
    # Who has outlasted everybody before lasts to the limit; what is overdue is over soon.
    return [min(limit, holder.since + share * holder.planned_s) for share in longer] or [max(now, limit)]


def _when(
    holders: Sequence[Holder], ends: Sequence[Sequence[float]], times: Sequence[float], place: int, chance: float
) -> float:
    """The first of these times at which enough are free with this chance; it only grows with time."""

    def likely(time: float) -> float:
        freed = [bisect_right(mine, time) / len(mine) for mine in ends]
        return _at_least(place, freed, [holder.units for holder in holders])

    number = bisect_left(times, chance, key=likely)
    return times[min(number, len(times) - 1)]


def _at_least(wanted: int, chances: Sequence[float], units: Sequence[int]) -> float:
    """The chance that at least so many units are free, if each holder gives back all of its own with its chance."""
    fewer = [1.0] + [0.0] * (wanted - 1)  # the chance of exactly so many, for all that are not enough
    for chance, amount in zip(chances, units, strict=True):
        for number in reversed(range(wanted)):
            more = fewer[number - amount] if number >= amount else 0.0
            fewer[number] = fewer[number] * (1 - chance) + more * chance
    return 1.0 - sum(fewer)
