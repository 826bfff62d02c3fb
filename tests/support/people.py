"""People of the small platform."""

from __future__ import annotations

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.identity.person import Person, person_of


def scientist(platform: Platform, name: str = "mrossi") -> Person:
    """A member of lhcb only."""
    return person_of(platform, name, ["/aiinfn", "/aiinfn/lhcb"])


def member_of(platform: Platform, *activities: str, name: str = "mrossi") -> Person:
    """A member of these activities."""
    return person_of(platform, name, ["/aiinfn", *(f"/aiinfn/{activity}" for activity in activities)])
