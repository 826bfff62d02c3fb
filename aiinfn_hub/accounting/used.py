"""What activities have used, for pages that are asked for often: not every question sums over all their records."""

from __future__ import annotations

from collections.abc import Mapping

from aiinfn_hub.accounting import usage
from aiinfn_hub.store.engine import Database

#: Seconds that a sum is used again. It is that much behind; the ledger itself is behind by up to a heartbeat of 60 s.
KEEP_S = 30.0


class Used:
    """Weighted GPU-hours by activity. In an activity all ask for the same window, which moves with the time."""

    def __init__(self, database: Database, *, keep_s: float = KEEP_S) -> None:
        self._database = database
        self._keep_s = keep_s
        self._known: dict[str, tuple[float, float]] = {}

    async def hours(self, windows_s: Mapping[str, float], now: float) -> dict[str, float]:
        """Hours that each activity used in the last so many seconds.

        Raises:
            Unavailable: the database does not answer, and something has to be summed.
        """
        old = {
            name: now - window_s
            for name, window_s in windows_s.items()
            if name not in self._known or now - self._known[name][0] >= self._keep_s
        }
        if old:
            found = await self._database.read(usage.weighted_hours, old, now=now)
            self._known |= {name: (now, hours) for name, hours in found.items()}
        return {name: self._known[name][1] for name in windows_s}
