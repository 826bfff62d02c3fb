"""The Job controller: carries out the steps of `job_rules` through the API."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import msgspec

from aiinfn_hub.errors import AiinfnError, Conflict, NotFound
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.client import JOBS, PODS, KubeClient
from aiinfn_hub.kube.events import EventRecorder, Involved
from aiinfn_hub.local.controllers.job_pods import pod_of
from aiinfn_hub.local.controllers.job_rules import BACKOFF_S, step
from aiinfn_hub.local.controllers.job_shapes import (
    CONTROLLER_UID,
    FINALIZER,
    Job,
    JobPod,
    JobStatus,
    decode_job,
    decode_job_pod,
)
from aiinfn_hub.local.controllers.job_step import Plan
from aiinfn_hub.local.controllers.workqueue import WorkQueue

NAME = "job-controller"
_UNCOUNTED = "uncountedTerminatedPods"
#: Jobs looked at, and requests of one Job under way, at the same time.
WORKERS, AT_ONCE = 5, 16
#: Pods created in one step; a larger Job takes several.
MOST_PODS = 200


class JobController:
    """Creates, counts and deletes the pods of Jobs, and says how the Jobs fare.

    Args:
        backoff_s: seconds before a failed pod is replaced the first time.
        clock: Unix seconds.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        backoff_s: float = BACKOFF_S,
        clock: Callable[[], float] = time.time,
        log: logging.Logger | None = None,
    ) -> None:
        self.client = client
        self.backoff_s = backoff_s
        self.clock = clock
        self.log = log or logging.getLogger("aiinfn.local.jobs")
        self.events = EventRecorder(client, NAME, log=self.log)
        self.queue = WorkQueue(self.log)
        self.jobs = WatchCache(client, JOBS, decode_job, on_event=self._job_changed, log=self.log)
        self.pods = WatchCache(
            client, PODS, decode_job_pod, labels=CONTROLLER_UID, on_event=self._pod_changed, log=self.log
        )
        self._of: defaultdict[str, dict[str, JobPod]] = defaultdict(dict)
        self._slots = asyncio.Semaphore(AT_ONCE)

    async def run(self) -> None:
        """Look after Jobs until cancelled."""
        await self.jobs.start()
        await self.pods.start()
        try:
            await self.jobs.synced.wait()
            await self.pods.synced.wait()
            await self.queue.run(self._look, WORKERS)
        finally:
            await self.jobs.close()
            await self.pods.close()

    def _job_changed(self, event: str, job: Job, before: Job | None) -> None:
        del event, before
        self.queue.add(job.uid)

    def _pod_changed(self, event: str, pod: JobPod, before: JobPod | None) -> None:
        del before
        if not pod.owner_uid:
            return
        if event == "DELETED":
            self._of[pod.owner_uid].pop(pod.uid, None)
        else:
            self._of[pod.owner_uid][pod.uid] = pod
        self.queue.add(pod.owner_uid)

    async def _look(self, uid: str) -> None:
        """One step of one Job."""
        job, pods = self.jobs.items.get(uid), list(self._of.get(uid, {}).values())
        if job is None:
            # The Job is gone; its pods are the garbage collector's, once we let go of them.
            await self._release(pod for pod in pods if pod.tracked)
            if not pods:
                self._of.pop(uid, None)
            return
        if job.spec.managed_by not in (None, "", "kubernetes.io/job-controller"):
            return
        now = self.clock()
        plan = step(job, pods, now, backoff_s=self.backoff_s)
        let_go = {pod.uid for pod in plan.release}
        first = [pod for pod in plan.delete if pod.uid in let_go]
        await self._release(first)
        await self._delete(job, plan.delete)
        await self._create(job, plan)
        await self._write(job, plan.status)
        await self._release({pod.uid: pod for pod in plan.release if pod not in first}.values())
        for kind, reason, message in plan.events:
            await self.events.record(_involved(job), reason, message, kind=_kind(kind))
        if plan.expired:
            await self.client.delete(JOBS, job.metadata.name, job.metadata.namespace, uid=job.uid)
        elif plan.wake_at is not None:
            self.queue.add_after(uid, plan.wake_at - now)

    async def _create(self, job: Job, plan: Plan) -> None:
        if len(plan.create) > MOST_PODS:
            self.queue.add(job.uid)
        pods = [pod_of(job, index, plan.failures.get(index or 0, 0)) for index in plan.create[:MOST_PODS]]
        results = await asyncio.gather(*(self._create_one(job, pod) for pod in pods), return_exceptions=True)
        failed = next((result for result in results if isinstance(result, BaseException)), None)
        if failed is not None:
            if isinstance(failed, AiinfnError):
                message = f"Error creating: {failed.message}"
                await self.events.record(_involved(job), "FailedCreate", message, kind="Warning")
            raise failed

    async def _create_one(self, job: Job, wanted: dict[str, Any]) -> None:
        async with self._slots:
            pod = await self.client.create(PODS, wanted)
        self.pods.learn(pod)
        await self.events.record(_involved(job), "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")

    async def _delete(self, job: Job, pods: Sequence[JobPod]) -> None:
        for pod in pods:
            try:
                left = await self.client.delete(PODS, pod.name, pod.namespace, uid=pod.uid)
            except (NotFound, Conflict):
                self.log.debug("%s/%s is gone already.", pod.namespace, pod.name)
                continue
            if left.get("kind") == "Pod":
                self.pods.learn(left)
            await self.events.record(_involved(job), "SuccessfulDelete", f"Deleted pod: {pod.name}")

    async def _release(self, pods: Iterable[JobPod]) -> None:
        """Take our finalizer away: from here on the pod's end is nobody's business."""
        patch = {"$deleteFromPrimitiveList/finalizers": [FINALIZER]}
        for pod in pods:
            body = {"metadata": patch | {"uid": pod.uid}}
            try:
                left = await self.client.patch(PODS, pod.name, body, pod.namespace, strategy="strategic")
            except (NotFound, Conflict):
                self.log.debug("%s/%s is gone already.", pod.namespace, pod.name)
                continue
            if not left["metadata"].get("deletionTimestamp") or left["metadata"].get("finalizers"):
                self.pods.learn(left)

    async def _write(self, job: Job, status: JobStatus) -> None:
        before, after = _plain(job.status), _plain(status)
        if before == after:
            return
        emptied: dict[str, Any] = dict.fromkeys(before.keys() - after.keys())
        if status.uncounted_terminated_pods is not None:  # in a merge patch, an absent list would stay
            after[_UNCOUNTED] = {"succeeded": None, "failed": None} | after[_UNCOUNTED]
        patch = {"metadata": {"resourceVersion": job.rv}, "status": emptied | after}
        meta = job.metadata
        self.jobs.learn(await self.client.patch(JOBS, meta.name, patch, meta.namespace, subresource="status"))


def _plain(status: JobStatus) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(status)
    return plain


def _involved(job: Job) -> Involved:
    return Involved(JOBS, job.metadata.name, job.uid, job.metadata.namespace)


def _kind(text: str) -> Literal["Normal", "Warning"]:
    return "Warning" if text == "Warning" else "Normal"
