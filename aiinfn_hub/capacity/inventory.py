"""Free units of each flavour, from all nodes and the pods of all namespaces. Pure.

Every pod that still holds something counts, whoever made it: sessions, jobs, other people's pods, and pods that Kueue
has admitted but that have no node yet. Finished pods do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aiinfn_hub.catalogue import Flavour, Platform
from aiinfn_hub.kube.slim import Node, Pod, Taint
from aiinfn_hub.pods import names

FINISHED = frozenset({"Succeeded", "Failed"})


@dataclass(frozen=True)
class Stock:
    """Units of one flavour; `silent` names nodes that should have some and do not answer."""

    flavour: str
    total: int
    free: int
    unit: str
    silent: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shelf:
    """Where the units of one flavour are: allocatable amounts by node. It changes when nodes do, which is seldom."""

    flavour: Flavour
    resource: str
    size: int
    nodes: tuple[tuple[str, int], ...]
    silent: tuple[str, ...]


def inventory(platform: Platform, nodes: Iterable[Node], pods: Iterable[Pod]) -> dict[str, Stock]:
    """The stock of every flavour, by name."""
    return count(shelves(platform, nodes), pods)


def shelves(platform: Platform, nodes: Iterable[Node]) -> list[Shelf]:
    """One for each flavour, in their order."""
    known = list(nodes)
    return [_shelf(flavour, known) for flavour in platform.flavours]


def count(found: Iterable[Shelf], pods: Iterable[Pod]) -> dict[str, Stock]:
    """What the pods leave on the shelves, by name of the flavour."""
    held, waiting = _demand(pods)
    return {shelf.flavour.name: _stock(shelf, held, waiting) for shelf in found}


def _demand(pods: Iterable[Pod]) -> tuple[dict[str, dict[str, int]], list[Pod]]:
    """Requests by node and resource, and the pods that will take something but have no node yet."""
    held: dict[str, dict[str, int]] = {}
    waiting = []
    for pod in pods:
        if pod.phase in FINISHED:
            continue
        if pod.node:
            on_node = held.setdefault(pod.node, {})
            for resource, amount in pod.requests.items():
                on_node[resource] = on_node.get(resource, 0) + amount
        elif not set(pod.gates) - {names.GATE}:
            # Kueue's gates: it still waits for its turn. Without them, it has been promised what it asks for; our own
            # gate stays until its server starts.
            waiting.append(pod)
    return held, waiting


def _shelf(flavour: Flavour, nodes: Iterable[Node]) -> Shelf:
    resource, size = (flavour.resource, flavour.count) if flavour.accelerator else ("cpu", 1000)
    fitting = [node for node in nodes if node.allocatable.get(resource, 0) >= size and suits(flavour, node)]
    usable = tuple((node.name, node.allocatable[resource]) for node in fitting if node.ready and not node.unschedulable)
    return Shelf(flavour, resource, size, usable, tuple(node.name for node in fitting if not node.ready))


def _stock(shelf: Shelf, held: Mapping[str, Mapping[str, int]], waiting: list[Pod]) -> Stock:
    resource, size, nothing = shelf.resource, shelf.size, dict[str, int]()
    total = sum(amount // size for _, amount in shelf.nodes)
    free = sum(max(0, amount - held.get(node, nothing).get(resource, 0)) // size for node, amount in shelf.nodes)
    promised = sum(pod.requests.get(resource, 0) // size for pod in waiting if _wants(shelf.flavour, pod))
    unit = "unit" if shelf.flavour.accelerator else "core"
    return Stock(shelf.flavour.name, total, max(0, free - promised), unit, shelf.silent)


def suits(flavour: Flavour, node: Node) -> bool:
    """Whether a pod of this flavour could be placed on the node when it is empty and well."""
    if any(node.labels.get(key) != value for key, value in flavour.node_selector.items()):
        return False
    return all(_tolerated(flavour, taint) for taint in node.taints if taint.effect in ("NoSchedule", "NoExecute"))


def _tolerated(flavour: Flavour, taint: Taint) -> bool:
    if taint.key.startswith("node.kubernetes.io/"):
        return True  # readiness and cordons are looked at by themselves
    return any(
        t.key == taint.key and t.effect in ("", taint.effect) and (t.operator == "Exists" or t.value == taint.value)
        for t in flavour.tolerations
    )


def _wants(flavour: Flavour, pod: Pod) -> bool:
    """Whether a pod without a node will take from this flavour; one without our label may, so it does."""
    return pod.labels.get(names.FLAVOUR, flavour.name) == flavour.name
