"""The Workloads that exist, found by their owner, and the few writes that the integrations and the cycle make."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aiinfn_hub.errors import Conflict
from aiinfn_hub.kube import shapes
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.client import WORKLOAD_PRIORITY_CLASSES, WORKLOADS, Kind, KubeClient
from aiinfn_hub.kube.events import EventRecorder, Involved
from aiinfn_hub.local.controllers.queue_shapes import PriorityClass, decode_priority_class
from aiinfn_hub.local.controllers.workloads import Workload, decode_workload, workload_for
from aiinfn_hub.pods.names import PRIORITY, QUEUE

Object = dict[str, Any]

GATED_BY = "kueue.x-k8s.io/admission-gated-by"


class WorkloadStore:
    """A cache of Workloads with an index by owner.

    Args:
        on_change: called with the owner's uid after every change of a Workload.
    """

    def __init__(self, client: KubeClient, events: EventRecorder, on_change: Callable[[str], None]) -> None:
        self.client = client
        self.events = events
        self.on_change = on_change
        self.cache = WatchCache(client, WORKLOADS, decode_workload, on_event=self._changed)
        self.priorities = WatchCache(client, WORKLOAD_PRIORITY_CLASSES, decode_priority_class, on_event=self._ranked)
        self._of: dict[str, Workload] = {}

    def of(self, owner_uid: str) -> Workload | None:
        """The Workload of a Job or a pod."""
        return self._of.get(owner_uid)

    def _changed(self, event: str, workload: Workload, before: Workload | None) -> None:
        del before
        uid = workload.owner.uid
        if event == "DELETED":
            self._of.pop(uid, None)
        else:
            self._of[uid] = workload
        self.on_change(uid)

    def _ranked(self, event: str, found: PriorityClass, before: PriorityClass | None) -> None:
        del event, found, before
        self.on_change("")

    def _priority(self, labels: Mapping[str, str]) -> tuple[str, int] | None:
        """The class named by the label, and its value; None if there is no such class."""
        name = labels.get(PRIORITY, "")
        if not name:
            return "", 0
        return next(((name, found.value) for found in self.priorities.items.values() if found.name == name), None)

    async def create(self, kind: Kind, owner: shapes.ObjectMeta, template: Object, count: int) -> None:
        """Make the Workload of an owner that waits in a queue.

        A priority class that does not exist means no Workload and no word, as in Kueue, until the class appears.
        """
        labels = owner.labels or {}
        priority = self._priority(labels)
        if priority is None:
            return
        wanted = workload_for(kind, owner, template, count, labels.get(QUEUE, ""), priority)
        gates = (owner.annotations or {}).get(GATED_BY)
        if gates:
            wanted["metadata"]["annotations"] = {GATED_BY: gates}
        try:
            created = await self.client.create(WORKLOADS, wanted)
        except Conflict:
            return  # made before a restart; the watch brings it
        self.cache.learn(created)
        about = Involved(kind, owner.name, owner.uid, owner.namespace)
        name = f"{owner.namespace}/{created['metadata']['name']}"
        await self.events.record(about, "CreatedWorkload", f"Created Workload: {name}")

    async def follow(self, owner: shapes.ObjectMeta, workload: Workload) -> None:
        """Carry over what a person may change while the owner waits: its queue, and gates that are taken away."""
        queue = (owner.labels or {}).get(QUEUE, "")
        gates = (owner.annotations or {}).get(GATED_BY)
        patch: Object = {}
        if queue and queue != workload.spec.queue_name and not workload.holds_quota:
            patch["spec"] = {"queueName": queue}
        if gates != (workload.metadata.annotations or {}).get(GATED_BY):
            patch["metadata"] = {"annotations": {GATED_BY: gates or None}}
        if patch:
            meta = workload.metadata
            self.cache.learn(await self.client.patch(WORKLOADS, meta.name, patch, meta.namespace))

    async def write(self, workload: Workload, status: Object) -> None:
        """Write its status, unless somebody else changed the Workload meanwhile (Conflict)."""
        meta = workload.metadata
        patch = {"metadata": {"resourceVersion": workload.rv}, "status": status}
        self.cache.learn(await self.client.patch(WORKLOADS, meta.name, patch, meta.namespace, subresource="status"))
