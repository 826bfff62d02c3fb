"""What a pod demands of its node: decoded from JSON text into hashable records, and matched against a node. Pure.

The rules are those of k8s.io/component-helpers/scheduling: selector and required affinity must all hold, the terms of a
node selector are alternatives, the expressions within a term must all hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from aiinfn_hub.kube import shapes
from aiinfn_hub.kube.slim import Node, Pod, Taint, flat_pod

#: Effects that keep a pod away; PreferNoSchedule only makes a node less liked.
HARD_EFFECTS = ("NoSchedule", "NoExecute")


class Expression(msgspec.Struct, frozen=True):
    """One requirement on a label."""

    key: str
    operator: str
    values: tuple[str, ...] = ()


class Term(msgspec.Struct, frozen=True, rename="camel"):
    """Requirements that must hold together; a term without any matches no node."""

    match_expressions: tuple[Expression, ...] | None = None
    match_fields: tuple[Expression, ...] | None = None


class Preference(msgspec.Struct, frozen=True):
    """A term that a node gains `weight` by."""

    weight: int
    preference: Term


class Toleration(msgspec.Struct, frozen=True):
    """A taint that the pod does not mind."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class _Terms(msgspec.Struct, rename="camel"):
    node_selector_terms: tuple[Term, ...] = ()


class _NodeAffinity(msgspec.Struct):
    required: _Terms | None = msgspec.field(name="requiredDuringSchedulingIgnoredDuringExecution", default=None)
    preferred: tuple[Preference, ...] | None = msgspec.field(
        name="preferredDuringSchedulingIgnoredDuringExecution", default=None
    )


class _Affinity(msgspec.Struct, rename="camel"):
    node_affinity: _NodeAffinity | None = None


class PodSpec(shapes.PodSpec):
    """`spec` of a pod, with what places it."""

    node_selector: dict[str, str] | None = None
    affinity: _Affinity | None = None
    tolerations: tuple[Toleration, ...] | None = None
    priority: int | None = None
    scheduler_name: str | None = None


class _PodShape(shapes.PodShape):
    spec: PodSpec = msgspec.field(default_factory=PodSpec)


class Constraints(msgspec.Struct, frozen=True):
    """What decides where a pod may go; pods with equal constraints get the same answer from the same nodes."""

    requests: tuple[tuple[str, int], ...] = ()
    selector: tuple[tuple[str, str], ...] = ()
    required: tuple[Term, ...] | None = None
    preferred: tuple[Preference, ...] = ()
    tolerations: tuple[Toleration, ...] = ()


class Claimant(msgspec.Struct, frozen=True):
    """A pod as the scheduler sees it."""

    pod: Pod
    constraints: Constraints
    priority: int = 0
    scheduler: str = "default-scheduler"

    @property
    def uid(self) -> str:
        """The pod's uid."""
        return self.pod.uid

    @property
    def rv(self) -> str:
        """The pod's resource version."""
        return self.pod.rv


_DECODER = msgspec.json.Decoder(_PodShape)
_NOTHING = Constraints()


def decode_claimant(text: bytes) -> Claimant:
    """A pod from its JSON text; of a bound one only what it holds is kept."""
    shape = _DECODER.decode(text)
    pod, spec = flat_pod(shape), shape.spec
    if pod.node:
        return Claimant(pod, _NOTHING)
    constraints = constraints_of(spec, pod.requests)
    return Claimant(pod, constraints, spec.priority or 0, spec.scheduler_name or "default-scheduler")


def constraints_of(spec: PodSpec, requests: Mapping[str, int]) -> Constraints:
    """What places a pod of this specification."""
    affinity = (spec.affinity.node_affinity if spec.affinity else None) or _NodeAffinity()
    return Constraints(
        requests=tuple(sorted(requests.items())),
        selector=tuple(sorted((spec.node_selector or {}).items())),
        required=affinity.required.node_selector_terms if affinity.required else None,
        preferred=affinity.preferred or (),
        tolerations=spec.tolerations or (),
    )


def _integer(text: str) -> int | None:
    try:
        return int(text)
    except ValueError:
        return None


def _compared(found: str | None, expression: Expression) -> bool:
    """Gt and Lt take one integer; a label that is none does not match."""
    ours = _integer(found) if found is not None else None
    theirs = _integer(expression.values[0]) if len(expression.values) == 1 else None
    if ours is None or theirs is None:
        return False
    return ours > theirs if expression.operator == "Gt" else ours < theirs


def holds(found: str | None, expression: Expression) -> bool:
    """Whether a label (None: absent) satisfies a requirement; an unknown operator is never satisfied."""
    match expression.operator:
        case "In":
            return found is not None and found in expression.values
        case "NotIn":
            return found is None or found not in expression.values
        case "Exists":
            return found is not None
        case "DoesNotExist":
            return found is None
        case "Gt" | "Lt":
            return _compared(found, expression)
        case _:
            return False


def term_matches(term: Term, node: Node) -> bool:
    """Whether all requirements of a term hold for a node; an empty term matches nothing."""
    expressions, fields = term.match_expressions or (), term.match_fields or ()
    if not expressions and not fields:
        return False
    known: dict[str, Any] = {"metadata.name": node.name}
    return all(holds(node.labels.get(e.key), e) for e in expressions) and all(
        holds(known.get(f.key), f) for f in fields
    )


def affinity_matches(constraints: Constraints, node: Node) -> bool:
    """Node selector and required affinity."""
    if any(node.labels.get(key) != value for key, value in constraints.selector):
        return False
    return constraints.required is None or any(term_matches(term, node) for term in constraints.required)


def tolerates(toleration: Toleration, taint: Taint) -> bool:
    """An empty effect means all of them; an empty key with Exists means every taint."""
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    if toleration.operator == "Exists":
        return True
    return bool(toleration.key) and toleration.value == taint.value


def untolerated(constraints: Constraints, node: Node, effects: tuple[str, ...] = HARD_EFFECTS) -> list[Taint]:
    """The node's taints of these effects that the pod minds."""
    return [
        taint
        for taint in node.taints
        if taint.effect in effects and not any(tolerates(t, taint) for t in constraints.tolerations)
    ]
