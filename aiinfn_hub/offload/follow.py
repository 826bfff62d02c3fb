"""Follows the cluster and moves the runs along: a thin loop around `observe`. After a restart all is derived again."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace

import sqlalchemy as sa

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.errors import InvalidInput, NotFound, Unavailable
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.client import PODS
from aiinfn_hub.kube.slim import Pod, Workload, decode_pod
from aiinfn_hub.offload import capability, runs
from aiinfn_hub.offload.acts import take_up
from aiinfn_hub.offload.bell import woken
from aiinfn_hub.offload.kubejob import KubeJob
from aiinfn_hub.offload.observe import Contact, Sight, observe
from aiinfn_hub.offload.plan import site_named
from aiinfn_hub.offload.runs import Run
from aiinfn_hub.offload.submit import Submitter
from aiinfn_hub.pods import names

#: Seconds between sweeps: every open run is looked at again, and staging continues.
SWEEP_S = 15.0
#: Seconds after its end at which a run's Job that still runs is deleted.
LINGER_S = 120.0
#: Runs that a sweep looks at before others have their turn on the event loop.
AT_A_TIME = 100
_MOST_STEPS = 5


class Follower:
    """Feeds on three caches; wire their events to `on_job`, `on_pod` and `on_workload`.

    Args:
        clock: Unix seconds.
    """

    def __init__(
        self,
        platform: Platform,
        submitter: Submitter,
        jobs: WatchCache[KubeJob],
        pods: WatchCache[Pod],
        workloads: WatchCache[Workload],
        *,
        clock: Callable[[], float] = time.time,
        sweep_s: float = SWEEP_S,
        log: logging.Logger | None = None,
    ) -> None:
        self.platform = platform
        self.submitter = submitter
        self.database = submitter.database
        self.bell = submitter.bell
        self.caches = (jobs, pods, workloads)
        self.pods = pods
        self.workloads = workloads
        self.clock = clock
        self.sweep_s = sweep_s
        self.log = log or logging.getLogger("aiinfn.offload")
        self._jobs: dict[str, KubeJob] = {}
        self._run_of_job: dict[str, str] = {}
        self._pods: dict[str, dict[str, Pod]] = defaultdict(dict)
        self._workloads: dict[str, Workload] = {}
        self._dirty: set[str] = set()
        self._wake = asyncio.Event()

    def on_job(self, event: str, job: KubeJob, _before: KubeJob | None = None) -> None:
        """A change of a Job."""
        run_id = job.labels.get(names.RUN)
        if run_id is None:
            return
        if event == "DELETED":
            if run_id in self._jobs and self._jobs[run_id].uid == job.uid:
                del self._jobs[run_id]
            self._run_of_job.pop(job.uid, None)
        else:
            self._jobs[run_id] = job
            self._run_of_job[job.uid] = run_id
        self._mark(run_id)

    def on_pod(self, event: str, pod: Pod, _before: Pod | None = None) -> None:
        """A change of a pod; those of sessions and of others are none of ours."""
        run_id = pod.labels.get(names.RUN)
        if run_id is None or pod.namespace != self.platform.namespace:
            return
        if event == "DELETED":
            self._pods[run_id].pop(pod.uid, None)
            if not self._pods[run_id]:
                del self._pods[run_id]
        else:
            self._pods[run_id][pod.uid] = pod
        self._mark(run_id)

    def on_workload(self, event: str, workload: Workload, _before: Workload | None = None) -> None:
        """A change of a Workload."""
        if event == "DELETED":
            self._workloads.pop(workload.owner_uid, None)
        else:
            self._workloads[workload.owner_uid] = workload
        run_id = self._run_of_job.get(workload.owner_uid)
        if run_id is not None:
            self._mark(run_id)

    def workload(self, run_id: str) -> Workload | None:
        """That of a run, as the cache has it."""
        job = self._jobs.get(run_id)
        return self._workloads.get(job.uid) if job is not None else None

    def sight(self, run: Run) -> Sight:
        """What the caches hold of a run now."""
        job, workload = self._jobs.get(run.id), self.workload(run.id)
        try:
            remote = site_named(self.platform, run.target).kind != "local"
        except InvalidInput:
            remote = False  # the place has left the catalogue since
        # Anybody may write our label on a pod of theirs; only the Job controller writes this owner.
        pods = [pod for pod in self._pods.get(run.id, {}).values() if pod.owner_uid == run.job_uid]
        return Sight(job, pods, workload, remote=remote)

    async def belongs(self, run: Run, pod_uid: str) -> bool:
        """Whether a living pod of this uid was made by the run's Job; asks the API where the cache does not know.

        Raises:
            Unavailable: the API does not answer.
        """
        pod = self.pods.items.get(pod_uid) or await self._ask_for(run, pod_uid)
        ours = pod is not None and pod.labels.get(names.RUN) == run.id and pod.owner_uid == run.job_uid != ""
        return ours and pod is not None and pod.phase not in {"Succeeded", "Failed"}

    async def _ask_for(self, run: Run, pod_uid: str) -> Pod | None:
        selector = f"{names.RUN}={run.id}"
        texts, _ = await self.submitter.client.list_raw(PODS, self.platform.namespace, labels=selector)
        return next((pod for pod in map(decode_pod, texts) if pod.uid == pod_uid), None)

    async def run(self) -> None:
        """Follow until cancelled."""
        for cache in self.caches:
            await cache.synced.wait()
        next_sweep = self.clock()
        while True:
            try:
                if self.clock() >= next_sweep:
                    await self.sweep()
                    next_sweep = self.clock() + self.sweep_s
                await self.work()
                await self._pause(next_sweep - self.clock())
            except Unavailable as error:
                self.log.warning("Runs cannot be followed now: %s", error)
                await asyncio.sleep(2)
            except Exception:  # the loop outlives what nobody expected
                self.log.exception("Following the runs failed.")
                await asyncio.sleep(2)

    async def work(self) -> None:
        """Look at every run that something happened to; on failure they stay marked."""
        while self._dirty:
            run_id = next(iter(self._dirty))
            await self._follow(run_id)

    async def sweep(self) -> None:
        """Look at every open run, whether something happened or not, and continue what is staging.

        Thousands wait in a queue, and of most there is no news: only those that a step is due for are followed.
        """
        await self.submitter.sweep()
        self._dirty.clear()  # all of them are looked at here; what happens from now on marks again
        active = await self.database.read(runs.active)
        contacts = await self.database.read(capability.contacts)
        now = self.clock()
        for number, run in enumerate(active, start=1):
            sight = replace(self.sight(run), contact=contacts.get(run.id, Contact()))
            if run.cancel_requested or observe(run, sight, now=now) is not None:
                self._dirty.add(run.id)
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)
        known = {run.id for run in active}
        self._dirty.update(key for key, job in self._jobs.items() if key not in known and not job.finished)

    async def _follow(self, run_id: str) -> None:
        self._dirty.discard(run_id)
        try:
            run = await self.database.read(runs.get, run_id)
            if not run.final and await self.database.write(advance, run_id, self.sight(run), now=self.clock()):
                self.bell.ring(run_id)
                run = await self.database.read(runs.get, run_id)
        except NotFound:
            return  # of another service that uses this namespace
        except Unavailable:
            self._dirty.add(run_id)
            raise
        await self._tidy(run)

    async def _tidy(self, run: Run) -> None:
        """Delete a Job that goes on for a run that is over, or is to be; take up one whose eviction was rehearsed."""
        if run.final and run.sweep:
            await self.submitter.go_on(run.sweep)
        job = self._jobs.get(run.id)
        if job is None or job.finished:
            return
        workload = self._workloads.get(job.uid)
        if workload is not None:
            await take_up(self.submitter.client, workload)
        over = run.final and self.clock() - (run.finished_at or run.updated_at) > LINGER_S
        if over or run.cancel_requested:
            await self.submitter.withdraw(run)

    def _mark(self, run_id: str) -> None:
        self._dirty.add(run_id)
        self._wake.set()

    async def _pause(self, seconds: float) -> None:
        await woken(self._wake, seconds)


def advance(connection: sa.Connection, run_id: str, sight: Sight, *, now: float) -> bool:
    """Take every step that the evidence asks for, in one transaction; whether there was any."""
    sight = replace(sight, contact=capability.contact(connection, run_id))
    moved = False
    for _ in range(_MOST_STEPS):
        run = runs.get(connection, run_id, lock=True)
        step = observe(run, sight, now=now)
        if step is None:
            break
        if not runs.move(connection, run_id, step.state, now=now, reason=step.reason, **step.changes):
            break
        moved = True
    if moved and run.final:
        capability.close(connection, run_id, run.state.value, now=now)
    return moved
