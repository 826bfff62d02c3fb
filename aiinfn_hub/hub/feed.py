"""What is free, pushed: one question of the whole hub waits at the service for a change, and wakes all open forms."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, MutableMapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Self

import msgspec

from aiinfn_hub.contract.offer import StockOffer
from aiinfn_hub.errors import Unavailable
from aiinfn_hub.hub.at_service import AtService
from aiinfn_hub.sessions.availability import Seen

#: Seconds that a question waits at the service, that an answer may take beyond, and until the next one after a failure.
WAIT_S, DEADLINE_S, AGAIN_S = 20.0, 5.0, 2.0
_KEY = "aiinfn_feed"


class Feed:
    """The latest of it; asks only while somebody listens.

    Args:
        service: the way to it, for nobody in particular.
        clock: Unix seconds.

    Attributes:
        stock: what the service said last; None while it does not answer.
        changed_at: when that was another version for the first time.
    """

    def __init__(self, service: AtService, *, clock: Callable[[], float] = time.time) -> None:
        self.stock: StockOffer | None = None
        self.changed_at = 0.0
        self._clock = clock
        self._service = service
        self._listeners: set[asyncio.Event] = set()
        self._task: asyncio.Task[None] | None = None

    @classmethod
    def of(cls, settings: MutableMapping[str, Any], service: AtService) -> Self:
        """The one of this hub, kept in the settings of its application."""
        found: Self = settings.setdefault(_KEY, cls(replace(service, person="")))
        return found

    @contextmanager
    def listen(self) -> Iterator[asyncio.Event]:
        """An event that is set at each change, for as long as the block lasts."""
        event = asyncio.Event()
        self._listeners.add(event)
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run(), name="feed")
        try:
            yield event
        finally:
            # The question that waits is not given up: it would keep one of the hub's few connections until the service
            # answers. Whoever comes back meanwhile has it.
            self._listeners.discard(event)

    def freshen(self, seen: Seen) -> Seen:
        """A person's offer with what is free now, if that has come later.

        By when they came here: `at` is of the oldest observation behind it, and nodes are seldom heard of.
        """
        stock, offer = self.stock, seen.offer
        if stock is None or offer is None or seen.failing or self.changed_at <= seen.at:
            return seen
        known = {flavour.flavour: flavour for flavour in stock.flavours}
        flavours = [known.get(flavour.flavour, flavour) for flavour in offer.flavours]
        offer = msgspec.structs.replace(offer, flavours=flavours, at=max(offer.at, stock.at))
        return replace(seen, offer=offer, at=self.changed_at)

    async def _run(self) -> None:
        while self._listeners:
            try:
                await self._ask()
            except Unavailable:
                # Each form asks for its own person too, and says what it hears of the service.
                self.stock = None
                await asyncio.sleep(AGAIN_S)

    async def _ask(self) -> None:
        version = self.stock.version if self.stock is not None else 0
        path = f"stock?after={version}&wait={WAIT_S:g}"
        try:
            answer = await self._service.ask(path, deadline_s=WAIT_S + DEADLINE_S)
            self.stock = msgspec.json.decode(answer, type=StockOffer)
        except msgspec.MsgspecError as error:
            raise Unavailable("the service answers something else") from error
        if self.stock.version != version:
            self.changed_at = self._clock()
            for event in self._listeners:
                event.set()
