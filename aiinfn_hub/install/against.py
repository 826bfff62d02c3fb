"""A platform file against a cluster: what it says and what the nodes have. Values in, remarks out. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches

from aiinfn_hub.catalogue import Flavour, Platform, Toleration
from aiinfn_hub.catalogue.document import Finding, Location
from aiinfn_hub.contract.quantities import format_bytes, format_cpu
from aiinfn_hub.kube.slim import Node, Taint
from aiinfn_hub.pods.placement import RESERVED

#: The label of interLink's virtual nodes.
VIRTUAL = "virtual-node.interlink/type"
#: What Kubernetes itself puts on a node that is cordoned or not well: it says nothing of the kind of node.
_PASSING = "node.kubernetes.io/"
#: What a node has beside devices.
_PLAIN = ("cpu", "memory", "ephemeral-storage", "pods", "hugepages-", "attachable-volumes-")
#: A model's name is long and half of it may be wrong.
_CUTOFF = 0.3


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """What was read. A part that is None could not be: `unread` says which and why.

    Attributes:
        nodes: all, virtual ones too.
        namespaces: names.
        claims: name -> phase, in the namespace of sessions and jobs.
        secrets: those that the platform file names and that are there.
        unread: sentences.
    """

    nodes: Sequence[Node] | None = ()
    namespaces: Iterable[str] | None = ()
    claims: Mapping[str, str] | None = None
    secrets: Iterable[str] | None = None
    unread: tuple[str, ...] = ()


@dataclass(frozen=True)
class Remark:
    """A finding; a note is no mistake."""

    finding: Finding
    note: bool = False


def compare(platform: Platform, cluster: Cluster) -> list[Remark]:
    """Every remark, in the order of the file's sections."""
    found = [_mistake((), f"could not be compared: {sentence}") for sentence in cluster.unread]
    found += _namespaces(platform, cluster)
    if cluster.nodes is not None:
        here = [node for node in cluster.nodes if not is_virtual(platform, node)]
        found += _capacity(platform, here)
        for index, flavour in enumerate(platform.flavours):
            found += _flavour(("flavours", index), flavour, here)
        found += _unreachable(platform, here)
    return [*found, *_volumes(platform, cluster)]


def is_virtual(platform: Platform, node: Node) -> bool:
    """Whether it is a site's."""
    selectors = [site.node_selector for site in platform.sites if site.kind == "interlink" and site.node_selector]
    return VIRTUAL in node.labels or any(one.items() <= node.labels.items() for one in selectors)


def tolerated(tolerations: Iterable[Toleration], taint: Taint) -> bool:
    """Whether the taint does not keep a pod with these away; one that keeps a node for an activity lets that in."""
    if taint.key == RESERVED or taint.key.startswith(_PASSING) or taint.effect not in ("NoSchedule", "NoExecute"):
        return True
    return any(
        one.key == taint.key
        and one.effect in ("", taint.effect)
        and (one.operator == "Exists" or one.value == taint.value)
        for one in tolerations
    )


def mistaken_selector(
    location: Location, selector: Mapping[str, str], nodes: Sequence[Node], more: str = ""
) -> Iterator[Remark]:
    """Why no node has these labels."""
    alone = True
    for key, value in selector.items():
        values = {node.labels[key] for node in nodes if key in node.labels}
        if value in values:
            continue
        alone = False
        if values:
            yield _mistake((*location, key), f"no node has {key}={value}{more}", _nearest(value, values))
        else:
            known = {label for node in nodes for label in node.labels}
            yield _mistake((*location, key), f"no node has a label {key}{more}", _nearest(key, known))
    if alone:
        yield _mistake(location, f"no node has all of these labels{more}")


def taint_text(taint: Taint) -> str:
    """As kubectl writes it."""
    return f"{taint.key}{'=' if taint.value else ''}{taint.value}:{taint.effect}"


def toleration_line(taint: Taint) -> str:
    """The line of a platform file that tolerates it."""
    return f"{{key: {taint.key}, operator: Exists, effect: {taint.effect}}}"


def _namespaces(platform: Platform, cluster: Cluster) -> Iterator[Remark]:
    if cluster.namespaces is None:
        return
    there = set(cluster.namespaces)
    for key in ("namespace", "system_namespace"):
        name = getattr(platform, key)
        if name not in there:
            yield _mistake((key,), f"the cluster has no namespace {name}", _nearest(name, there, 0.6))


def _capacity(platform: Platform, nodes: Sequence[Node]) -> Iterator[Remark]:
    """Against the nodes that something of the platform can run on."""
    usable = [n for n in nodes if any(_open(flavour.tolerations, n) for flavour in platform.flavours)]
    if platform.capacity is None:
        return
    for resource in ("cpu", "memory"):
        said, there = getattr(platform.capacity, resource), sum(node.allocatable.get(resource, 0) for node in usable)
        yield from amounts_differ(("capacity", resource), resource, said, there, _count(usable))


def amounts_differ(location: Location, resource: str, said: int, there: int, where: str) -> Iterator[Remark]:
    """More than there is is a mistake: Kueue admits what the scheduler cannot place. Less is idle."""
    words = {"cpu": format_cpu, "memory": format_bytes}.get(resource, str)
    if said > there:
        yield _mistake(
            location, f"is {words(said)}, and {words(there)} are on {where}: the rest is admitted and never placed"
        )
    elif said < there:
        yield _note(location, f"is {words(said)}, and {words(there)} are on {where}: the rest stays idle")


def _open(tolerations: Sequence[Toleration], node: Node) -> bool:
    return all(tolerated(tolerations, taint) for taint in node.taints)


def _flavour(location: Location, flavour: Flavour, nodes: Sequence[Node]) -> Iterator[Remark]:
    selected = [node for node in nodes if flavour.node_selector.items() <= node.labels.items()]
    offering = [node for node in nodes if node.allocatable.get(flavour.resource, 0)] if flavour.accelerator else nodes
    if flavour.accelerator and not offering:
        yield _no_such_resource(location, flavour, selected or nodes)
    if not selected:
        more = f"; {flavour.resource} is on {_count(offering)}" if flavour.accelerator else ""
        yield from mistaken_selector((*location, "node_selector"), flavour.node_selector, nodes, more)
        return
    fitting = [node for node in selected if node in offering]
    if not fitting:
        if offering:
            yield _no_such_resource(location, flavour, selected)
        return
    suitable = [node for node in fitting if _open(flavour.tolerations, node)]
    yield from _taints(location, flavour, fitting, suitable)
    if suitable:
        yield from _sizes(location, flavour, suitable)


def _no_such_resource(location: Location, flavour: Flavour, nodes: Sequence[Node]) -> Remark:
    """With what the selected nodes offer instead: with MIG, slices of other profiles."""
    offers: Counter[str] = Counter()
    for node in nodes:
        offers.update({name: n for name, n in node.allocatable.items() if n and not name.startswith(_PLAIN)})
    listed = ", ".join(f"{name} x{number}" for name, number in sorted(offers.items())) or "no device"
    where = f"{_count(nodes)} with these labels" if flavour.node_selector else _count(nodes)
    said = f"no node offers {flavour.resource}; on {where} there is {listed}"
    return _mistake((*location, "resource"), said, _nearest(flavour.resource, offers))


def _taints(
    location: Location, flavour: Flavour, fitting: Sequence[Node], suitable: Sequence[Node]
) -> Iterator[Remark]:
    closed = [node for node in fitting if node not in suitable]
    if suitable and not flavour.node_selector:
        # Whoever asks for no particular node is kept off those of others on purpose.
        return
    for taint in dict.fromkeys(t for node in closed for t in node.taints if not tolerated(flavour.tolerations, t)):
        having = [node.name for node in closed if taint in node.taints]
        said = f"the taint {taint_text(taint)} of {_names(having)} is not tolerated"
        finding = Finding((*location, "tolerations"), said, toleration_line(taint))
        yield Remark(finding, note=bool(suitable))


def _sizes(location: Location, flavour: Flavour, suitable: Sequence[Node]) -> Iterator[Remark]:
    for resource, words in (("cpu", format_cpu), ("memory", format_bytes)):
        largest = max(getattr(flavour, resource).choices)
        there = max(node.allocatable.get(resource, 0) for node in suitable)
        if largest > there:
            said = f"nobody can have {words(largest)}: the largest node allocates {words(there)}"
            yield _mistake((*location, resource, "choices"), said)
    if not flavour.accelerator:
        return
    most = max(node.allocatable[flavour.resource] for node in suitable)
    if most < flavour.count:
        yield _mistake((*location, "count"), f"no node offers {flavour.count} {flavour.resource}: the most is {most}")
    elif flavour.units is not None:
        units = sum(node.allocatable[flavour.resource] // flavour.count for node in suitable)
        yield from amounts_differ((*location, "units"), "", flavour.units, units, _count(suitable))


def _unreachable(platform: Platform, nodes: Sequence[Node]) -> Iterator[Remark]:
    """Taints that keep everything of the platform away, as those of a control plane should."""
    kept: dict[Taint, list[str]] = {}
    for node in nodes:
        for taint in node.taints:
            if not any(tolerated(flavour.tolerations, taint) for flavour in platform.flavours):
                kept.setdefault(taint, []).append(node.name)
    known = [activity.name for activity in platform.activities]
    for node in nodes:
        for taint in (one for one in node.taints if one.key == RESERVED and one.value not in known):
            near = get_close_matches(taint.value, known, n=1)
            said = f"node {node.name} is reserved for {taint.value!r}, which is no activity: nothing runs there"
            yield _mistake(("activities",), said, "".join(near))
    for taint, names in kept.items():
        said = f"no flavour tolerates the taint {taint_text(taint)} of {_names(names)}: nothing runs there"
        yield _note(("flavours",), said)


def _volumes(platform: Platform, cluster: Cluster) -> Iterator[Remark]:
    for index, volume in enumerate(platform.volumes):
        claim, secret = ("volumes", index, "claim"), ("volumes", index, "secret")
        if volume.claim and cluster.claims is not None:
            phase = cluster.claims.get(volume.claim)
            if phase is None:
                said = f"{platform.namespace} has no claim {volume.claim}"
                yield _mistake(claim, said, _nearest(volume.claim, cluster.claims))
            elif phase != "Bound":
                yield _mistake(claim, f"the claim {volume.claim} is {phase}, not Bound: pods that mount it wait")
        if volume.secret and cluster.secrets is not None and volume.secret not in cluster.secrets:
            yield _mistake(secret, f"{platform.namespace} has no Secret {volume.secret}")


def _mistake(location: Location, message: str, nearest: str = "") -> Remark:
    return Remark(Finding(location, message, nearest))


def _note(location: Location, message: str) -> Remark:
    return Remark(Finding(location, message), note=True)


def _nearest(text: str, known: Iterable[str], cutoff: float = _CUTOFF) -> str:
    return "".join(get_close_matches(text, sorted(known), n=1, cutoff=cutoff))


def _count(nodes: Sequence[Node]) -> str:
    return "1 node" if len(nodes) == 1 else f"{len(nodes)} nodes"


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
