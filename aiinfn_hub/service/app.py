"""The service: caches, ledger, offload and panel wired together; three listeners and the work behind them."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.web import Application

from aiinfn_hub.accounting import quota_routes
from aiinfn_hub.accounting import routes as ledger_routes
from aiinfn_hub.accounting.keeper import Keeper
from aiinfn_hub.accounting.measuring import Measurer
from aiinfn_hub.accounting.observer import Observer
from aiinfn_hub.accounting.prometheus import Prometheus
from aiinfn_hub.capacity.live import Reporter
from aiinfn_hub.catalogue import load_platform
from aiinfn_hub.environments.logins import read_logins
from aiinfn_hub.environments.registry import Registries
from aiinfn_hub.errors import Unavailable
from aiinfn_hub.identity.hubapi import HubApi
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.client import NODES, PODS, KubeClient
from aiinfn_hub.kube.slim import Node, Pod, decode_node, decode_pod
from aiinfn_hub.panel import jobs, pages
from aiinfn_hub.service import audit, budget, images, lives
from aiinfn_hub.service.config import ServiceConfig, read_secret
from aiinfn_hub.service.forecasts import Forecasts
from aiinfn_hub.service.handlers import (
    HealthHandler,
    MetricsHandler,
    NoticesHandler,
    OfferHandler,
    OpenApiHandler,
    TicketHandler,
    TicketsHandler,
)
from aiinfn_hub.service.identify import Identify, hub_oauth
from aiinfn_hub.service.metrics import Cached, Snapshot
from aiinfn_hub.service.offloading import Offloading
from aiinfn_hub.service.rights import Rights
from aiinfn_hub.service.spent import Spent
from aiinfn_hub.service.stock import Board, StockHandler
from aiinfn_hub.service.sums import sums
from aiinfn_hub.service.tickets import Tickets
from aiinfn_hub.sessions.tickets import Ticket
from aiinfn_hub.store.engine import Database

#: Bytes of a request's body that is kept in memory; blobs are streamed to disk and have their own limit.
MAX_BODY = 4 * 1024 * 1024


class Service:
    """One service process. `start`, then `stop`."""

    def __init__(self, config: ServiceConfig, log: logging.Logger) -> None:
        self.config = config
        self.log = log
        self.platform = load_platform(config.platform_file)
        self.database = Database(read_secret(config.database_url_file))
        token = read_secret(config.api_token_file)
        self.hub = HubApi(config.hub_api_url, token)
        self.audit = audit.Audit(self.database, self.hub)
        self.auth = hub_oauth(config, token)
        self.identify = Identify(self.auth, self.hub, self.platform, read_secret(config.hub_key_file))
        # Derived, so that a restart (or a second replica) knows the browsers that the first one knew.
        self._cookies = hmac.digest(token.encode(), b"cookies of the panel", "sha256")
        self._stack = AsyncExitStack()

    async def start(self) -> None:
        """Migrate, watch, observe, listen.

        Raises:
            AiinfnError: a setting, the database or the cluster's address is wrong; nothing is left running.
        """
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Close the listeners first, then what they used."""
        await self._stack.aclose()

    async def _start(self) -> None:
        self._stack.callback(self.database.close)
        self._stack.push_async_callback(self.hub.close)
        await asyncio.to_thread(self.database.migrate)
        client = await KubeClient.connect(self.config.kubeconfig)
        self._stack.push_async_callback(client.close)
        await self._watch(client)
        self._background("ledger", self.observer.run)
        self._background("sums", Keeper(self.database).run)
        if self.prometheus is not None:
            self._background("measuring", Measurer(self.database, self.prometheus).run)
        self._background("tickets", self.tickets.run)
        self._background("stock", self.board.run)
        self._background("runs", self.offloading.follower.run)
        self._background("audit", self.audit.run)
        self._background("quotas", self.spent.run)
        self._background("lives", self.lives.run)
        self._background("rights", self.rights.run)
        if self.platform.tokens is not None:
            self._background("tokens", self.offloading.tokens.run)
        self._background("house", self.offloading.keep_house)
        self._listen()
        self.log.info("listening on %s:%d", self.config.bind, self.config.port)

    async def _watch(self, client: KubeClient) -> None:
        self.nodes: WatchCache[Node] = WatchCache(client, NODES, decode_node, on_event=self._node_changed)
        # Of every namespace: whoever holds a device, it is not free.
        self.pods: WatchCache[Pod] = WatchCache(client, PODS, decode_pod, on_event=self._pod_changed)
        self.reporter = Reporter(self.platform, self.nodes, self.pods)
        self.observer = Observer(self.database, self.platform, self.pods)
        self.offloading = Offloading(
            self.config, self.platform, self.database, self.hub, client, self.pods, self.observer.admissions
        )
        self.tickets = Tickets(client, self.hub, self.pods, self.offloading.workloads, full=self._full)
        self.forecasts = Forecasts(self.database, self.platform)
        self.board = Board(self.reporter, self.forecasts, self.tickets)
        policy = self.platform.image_policy
        folder = self.config.registry_logins
        logins = read_logins(folder) if folder else {}
        registries = Registries(token_hosts=policy.token_hosts, private=policy.private_hosts, logins=logins)
        self._stack.push_async_callback(registries.close)
        self.images = images.Images(self.platform, registries)
        self.spent = Spent(self.database, self.platform)
        self.prometheus = Prometheus(self.config.prometheus_url) if self.config.prometheus_url else None
        if self.prometheus is not None:
            self._stack.push_async_callback(self.prometheus.close)
        self.lives = lives.Lives(self.platform, self.audit, self.pods, self.nodes, prometheus=self.prometheus)
        self.rights = Rights(
            self.platform,
            self.hub,
            client,
            self.pods,
            self.offloading.workloads,
            audit=self.audit,
            others=(self.spent, self.lives),
        )
        self.lives.on_news = self.rights.notice
        for cache in self.caches:
            await cache.start()
            self._stack.push_async_callback(cache.close)

    def _pod_changed(self, event: str, pod: Pod, before: Pod | None) -> None:
        self.reporter.notice(event, pod, before)  # first: what another one raises must not cost it a difference
        self.observer.notice(event, pod, before)
        self.offloading.follower.on_pod(event, pod, before)
        self.tickets.notice(event, pod)
        self.board.notice()

    def _node_changed(self, _event: str, _node: Node, _before: Node | None) -> None:
        self.board.notice()

    @property
    def caches(self) -> list[WatchCache[Any]]:
        """Everything that is watched."""
        return [self.nodes, self.pods, *self.offloading.caches]

    def _background(self, name: str, work: Callable[[], Any]) -> None:
        """Run for ever; a failure that nobody expected is logged and the work begins again."""

        async def forever() -> None:
            while True:
                try:
                    await work()
                except Exception:  # a background loop is one of the two places for this
                    self.log.exception("%s failed; starting it again", name)
                await asyncio.sleep(1)

        task = asyncio.create_task(forever(), name=name)

        async def end() -> None:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

        self._stack.push_async_callback(end)

    def _listen(self) -> None:
        prefix = self.config.prefix
        shared = pages.Pages(
            database=self.database,
            platform=self.platform,
            reporter=self.reporter,
            auth=self.auth,
            prefix=prefix,
            notices=self.rights.notices,
        )
        queue = {"tickets": self.tickets}
        routes: list[Any] = [
            (rf"{prefix}/api/health", HealthHandler, {"ready": self._ready}),
            (
                rf"{prefix}/api/offer",
                OfferHandler,
                {"reporter": self.reporter, "used": shared.used, "quotas": shared.quotas}
                | {"forecasts": self.forecasts}
                | queue,
            ),
            (rf"{prefix}/api/stock", StockHandler, {"board": self.board}),
            (rf"{prefix}/api/notices", NoticesHandler, {"rights": self.rights}),
            (rf"{prefix}/api/tickets", TicketsHandler, queue),
            (rf"{prefix}/api/tickets/([a-z0-9-]+)", TicketHandler, queue),
            (rf"{prefix}/api/openapi.json", OpenApiHandler),
            *lives.routes(prefix, lives=self.lives),
            *images.routes(prefix, images=self.images),
            *self.offloading.routes(prefix),
            *ledger_routes.routes(prefix, database=self.database),
            *quota_routes.routes(prefix, database=self.database, platform=self.platform),
            *audit.routes(prefix, database=self.database),
            *pages.routes(prefix, pages=shared),
            *jobs.routes(prefix, pages=shared),
        ]
        self.application = Application(routes, identify=self.identify, cookie_secret=self._cookies)
        self._serve(self.application, self.config.port)
        self._serve(Application(self.offloading.run_routes()), self.config.runs_port)
        metrics = Application([(r"/metrics", MetricsHandler, {"cached": Cached(self.snapshot)})])
        self._serve(metrics, self.config.metrics_port)

    def _serve(self, application: Application, port: int) -> None:
        server = HTTPServer(application, max_body_size=MAX_BODY, xheaders=True)
        server.listen(port, self.config.bind)

        async def end() -> None:
            server.stop()
            await server.close_all_connections()

        self._stack.push_async_callback(end)

    async def _full(self, ticket: Ticket) -> str:
        return await budget.full(self.database, self.platform, ticket, now=time.time())

    def _ready(self) -> dict[str, bool]:
        return {cache.kind.plural: cache.synced.is_set() for cache in self.caches}

    async def snapshot(self) -> Snapshot:
        """What one scrape tells."""
        try:
            hours, jobs, records = await self.database.read(sums, time.time())
        except Unavailable as error:
            # What nobody knows is absent, not zero; since when is in the ledger's last write, which must be scraped.
            self.log.warning("The metrics are without what the database knows: %s", error)
            hours, jobs, records = {}, {}, {}
        return Snapshot(
            platform=self.platform,
            stock=self.reporter.stock(),
            pods=self.pods.items.values(),
            jobs=jobs,
            records=records,
            weighted_hours=hours,
            liveness=self.observer.liveness,
            queue_depth=self.observer.queue_depth,
            watches={c.kind.plural: (c.synced_at, c.restarts) for c in self.caches},
            unknown_since=self.reporter.unknown_since,
        )
