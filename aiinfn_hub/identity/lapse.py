"""What somebody goes on holding without having the right to it any more; pure.

Silence of the login provider is no evidence, nor is a login that is over: who is not looking logs in again tomorrow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.identity.hubapi import HubStanding
from aiinfn_hub.identity.person import Person, may_enter

Kind = Literal["inactive", "groups", "activity", "quota", "lifetime", "longest", "idle", "node"]


@dataclass(frozen=True)
class Lapse:
    """Why something may not go on.

    Attributes:
        kind: the account is not active; no group lets the person in; the group of this activity is lost; a quota is
            used up; its time is over, and it may be extended or not; nobody uses it; its node goes
            out of service.
        sentence: for the person.
        next_step: what to do about it.
        at_once: without a notice period.
        due: when it has to end, in Unix seconds; None for one notice period from now. Never before that.
    """

    kind: Kind
    sentence: str
    next_step: str
    at_once: bool = False
    due: float | None = None


def lapse(platform: Platform, person: Person, activity: str, standing: HubStanding | None) -> Lapse | None:
    """Why a session or a job of this activity may not go on, or None.

    Args:
        platform: the catalogue.
        person: with the groups of now.
        activity: what is charged. One that the platform file does not know takes nothing from anybody: a name that was
            mistyped there must not end sessions.
        standing: how the hub says that the person stands with the login provider; None for well.
    """
    if standing is not None and standing.reason == "inactive":
        return Lapse("inactive", standing.sentence, standing.next_step, at_once=True)
    if standing is not None and standing.reason == "outage":
        return None
    known = next((one for one in platform.activities if one.name == activity), None)
    if known is None or activity in person.activities:
        return None
    if not may_enter(platform, person.groups):
        needed = " or ".join(platform.access.allowed_groups)
        return Lapse(
            "groups",
            f"You are in no group any more that may use this platform ({needed}).",
            "Save what you need now; ask for membership in your experiment's group to come back.",
        )
    return Lapse(
        "activity",
        f"You are no longer in {known.group}, which {known.title} needs.",
        "Save what you need now; if this is a mistake, ask the leader of the group to add you again.",
    )
