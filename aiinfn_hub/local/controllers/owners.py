"""Kueue's integrations: how a Job and a plain pod wait, start, give way and end together with their Workload."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from aiinfn_hub.kube import shapes
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.client import JOBS, PODS, KubeClient
from aiinfn_hub.kube.events import EventRecorder, Involved
from aiinfn_hub.local.controllers.flavors import Flavor
from aiinfn_hub.local.controllers.job_shapes import Job, JobCondition
from aiinfn_hub.local.controllers.queue_pods import QueuedPod, podset_marks, terminating, ungated
from aiinfn_hub.local.controllers.workload_store import WorkloadStore
from aiinfn_hub.local.controllers.workloads import Workload, finished, released

Object = dict[str, Any]

STOPPING = "kueue.x-k8s.io/stopping"


@dataclass
class Granted:
    """What the flavors of an admission add to a pod."""

    node_labels: dict[str, str]
    tolerations: list[Object]


def granted(workload: Workload, flavors: Mapping[str, Flavor]) -> Granted:
    """Labels and tolerations of all flavors that the workload was given."""
    names = {flavor for flavor, _ in workload.usage()}
    labels: dict[str, str] = {}
    tolerations: list[Object] = []
    for name in sorted(names & flavors.keys()):
        labels |= flavors[name].node_labels
        tolerations += [msgspec.to_builtins(toleration) for toleration in flavors[name].tolerations]
    return Granted(labels, tolerations)


def _added(present: Sequence[Object] | None, more: Sequence[Object]) -> list[Object]:
    return [*(present or ()), *(one for one in more if one not in (present or ()))]


class JobOwner:
    """A Job waits suspended."""

    def __init__(
        self,
        client: KubeClient,
        store: WorkloadStore,
        jobs: WatchCache[Job],
        events: EventRecorder,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.client = client
        self.store = store
        self.jobs = jobs
        self.events = events
        self.clock = clock

    async def look(self, job: Job, flavors: Mapping[str, Flavor]) -> None:
        """Bring a Job and its Workload one step nearer to each other."""
        workload = self.store.of(job.uid)
        if job.metadata.deletion_timestamp is not None:
            return
        over = job.status.condition("Complete") or job.status.condition("Failed")
        if workload is None:
            if over is None:
                await self._queue(job)
        elif over is not None:
            await self._finish(job, workload, over)
        elif workload.condition("Finished"):
            return
        elif workload.condition("Evicted") and workload.holds_quota:
            await self._give_way(job, workload)
        elif workload.condition("Admitted"):
            if job.spec.suspend:
                await self._start(job, workload, granted(workload, flavors))
        else:
            await self.store.follow(job.metadata, workload)
            if not job.spec.suspend:
                await self._patch(job, {"spec": {"suspend": True}})  # nobody starts a Job past its queue

    async def _queue(self, job: Job) -> None:
        if not job.spec.suspend:
            await self._patch(job, {"spec": {"suspend": True}})
        parallelism = 1 if job.spec.parallelism is None else job.spec.parallelism
        count = min(parallelism, job.spec.completions) if job.spec.completions is not None else parallelism
        await self.store.create(JOBS, job.metadata, job.spec.template, count)

    async def _finish(self, job: Job, workload: Workload, over: JobCondition) -> None:
        if workload.condition("Finished") is None:
            reason = "Succeeded" if over.type == "Complete" else "Failed"
            await self.store.write(workload, finished(workload, reason, over.message, self.clock()))
            await self._say(job, "FinishedWorkload", f"Workload '{workload.key}' is declared finished")

    async def _start(self, job: Job, workload: Workload, place: Granted) -> None:
        spec = job.spec.template["spec"]
        labels, annotations = podset_marks(workload)
        template = {
            "metadata": {"labels": labels, "annotations": annotations},
            "spec": {
                "nodeSelector": (spec.get("nodeSelector") or {}) | place.node_labels,
                "tolerations": _added(spec.get("tolerations"), place.tolerations),
            },
        }
        await self._patch(job, {"spec": {"suspend": False, "template": template}})
        queue = workload.status.admission.cluster_queue if workload.status.admission else ""
        await self._say(job, "Started", f"Admitted by clusterQueue {queue}")

    async def _give_way(self, job: Job, workload: Workload) -> None:
        """Suspend, forget the start, wait until no pod is active, restore the template, wait again in the queue."""
        why = workload.condition("Evicted")
        if not job.spec.suspend:
            await self._patch(job, {"metadata": {"annotations": {STOPPING: "true"}}, "spec": {"suspend": True}})
            await self._say(job, "Stopped", why.message if why else "")
        elif job.status.start_time is not None:
            # A Job that has started keeps its template; without a start it may be placed anew.
            patch = {"metadata": {"resourceVersion": job.rv}, "status": {"startTime": None}}
            meta = job.metadata
            self.jobs.learn(await self.client.patch(JOBS, meta.name, patch, meta.namespace, subresource="status"))
        elif job.status.active:
            return  # quota is kept as long as pods are active; those that are ending do not count
        elif STOPPING in (job.metadata.annotations or {}):
            await self._patch(job, self._restored(job, workload))
        else:
            await self.store.write(workload, released(workload, self.clock(), comes_back=True))

    @staticmethod
    def _restored(job: Job, workload: Workload) -> Object:
        now = job.spec.template["spec"].get("nodeSelector") or {}
        before = dict(workload.constraints().selector)
        selector = dict.fromkeys(key for key in now if key not in before) | before
        tolerations = [msgspec.to_builtins(one) for one in workload.constraints().tolerations]
        spec = {"nodeSelector": selector or None, "tolerations": tolerations or None}
        labels, annotations = podset_marks(workload)
        marks = {"labels": dict.fromkeys(labels), "annotations": dict.fromkeys(annotations)}
        template = {"metadata": marks, "spec": spec}
        return {"metadata": {"annotations": {STOPPING: None}}, "spec": {"template": template}}

    async def _patch(self, job: Job, patch: Object) -> None:
        meta = job.metadata
        patch = patch | {"metadata": patch.get("metadata", {}) | {"resourceVersion": job.rv}}
        self.jobs.learn(await self.client.patch(JOBS, meta.name, patch, meta.namespace))

    async def _say(self, job: Job, reason: str, message: str) -> None:
        about = Involved(JOBS, job.metadata.name, job.uid, job.metadata.namespace)
        await self.events.record(about, reason, message)


class PodOwner:
    """A pod waits behind Kueue's scheduling gates; told to give way, it is deleted for good."""

    def __init__(
        self,
        client: KubeClient,
        store: WorkloadStore,
        pods: WatchCache[QueuedPod],
        events: EventRecorder,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.client = client
        self.store = store
        self.pods = pods
        self.events = events
        self.clock = clock

    async def look(self, pod: QueuedPod, flavors: Mapping[str, Flavor]) -> None:
        """Bring a pod and its Workload one step nearer to each other."""
        workload = self.store.of(pod.uid)
        if pod.over:
            await self._finish(pod, workload)
        elif workload is None:
            await self.store.create(PODS, pod.metadata, {"metadata": {}, "spec": pod.spec}, 1)
        elif workload.condition("Evicted") and workload.holds_quota:
            await self._give_way(pod, workload)
        elif workload.condition("Admitted"):
            if pod.gated:
                await self._start(pod, workload, granted(workload, flavors))
        else:
            await self.store.follow(pod.metadata, workload)

    async def _finish(self, pod: QueuedPod, workload: Workload | None) -> None:
        if workload is not None and workload.condition("Evicted") and workload.holds_quota:
            await self.store.write(workload, released(workload, self.clock(), comes_back=False))
            return  # the news of that bring us back here
        if workload is not None and workload.condition("Finished") is None:
            reason, message = pod.ending()
            await self.store.write(workload, finished(workload, reason, message, self.clock()))
        if pod.held:
            await self._patch(pod, {"metadata": {"finalizers": pod.other_finalizers()}})

    async def _start(self, pod: QueuedPod, workload: Workload, place: Granted) -> None:
        labels, annotations = podset_marks(workload)
        patch = {
            "metadata": {"labels": labels, "annotations": annotations},
            "spec": {
                "schedulingGates": ungated(pod.spec) or None,
                "nodeSelector": (pod.spec.get("nodeSelector") or {}) | place.node_labels,
                "tolerations": _added(pod.spec.get("tolerations"), place.tolerations),
            },
        }
        await self._patch(pod, patch)
        queue = workload.status.admission.cluster_queue if workload.status.admission else ""
        await self.events.record(_about(pod.metadata), "Started", f"Admitted by clusterQueue {queue}")

    async def _give_way(self, pod: QueuedPod, workload: Workload) -> None:
        why = workload.condition("Evicted")
        message = why.message if why else ""
        meta = pod.metadata
        reason = f"WorkloadEvictedDueTo{why.reason if why else ''}"
        status = terminating(reason, message, self.clock())
        await self.client.patch(PODS, meta.name, status, meta.namespace, strategy="strategic", subresource="status")
        await self.events.record(_about(meta), "Stopped", message)
        await self.client.delete(PODS, meta.name, meta.namespace, uid=pod.uid)

    async def _patch(self, pod: QueuedPod, patch: Object) -> None:
        meta = pod.metadata
        patch = patch | {"metadata": patch["metadata"] | {"resourceVersion": pod.rv}}
        changed = await self.client.patch(PODS, meta.name, patch, meta.namespace)
        if not changed["metadata"].get("deletionTimestamp"):
            self.pods.learn(changed)


def _about(meta: shapes.ObjectMeta) -> Involved:
    return Involved(PODS, meta.name, meta.uid, meta.namespace)
