"""What activities and people have used, for pages that are asked for often: not every question sums the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aiinfn_hub.accounting import spending, usage
from aiinfn_hub.accounting.spending import Sums
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.offer import QuotaOffer
from aiinfn_hub.store.engine import Database

#: Seconds that a sum is used again. It is that much behind; the ledger itself is behind by up to a heartbeat of 60 s.
KEEP_S = 30.0


class Used:
    """Weighted GPU-hours. In an activity all ask for the same window, which moves with the time."""

    def __init__(self, database: Database, *, keep_s: float = KEEP_S) -> None:
        self._database = database
        self._keep_s = keep_s
        self._known: dict[str, tuple[float, float]] = {}
        self._sums: Sums = {}
        self._summed_at: dict[tuple[str, str, int], float] = {}

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

    async def quotas(self, platform: Platform, person: str, activities: Sequence[str], now: float) -> list[QuotaOffer]:
        """How the limits stand that a person meets; what holds and waits now is never an old answer.

        Raises:
            Unavailable: the database does not answer.
        """
        fresh = {key: rows for key, rows in self._sums.items() if now - self._summed_at[key] < self._keep_s}
        sums = dict(fresh)
        found = await self._database.read(spending.of_person, platform, person, activities, now=now, sums=sums)
        self._sums = fresh | self._sums | sums
        self._summed_at |= dict.fromkeys(sums.keys() - fresh.keys(), now)
        self._forget(now)
        return found

    def _forget(self, now: float) -> None:
        old = [key for key, at in self._summed_at.items() if now - at >= self._keep_s]
        for key in old:
            del self._sums[key], self._summed_at[key]
