"""What somebody may still hold and use, and when again if it is not enough now. Pure.

GPU-hours are weighted: hours of a whole card of reference. What runs may go on to its planned end, and what is about to
start is counted with all that it asked for, so that two of them cannot spend the same hour.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from aiinfn_hub.catalogue import Flavour, Platform, Quota
from aiinfn_hub.contract.quantities import format_duration

DAY, HOUR = 86400.0, 3600.0
#: Seconds that a session is worth starting for; with less left, it would end as it begins.
LEAST_S = 900.0


@dataclass(frozen=True)
class Ask:
    """A session or a job that is to start: `units` of a flavour for `planned_s` seconds; `weight` is one unit's.

    `server` names a session: what it held before is over when it starts. `run_id` names a job.
    """

    kind: str
    person: str
    activity: str
    flavour: str
    units: int
    weight: float
    planned_s: float
    server: str | None = None
    run_id: str | None = None

    @property
    def rate(self) -> float:
        """Weighted GPU-hours in an hour."""
        return self.units * self.weight

    @property
    def gpu_hours(self) -> float:
        """Weighted GPU-hours in all."""
        return self.rate * self.planned_s / HOUR

    @property
    def least_s(self) -> float:
        """Seconds for which it is worth starting: a session tells its person and ends in time, a job loses its work."""
        return min(LEAST_S, self.planned_s) if self.kind == "session" else self.planned_s

    @property
    def least(self) -> float:
        """Weighted GPU-hours of that."""
        return self.rate * self.least_s / HOUR


@dataclass(frozen=True)
class Spell:
    """A time in which something was or will be used: from `begin` to `end` in Unix seconds, at `rate` cards."""

    begin: float
    end: float
    rate: float


@dataclass(frozen=True)
class Standing:
    """How a quota stands for those whose use it counts together.

    Attributes:
        used: weighted GPU-hours in the window up to now.
        committed: what runs and waits may use beyond that.
        held: units that are held or about to be.
        queued: units of jobs that are in the queue for them.
        rate: cards that are in use now.
    """

    quota: Quota
    used: float = 0.0
    committed: float = 0.0
    held: int = 0
    queued: int = 0
    rate: float = 0.0

    def lasts_s(self) -> float | None:
        """Seconds until the quota is used at the rate of now; None if it has no end, or nothing uses it."""
        if self.quota.gpu_hours is None or self.rate <= 0:
            return None
        return max(0.0, self.quota.gpu_hours - self.used) / self.rate * HOUR

    @property
    def left(self) -> float | None:
        """Weighted GPU-hours that nobody has a claim to; None for no limit."""
        return None if self.quota.gpu_hours is None else max(0.0, self.quota.gpu_hours - self.used - self.committed)


@dataclass(frozen=True)
class Verdict:
    """Whether something may start.

    Attributes:
        seconds: for how long, at most what was asked for.
        quota: the one that decides; None if none does.
        sentence: why not, or why shorter; "" for neither.
    """

    seconds: float
    quota: Quota | None = None
    sentence: str = ""

    @property
    def granted(self) -> bool:
        """Whether it may start at all."""
        return self.seconds > 0


@dataclass(frozen=True)
class Decision:
    """What was decided, and when enough would be left again if nothing else starts (None: nobody knows, or never)."""

    verdict: Verdict
    again_at: float | None = None


def of_session(flavour: Flavour, activity: str, person: str, server: str, planned_s: float) -> Ask:
    """A session asks for one unit of its flavour; what has no accelerator is not counted."""
    units = 1 if flavour.accelerator else 0
    return Ask("session", person, activity, flavour.name, units, flavour.weight, planned_s, server)


def rules(platform: Platform) -> tuple[Quota, ...]:
    """Every quota: those of the list, and those that an activity and a flavour bring along."""
    of_activities = [
        Quota(
            name=f"activity-{a.name}"[:63].rstrip("-"),
            title=f"GPU-hours of {a.title}",
            per="activity",
            activities=(a.name,),
            units=None,
            gpu_hours=a.gpu_hours,
            window_days=a.window_days,
        )
        for a in platform.activities
        if a.gpu_hours is not None
    ]
    of_flavours = [
        Quota(
            name=f"flavour-{f.name}"[:63].rstrip("-"),
            title=f"units of {f.title} for one person",
            flavours=(f.name,),
            units=f.max_per_user,
            gpu_hours=None,
            window_days=30,
        )
        for f in platform.flavours
        if f.max_per_user is not None
    ]
    return (*of_activities, *of_flavours, *platform.quotas.rules)


def meant(platform: Platform, activity: str, flavour: Flavour) -> list[Quota]:
    """The quotas that count a session or a job of this activity on this flavour."""
    return [
        rule
        for rule in rules(platform)
        if (not rule.activities or activity in rule.activities)
        and (flavour.name in rule.flavours or (not rule.flavours and flavour.accelerator))
    ]


def judge(standings: Sequence[Standing], ask: Ask) -> Verdict:
    """Whether it may start, and for how long: the quota that gives least decides."""
    verdicts = [_one(standing, ask) for standing in standings]
    return min(verdicts, key=lambda verdict: verdict.seconds, default=Verdict(ask.planned_s))


def _one(standing: Standing, ask: Ask) -> Verdict:
    quota = standing.quota
    if ask.kind == "session" and (sentence := crowded(standing, ask)):
        return Verdict(0.0, quota, sentence)
    if quota.units is not None and ask.units > quota.units:
        return Verdict(
            0.0, quota, f"It asks for {ask.units}, and there are never more than {quota.units} {quota.title}."
        )
    if standing.left is None or ask.rate <= 0:
        return Verdict(ask.planned_s)
    seconds = min(ask.planned_s, standing.left / ask.rate * HOUR)
    if seconds >= ask.planned_s:
        return Verdict(ask.planned_s)
    said = f"{standing.left:.1f} of {quota.gpu_hours:g} {quota.title} are left"
    if seconds >= ask.least_s:
        return Verdict(seconds, quota, f"{said}: enough for {format_duration(seconds)}.")
    return Verdict(0.0, quota, f"{said}; it asks for {ask.gpu_hours:.1f}.")


def crowded(standing: Standing, ask: Ask) -> str:
    """Why there are no units for it now; "" if there are. A session is refused then, and a job waits."""
    quota, taken = standing.quota, standing.held + standing.queued
    if quota.units is None or taken + ask.units <= quota.units:
        return ""
    queue = f", {standing.queued} of them by jobs in the queue" if standing.queued else ""
    return f"{taken} of {quota.units} {quota.title} are in use{queue}."


def used_by(quota: Quota, spells: Iterable[Spell], *, now: float) -> float:
    """Weighted GPU-hours that were used in the window of a quota up to now, to the second."""
    since = now - quota.window_days * DAY
    return sum(spell.rate * max(0.0, min(spell.end, now) - max(spell.begin, since)) for spell in spells) / HOUR


def again_at(quota: Quota, spells: Iterable[Spell], *, needed: float, now: float) -> float | None:
    """When so many GPU-hours are left at the latest, if nothing else starts; None: never, it is more than the quota.

    A window slides: what was used leaves it as it came, one window later.

    Args:
        quota: one with GPU-hours.
        spells: what was used, and what runs up to its planned end.
        needed: weighted GPU-hours.
        now: Unix seconds.
    """
    room = (quota.gpu_hours or 0.0) - needed
    if room < 0:
        return None
    window = quota.window_days * DAY
    changes, claimed = [], 0.0
    for spell in spells:
        # What is to come has its claim already, so that the sum only falls: as each spell leaves the window.
        claimed += spell.rate * max(0.0, spell.end - max(spell.begin, now - window)) / HOUR
        changes += [(spell.begin + window, -spell.rate), (spell.end + window, spell.rate)]
    slope = sum(by for at, by in changes if at <= now)
    at = now
    for moment, by in sorted(change for change in changes if change[0] > now):
        after = claimed + slope * (moment - at) / HOUR
        if after <= room < claimed:
            return at + (claimed - room) / -slope * HOUR
        if claimed <= room:
            break
        claimed, slope, at = after, slope + by, moment
    return at


def out_at(standing: Standing, *, recent: float, recent_s: float, now: float) -> float | None:
    """When a quota is spent at the rate of late; None if it lasts.

    Args:
        standing: of a quota with GPU-hours.
        recent: weighted GPU-hours of late.
        recent_s: how many seconds that is.
        now: Unix seconds.
    """
    quota, left = standing.quota, standing.left
    if quota.gpu_hours is None or left is None or recent <= 0:
        return None
    if recent / recent_s * quota.window_days * DAY <= quota.gpu_hours:
        return None
    return now + left / recent * recent_s
