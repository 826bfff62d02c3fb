"""What is free of every flavour, for the hub, which waits for a change and tells all open forms."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import msgspec

from aiinfn_hub.capacity.live import Reporter
from aiinfn_hub.contract.offer import Offer, StockOffer
from aiinfn_hub.errors import Forbidden, Unavailable
from aiinfn_hub.identity.web import ApiHandler
from aiinfn_hub.offload.bell import woken
from aiinfn_hub.service.forecasts import Forecasts
from aiinfn_hub.service.tickets import Tickets

#: Seconds in which changes are gathered, and after which what is expected is looked at without any.
GATHER_S, EVERY_S = 0.2, 10.0
#: Seconds that a question may wait for a change.
MAX_WAIT_S = 30.0


class Board:
    """Compares what is free with what was said last.

    Args:
        clock: Unix seconds.
    """

    def __init__(
        self, reporter: Reporter, forecasts: Forecasts, tickets: Tickets, *, clock: Callable[[], float] = time.time
    ) -> None:
        self.stock = StockOffer(0, 0.0, [])
        self._reporter = reporter
        self._forecasts = forecasts
        self._tickets = tickets
        self._clock = clock
        self._log = logging.getLogger("aiinfn.stock")
        self._wake = asyncio.Event()
        self._news = asyncio.Event()

    def notice(self) -> None:
        """A pod or a node has changed; cheap, called on the event loop."""
        self._wake.set()

    async def run(self) -> None:
        """Look for ever: soon after a change, and once in a while."""
        while True:
            await self.look()
            await woken(self._wake, EVERY_S)
            await asyncio.sleep(GATHER_S)

    async def look(self) -> None:
        """Once; who waits is woken if anything is another than before."""
        now = self._clock()
        offer = Offer("", self._reporter.at, self._reporter.flavours(), [])
        try:
            offer = await self._forecasts.add(offer, self._tickets.all(), now)
        except Unavailable as error:
            # What is free needs no database.
            self._log.warning("Nothing is expected for now: %s", error)
        if offer.flavours != self.stock.flavours:
            self.stock = StockOffer(self.stock.version + 1, offer.at, offer.flavours)
            self._news.set()
            self._news = asyncio.Event()

    async def after(self, version: int, wait_s: float) -> StockOffer:
        """What is free, once it is another version, or after so many seconds."""
        news = self._news
        if self.stock.version == version:
            await woken(news, wait_s)
        return msgspec.structs.replace(self.stock, at=self._reporter.at)


class StockHandler(ApiHandler):
    """GET: what is free of every flavour, as soon as it changes; for the hub alone."""

    def initialize(self, board: Board) -> None:
        """Given by the application."""
        self.board = board

    async def get(self) -> None:
        """Query: after (the version that is known), wait (seconds).

        Raises:
            Forbidden: somebody else asks.
        """
        if not self.caller.hub:
            raise Forbidden("Only the hub asks for what is free of everything.", hint="Yours is at /api/offer.")
        wait_s = max(0.0, min(self.argument("wait", 0.0, float), MAX_WAIT_S))
        self.send(msgspec.to_builtins(await self.board.after(self.argument("after", 0, int), wait_s)))
