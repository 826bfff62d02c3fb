"""How long a session lasts and whether it is used: what its own server says of it, and what it is told."""

from __future__ import annotations

from aiinfn_hub.contract.jobs import Wire

#: Seconds between two reports of a session.
REPORT_EVERY_S = 30.0
#: The variable by which a session that was started to make room knows where the home is that is full.
FULL_HOME_VARIABLE = "AIINFN_FULL_HOME"
#: The variable that says what a session may write to: a list of `MountedVolume` as JSON.
VOLUMES_VARIABLE = "AIINFN_VOLUMES"

#: The variable with the buckets of the object store that a session is shown, with commas between.
BUCKETS_VARIABLE = "AIINFN_BUCKETS"


class MountedVolume(Wire, frozen=True):
    """A volume of the platform that a session may write to, and whom to ask about it ("" for nobody)."""

    name: str
    kind: str
    mount: str
    contact: str = ""


class SessionUse(Wire, frozen=True):
    """What a session's own server sees.

    Attributes:
        busy: kernels that run something now.
        quiet_s: seconds since a kernel or a terminal did anything, or the person said to be here.
        cpu_cores: cores that everything in the session used since the last report, in the mean; None for not measured.
    """

    busy: int
    quiet_s: float
    cpu_cores: float | None = None


class SessionLife(Wire, frozen=True):
    """How long a session may go on. Times are Unix seconds.

    Attributes:
        flavour: its title.
        started: when it came to its node.
        ends: when it is stopped; None for never.
        extend_s: by how many seconds it may be extended now, whatever the quotas say; 0 for not at all.
        idle_after_s: after how many seconds without use it is stopped; None for never.
        idle_since: since when nothing happened in it; None where it is used, or nobody knows.
        idle_unknown: what is not measured, so that it is not stopped for being idle; "" for nothing.
    """

    flavour: str
    started: float
    ends: float | None
    extend_s: float = 0.0
    idle_after_s: float | None = None
    idle_since: float | None = None
    idle_unknown: str = ""


class Extension(Wire, frozen=True):
    """A wish for more time: `ends` is the end that the person saw, so that two clicks extend once."""

    ends: float
