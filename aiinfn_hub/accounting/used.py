"""What activities and people have used, for pages that are asked for often: not every question sums the ledger."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiinfn_hub.accounting import spending
from aiinfn_hub.accounting.claims import Books, books
from aiinfn_hub.accounting.spending import Key, Sums
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.offer import QuotaOffer
from aiinfn_hub.store.engine import Database

#: Seconds that a sum is used again. It is that much behind; the ledger itself is behind by up to a heartbeat of 60 s.
KEEP_S = 30.0
#: Seconds that what holds and waits now is used again, by all who look at a form.
BOOKS_S = 2.0


class Used:
    """Weighted GPU-hours. In an activity all ask for the same window, which moves with the time."""

    def __init__(self, database: Database, *, keep_s: float = KEEP_S) -> None:
        self._database = database
        self._keep_s = keep_s
        self._sums: dict[Key, tuple[float, list[dict[str, Any]]]] = {}
        self._books, self._books_at = Books(), float("-inf")

    async def rows(self, days: Mapping[str, int], now: float) -> dict[str, list[dict[str, Any]]]:
        """What each activity used in its last so many days: rows of `usage.by_group`, by flavour.

        Raises:
            Unavailable: the database does not answer, and something has to be summed.
        """
        keys = {name: ("activity", name, window) for name, window in days.items()}
        sums = await self._of(set(keys.values()), now)
        return {name: sums[key] for name, key in keys.items()}

    async def quotas(self, platform: Platform, person: str, activities: Sequence[str], now: float) -> list[QuotaOffer]:
        """How the limits stand that a person meets.

        Raises:
            Unavailable: the database does not answer, and something has to be looked up.
        """
        met = spending.met_by(platform, person, activities)
        keys = {key for ask, mine, lately in met for key in spending.needed([*mine, *lately], ask)}
        if now - self._books_at >= BOOKS_S:
            self._books, self._books_at = await self._database.read(books, now=now), now
        return spending.offers(platform, met, self._books, await self._of(keys, now), now=now)

    async def _of(self, keys: set[Key], now: float) -> Sums:
        self._sums = {key: known for key, known in self._sums.items() if now - known[0] < self._keep_s}
        if missing := keys - self._sums.keys():
            found = await self._database.read(spending.summed, missing, now=now)
            self._sums |= {key: (now, rows) for key, rows in found.items()}
        return {key: self._sums[key][1] for key in keys}
