"""Which flavors a workload could get from its ClusterQueue, or why none. Pure; the words are Kueue 0.19's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from aiinfn_hub.contract.quantities import format_bytes, format_cpu
from aiinfn_hub.kube.slim import Node, Taint
from aiinfn_hub.local.controllers.constraints import (
    Constraints,
    Term,
    Toleration,
    affinity_matches,
    untolerated,
)
from aiinfn_hub.local.controllers.quota import Cell, ClusterQueue, Pool, ResourceGroup, Usage


class Mode(IntEnum):
    """How well a flavor serves, worst first."""

    NO_FIT = 0
    RECLAIM = 1
    FIT = 2


@dataclass(frozen=True)
class Flavor:
    """A ResourceFlavor: labels that its nodes have, taints, and tolerations that admitted pods are given."""

    name: str
    node_labels: Mapping[str, str] = field(default_factory=dict)
    taints: tuple[Taint, ...] = ()
    tolerations: tuple[Toleration, ...] = ()


@dataclass
class Assignment:
    """Flavors by resource for a workload, and the reasons against other ones."""

    mode: Mode = Mode.FIT
    flavors: dict[str, str] = field(default_factory=dict)
    usage: Usage = field(default_factory=dict)
    borrows: bool = False
    reasons: list[str] = field(default_factory=list)

    def message(self, podset: str = "main") -> str:
        """Why the workload waits."""
        return f"couldn't assign flavors to pod set {podset}: {', '.join(sorted(set(self.reasons)))}"


@dataclass(frozen=True)
class _Try:
    """One flavor for the resources of one group."""

    mode: Mode
    flavor: str
    borrows: bool
    reasons: tuple[str, ...]


def assign(
    pool: Pool,
    queue: ClusterQueue,
    requests: Mapping[str, int],
    constraints: Constraints,
    flavors: Mapping[str, Flavor],
) -> Assignment:
    """The best assignment for `requests` (amount by resource, all pods together) as quotas are now."""
    result = Assignment()
    uncovered = [name for name in requests if not any(name in group.covered for group in queue.groups)]
    if uncovered:
        reasons = [f"resource {name} unavailable in ClusterQueue" for name in uncovered]
        return Assignment(Mode.NO_FIT, reasons=reasons)
    for group in queue.groups:
        wanted = {name: amount for name, amount in requests.items() if name in group.covered}
        if not wanted:
            continue
        found = _best(pool, queue, group, wanted, constraints, flavors)
        result.mode = min(result.mode, found.mode)
        result.reasons += found.reasons
        if found.mode is Mode.NO_FIT:
            return result
        result.borrows = result.borrows or found.borrows
        for name, amount in wanted.items():
            result.flavors[name] = found.flavor
            result.usage[found.flavor, name] = amount
    return result


def _best(
    pool: Pool,
    queue: ClusterQueue,
    group: ResourceGroup,
    wanted: Mapping[str, int],
    constraints: Constraints,
    flavors: Mapping[str, Flavor],
) -> _Try:
    """The first flavor that fits, else the first that could be reclaimed; with the reasons against all of them."""
    tries = []
    for name in group.flavors:
        flavor = flavors.get(name)
        if flavor is None:
            tries.append(_Try(Mode.NO_FIT, name, False, (f"flavor {name} not found",)))
            continue
        against = _mismatch(flavor, constraints)
        if against:
            tries.append(_Try(Mode.NO_FIT, name, False, (against,)))
            continue
        found = _measure(pool, queue, name, wanted)
        if found.mode is Mode.FIT:
            return found
        tries.append(found)
    reasons = tuple(reason for one in tries for reason in one.reasons)
    best = max(tries, key=lambda one: one.mode, default=_Try(Mode.NO_FIT, "", False, ()))
    return _Try(best.mode, best.flavor, best.borrows, reasons)


def _mismatch(flavor: Flavor, constraints: Constraints) -> str:
    """Why the pod would not go to the flavor's nodes; labels that the flavor does not have are not looked at."""
    node = Node(uid="", name="", labels=dict(flavor.node_labels), taints=flavor.taints)
    accepted = Constraints(tolerations=(*constraints.tolerations, *flavor.tolerations))
    minded = untolerated(accepted, node)
    if minded:
        taint = minded[0]
        return f"untolerated taint {{{taint.key} {taint.value} {taint.effect} <nil>}} in flavor {flavor.name}"
    if not affinity_matches(_restricted(constraints, set(flavor.node_labels)), node):
        return f"flavor {flavor.name} doesn't match node affinity"
    return ""


def _restricted(constraints: Constraints, keys: set[str]) -> Constraints:
    """Selector and affinity as far as they speak of these labels; a term without any such speaks for every node."""
    required = None
    if constraints.required is not None:
        terms = [tuple(e for e in term.match_expressions or () if e.key in keys) for term in constraints.required]
        required = None if not all(terms) else tuple(Term(expressions) for expressions in terms)
    selector = tuple((key, value) for key, value in constraints.selector if key in keys)
    return Constraints(selector=selector, required=required)


def _measure(pool: Pool, queue: ClusterQueue, flavor: str, wanted: Mapping[str, int]) -> _Try:
    mode, borrows, reasons = Mode.FIT, False, []
    for name, amount in sorted(wanted.items()):
        cell: Cell = (flavor, name)
        free, most = pool.available(queue, cell), pool.capacity(queue, cell)
        borrows = borrows or queue.borrows(cell, amount)
        if amount > most:
            mode = Mode.NO_FIT
            reasons.append(
                f"insufficient quota for {name} in flavor {flavor}, previously considered podsets requests (0) "
                f"+ current podset request ({_quantity(name, amount)}) > maximum capacity ({_quantity(name, most)})"
            )
        elif amount > free:
            reclaimable = amount <= queue.quota(cell).nominal
            mode = min(mode, Mode.RECLAIM if reclaimable else Mode.NO_FIT)
            missing = _quantity(name, amount - free)
            reasons.append(f"insufficient unused quota for {name} in flavor {flavor}, {missing} more needed")
    return _Try(mode, flavor, borrows, tuple(reasons))


def _quantity(resource: str, amount: int) -> str:
    if resource == "cpu":
        return format_cpu(amount)
    return format_bytes(amount) if resource in ("memory", "ephemeral-storage") else str(amount)
