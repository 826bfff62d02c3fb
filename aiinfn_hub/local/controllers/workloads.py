"""Kueue's Workload objects: what is made of a Job or a pod, and how its status tells its way. Pure.

Names, conditions, reasons and sentences are those of Kueue 0.19 with its gate for granular reasons off.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec

from aiinfn_hub.contract.quantities import format_cpu
from aiinfn_hub.kube import shapes
from aiinfn_hub.kube.amounts import amounts, pod_requests
from aiinfn_hub.kube.client import WORKLOADS, Kind
from aiinfn_hub.kube.moments import rfc3339
from aiinfn_hub.local.controllers.constraints import Constraints, PodSpec, constraints_of

Object = dict[str, Any]

JOB_UID = "kueue.x-k8s.io/job-uid"
#: Labels of a Job's template that differ from one Job to the next: its Workload has none of them.
_OF_THE_JOB = frozenset({"batch.kubernetes.io/controller-uid", "controller-uid", "job-name"})
#: Reasons to go other than another workload, with their sentences.
EVICTIONS = {
    "Deactivated": "The workload is deactivated",
    "ClusterQueueStopped": "The ClusterQueue is stopped",
    "LocalQueueStopped": "The LocalQueue is stopped",
}
#: Reason and sentence when such a reason is over.
_RESTARTS = {
    "Deactivated": ("Reactivated", "The workload was reactivated"),
    "ClusterQueueStopped": ("ClusterQueueRestarted", "The ClusterQueue was restarted after being stopped"),
    "LocalQueueStopped": ("LocalQueueRestarted", "The LocalQueue was restarted after being stopped"),
}


class Condition(msgspec.Struct, rename="camel"):
    """A condition of a Workload, as it is written back."""

    type: str
    status: str
    last_transition_time: str
    reason: str = ""
    message: str = ""
    observed_generation: int = 0


class _Assignment(msgspec.Struct, rename="camel"):
    name: str = "main"
    flavors: dict[str, str] = {}
    resource_usage: dict[str, str | int | float] = {}
    count: int = 0


class _Admission(msgspec.Struct, rename="camel"):
    cluster_queue: str
    pod_set_assignments: list[_Assignment] = []


class _Template(msgspec.Struct):
    spec: PodSpec = msgspec.field(default_factory=PodSpec)


class _PodSet(msgspec.Struct):
    name: str = "main"
    count: int = 1
    template: _Template = msgspec.field(default_factory=_Template)


class _Spec(msgspec.Struct, rename="camel"):
    queue_name: str = ""
    priority: int | None = None
    active: bool | None = None
    pod_sets: list[_PodSet] = []


class _Eviction(msgspec.Struct):
    reason: str
    count: int = 0


class _Stats(msgspec.Struct):
    evictions: list[_Eviction] = []


class _Status(msgspec.Struct, rename="camel"):
    conditions: list[Condition] = []
    admission: _Admission | None = None
    scheduling_stats: _Stats = msgspec.field(default_factory=_Stats)


class Workload(msgspec.Struct):
    """A Workload."""

    metadata: shapes.ObjectMeta
    spec: _Spec = msgspec.field(default_factory=_Spec)
    status: _Status = msgspec.field(default_factory=_Status)

    @property
    def uid(self) -> str:
        """`metadata.uid`."""
        return self.metadata.uid

    @property
    def rv(self) -> str:
        """`metadata.resourceVersion`."""
        return self.metadata.resource_version

    @property
    def key(self) -> str:
        """Namespace and name."""
        return f"{self.metadata.namespace}/{self.metadata.name}"

    @property
    def owner(self) -> shapes.OwnerReference:
        """The Job or the pod."""
        owners = self.metadata.owner_references or []
        return next((owner for owner in owners if owner.controller), shapes.OwnerReference())

    @property
    def since(self) -> float:
        """Since when it waits: an evicted one keeps its place."""
        created = self.metadata.creation_timestamp
        return created.timestamp() if created else 0.0

    def condition(self, name: str) -> Condition | None:
        """The condition, if it is true."""
        return next((c for c in self.status.conditions if c.type == name and c.status == "True"), None)

    @property
    def holds_quota(self) -> bool:
        """Whether what it was granted counts as used."""
        return self.condition("QuotaReserved") is not None and self.condition("Finished") is None

    def requests(self) -> dict[str, int]:
        """What all its pods ask for together."""
        total: dict[str, int] = {}
        for podset in self.spec.pod_sets:
            for resource, amount in pod_requests(podset.template.spec).items():
                total[resource] = total.get(resource, 0) + amount * podset.count
        return total

    def constraints(self) -> Constraints:
        """What places its pods."""
        return constraints_of(self.spec.pod_sets[0].template.spec, {}) if self.spec.pod_sets else Constraints()

    def usage(self) -> dict[tuple[str, str], int]:
        """What it was granted, by flavor and resource."""
        assignments = self.status.admission.pod_set_assignments if self.status.admission else []
        return {
            (one.flavors[resource], resource): used
            for one in assignments
            for resource, used in amounts(one.resource_usage).items()
            if resource in one.flavors
        }


decode_workload = msgspec.json.Decoder(Workload).decode


def workload_name(kind: Kind, owner: str, uid: str) -> str:
    """As Kueue names the Workload of a Job or a pod: "job-fit-3f2a1"."""
    text = f"{kind.kind}\n{kind.group}\n{owner}\n{uid}"
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()[:5]
    return f"{kind.kind.lower()}-{owner}"[: 253 - 6] + f"-{digest}"


def workload_for(
    kind: Kind, owner: shapes.ObjectMeta, template: Object, count: int, queue: str, priority: tuple[str, int]
) -> Object:
    """The Workload of a Job or a pod; `priority` is the name of its class, or "", and the value."""
    reference = {
        "apiVersion": kind.api_version,
        "kind": kind.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }
    name, value = priority
    klass = {"group": WORKLOADS.group, "kind": "WorkloadPriorityClass", "name": name}
    labels = (template.get("metadata") or {}).get("labels") or {}
    if labels:
        kept = {key: label for key, label in labels.items() if key not in _OF_THE_JOB}
        template = template | {"metadata": template["metadata"] | {"labels": kept}}
    spec = {
        "queueName": queue,
        "active": True,
        "priority": value,
        "podSets": [{"name": "main", "count": count, "template": template}],
    }
    return {
        "apiVersion": WORKLOADS.api_version,
        "kind": "Workload",
        "metadata": {
            "name": workload_name(kind, owner.name, owner.uid),
            "namespace": owner.namespace,
            "labels": {JOB_UID: owner.uid},
            "ownerReferences": [reference],
        },
        "spec": spec | ({"priorityClassRef": klass} if name else {}),
    }


def _changed(workload: Workload, now: float, *changes: tuple[str, str, str, str]) -> Object:
    """The status with conditions (type, status, reason, message) set; their time changes only with their status."""
    conditions = {c.type: c for c in workload.status.conditions}
    for name, status, reason, message in changes:
        before = conditions.get(name)
        at = before.last_transition_time if before and before.status == status else rfc3339(now)
        conditions[name] = Condition(name, status, at, reason, message, 1)
    return {"conditions": msgspec.to_builtins(list(conditions.values()))}


def waiting(workload: Workload, reason: str, message: str, now: float) -> Object:
    """Not admitted yet, or not at all."""
    return _changed(workload, now, ("QuotaReserved", "False", reason, message))


def admitted(workload: Workload, queue: str, flavors: Mapping[str, str], now: float) -> Object:
    """Quota is reserved; without admission checks that is the admission."""
    count = sum(podset.count for podset in workload.spec.pod_sets)
    usage = {resource: quantity(resource, used) for resource, used in workload.requests().items()}
    podset = {"name": "main", "flavors": dict(flavors), "resourceUsage": usage, "count": count}
    changes = [
        ("QuotaReserved", "True", "QuotaReserved", f"Quota reserved in ClusterQueue {queue}"),
        ("Admitted", "True", "Admitted", "The workload is admitted"),
    ]
    for name in ("Evicted", "Preempted"):
        before = workload.condition(name)
        if before is not None:
            changes.append((name, "False", "QuotaReserved", f"Previously: {before.message}"))
    away = next((c for c in workload.status.conditions if c.type == "Requeued" and c.status == "False"), None)
    if away is not None:
        changes.append(("Requeued", "True", *_RESTARTS.get(away.reason, (away.reason, away.message))))
    return _changed(workload, now, *changes) | {"admission": {"clusterQueue": queue, "podSetAssignments": [podset]}}


def evicted(workload: Workload, reason: str, message: str, now: float) -> Object:
    """It is to go: for another workload ("Preempted"), or for one of `EVICTIONS`."""
    changes = [("Evicted", "True", reason, message)]
    if reason == "Preempted":
        changes.append(("Preempted", "True", "InCohortReclamation", message))
    counts = {one.reason: one.count for one in workload.status.scheduling_stats.evictions}
    counts[reason] = counts.get(reason, 0) + 1
    stats = [{"reason": why, "underlyingCause": "", "count": count} for why, count in counts.items()]
    return _changed(workload, now, *changes) | {"schedulingStats": {"evictions": stats}}


def released(workload: Workload, now: float, *, comes_back: bool) -> Object:
    """It has gone: its quota is free. A preempted Job waits again, at its old place; nothing else, for now."""
    before = workload.condition("Evicted")
    reason, message = (before.reason, before.message) if before else ("Pending", "")
    again = "True" if comes_back and reason == "Preempted" else "False"
    return _changed(
        workload,
        now,
        ("QuotaReserved", "False", "Pending", message),
        ("Admitted", "False", "NoReservation", "The workload has no reservation"),
        ("Requeued", again, reason, message),
    ) | {"admission": None}


def finished(workload: Workload, reason: str, message: str, now: float) -> Object:
    """Its Job or pod has ended; what it held is free."""
    return _changed(workload, now, ("Finished", "True", reason, message))


def preempted_by(uid: str, job_uid: str, path: str, victim_path: str) -> str:
    """The sentence of an eviction."""
    return (
        f"Preempted to accommodate a workload (UID: {uid}, JobUID: {job_uid}) due to reclamation within the cohort; "
        f"preemptor path: {path}; preemptee path: {victim_path}"
    )


def quantity(resource: str, used: int) -> str:
    """An amount as statuses write it."""
    return format_cpu(used) if resource == "cpu" else str(used)
