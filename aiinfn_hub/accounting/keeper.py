"""Keeps the ledger: the sums of each hour, again those that late news has taken out, and nothing for too long."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from aiinfn_hub.accounting import retention, rollups
from aiinfn_hub.errors import Unavailable
from aiinfn_hub.store.engine import Database

#: Seconds between two rounds.
EVERY_S = 120.0


class Keeper:
    """Background work on a ledger that others write.

    Args:
        clock: Unix seconds; the real one outside of tests.
    """

    def __init__(self, database: Database, *, clock: Callable[[], float] = time.time, every_s: float = EVERY_S) -> None:
        self._database = database
        self._clock = clock
        self._every_s = every_s
        self._log = logging.getLogger("aiinfn.ledger")

    async def run(self) -> None:
        """Keep for ever."""
        while True:
            try:
                await self.keep()
            except Unavailable as error:
                # Reports read the records meanwhile, which takes longer and says the same.
                self._log.warning("Sums are kept later: %s", error)
            await asyncio.sleep(self._every_s)

    async def keep(self) -> None:
        """Once; each day is a transaction of its own, so that observations are not held up for a whole history.

        Raises:
            Unavailable: the database does not answer.
        """
        for work in (rollups.roll, retention.let_go):
            more = True
            while more:
                more = await self._database.write(work, now=self._clock())
