"""When a node counts as lost, and what becomes of its pods. Pure; times and words are Kubernetes' defaults."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from aiinfn_hub.kube.slim import Node, Pod, Taint

#: Seconds without a renewed Lease after which a node is unknown, and seconds that its pods are kept after that.
NODE_GRACE_S, POD_GRACE_S = 40.0, 300.0
#: Seconds after which a pod is cleaned up that nobody else can clean up.
GARBAGE_S = 5.0

NOT_READY, UNREACHABLE = "node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"
CORDONED = "node.kubernetes.io/unschedulable"
_OURS = (NOT_READY, UNREACHABLE, CORDONED)
TERMINAL = frozenset({"Succeeded", "Failed"})


def ready_status(node: Node) -> str:
    """The status of its condition Ready; "Unknown" if nobody has said anything."""
    found = node.conditions.get("Ready")
    return found.status if found is not None else "Unknown"


def taints_for(node: Node) -> tuple[Taint, ...]:
    """The node's taints with ours set as its readiness and its cordon ask for."""
    others = tuple(taint for taint in node.taints if taint.key not in _OURS)
    if node.unschedulable:
        others = (*others, Taint(CORDONED, "", "NoSchedule"))
    status = ready_status(node)
    if status == "True":
        return others
    key = NOT_READY if status == "False" else UNREACHABLE
    return (*others, Taint(key, "", "NoSchedule"), Taint(key, "", "NoExecute"))


@dataclass(frozen=True)
class Removal:
    """A pod that is to go: with a sentence for its condition; `force` if no kubelet will end it."""

    pod: Pod
    reason: str
    message: str
    force: bool


def removals(pods: Iterable[Pod], nodes: Iterable[Node], now: float) -> list[Removal]:
    """Pods of lost nodes after their grace, of nodes that are gone, and deleted ones that never had a node."""
    known = {node.name: node for node in nodes}
    found = (_removal(pod, known.get(pod.node), now) for pod in pods if pod.phase not in TERMINAL)
    return [removal for removal in found if removal is not None]


def _removal(pod: Pod, node: Node | None, now: float) -> Removal | None:
    if not pod.node:
        if pod.deleted_at is not None and now - pod.deleted_at >= GARBAGE_S:
            return Removal(pod, "", "", force=True)
        return None
    if node is None:
        if now - (pod.scheduled or pod.created) >= GARBAGE_S:
            return Removal(pod, "DeletionByPodGC", "PodGC: node no longer exists", force=True)
        return None
    lost = not node.ready and now - node.since >= POD_GRACE_S
    if lost and pod.deleted_at is None:
        message = "Taint manager: deleting due to NoExecute taint"
        return Removal(pod, "DeletionByTaintManager", message, force=False)
    return None
