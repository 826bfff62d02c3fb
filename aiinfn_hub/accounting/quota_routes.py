"""Quotas over HTTP: the hub asks before a session starts."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

from aiinfn_hub.accounting import spending
from aiinfn_hub.accounting.quotas import Decision, of_session
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.reservation import Reservation, ReservationRequest
from aiinfn_hub.errors import Forbidden, InvalidInput, QuotaExceeded
from aiinfn_hub.identity.web import ApiHandler
from aiinfn_hub.store.engine import Database

#: Seconds of the longest session that can be asked for.
LONGEST_S = 366 * 86400


class ReservationsHandler(ApiHandler):
    """POST: may this session start. For the hub alone: who could reserve freely could starve an activity."""

    def initialize(self, database: Database, platform: Platform) -> None:
        """Given by `routes`."""
        self.database = database
        self.platform = platform

    async def post(self) -> None:
        """200 with the seconds that it may run.

        Raises:
            Forbidden: somebody else asks.
            QuotaExceeded: it may not start; `details["again_at"]` says when it may, in Unix seconds.
        """
        if not self.caller.hub:
            raise Forbidden("Only the hub reserves for sessions.", hint="Start a session, and it does.")
        wanted = self.read(ReservationRequest)
        if not 0 < wanted.planned_s <= LONGEST_S:
            raise InvalidInput(f"A session does not run for {wanted.planned_s} s.")
        flavour = self.platform.flavour(wanted.flavour)
        activity = self.platform.activity(wanted.activity)
        ask = of_session(flavour, activity.name, self.caller.person.name, wanted.server, wanted.planned_s)
        decision = await self.database.write(spending.reserve, self.platform, ask, now=time.time())
        if not decision.verdict.granted:
            raise exceeded(decision)
        self.send(Reservation(decision.verdict.seconds, decision.verdict.sentence))


def exceeded(decision: Decision) -> QuotaExceeded:
    """The refusal, with the time at which it may be tried again if anybody knows it."""
    quota, again = decision.verdict.quota, decision.again_at
    hint = "Stop something that you have, or choose another accelerator."
    if again is not None:
        hint = (
            f"You may start again {datetime.fromtimestamp(again, UTC):on %a %d %b at %H:%M} UTC at the latest. {hint}"
        )
    details: dict[str, Any] = {"option": "flavour", "quota": quota.name if quota else "", "again_at": again}
    return QuotaExceeded(decision.verdict.sentence, hint=hint, details=details)


def routes(
    prefix: str, *, database: Database, platform: Platform
) -> list[tuple[str, type[ApiHandler], dict[str, Any]]]:
    """The routes of the quotas below `prefix`."""
    given = {"database": database, "platform": platform}
    return [(rf"{prefix}/api/reservations", ReservationsHandler, given)]
