"""The queue: Kueue's part. Keeps Workloads for labelled Jobs and pods, and admits them within quotas."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.client import (
    CLUSTER_QUEUES,
    JOBS,
    LOCAL_QUEUES,
    NAMESPACES,
    PODS,
    RESOURCE_FLAVORS,
    WORKLOADS,
    Kind,
    KubeClient,
)
from aiinfn_hub.kube.events import EventRecorder, Involved
from aiinfn_hub.local.controllers import queue_shapes, workloads
from aiinfn_hub.local.controllers.admission import MANAGED
from aiinfn_hub.local.controllers.cycle import Decisions, cycle
from aiinfn_hub.local.controllers.flavors import Flavor
from aiinfn_hub.local.controllers.job_shapes import decode_job
from aiinfn_hub.local.controllers.owners import JobOwner, PodOwner
from aiinfn_hub.local.controllers.queue_pods import decode_queued_pod
from aiinfn_hub.local.controllers.queue_snapshot import Snapshot, snapshot
from aiinfn_hub.local.controllers.queue_status import cluster_queue_statuses, in_time, local_queue_statuses, same
from aiinfn_hub.local.controllers.workload_store import WorkloadStore
from aiinfn_hub.local.controllers.workloads import Workload, preempted_by
from aiinfn_hub.local.controllers.workqueue import WorkQueue
from aiinfn_hub.pods.names import QUEUE

#: The reason of a workload that waits for the gates in its annotation.
GATED = "AdmissionGated"
#: Owners looked at, and statuses written, at the same time.
WORKERS, AT_ONCE = 4, 16
#: Seconds in which changes are gathered into one cycle, and before a cycle that could not be written is repeated.
GATHER_S, RETRY_S = 0.005, 1.0


class QueueController:
    """Admits what fits, says why the rest waits, and takes back what others borrowed.

    Args:
        clock: Unix seconds.
    """

    def __init__(
        self, client: KubeClient, *, clock: Callable[[], float] = time.time, log: logging.Logger | None = None
    ) -> None:
        self.client = client
        self.clock = clock
        self.log = log or logging.getLogger("aiinfn.local.queue")
        self.events = EventRecorder(client, "kueue-admission", log=self.log)
        self.owners = WorkQueue(self.log)
        self.store = WorkloadStore(client, self.events, self._workload_changed)
        self.jobs = WatchCache(client, JOBS, decode_job, labels=QUEUE, on_event=self._owner_changed)
        self.pods = WatchCache(client, PODS, decode_queued_pod, labels=MANAGED, on_event=self._owner_changed)
        self.cluster_queues = WatchCache(
            client, CLUSTER_QUEUES, queue_shapes.decode_cluster_queue, on_event=self._setting_changed
        )
        self.local_queues = WatchCache(
            client, LOCAL_QUEUES, queue_shapes.decode_local_queue, on_event=self._setting_changed
        )
        self.flavors = WatchCache(client, RESOURCE_FLAVORS, queue_shapes.decode_flavor, on_event=self._setting_changed)
        self.namespaces = WatchCache(client, NAMESPACES, queue_shapes.decode_namespace, on_event=self._setting_changed)
        self._job_owner = JobOwner(client, self.store, self.jobs, self.events, clock)
        self._pod_owner = PodOwner(client, self.store, self.pods, self.events, clock)
        self._wake = asyncio.Event()
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._published: dict[str, dict[str, Any]] = {}

    async def run(self) -> None:
        """Look after the queues until cancelled."""
        caches: list[WatchCache[Any]] = [
            self.store.priorities,
            self.store.cache,
            self.namespaces,
            self.flavors,
            self.cluster_queues,
            self.local_queues,
            self.jobs,
            self.pods,
        ]
        for cache in caches:
            await cache.start()
        try:
            for cache in caches:
                await cache.synced.wait()
            async with asyncio.TaskGroup() as group:
                group.create_task(self.owners.run(self._look, WORKERS))
                group.create_task(self._cycles())
        finally:
            for cache in caches:
                await cache.close()

    def _owner_changed(self, event: str, owner: Any, before: Any) -> None:
        del event, before
        self.owners.add(owner.uid)

    def _setting_changed(self, event: str, record: Any, before: Any) -> None:
        if event == "MODIFIED" and _settings(record) == _settings(before):
            return  # only its status, which we write ourselves
        self._wake.set()

    def _workload_changed(self, owner_uid: str) -> None:
        """One Workload, or with "" the priority classes, for which owners without a Workload may have waited."""
        for uid in [owner_uid] if owner_uid else [*self.jobs.items, *self.pods.items]:
            self.owners.add(uid)
        self._wake.set()

    def _places(self) -> dict[str, Flavor]:
        return {found.name: found.flavor() for found in self.flavors.items.values()}

    async def _look(self, uid: str) -> None:
        job, pod = self.jobs.items.get(uid), self.pods.items.get(uid)
        if job is not None:
            await self._job_owner.look(job, self._places())
        elif pod is not None:
            await self._pod_owner.look(pod, self._places())

    async def _cycles(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_S)
            self._wake.clear()
            try:
                await self._cycle()
            except Exception:  # the loop outlives a mistake over one state of the queues
                self.log.exception("A cycle failed.")
                asyncio.get_running_loop().call_later(RETRY_S, self._wake.set)

    async def _cycle(self) -> None:
        seen = snapshot(
            self.store.cache.items.values(),
            self.cluster_queues.items.values(),
            self.local_queues.items.values(),
            self._places(),
            self.namespaces.items.values(),
        )
        statuses = self._statuses(seen)
        decided = cycle(seen.queues, seen.flavors, seen.admitted, seen.pending)
        await self._carry_out(seen, decided)
        await self._publish(statuses)

    async def _carry_out(self, seen: Snapshot, decided: Decisions) -> None:
        now, by_key = self.clock(), seen.workloads
        writes = [self._admit(by_key[key], seen.queue_of[key], flavors, now) for key, flavors in decided.admit.items()]
        writes += [self._evict(seen, by_key[key], by_key[by], now) for key, by in decided.evict.items()]
        writes += [self._tell(by_key[key], reason, now) for key, reason in seen.told.items()]
        waits = seen.blocked | {key: ("Pending", message) for key, message in decided.wait.items()}
        for key, (reason, message) in waits.items():
            before = _said(by_key[key])
            # Kueue does not write which gates are left when some are taken away.
            if before != (reason, message) and (before[0], reason) != (GATED, GATED):
                writes.append(self._wait(by_key[key], reason, message, now))
        results = await asyncio.gather(*writes, return_exceptions=True)
        for failed in (result for result in results if isinstance(result, BaseException)):
            if not isinstance(failed, AiinfnError):
                raise failed
            self.log.info("A decision could not be written and is made again: %s", failed)
            asyncio.get_running_loop().call_later(RETRY_S, self._wake.set)

    def _statuses(self, seen: Snapshot) -> list[tuple[Kind, queue_shapes.Named, dict[str, Any]]]:
        """What the queues have to say that they have not said yet."""
        now, queues, lines = self.clock(), self.cluster_queues.items, self.local_queues.items
        by_name = {queue.name: queue for queue in queues.values()}
        found: list[tuple[Kind, queue_shapes.Named, dict[str, Any]]] = [
            (CLUSTER_QUEUES, queues[uid], status)
            for uid, status in cluster_queue_statuses(seen, queues.values(), now).items()
        ]
        found += [
            (LOCAL_QUEUES, lines[uid], status)
            for uid, status in local_queue_statuses(seen, lines.values(), by_name, now).items()
        ]
        before = self._published
        return [
            (kind, queue, in_time(before.get(queue.uid), status))
            for kind, queue, status in found
            if not same(before.get(queue.uid), status)
        ]

    async def _publish(self, statuses: list[tuple[Kind, queue_shapes.Named, dict[str, Any]]]) -> None:
        for kind, queue, status in statuses:
            meta = queue.metadata
            try:
                await self.client.patch(kind, meta.name, {"status": status}, meta.namespace, subresource="status")
                self._published[queue.uid] = status
            except AiinfnError as error:
                self.log.info("The status of %s %s is not written: %s", kind.kind, meta.name, error)

    async def _admit(self, workload: Workload, queue: str, flavors: dict[str, str], now: float) -> None:
        await self._write(workload, workloads.admitted(workload, queue, flavors, now))
        waited = f"wait time since queued was {max(0, now - workload.since):.0f}s"
        await self._say(workload, "QuotaReserved", f"Quota reserved in ClusterQueue {queue}, {waited}")
        await self._say(workload, "Admitted", f"Admitted by ClusterQueue {queue}, wait time since reservation was 0s")

    async def _evict(self, seen: Snapshot, workload: Workload, by: Workload, now: float) -> None:
        path, victim = seen.path(by.key), seen.path(workload.key)
        message = preempted_by(by.uid, by.owner.uid, path, victim)
        await self._write(workload, workloads.evicted(workload, "Preempted", message, now))
        await self._say(workload, "EvictedDueToPreempted", message)
        ranks = f"preemptor {_rank(by)}; preemptee {_rank(workload)}"
        await self._say(workload, "Preempted", f"{message}; {ranks}")

    async def _tell(self, workload: Workload, reason: str, now: float) -> None:
        message = workloads.EVICTIONS[reason]
        await self._write(workload, workloads.evicted(workload, reason, message, now))
        await self._say(workload, f"EvictedDueTo{reason}", message)

    async def _wait(self, workload: Workload, reason: str, message: str, now: float) -> None:
        await self._write(workload, workloads.waiting(workload, reason, message, now))
        if reason == GATED:
            await self._say(workload, GATED, f"Workload {message[0].lower()}{message[1:]}")
        elif reason != "Inadmissible":
            await self._say(workload, "Pending", message)

    async def _write(self, workload: Workload, status: dict[str, Any]) -> None:
        async with self._slots:
            await self.store.write(workload, status)

    async def _say(self, workload: Workload, reason: str, message: str) -> None:
        meta = workload.metadata
        async with self._slots:
            await self.events.record(Involved(WORKLOADS, meta.name, meta.uid, meta.namespace), reason, message)


def _rank(workload: Workload) -> str:
    priority = workload.spec.priority or 0
    return f"effective priority: {priority} (base: {priority}, boost: 0)"


def _said(workload: Workload) -> tuple[str, str]:
    found = next((c for c in workload.status.conditions if c.type == "QuotaReserved"), None)
    return (found.reason, found.message) if found is not None else ("", "")


def _settings(record: Any) -> tuple[Any, ...]:
    """What of a queue, flavor or namespace decides anything."""
    return record.metadata.labels, getattr(record, "spec", None)
