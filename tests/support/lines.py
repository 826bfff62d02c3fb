"""Queues of Kueue for one test, and what happens to those who wait in them, on either control plane."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from support import queues
from support.places import Place
from support.trials import History, holds, job, pod, turns

from aiinfn_hub.kube.client import (
    CLUSTER_QUEUES,
    JOBS,
    LOCAL_QUEUES,
    PODS,
    RESOURCE_FLAVORS,
    WORKLOAD_PRIORITY_CLASSES,
    WORKLOADS,
)

Object = dict[str, Any]
GPU = "nvidia.com/gpu"
QUEUE, PRIORITY = queues.QUEUE, queues.PRIORITY
GATED_BY = "kueue.x-k8s.io/admission-gated-by"
#: Sessions get back what jobs borrowed, and no session another's.
OWNER = {"preemption": {"reclaimWithinCohort": "Any", "withinClusterQueue": "Never"}}


class Lines:
    """Queues with names of their own: "sessions" owns the GPUs of the place, "jobs" borrows them."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def named(self, name: str) -> str:
        """A cluster-wide name that no other test uses."""
        return f"{name}-{self.place.unique}"

    async def flavor(self, name: str = "gpu", labels: Object | None = None, **spec: Any) -> None:
        """A flavor whose nodes are those of the place."""
        labels = {"test": self.place.unique} if labels is None else labels
        await self.place.create(RESOURCE_FLAVORS, queues.flavor(self.named(name), labels, **spec))

    async def cluster_queue(
        self, name: str, gpus: Any, *, flavor: str = "gpu", active: bool = True, **more: Any
    ) -> None:
        """A ClusterQueue with `gpus` of one flavor; without `cohortName` it is in the cohort of the test."""
        more = {"cohortName": self.named("all")} | more
        made = queues.cluster_queue(self.named(name), {GPU: gpus}, flavor=self.named(flavor), **more)
        await self.place.create(CLUSTER_QUEUES, made)
        if active:
            await self.place.until(CLUSTER_QUEUES, self.named(name), holds("Active"))

    async def local_queue(self, name: str, cluster_queue: str = "", **spec: Any) -> None:
        made = queues.local_queue(name, self.named(cluster_queue or name), **spec)
        made["metadata"]["namespace"] = self.place.namespace
        await self.place.create(LOCAL_QUEUES, made)

    async def priority(self, name: str, value: int) -> None:
        await self.place.create(WORKLOAD_PRIORITY_CLASSES, queues.priority_class(self.named(name), value))

    async def usual(self, gpus: int = 2) -> None:
        """Both queues, with everything that belongs to them."""
        await self.flavor()
        await self.cluster_queue("sessions", gpus, **OWNER)
        await self.cluster_queue("jobs", 0)
        await self.local_queue("sessions")
        await self.local_queue("jobs")

    async def session(
        self, name: str, gpus: int = 1, *, queue: str = "sessions", script: str = "sleep 60", **more: Any
    ) -> Object:
        """A pod that waits in a queue."""
        labels = {QUEUE: queue} | more.pop("labels", {})
        annotations = more.pop("annotations", {})
        made = pod(name, script, labels=labels, requests={GPU: str(gpus)}, **more)
        made["metadata"]["annotations"] = annotations
        return await self.place.create(PODS, made)

    async def job(
        self, name: str, gpus: int = 1, *, queue: str = "jobs", script: str = "sleep 60", **more: Any
    ) -> Object:
        """A Job that waits in a queue."""
        labels = {QUEUE: queue} | more.pop("labels", {})
        spec = {"requests": {GPU: str(gpus)}} | more.pop("pod", {})
        return await self.place.create(JOBS, job(name, script, labels=labels, pod=spec, **more))

    async def workload(self, owner: str) -> Object:
        """The Workload of a Job or a pod; {} if there is none."""
        found, _ = await self.place.client.list(WORKLOADS, self.place.namespace)
        return next((one for one in found if owner_of(one) == owner), {})


def owner_of(workload: Object) -> str:
    """The name of the Job or pod of a Workload."""
    return next((str(one["name"]) for one in workload["metadata"].get("ownerReferences") or ()), "")


def of(owner: str, condition: Callable[[Object], object]) -> Callable[[Object], bool]:
    """The condition, asked of the Workload of one Job or pod."""
    return lambda found: owner_of(found) == owner and bool(condition(found))


def revisions(told: History, owner: str) -> list[Object]:
    """The revisions of the Workload of a Job or a pod."""
    return [one for one in told.seen if owner_of(one) == owner]


#: A condition that only Kueue writes: the embedded queue does not watch whether pods get ready (docs: embedded.md).
ONLY_REAL = ("PodsReady",)


def ways(revised: list[Object]) -> dict[str, list[str]]:
    """What each condition of a Workload said, one after the other: {"Evicted": ["True Preempted", ...]}."""
    found: dict[str, list[str]] = {}
    for turn in turns(revised):
        name, _, words = turn.partition("=")
        if name not in ONLY_REAL:
            found.setdefault(name, []).append(words)
    return found
