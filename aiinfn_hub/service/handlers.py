"""The service's own few routes: health, the offer, the OpenAPI document, metrics."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

from prometheus_client.exposition import CONTENT_TYPE_LATEST
from tornado.web import RequestHandler

from aiinfn_hub.capacity.live import Reporter
from aiinfn_hub.identity.person import Person
from aiinfn_hub.identity.web import ApiHandler
from aiinfn_hub.service.metrics import Snapshot, exposition
from aiinfn_hub.service.openapi import document


class OfferHandler(ApiHandler):
    """GET: what the caller can have now; the hub asks for the person of its form."""

    def initialize(self, reporter: Reporter, used: Callable[[Person, float], Awaitable[Mapping[str, float]]]) -> None:
        """Given by the application."""
        self.reporter = reporter
        self.used = used

    async def get(self) -> None:
        """One call, answered from memory and one sum of the ledger."""
        person = self.caller.person
        used = await self.used(person, time.time())
        self.send(self.reporter.offer(person.name, person.activities, used))


class HealthHandler(RequestHandler):
    """GET: 200 once the caches are filled, 503 before. For probes: without a login, and without a word more."""

    def initialize(self, ready: Callable[[], Mapping[str, bool]]) -> None:
        """Given by the application."""
        self.ready = ready

    def get(self) -> None:
        """What is ready and what is not."""
        state = dict(self.ready())
        self.set_status(200 if all(state.values()) else 503)
        self.finish(state)


class OpenApiHandler(RequestHandler):
    """GET: the OpenAPI document; it describes what everybody can read in the documentation."""

    def get(self) -> None:
        """The document."""
        self.finish(document())


class MetricsHandler(RequestHandler):
    """GET: the Prometheus text, on a listener of its own."""

    def initialize(self, snapshot: Callable[[], Awaitable[Snapshot]]) -> None:
        """Given by the application."""
        self.snapshot = snapshot

    async def get(self) -> None:
        """One scrape."""
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(exposition(await self.snapshot()))
