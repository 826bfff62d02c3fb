"""The service's own few routes: health, the offer, tickets, the OpenAPI document, metrics."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

import msgspec
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from tornado.web import RequestHandler

from aiinfn_hub.capacity.live import Reporter
from aiinfn_hub.contract.offer import QuotaOffer
from aiinfn_hub.errors import NotFound
from aiinfn_hub.identity.person import Person
from aiinfn_hub.identity.web import ApiHandler
from aiinfn_hub.service.forecasts import Forecasts
from aiinfn_hub.service.metrics import Cached
from aiinfn_hub.service.openapi import document
from aiinfn_hub.service.rights import Rights
from aiinfn_hub.service.tickets import Tickets


class OfferHandler(ApiHandler):
    """GET: what the caller can have now; the hub asks for the person of its form."""

    def initialize(
        self,
        reporter: Reporter,
        used: Callable[[Person, float], Awaitable[Mapping[str, float]]],
        quotas: Callable[[Person, float], Awaitable[list[QuotaOffer]]],
        tickets: Tickets,
        forecasts: Forecasts,
    ) -> None:
        """Given by the application."""
        self.forecasts = forecasts
        self.quotas = quotas
        self.reporter = reporter
        self.used = used
        self.tickets = tickets

    async def get(self) -> None:
        """One call, answered from memory and what the ledger keeps."""
        person, now = self.caller.person, time.time()
        used = await self.used(person, now)
        offer = self.reporter.offer(person.name, person.activities, used)
        quotas = await self.quotas(person, now)
        offer = msgspec.structs.replace(offer, tickets=self.tickets.of(person.name), quotas=quotas)
        self.send(await self.forecasts.add(offer, self.tickets.all(), now))


class NoticesHandler(ApiHandler):
    """GET: what the platform has to say to the caller; to a session, what is about it or about the person."""

    def initialize(self, rights: Rights) -> None:
        """Given by the application."""
        self.rights = rights

    def get(self) -> None:
        """The most pressing first."""
        server = self.caller.server
        found = self.rights.notices(self.caller.person.name)
        self.send({"notices": [one for one in found if server is None or one.server in (None, server)]})


class TicketsHandler(ApiHandler):
    """GET: the caller's sessions in the queue; an operator sees everybody's."""

    def initialize(self, tickets: Tickets) -> None:
        """Given by the application."""
        self.tickets = tickets

    async def get(self) -> None:
        """Oldest first."""
        person = self.caller.person
        found = [one for one in self.tickets.all() if person.admin or one.person == person.name]
        self.send({"tickets": [{"person": one.person, **msgspec.to_builtins(one.offer)} for one in found]})


class TicketHandler(ApiHandler):
    """DELETE: take a session out of the queue; one's own, and for operators anybody's."""

    def initialize(self, tickets: Tickets) -> None:
        """Given by the application."""
        self.tickets = tickets

    async def delete(self, uid: str) -> None:
        """By the uid of its pod, so that a late click does not hit what was asked for since.

        Raises:
            NotFound: there is none, or it is somebody else's, which is not told.
        """
        person = self.caller.person
        ticket = next((one for one in self.tickets.all() if one.pod.uid == uid), None)
        if ticket is None or not (person.admin or ticket.person == person.name):
            raise NotFound("This session is not in the queue.", hint="It may have started, or been taken out already.")
        await self.tickets.drop(ticket, f"{person.name} took it out.")
        self.set_status(204)


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

    def initialize(self, cached: Cached) -> None:
        """Given by the application."""
        self.cached = cached

    async def get(self) -> None:
        """One scrape."""
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.finish(await self.cached.text())
