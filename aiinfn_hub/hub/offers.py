"""One person's offer, asked from the service in time or not at all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import replace

import msgspec

from aiinfn_hub.contract.offer import Offer
from aiinfn_hub.errors import Unavailable
from aiinfn_hub.hub.at_service import AtService
from aiinfn_hub.sessions.availability import Seen


class OfferSource:
    """Asks the service for one person's offer, and remembers the last good answer and when it came.

    However many pages look at the same time, one question is under way.

    Args:
        service: the way to it, for the person.
        deadline_s: seconds to wait for an answer.
        clock: Unix seconds.
    """

    def __init__(
        self,
        service: AtService,
        *,
        deadline_s: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.seen = Seen(failing="nobody has asked yet")
        self._service = service
        self._deadline_s = deadline_s
        self._clock = clock
        self._asked = float("-inf")
        self._asking: asyncio.Task[Seen] | None = None

    async def look(self, max_age_s: float = 1.0) -> Seen:
        """What is known now, from an answer (or a failure) at most `max_age_s` old. Never raises."""
        if self._asking is None and self._clock() - self._asked >= max_age_s:
            self._asking = asyncio.ensure_future(self._refresh())
        if self._asking is None:
            return self.seen
        return await asyncio.shield(self._asking)

    async def _refresh(self) -> Seen:
        try:
            self.seen = Seen(await self._ask(), self._clock())
        except Unavailable as error:
            self.seen = replace(self.seen, failing=error.message)
        finally:
            self._asked = self._clock()
            self._asking = None
        return self.seen

    async def _ask(self) -> Offer:
        try:
            offer = msgspec.json.decode(await self._service.ask("offer", deadline_s=self._deadline_s), type=Offer)
        except msgspec.MsgspecError as error:
            raise Unavailable("the service answers something else") from error
        if offer.person != self._service.person:
            raise Unavailable("the service answers for somebody else")
        return offer
