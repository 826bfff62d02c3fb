"""Sessions whose quota is about to be used up: they get notice, as those do whose person has lost a right."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from aiinfn_hub.accounting import spending
from aiinfn_hub.accounting.quotas import Standing
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.notices import Notice
from aiinfn_hub.contract.quantities import format_duration
from aiinfn_hub.errors import Unavailable
from aiinfn_hub.identity.lapse import Lapse
from aiinfn_hub.store.engine import Database

#: Seconds between two looks; the ledger itself is up to a heartbeat behind.
EVERY_S = 60.0
#: Who has notice keeps it until the quota lasts for so many notice periods: a notice that comes and goes is none.
CALM = 2.0


class Spent:
    """Looks at everybody who holds an accelerator.

    Attributes:
        lapses: why a session may not go on, by the uid of its pod.
    """

    def __init__(
        self,
        database: Database,
        platform: Platform,
        *,
        clock: Callable[[], float] = time.time,
        every_s: float = EVERY_S,
    ) -> None:
        self.lapses: dict[str, Lapse] = {}
        self._database = database
        self._platform = platform
        self._clock = clock
        self._every_s = every_s
        self._log = logging.getLogger("aiinfn.quotas")

    async def run(self) -> None:
        """Look for ever."""
        while True:
            try:
                await self.look()
            except Unavailable as error:
                # What was said stays said, and nobody new loses anything while nobody can count.
                self._log.warning("Quotas are looked at later: %s", error)
            await asyncio.sleep(self._every_s)

    async def look(self) -> None:
        """Once.

        Raises:
            Unavailable: the database does not answer.
        """
        notice_s = self._platform.access.notice_s
        found = await self._database.read(spending.least_left, self._platform, now=self._clock())
        self.lapses = {
            uid: lapse(standing)
            for uid, standing in found.items()
            if (standing.lasts_s() or 0.0) <= notice_s * (CALM if uid in self.lapses else 1.0)
        }

    def notices(self, person: str) -> list[Notice]:  # noqa: ARG002  of the protocol
        """None: the form and the panel show how the quotas stand."""
        return []


def lapse(standing: Standing) -> Lapse:
    """In words."""
    quota, lasts_s = standing.quota, standing.lasts_s() or 0.0
    rest = f"the rest lasts {format_duration(lasts_s)}" if lasts_s >= 1 else "nothing is left"
    return Lapse(
        "quota",
        f"{standing.used:.1f} of {quota.gpu_hours:g} {quota.title} are used, and {rest}.",
        "Save what you need now. You can go on without an accelerator, and start one again when there is room.",
    )
