"""What the hub asks before a session starts, and what the service answers."""

from __future__ import annotations

from aiinfn_hub.contract.jobs import Wire


class ReservationRequest(Wire, frozen=True):
    """One unit of a flavour for a session; `server` is its name, "" the default one, `planned_s` seconds."""

    server: str
    activity: str
    flavour: str
    planned_s: int


class Reservation(Wire, frozen=True):
    """It may start, for so many seconds; `sentence` says why for fewer than it asked, "" if it is for all of them."""

    seconds: float
    sentence: str = ""
