"""A pod that waits in a queue by itself, as Kueue's pod integration sees it. Pure."""

from __future__ import annotations

from typing import Any

import msgspec

from aiinfn_hub.kube import shapes
from aiinfn_hub.kube.moments import rfc3339
from aiinfn_hub.local.controllers.admission import GATES, MANAGED
from aiinfn_hub.local.controllers.workloads import Workload

Object = dict[str, Any]


class _Meta(shapes.ObjectMeta):
    finalizers: list[str] | None = None


class _Status(msgspec.Struct):
    phase: str | None = None
    message: str | None = None


class QueuedPod(msgspec.Struct):
    """A pod with Kueue's label."""

    metadata: _Meta
    spec: Object
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
    def deleting(self) -> bool:
        """Whether it is being deleted."""
        return self.metadata.deletion_timestamp is not None

    @property
    def held(self) -> bool:
        """Whether our finalizer keeps it."""
        return MANAGED in (self.metadata.finalizers or ())

    @property
    def gated(self) -> bool:
        """Whether Kueue's gates keep it from being scheduled."""
        return ungated(self.spec) != (self.spec.get("schedulingGates") or [])

    @property
    def over(self) -> bool:
        """Whether it has ended, or is to: Kueue gives its quota back at once, although it may still be ending."""
        return self.deleting or self.status.phase in ("Succeeded", "Failed")

    def ending(self) -> tuple[str, str]:
        """Reason and sentence for the end of its Workload."""
        if self.deleting:
            return "OwnerNotFound", "The workload's owner no longer exists"
        return self.status.phase or "", self.status.message or ""

    def other_finalizers(self) -> list[str] | None:
        """Its finalizers without ours."""
        return [name for name in self.metadata.finalizers or () if name != MANAGED] or None


decode_queued_pod = msgspec.json.Decoder(QueuedPod).decode


def ungated(spec: Object) -> list[Object]:
    """The gates that are not Kueue's."""
    return [gate for gate in spec.get("schedulingGates") or () if gate["name"] not in GATES]


def podset_marks(workload: Workload) -> tuple[dict[str, str], dict[str, str]]:
    """Labels and annotations that Kueue gives to the pods of an admitted workload."""
    queue = workload.status.admission.cluster_queue if workload.status.admission else ""
    labels = {
        "kueue.x-k8s.io/cluster-queue-name": queue,
        "kueue.x-k8s.io/local-queue-name": workload.spec.queue_name,
        "kueue.x-k8s.io/podset": "main",
    }
    return labels, {"kueue.x-k8s.io/workload": workload.metadata.name}


def terminating(reason: str, message: str, now: float) -> Object:
    """A patch of the status by which the pod's owner learns why it is deleted: the Workload vanishes with it."""
    condition = {
        "type": "TerminationTarget",
        "status": "True",
        "reason": reason,
        "message": message,
        "lastTransitionTime": rfc3339(now),
    }
    return {"status": {"conditions": [condition]}}
