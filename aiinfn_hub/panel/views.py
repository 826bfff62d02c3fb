"""What the pages show, as plain values: from records, nodes and pods to rows and boxes. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiinfn_hub.accounting.usage import coverage
from aiinfn_hub.capacity.inventory import FINISHED
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.offer import QuotaOffer
from aiinfn_hub.contract.quantities import format_duration
from aiinfn_hub.kube.slim import Node, Pod
from aiinfn_hub.pods import names


@dataclass(frozen=True)
class Row:
    """A record as people read it."""

    kind: str
    person: str
    activity: str
    flavour: str
    units: int
    name: str
    node: str
    since: float | None
    until: float | None
    held: str
    weighted_hours: float
    note: str


@dataclass(frozen=True)
class Device:
    """One box of the map: a device or a slice, and who holds it."""

    resource: str
    flavour: str
    holder: str = ""
    kind: str = ""
    activity: str = ""
    since: float | None = None


@dataclass(frozen=True)
class NodeRow:
    """One row of the map."""

    name: str
    state: str
    devices: tuple[Device, ...]
    cpu_used: float
    cpu_total: float
    cpu_pods: int


@dataclass(frozen=True)
class Budget:
    """What an activity used of what it may, in weighted GPU-hours of its window; `observed` of that time was seen."""

    activity: str
    title: str
    used: float
    quota: float | None
    window_days: int
    committed: float = 0.0
    observed: float | None = None

    @property
    def percent(self) -> float | None:
        """Used part of the quota, 0 to 100."""
        return None if self.quota is None else min(100.0, 100.0 * self.used / self.quota) if self.quota else 100.0


def row(record: Mapping[str, Any], now: float) -> Row:
    """One record of the ledger."""
    begin, end = record["held_from"], record["held_to"]
    begin = None if record.get("quarantine") else begin
    held_s = max(0.0, (end if end is not None else now) - begin) if begin is not None else 0.0
    return Row(
        kind=record["kind"],
        person=record["person"],
        activity=record["activity"],
        flavour=record["flavour"],
        units=record["units"],
        name=record.get("server", "") or record.get("run_id", ""),
        node=record.get("node", ""),
        since=begin,
        until=end,
        held=_held(record, held_s),
        weighted_hours=held_s * record["units"] * record.get("weight", 0.0) / 3600,
        note=_note(record),
    )


def _held(record: Mapping[str, Any], held_s: float) -> str:
    if record.get("quarantine"):
        return "unknown"
    return format_duration(held_s) if record["held_from"] is not None else "waits"


def _note(record: Mapping[str, Any]) -> str:
    if record.get("quarantine"):
        return f"in quarantine, counts nothing: {record['quarantine']}"
    if record["held_from"] is None:
        return "never started" if record["held_to"] is not None else "waiting"
    if record["held_to"] is None:
        return "holds it now"
    if record["end_source"] == "last-seen":
        return f"end inferred, to {format_duration(record.get('uncertainty_s', 0.0))}"
    return ""


def budgets(platform: Platform, used: Mapping[str, Sequence[Mapping[str, Any]]]) -> list[Budget]:
    """One bar an activity, from rows of `usage.by_group`."""
    found = []
    for name, rows in used.items():
        activity, hours = platform.activity(name), sum(row["weighted_gpu_hours"] for row in rows)
        found.append(
            Budget(name, activity.title, hours, activity.gpu_hours, activity.window_days, observed=coverage(rows))
        )
    return found


def own_budgets(platform: Platform, quotas: Iterable[QuotaOffer]) -> list[Budget]:
    """One bar a limit of the person's own."""
    own = {rule.name for rule in platform.quotas.rules if rule.per == "person"}
    return [Budget(q.name, q.title, q.used, q.gpu_hours, q.window_days, q.committed) for q in quotas if q.name in own]


@dataclass(frozen=True)
class Demand:
    """What was asked for of one flavour: used, waited for, refused.

    Attributes:
        used: weighted GPU-hours that were held.
        waited: hours from creation to a node, all together.
        refused: weighted GPU-hours that were asked for and not given, in `asks` asks.
        part: `refused` of all that was asked for, 0 to 100.
    """

    flavour: str
    title: str
    used: float
    waited: float
    refused: float
    asks: int

    @property
    def part(self) -> float:
        """Whatever is used and refused is what was asked for."""
        asked = self.used + self.refused
        return 100.0 * self.refused / asked if asked else 0.0


def demand(
    platform: Platform, usage: Iterable[Mapping[str, Any]], refused: Iterable[Mapping[str, Any]]
) -> list[Demand]:
    """One row a flavour with an accelerator of which anything was asked for, the most wanted first."""
    rows, refusals = list(usage), list(refused)
    titles = {flavour.name: flavour.title for flavour in platform.flavours if flavour.accelerator}
    gone = {row["flavour"] for row in [*rows, *refusals]} - {flavour.name for flavour in platform.flavours}
    found = []
    for name, title in (titles | {name: name for name in sorted(gone)}).items():
        mine = [row for row in rows if row["flavour"] == name]
        theirs = [row for row in refusals if row["flavour"] == name]
        one = Demand(
            name,
            title,
            sum(row["weighted_gpu_hours"] for row in mine),
            sum(row["waited_hours"] for row in mine),
            sum(row["weighted_gpu_hours"] for row in theirs),
            sum(row["asks"] for row in theirs),
        )
        if one.used or one.waited or one.asks:
            found.append(one)
    return sorted(found, key=lambda one: (-one.refused, -one.waited, one.flavour))


def node_map(platform: Platform, nodes: Iterable[Node], pods: Iterable[Pod]) -> list[NodeRow]:
    """One row a node, one box a device, slices as boxes of their own; nodes with accelerators first."""
    by_node: dict[str, list[Pod]] = {}
    for pod in pods:
        if pod.node and pod.phase not in FINISHED:
            by_node.setdefault(pod.node, []).append(pod)
    rows = [_node(platform, node, by_node.get(node.name, [])) for node in nodes]
    return sorted(rows, key=lambda r: (not r.devices, r.name))


def _node(platform: Platform, node: Node, pods: list[Pod]) -> NodeRow:
    state = "" if node.ready else "does not answer"
    if node.ready and node.unschedulable:
        state = "drained"
    resources = sorted({flavour.resource for flavour in platform.flavours if flavour.accelerator})
    devices = [device for resource in resources for device in _devices(platform, node, resource, pods)]
    cpu = sum(pod.requests.get("cpu", 0) for pod in pods) / 1000
    return NodeRow(
        node.name,
        state,
        tuple(devices),
        cpu,
        node.allocatable.get("cpu", 0) / 1000,
        sum(1 for pod in pods if names.KIND in pod.labels),
    )


def _devices(platform: Platform, node: Node, resource: str, pods: list[Pod]) -> list[Device]:
    total = node.allocatable.get(resource, 0)
    flavour = next(
        (
            f.name
            for f in platform.flavours
            if f.resource == resource and all(node.labels.get(k) == v for k, v in f.node_selector.items())
        ),
        resource,
    )
    held = [
        Device(
            resource,
            pod.labels.get(names.FLAVOUR, flavour),
            pod.annotations.get(names.PERSON_NAME, f"{pod.namespace}/{pod.name}"),
            pod.labels.get(names.KIND, "other"),
            pod.labels.get(names.ACTIVITY, ""),
            pod.scheduled or pod.created,
        )
        for pod in sorted(pods, key=lambda p: p.created)
        for _ in range(pod.requests.get(resource, 0))
    ]
    return [*held, *(Device(resource, flavour) for _ in range(total - len(held)))]


def waiting(pods: Iterable[Pod]) -> list[Pod]:
    """Our pods that have no node yet, oldest first."""
    found = [pod for pod in pods if not pod.node and pod.phase not in FINISHED and names.KIND in pod.labels]
    return sorted(found, key=lambda pod: pod.created)
