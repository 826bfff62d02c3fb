"""How a person stands with the login provider: silence is not a refusal, and one refusal is not like another.

What the provider has not said is kept for a while (`grace_s`); what it has said holds at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

Reason = Literal["outage", "aup", "inactive", "expired", "ended", "groups"]


@dataclass(frozen=True)
class Words:
    """What happened, and what to do about it."""

    sentence: str
    next_step: str


#: What a person reads whom the provider refuses; `outage` has times in it and is made by `Standing.words`.
REFUSALS: dict[Reason, Words] = {
    "aup": Words(
        "The login provider wants its acceptable use policy signed before it lets you in again.",
        "Log in, sign it there, and you come back here.",
    ),
    "inactive": Words(
        "The login provider says that this account is not active.",
        "Ask those who run the login provider; what is in your home stays.",
    ),
    "expired": Words(
        "Your login has reached its age at the login provider.", "Log in again; sessions go on meanwhile."
    ),
    "ended": Words("Your login is over: it was ended, here or at the login provider.", "Log in again."),
    "groups": Words(
        "You are in no group any more that may use this platform.",
        "Ask for membership in your experiment's group, then log in again.",
    ),
}


@dataclass(frozen=True)
class Standing:
    """Not well: why, since when, and for silence until when the rights are kept (Unix seconds)."""

    reason: Reason
    since: float
    until: float | None = None
    over: bool = False

    @property
    def words(self) -> Words:
        """For the person."""
        if self.until is None:
            return REFUSALS[self.reason]
        since, until = (f"{datetime.fromtimestamp(moment, UTC):%H:%M} UTC" for moment in (self.since, self.until))
        if self.over:
            return Words(
                f"The login provider has not answered since {since}, and the rights that it gave ended at {until}.",
                "Sessions that run are not touched. You can start new ones when it answers again.",
            )
        return Words(
            f"The login provider has not answered since {since}. You keep your rights until {until}.",
            "Sessions that run are not touched; there is nothing that you need to do.",
        )


class Standings:
    """Of everybody who does not stand well, as this process has seen it.

    Args:
        grace_s: how long rights outlive the last word of the provider.
        clock: Unix seconds.
    """

    def __init__(self, grace_s: float, clock: Callable[[], float] = time.time) -> None:
        self._grace_s = grace_s
        self._clock = clock
        self._known: dict[str, Standing] = {}

    def of(self, name: str) -> Standing | None:
        """None for whom all is well, as far as is known."""
        return self._known.get(name)

    def everybody(self) -> dict[str, Standing]:
        """All of whom it is not well, by name."""
        return dict(self._known)

    def heard(self, name: str) -> None:
        """The provider has said what groups the person is in."""
        self._known.pop(name, None)

    def refused(self, name: str, reason: str) -> Standing:
        """The provider, or the platform file, does not let the person in; a word that nobody knows is `ended`."""
        known: Reason = reason if reason in REFUSALS else "ended"
        return self._put(name, Standing(known, self._since(name, known)))

    def silent(self, name: str, heard_at: float) -> Standing:
        """The provider says nothing; it was last heard at that time, which a restart of the hub does not change."""
        until = heard_at + self._grace_s
        since = self._since(name, "outage")
        return self._put(name, Standing("outage", since, until, over=self._clock() >= until))

    def _since(self, name: str, reason: Reason) -> float:
        before = self._known.get(name)
        return before.since if before is not None and before.reason == reason else self._clock()

    def _put(self, name: str, standing: Standing) -> Standing:
        self._known[name] = standing
        return standing
