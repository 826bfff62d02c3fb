"""How long a session may last, whether anybody uses it, and what is said about both. Pure.

Whatever is not measured is no evidence: only what was seen to do nothing is idle. A cell that runs for long is use.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiinfn_hub.catalogue import Flavour, Idle, Platform
from aiinfn_hub.contract.life import REPORT_EVERY_S, SessionLife, SessionUse
from aiinfn_hub.contract.quantities import format_cpu, format_duration
from aiinfn_hub.identity.lapse import Lapse
from aiinfn_hub.kube.slim import Pod
from aiinfn_hub.pods import names

#: Seconds after which what a session said of itself says nothing of now: some of its reports were lost.
FRESH_S = 3.5 * REPORT_EVERY_S
#: Seconds that one click extends a session at most; whoever needs more clicks again, and so is there.
STEP_S = 4 * 3600.0


@dataclass(frozen=True)
class Life:
    """The time of one session: it started (Unix seconds), was asked for and extended, and may last, in seconds."""

    flavour: Flavour | None
    started: float
    planned_s: float
    extended_s: float
    most_s: float

    @property
    def ends(self) -> float:
        """When it is over."""
        return self.started + self.planned_s + self.extended_s

    @property
    def extend_s(self) -> float:
        """Seconds that the next click adds, whatever the quotas say."""
        return max(0.0, min(STEP_S, self.most_s - self.planned_s - self.extended_s))


@dataclass(frozen=True)
class Use:
    """What a session did, as far as its own server says; times in Unix seconds of our clock.

    `quiet_since` is of kernels and terminals, `cpu_quiet_since` of the processor; None where that is not measured.
    """

    heard_at: float
    quiet_since: float
    cpu_quiet_since: float | None


@dataclass(frozen=True)
class Idleness:
    """Since when nothing happened; None where something did, or where `unknown` says what nobody measured.

    `device` says that an accelerator was looked at too.
    """

    since: float | None = None
    unknown: str = ""
    device: bool = False


def life(platform: Platform, pod: Pod, extended_s: float) -> Life | None:
    """The time of a session; None where none was asked for, or it has no node yet.

    An activity or a flavour that left the platform file takes no time from a session, and gives none.
    """
    asked, started = pod.annotations.get(names.LIFETIME, ""), pod.scheduled or pod.started
    if started is None or not (asked.isascii() and asked.isdigit()):
        return None
    flavour = platform.known_flavour(pod.labels.get(names.FLAVOUR, ""))
    activity = next((one for one in platform.activities if one.name == pod.labels.get(names.ACTIVITY)), None)
    most = flavour.max_lifetime_s + (activity.max_extension_s or 0) if flavour and activity else 0.0
    return Life(flavour, started, float(asked), extended_s, most)


def heard(before: Use | None, said: SessionUse, rule: Idle | None, now: float) -> Use:
    """What is known after a report.

    The processor has been quiet since the first report of a row that all stay below the rule's limit.
    """
    quiet_since = now if said.busy else now - max(0.0, said.quiet_s)
    if said.cpu_cores is None:
        return Use(now, quiet_since, None)
    known = before.cpu_quiet_since if before is not None else None
    works = rule is not None and said.cpu_cores * 1000 >= rule.cpu_below
    return Use(now, quiet_since, now if works or known is None else known)


def idleness(rule: Idle, use: Use | None, *, device: bool, device_quiet: bool | None, now: float) -> Idleness:
    """Whether nobody uses a session.

    Args:
        rule: of its flavour.
        use: what its server said last.
        device: whether it has an accelerator, and somebody measures those.
        device_quiet: whether the accelerator did nothing for the time of the rule; None for nobody knows.
        now: Unix seconds.
    """
    if use is None or now - use.heard_at > FRESH_S:
        return Idleness(unknown="the session does not say what it does")
    if use.cpu_quiet_since is None:
        return Idleness(unknown="its use of the processor is not measured")
    since = max(use.quiet_since, use.cpu_quiet_since)
    if now - since < rule.after_s:
        # Whether the accelerator does anything is asked only when all else is quiet for long enough.
        return Idleness(since if now - since >= REPORT_EVERY_S else None)
    if device and device_quiet is None:
        return Idleness(unknown="its use of the accelerator is not measured")
    return Idleness(since if device_quiet or not device else None, device=device)


def lapse(known: Life | None, idle: Idleness, rule: Idle | None, *, now: float, notice_s: float) -> Lapse | None:
    """Why a session is to end soon, if it is: its time is over within the notice period, or nobody uses it."""
    if known is not None and now >= known.ends - notice_s:
        more = f", and extended it by {format_duration(known.extended_s)}" if known.extended_s else ""
        title = known.flavour.title if known.flavour else "it"
        said = f"You asked for {format_duration(known.planned_s)}{more}."
        saved = "what is open in JupyterLab is saved just before."
        if known.extend_s:
            return Lapse("lifetime", said, f"Extend it if you need it; {saved}", due=known.ends)
        return Lapse("longest", f"{said} {title} may not last longer.", f"Save what you need; {saved}", due=known.ends)
    if rule is not None and idle.since is not None and now - idle.since >= rule.after_s:
        return Lapse(
            "idle", idle_words(rule, device=idle.device), "Run anything, or say that you are here, and it goes on."
        )
    return None


def idle_words(rule: Idle, *, device: bool) -> str:
    """What was seen of a session that nobody uses."""
    also = ", and the accelerator was idle" if device else ""
    return (
        f"For {format_duration(rule.after_s)} no kernel and no terminal did anything, everything together used less "
        f"than {format_cpu(rule.cpu_below)} cores{also}."
    )


def shown(known: Life, idle: Idleness) -> SessionLife:
    """For the session itself, and its person."""
    rule = known.flavour.idle if known.flavour else None
    return SessionLife(
        known.flavour.title if known.flavour else "",
        known.started,
        known.ends,
        known.extend_s,
        float(rule.after_s) if rule else None,
        idle.since,
        idle.unknown if rule else "",
    )
