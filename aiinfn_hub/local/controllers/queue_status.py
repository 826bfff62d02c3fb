"""What queues say of themselves: whether they admit, how many wait and run, what is used. Pure; Kueue's words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from aiinfn_hub.kube.moments import rfc3339
from aiinfn_hub.local.controllers.queue_shapes import ClusterQueueObject, LocalQueue
from aiinfn_hub.local.controllers.queue_snapshot import Snapshot
from aiinfn_hub.local.controllers.quota import ClusterQueue
from aiinfn_hub.local.controllers.workloads import quantity

Object = dict[str, Any]


def cluster_queue_statuses(seen: Snapshot, queues: Iterable[ClusterQueueObject], now: float) -> dict[str, Object]:
    """The status of every ClusterQueue, by its uid; usage is that of the moment of the snapshot."""
    pending = Counter(one.queue for one in seen.pending)
    holding = Counter(one.queue for one in seen.admitted)
    by_name = {queue.name: queue for queue in seen.queues}
    found = {}
    for queue in queues:
        reason, message = queue.inactive(seen.flavors)
        usage = _usage(by_name[queue.name]) if queue.name in by_name else []
        found[queue.uid] = {
            "conditions": [_active(reason, message or "Can admit new workloads", now)],
            "pendingWorkloads": pending[queue.name],
            "reservingWorkloads": holding[queue.name],
            "admittedWorkloads": holding[queue.name],
            "flavorsReservation": usage,
            "flavorsUsage": usage,
        }
    return found


def local_queue_statuses(
    seen: Snapshot, lines: Iterable[LocalQueue], queues: Mapping[str, ClusterQueueObject], now: float
) -> dict[str, Object]:
    """The status of every LocalQueue, by its uid."""
    waiting: Counter[tuple[str, str]] = Counter()
    holding: Counter[tuple[str, str]] = Counter()
    for workload in seen.workloads.values():
        line = (workload.metadata.namespace, workload.spec.queue_name)
        (holding if workload.holds_quota else waiting)[line] += 1
    found = {}
    for queue in lines:
        line = (queue.metadata.namespace, queue.name)
        reason, message = _closed(queue, queues.get(queue.spec.cluster_queue), seen)
        found[queue.uid] = {
            "conditions": [_active(reason, message or "Can submit new workloads to localQueue", now)],
            "pendingWorkloads": waiting[line],
            "reservingWorkloads": holding[line],
            "admittedWorkloads": holding[line],
        }
    return found


def same(one: Object | None, other: Object) -> bool:
    """Whether two statuses say the same, at whatever time."""
    if one is None:
        return False
    return _timeless(one) == _timeless(other)


def in_time(before: Object | None, status: Object) -> Object:
    """The status, with the moment of each condition that has not changed."""
    since = {(c["type"], c["status"]): c["lastTransitionTime"] for c in (before or {}).get("conditions") or ()}
    conditions = [
        c | {"lastTransitionTime": since.get((c["type"], c["status"]), c["lastTransitionTime"])}
        for c in status["conditions"]
    ]
    return status | {"conditions": conditions}


def _timeless(status: Object) -> Object:
    conditions = [{k: v for k, v in c.items() if k != "lastTransitionTime"} for c in status["conditions"]]
    return status | {"conditions": conditions}


def _active(reason: str, message: str, now: float) -> Object:
    return {
        "type": "Active",
        "status": "False" if reason else "True",
        "reason": reason or "Ready",
        "message": message,
        "lastTransitionTime": rfc3339(now),
    }


def _closed(line: LocalQueue, queue: ClusterQueueObject | None, seen: Snapshot) -> tuple[str, str]:
    if line.held:
        return "Stopped", "LocalQueue is stopped"
    if queue is None:
        return "ClusterQueueDoesNotExist", "Can't submit new workloads to clusterQueue"
    if queue.inactive(seen.flavors)[0]:
        return "ClusterQueueIsInactive", "Can't submit new workloads to clusterQueue"
    return "", ""


def _usage(queue: ClusterQueue) -> list[Object]:
    flavors: dict[str, list[Object]] = {}
    for (flavor, resource), quota in queue.quotas.items():
        used = queue.usage.get((flavor, resource), 0)
        amounts = {
            "name": resource,
            "total": quantity(resource, used),
            "borrowed": quantity(resource, max(0, used - quota.nominal)),
        }
        flavors.setdefault(flavor, []).append(amounts)
    return [{"name": flavor, "resources": resources} for flavor, resources in flavors.items()]
