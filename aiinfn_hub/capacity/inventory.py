"""Free units of each flavour, from all nodes and the pods of all namespaces. Pure.

Every pod that still holds something counts, whoever made it: sessions, jobs, other people's pods, and pods that Kueue
has admitted but that have no node yet. Finished pods do not.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from aiinfn_hub.catalogue import Flavour, Platform
from aiinfn_hub.kube.slim import Node, Pod, Taint
from aiinfn_hub.pods import names
from aiinfn_hub.pods.placement import RESERVED

FINISHED = frozenset({"Succeeded", "Failed"})
#: The effects of taints that keep pods away; the third one only puts them off.
_KEEPS = ("NoSchedule", "NoExecute")


@dataclass(frozen=True)
class Stock:
    """Units of one flavour; `silent` names nodes that should have some and do not answer.

    A unit that is a share of a device in turns (time-slicing, MPS) has up to `neighbours` others on the same device.
    `images` says of how many of its `nodes` each image of the list is on the disk, and how large it is there (bytes; 0
    for nobody knows); empty where the nodes do not say what they have. `reserved` has the units, and those of them that
    are free, on nodes that are kept for an activity.
    """

    flavour: str
    total: int
    free: int
    unit: str
    silent: tuple[str, ...] = ()
    neighbours: int = 0
    nodes: int = 0
    images: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    reserved: Mapping[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Shelf:
    """Where the units of one flavour are: allocatable amounts by node. It changes when nodes do, which is seldom."""

    flavour: Flavour
    resource: str
    size: int
    nodes: tuple[tuple[str, int], ...]
    silent: tuple[str, ...]
    neighbours: int = 0
    images: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    reserved: Mapping[str, str] = field(default_factory=dict)
    """The activity that a node is kept for."""


class Demand:
    """What the pods hold on each node, and what pods without a node will take; kept by differences.

    Of ten thousand pods some change every second, and counting all of them again takes longer than an offer may.

    Attributes:
        changes: counts what made a difference, so that a reader knows whether to compute again.
    """

    def __init__(self, pods: Iterable[Pod] = ()) -> None:
        self.changes = 0
        self._held: dict[str, Counter[str]] = {}
        self._waiting: Counter[tuple[str | None, str, int]] = Counter()
        for pod in pods:
            self.change(pod, None)

    def change(self, after: Pod | None, before: Pod | None) -> None:
        """Take a pod as it is now for what it was; None where it was not there, or is not any more."""
        new, old = _claim(after), _claim(before)
        if new == old:
            return
        self.changes += 1
        if old is not None:
            self._add(old, -1)
        if new is not None:
            self._add(new, 1)

    def held(self, node: str, resource: str) -> int:
        """What the pods on this node hold of it together."""
        on_node = self._held.get(node)
        return 0 if on_node is None else on_node[resource]

    def promised(self, shelf: Shelf) -> int:
        """Units that pods without a node will take from this shelf; one without our label may, so it does."""
        wanted = (None, shelf.flavour.name)
        return sum(
            pods * (amount // shelf.size)
            for (flavour, resource, amount), pods in self._waiting.items()
            if resource == shelf.resource and flavour in wanted
        )

    def _add(self, claim: _Claim, sign: int) -> None:
        if claim.node:
            held = self._held.setdefault(claim.node, Counter())
            for resource, amount in claim.requests.items():
                held[resource] += sign * amount
            if not any(held.values()):
                del self._held[claim.node]
            return
        for resource, amount in claim.requests.items():
            wish = (claim.flavour, resource, amount)
            self._waiting[wish] += sign
            if not self._waiting[wish]:
                del self._waiting[wish]


class _Claim(NamedTuple):
    """What a pod takes: of its node, or of any node where its flavour is (None: of any flavour)."""

    node: str
    flavour: str | None
    requests: Mapping[str, int]


def _claim(pod: Pod | None) -> _Claim | None:
    if pod is None or pod.phase in FINISHED:
        return None
    if pod.node:
        return _Claim(pod.node, None, pod.requests)
    if set(pod.gates) - {names.GATE}:
        return None  # Kueue's gates: it still waits for its turn
    # It has been promised what it asks for; our own gate stays until its server starts.
    return _Claim("", pod.labels.get(names.FLAVOUR), pod.requests)


def sessions_hold(platform: Platform, pods: Iterable[Pod]) -> Counter[tuple[str, str]]:
    """Units that sessions hold, or were promised, by flavour and activity."""
    found: Counter[tuple[str, str]] = Counter()
    flavours = {flavour.name: flavour for flavour in platform.flavours if flavour.accelerator}
    for pod in pods:
        flavour = flavours.get(pod.labels.get(names.FLAVOUR, ""))
        if flavour is None or pod.labels.get(names.KIND) != names.SESSION or _claim(pod) is None:
            continue
        units = pod.requests.get(flavour.resource, 0) // flavour.count
        found[flavour.name, pod.labels.get(names.ACTIVITY, "")] += units
    return found


def inventory(platform: Platform, nodes: Iterable[Node], pods: Iterable[Pod]) -> dict[str, Stock]:
    """The stock of every flavour, by name."""
    return count(shelves(platform, nodes), Demand(pods))


def shelves(platform: Platform, nodes: Iterable[Node]) -> list[Shelf]:
    """One for each flavour, in their order."""
    known = list(nodes)
    sizes = {name: size for node in known for name, size in node.images.items()}
    return [_shelf(platform, flavour, known, sizes) for flavour in platform.flavours]


def count(found: Iterable[Shelf], demand: Demand) -> dict[str, Stock]:
    """What the pods leave on the shelves, by name of the flavour."""
    return {shelf.flavour.name: _stock(shelf, demand) for shelf in found}


def _shelf(platform: Platform, flavour: Flavour, nodes: Iterable[Node], sizes: Mapping[str, int]) -> Shelf:
    images, activities = platform.images, {activity.name for activity in platform.activities}
    resource, size = (flavour.resource, flavour.count) if flavour.accelerator else ("cpu", 1000)
    fitting = [n for n in nodes if n.allocatable.get(resource, 0) >= size and suits(flavour, n, activities)]
    open_ones = [node for node in fitting if node.ready and not node.unschedulable]
    usable = tuple((node.name, node.allocatable[resource]) for node in open_ones)
    says = any(node.images for node in open_ones)
    on = {i.name: (sum(i.ref in n.images for n in open_ones), sizes.get(i.ref, 0)) for i in images} if says else {}
    silent = tuple(node.name for node in fitting if not node.ready)
    neighbours = max((_neighbours(resource, node) for node in fitting), default=0)
    reserved = {n.name: t.value for n in open_ones for t in n.taints if t.key == RESERVED and t.effect in _KEEPS}
    return Shelf(flavour, resource, size, usable, silent, neighbours, on, reserved)


def _neighbours(resource: str, node: Node) -> int:
    """As NVIDIA's feature discovery labels a node whose devices are offered several times; one may be renamed."""
    replicas = node.labels.get(f"{resource.removesuffix('.shared')}.replicas", "")
    return max(0, int(replicas) - 1) if replicas.isascii() and replicas.isdigit() else 0


def _stock(shelf: Shelf, demand: Demand) -> Stock:
    resource, size = shelf.resource, shelf.size
    total, free, reserved = 0, 0, dict[str, tuple[int, int]]()
    for node, amount in shelf.nodes:
        units, left = amount // size, max(0, amount - demand.held(node, resource)) // size
        total, free = total + units, free + left
        activity = shelf.reserved.get(node)
        if activity is not None:
            before = reserved.get(activity, (0, 0))
            reserved[activity] = before[0] + units, before[1] + left
    unit = "unit" if shelf.flavour.accelerator else "core"
    left = max(0, free - demand.promised(shelf))
    name, nodes = shelf.flavour.name, len(shelf.nodes)
    return Stock(name, total, left, unit, shelf.silent, shelf.neighbours, nodes, shelf.images, reserved)


def suits(flavour: Flavour, node: Node, activities: Collection[str] = ()) -> bool:
    """Whether a pod of this flavour, of one of the activities, can be placed on the node when it is empty and well."""
    if any(node.labels.get(key) != value for key, value in flavour.node_selector.items()):
        return False
    return all(_tolerated(flavour, taint, activities) for taint in node.taints if taint.effect in _KEEPS)


def _tolerated(flavour: Flavour, taint: Taint, activities: Collection[str]) -> bool:
    if taint.key == RESERVED and taint.value in activities:
        return True
    if taint.key.startswith("node.kubernetes.io/"):
        return True  # readiness and cordons are looked at by themselves
    return any(
        t.key == taint.key and t.effect in ("", taint.effect) and (t.operator == "Exists" or t.value == taint.value)
        for t in flavour.tolerations
    )
