"""The offload room, put together: who follows what, and what a job inherits from the session that sent it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiinfn_hub.accounting.admissions import Admissions
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.identity.hubapi import HubApi
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.client import JOBS, WORKLOADS, KubeClient
from aiinfn_hub.kube.slim import Pod, Workload, decode_workload
from aiinfn_hub.offload import act_routes, checkpoint_routes, routes, run_routes, sweep_routes
from aiinfn_hub.offload.bell import Bell
from aiinfn_hub.offload.blobs import PIECES, BlobStore
from aiinfn_hub.offload.follow import Follower
from aiinfn_hub.offload.housekeeping import keep_house
from aiinfn_hub.offload.kubejob import KubeJob, decode_job
from aiinfn_hub.offload.orders import Shipment, runner_files
from aiinfn_hub.offload.outlook import Outlook
from aiinfn_hub.offload.session import HubSessions
from aiinfn_hub.offload.submit import Submitter
from aiinfn_hub.offload.tokens import JobTokens
from aiinfn_hub.service.budget import QuotaBudget
from aiinfn_hub.service.config import ServiceConfig
from aiinfn_hub.store.engine import Database


class Offloading:
    """The room's parts over one database, one client and the service's cache of pods."""

    def __init__(
        self,
        config: ServiceConfig,
        platform: Platform,
        database: Database,
        hub: HubApi,
        client: KubeClient,
        pods: WatchCache[Pod],
        admissions: Admissions,
    ) -> None:
        self.platform = platform
        self.database = database
        self.hub = hub
        self.admissions = admissions
        self.bell = Bell()
        self.blobs = BlobStore(config.blobs)
        self.pieces = BlobStore(config.blobs / PIECES)
        self.tokens = JobTokens(database, hub)
        shipment = Shipment(runner_files(), config.runs_url)
        self.submitter = Submitter(
            platform, database, client, shipment, self.bell, give_token=self.tokens.first, budget=QuotaBudget(platform)
        )
        namespace = platform.namespace
        self.jobs: WatchCache[KubeJob] = WatchCache(
            client, JOBS, decode_job, namespace=namespace, on_event=self._job_changed
        )
        self.workloads: WatchCache[Workload] = WatchCache(
            client, WORKLOADS, decode_workload, namespace=namespace, on_event=self._workload_changed
        )
        self.follower = Follower(platform, self.submitter, self.jobs, pods, self.workloads)

    @property
    def caches(self) -> Sequence[WatchCache[Any]]:
        """Those that are its own, to be started and closed."""
        return (self.jobs, self.workloads)

    def _job_changed(self, event: str, job: KubeJob, before: KubeJob | None) -> None:
        self.follower.on_job(event, job, before)

    def _workload_changed(self, event: str, workload: Workload, before: Workload | None) -> None:
        self.follower.on_workload(event, workload, before)
        self.admissions.on_workload(event, workload)

    async def keep_house(self) -> None:
        """Let go of blobs and checkpoints that nobody needs any more, for ever."""
        await keep_house(self.database, self.blobs, self.pieces)

    def routes(self, prefix: str) -> list[Any]:
        """For people and their notebooks."""
        room = routes.Room(
            platform=self.platform,
            database=self.database,
            blobs=self.blobs,
            submitter=self.submitter,
            follower=self.follower,
            bell=self.bell,
            heritage=HubSessions(self.platform, self.hub),
            outlook=Outlook(self.database, self.follower),
        )
        return [route for some in (routes, act_routes, sweep_routes) for route in some.routes(prefix, room=room)]

    def run_routes(self) -> list[Any]:
        """For the runner inside a job; a listener of its own."""
        gate = run_routes.Gate(
            database=self.database,
            blobs=self.blobs,
            pieces=self.pieces,
            bell=self.bell,
            belongs=self.follower.belongs,
        )
        return [*run_routes.routes(gate=gate), *checkpoint_routes.routes(gate=gate)]
