"""What a cycle decides about, taken from the caches at one moment. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from aiinfn_hub.kube.moments import unix
from aiinfn_hub.local.controllers.cycle import Admitted, Pending
from aiinfn_hub.local.controllers.flavors import Flavor
from aiinfn_hub.local.controllers.queue_shapes import ClusterQueueObject, LocalQueue, Namespace
from aiinfn_hub.local.controllers.quota import ClusterQueue
from aiinfn_hub.local.controllers.workload_store import GATED_BY
from aiinfn_hub.local.controllers.workloads import Workload


@dataclass
class Snapshot:
    """Queues with their use, and workloads by their key ("namespace/name").

    Attributes:
        blocked: reason and sentence of workloads that no free quota would help.
        told: workloads that have to go, and why (one of `EVICTIONS`).
        queue_of: the ClusterQueue of every workload that waits or holds quota.
    """

    flavors: Mapping[str, Flavor]
    queues: list[ClusterQueue] = field(default_factory=list)
    workloads: dict[str, Workload] = field(default_factory=dict)
    admitted: list[Admitted] = field(default_factory=list)
    pending: list[Pending] = field(default_factory=list)
    blocked: dict[str, tuple[str, str]] = field(default_factory=dict)
    told: dict[str, str] = field(default_factory=dict)
    queue_of: dict[str, str] = field(default_factory=dict)

    def path(self, key: str) -> str:
        """Cohort and ClusterQueue of a workload, as Kueue's messages name them."""
        name = self.queue_of[key]
        cohort = next((queue.cohort for queue in self.queues if queue.name == name), "")
        return f"/{cohort}/{name}" if cohort else f"/{name}"


def snapshot(
    workloads: Iterable[Workload],
    cluster_queues: Iterable[ClusterQueueObject],
    local_queues: Iterable[LocalQueue],
    flavors: Mapping[str, Flavor],
    namespaces: Iterable[Namespace],
) -> Snapshot:
    """Sort the workloads into those that hold quota, those that may get some, and those that may not."""
    objects = {found.name: found for found in cluster_queues}
    lines = {(found.metadata.namespace, found.name): found for found in local_queues}
    labels = {found.name: found.metadata.labels or {} for found in namespaces}
    seen = Snapshot(flavors, [found.queue(flavors) for found in objects.values()])
    queues = {queue.name: queue for queue in seen.queues}
    for workload in workloads:
        if workload.condition("Finished") or workload.metadata.deletion_timestamp is not None:
            continue
        seen.workloads[workload.key] = workload
        line = lines.get((workload.metadata.namespace, workload.spec.queue_name))
        gone = workload.condition("Evicted") is not None
        if workload.holds_quota:
            _hold(seen, queues, workload)
            why = _told(workload, line, objects)
            if why and not gone:
                seen.told[workload.key] = why
            continue
        if workload.spec.active is False:
            if not gone:
                seen.told[workload.key] = "Deactivated"
            continue
        held_up = _blocked(workload, line, objects, labels, flavors)
        if held_up:
            seen.blocked[workload.key] = held_up
        elif line is not None:
            _wait(seen, workload, line.spec.cluster_queue)
    return seen


def _hold(seen: Snapshot, queues: Mapping[str, ClusterQueue], workload: Workload) -> None:
    name = workload.status.admission.cluster_queue if workload.status.admission else ""
    queue = queues.get(name)
    if queue is None:
        return
    usage = workload.usage()
    for cell, amount in usage.items():
        queue.usage[cell] = queue.usage.get(cell, 0) + amount
    reserved = workload.condition("QuotaReserved")
    since = unix(reserved.last_transition_time) if reserved else 0.0
    evicted = workload.condition("Evicted") is not None
    seen.queue_of[workload.key] = name
    seen.admitted.append(Admitted(workload.key, name, usage, workload.spec.priority or 0, since, evicted))


def _told(workload: Workload, line: LocalQueue | None, queues: Mapping[str, ClusterQueueObject]) -> str:
    """Why a workload that holds quota has to go, or nothing."""
    if workload.spec.active is False:
        return "Deactivated"
    queue = queues.get(workload.status.admission.cluster_queue) if workload.status.admission else None
    if queue is not None and queue.drains:
        return "ClusterQueueStopped"
    return "LocalQueueStopped" if line is not None and line.drains else ""


def _wait(seen: Snapshot, workload: Workload, queue: str) -> None:
    seen.queue_of[workload.key] = queue
    seen.pending.append(
        Pending(
            key=workload.key,
            queue=queue,
            requests=workload.requests(),
            constraints=workload.constraints(),
            priority=workload.spec.priority or 0,
            since=workload.since,
        )
    )


def _blocked(
    workload: Workload,
    line: LocalQueue | None,
    queues: Mapping[str, ClusterQueueObject],
    labels: Mapping[str, Mapping[str, str]],
    flavors: Mapping[str, Flavor],
) -> tuple[str, str] | None:
    """Reason and sentence, in the order in which Kueue looks."""
    gates = (workload.metadata.annotations or {}).get(GATED_BY)
    if gates:
        return "AdmissionGated", f"Admission is gated by: {gates}"
    queue = queues.get(line.spec.cluster_queue) if line is not None else None
    closed = _closed(workload, line, queue, flavors)
    if closed:
        return "Inadmissible", closed
    if queue is not None and not queue.takes(labels.get(workload.metadata.namespace, {})):
        return "Pending", "workload namespace doesn't match ClusterQueue selector"
    return None


def _closed(
    workload: Workload, line: LocalQueue | None, queue: ClusterQueueObject | None, flavors: Mapping[str, Flavor]
) -> str:
    if line is None:
        return f"LocalQueue {workload.spec.queue_name} doesn't exist"
    if line.held:
        return f"LocalQueue {line.name} is inactive"
    if queue is None:
        return f"ClusterQueue {line.spec.cluster_queue} doesn't exist"
    return f"ClusterQueue {queue.name} is inactive" if queue.inactive(flavors)[0] else ""
