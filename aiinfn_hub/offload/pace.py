"""How fast the runs may speak."""

from __future__ import annotations

import time
from collections.abc import Callable

from aiinfn_hub.errors import QuotaExceeded
from aiinfn_hub.offload import capability


class Pace:
    """Requests that one token may make: so many a second for ever, so many at once.

    By token and not by run, so that nobody who merely knows a run's identifier can use up what it may ask.
    """

    def __init__(
        self, per_second: float = 50.0, at_once: float = 500.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.per_second = per_second
        self.at_once = at_once
        self.clock = clock
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, token: str) -> None:
        """Count a request.

        Raises:
            QuotaExceeded: too many; the runner tries again later.
        """
        now, key = self.clock(), capability.digest(token)
        left, since = self._left.get(key, (self.at_once, now))
        left = min(self.at_once, left + (now - since) * self.per_second) - 1
        if left < 0:
            raise QuotaExceeded("Too many requests of this run.", hint="Wait a second.")
        self._left[key] = (left, now)
        if len(self._left) > 10_000:
            self._left = {key: entry for key, entry in self._left.items() if now - entry[1] < 60}
