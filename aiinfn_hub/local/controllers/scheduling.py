"""Which node a pod goes to, or why to none. Pure; the words are those of kube-scheduler 1.36.

Filters run in the real order and the first that refuses a node names the reason. Scores are the real plug-ins' with
the real weights, as far as they matter here: taints of effect PreferNoSchedule (3), preferred affinity (2), least
allocated (1).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from aiinfn_hub.kube.slim import Node, Taint
from aiinfn_hub.local.controllers.constraints import (
    Constraints,
    affinity_matches,
    term_matches,
    tolerates,
    untolerated,
)

#: What makes a pod wait when the resources are counted out: freeing some would help, or would not.
VICTIMS, HOPELESS = "No preemption victims found for incoming pod", "Preemption is not helpful for scheduling"
_CORDON = Taint("node.kubernetes.io/unschedulable", "", "NoSchedule")


@dataclass
class NodeView:
    """A node and what the pods on it hold."""

    node: Node
    used: dict[str, int] = field(default_factory=dict)
    pods: int = 0

    def free(self, resource: str) -> int:
        """What is left of a resource."""
        return self.node.allocatable.get(resource, 0) - self.used.get(resource, 0)


@dataclass(frozen=True)
class Refusal:
    """Why a node cannot take a pod; `final` if no pod that ended would change it."""

    reasons: tuple[str, ...]
    final: bool = True


@dataclass(frozen=True)
class Unschedulable:
    """No node takes the pod; `message` is for its event and condition."""

    message: str


def _cordoned(constraints: Constraints, view: NodeView) -> Refusal | None:
    tolerated = any(tolerates(toleration, _CORDON) for toleration in constraints.tolerations)
    return Refusal(("node(s) were unschedulable",)) if view.node.unschedulable and not tolerated else None


def _tainted(constraints: Constraints, view: NodeView) -> Refusal | None:
    return Refusal(("node(s) had untolerated taint(s)",)) if untolerated(constraints, view.node) else None


def _unsuited(constraints: Constraints, view: NodeView) -> Refusal | None:
    if affinity_matches(constraints, view.node):
        return None
    return Refusal(("node(s) didn't match Pod's node affinity/selector",))


def _full(constraints: Constraints, view: NodeView) -> Refusal | None:
    reasons, final = [], False
    places = view.node.allocatable.get("pods")
    if places is not None and view.pods >= places:
        reasons.append("Too many pods")
    for resource, amount in constraints.requests:
        if amount > view.free(resource):
            reasons.append(f"Insufficient {resource}")
            final = final or amount > view.node.allocatable.get(resource, 0)
    return Refusal(tuple(reasons), final) if reasons else None


FILTERS: tuple[Callable[[Constraints, NodeView], Refusal | None], ...] = (_cordoned, _tainted, _unsuited, _full)


def refusal(constraints: Constraints, view: NodeView) -> Refusal | None:
    """Why the node cannot take the pod now; None if it can."""
    return next((no for check in FILTERS if (no := check(constraints, view)) is not None), None)


def _counted(reasons: Iterable[str]) -> str:
    return ", ".join(sorted(f"{count} {reason}" for reason, count in Counter(reasons).items()))


def wording(refusals: Sequence[Refusal]) -> str:
    """The scheduler's sentence for refusals of all nodes."""
    if not refusals:
        return "no nodes available to schedule pods"
    head = f"0/{len(refusals)} nodes are available"
    reasons = _counted(reason for no in refusals for reason in no.reasons)
    hopes = _counted(HOPELESS if no.final else VICTIMS for no in refusals)
    return f"{head}: {reasons}. no new claims to deallocate, preemption: {head}: {hopes}."


def _least_allocated(constraints: Constraints, view: NodeView) -> float:
    """Mean over CPU and memory of the share that would stay free, 0 to 100."""
    wanted = dict(constraints.requests)
    shares = [
        max(0, view.free(resource) - wanted.get(resource, 0)) / total
        for resource in ("cpu", "memory")
        if (total := view.node.allocatable.get(resource, 0))
    ]
    return 100 * sum(shares) / len(shares) if shares else 0.0


def _liked(constraints: Constraints, node: Node) -> int:
    return sum(wish.weight for wish in constraints.preferred if term_matches(wish.preference, node))


def _disliked(constraints: Constraints, node: Node) -> int:
    soft = Constraints(tolerations=tuple(t for t in constraints.tolerations if t.effect in ("", "PreferNoSchedule")))
    return len(untolerated(soft, node, ("PreferNoSchedule",)))


def best(constraints: Constraints, fitting: Sequence[NodeView]) -> NodeView:
    """The node with the highest score; of equal ones the first by name, so that tests and people can foretell it."""
    likes = [_liked(constraints, view.node) for view in fitting]
    dislikes = [_disliked(constraints, view.node) for view in fitting]
    most_liked, most_disliked = max(likes) or 1, max(dislikes) or 1

    def score(index: int) -> tuple[float, str]:
        view = fitting[index]
        taints = 100 - 100 * dislikes[index] / most_disliked
        affinity = 100 * likes[index] / most_liked
        return -(3 * taints + 2 * affinity + _least_allocated(constraints, view)), view.node.name

    return fitting[min(range(len(fitting)), key=score)]


def place(constraints: Constraints, views: Sequence[NodeView]) -> NodeView | Unschedulable:
    """Where a pod goes among all nodes."""
    refusals, fitting = [], []
    for view in views:
        no = refusal(constraints, view)
        if no is None:
            fitting.append(view)
        else:
            refusals.append(no)
    return best(constraints, fitting) if fitting else Unschedulable(wording(refusals))
