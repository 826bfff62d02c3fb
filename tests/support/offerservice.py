"""The service as far as an offer goes: one address, one key, and whatever a test wants it to answer."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import msgspec
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from aiinfn_hub.contract.offer import (
    ActivityOffer,
    Expected,
    FlavourOffer,
    Offer,
    OnNodes,
    QuotaOffer,
    StockOffer,
    TicketOffer,
)

KEY = "the-hubs-key"


def offer(person: str = "mrossi", free: int = 3, used: float = 28.0, expected: Expected | None = None) -> Offer:
    """Cores, cards and slices of the small platform; `free` slices are free."""
    flavours = [
        FlavourOffer("cpu", 192, 64, "core", images={"pytorch": OnNodes(1, 3, 6_000_000_000)}),
        FlavourOffer("t4", 8, 0, "unit", images={"pytorch": OnNodes(2, 2), "root": OnNodes(0, 2)}),
        FlavourOffer("a100-1g.5gb", 7, free, "unit", expected=expected),
    ]
    quotas = [
        QuotaOffer("activity-lhcb", "GPU-hours of LHCb", 40.0, 30, used, activities=["lhcb"]),
        QuotaOffer("week", "your GPU-hours of a week", 2.0, 7, 0.5, committed=0.9, flavours=["t4"]),
    ]
    return Offer(person, time.time(), flavours, [ActivityOffer("lhcb", used, 40.0)], quotas=quotas)


@dataclass
class OfferService:
    """What it answers next, and what it was asked."""

    url: str = ""
    free: int = 3
    expected: Expected | None = None
    status: int = 200
    delay_s: float = 0
    body: bytes | None = None
    location: str = ""
    tickets: dict[str, list[TicketOffer]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    #: How often it was asked to wait for a change.
    polls: int = 0

    @property
    def version(self) -> int:
        """Another one as soon as something else is offered."""
        return hash((self.free, self.expected)) & 0xFFFF


class _Handler(RequestHandler):
    def initialize(self, service: OfferService) -> None:
        self.service = service

    async def get(self) -> None:
        person = self.get_argument("person")
        self.service.asked.append(person)
        self.service.keys.append(self.request.headers.get("Authorization", ""))
        await asyncio.sleep(self.service.delay_s)
        self.set_status(self.service.status)
        if self.service.location:
            self.set_header("Location", self.service.location)
        body = self.service.body
        known = offer(person, self.service.free, expected=self.service.expected)
        known = msgspec.structs.replace(known, tickets=self.service.tickets.get(person, []))
        self.finish(body if body is not None else msgspec.json.encode(known))


class _Stock(RequestHandler):
    """Waits for a change of what the offers say."""

    def initialize(self, service: OfferService) -> None:
        self.service = service

    async def get(self) -> None:
        service, until = self.service, time.monotonic() + float(self.get_argument("wait"))
        service.polls += 1
        while service.version == int(self.get_argument("after")) and time.monotonic() < until:
            await asyncio.sleep(0.02)
        self.set_status(service.status)
        flavours = offer("", service.free, expected=service.expected).flavours
        self.finish(msgspec.json.encode(StockOffer(service.version, time.time(), flavours)))


@asynccontextmanager
async def offer_service() -> AsyncIterator[OfferService]:
    """Run it on a free port of loopback."""
    service = OfferService()
    given = {"service": service}
    routes = [(r"/services/aiinfn/api/offer", _Handler, given), (r"/services/aiinfn/api/stock", _Stock, given)]
    server = HTTPServer(Application(routes))
    socket, port = bind_unused_port()
    server.add_socket(socket)
    service.url = f"http://127.0.0.1:{port}/services/aiinfn"
    try:
        yield service
    finally:
        server.stop()
        await server.close_all_connections()
