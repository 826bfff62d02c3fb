"""Kueue's objects as the queue controller reads them, decoded from JSON text into small records. Pure."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from aiinfn_hub.kube import shapes
from aiinfn_hub.kube.amounts import amount
from aiinfn_hub.kube.slim import Taint
from aiinfn_hub.local.controllers.constraints import Expression, Toleration, holds
from aiinfn_hub.local.controllers.flavors import Flavor
from aiinfn_hub.local.controllers.quota import Cell, ClusterQueue, Quota, ResourceGroup

Quantity = str | int | float


class Named(msgspec.Struct, kw_only=True):
    """Base of the records: who an object is."""

    metadata: shapes.ObjectMeta

    @property
    def uid(self) -> str:
        """`metadata.uid`."""
        return self.metadata.uid

    @property
    def rv(self) -> str:
        """`metadata.resourceVersion`."""
        return self.metadata.resource_version

    @property
    def name(self) -> str:
        """`metadata.name`."""
        return self.metadata.name


class Namespace(Named):
    """A namespace."""


class PriorityClass(Named):
    """A WorkloadPriorityClass."""

    value: int = 0


class _LocalQueueSpec(msgspec.Struct, rename="camel"):
    cluster_queue: str = ""
    stop_policy: str | None = None


class LocalQueue(Named):
    """A LocalQueue."""

    spec: _LocalQueueSpec = msgspec.field(default_factory=_LocalQueueSpec)

    @property
    def held(self) -> bool:
        """Whether nothing is admitted through it."""
        return self.spec.stop_policy not in (None, "None")

    @property
    def drains(self) -> bool:
        """Whether what runs has to go."""
        return self.spec.stop_policy == "HoldAndDrain"


class _FlavorSpec(msgspec.Struct, rename="camel"):
    node_labels: dict[str, str] | None = None
    node_taints: tuple[Taint, ...] | None = None
    tolerations: tuple[Toleration, ...] | None = None


class ResourceFlavor(Named):
    """A ResourceFlavor."""

    spec: _FlavorSpec = msgspec.field(default_factory=_FlavorSpec)

    def flavor(self) -> Flavor:
        """What assigning needs of it."""
        spec = self.spec
        return Flavor(self.name, spec.node_labels or {}, spec.node_taints or (), spec.tolerations or ())


class Selector(msgspec.Struct, rename="camel"):
    """A label selector; an empty one matches everything."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple[Expression, ...] | None = None

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether all requirements hold."""
        if any(labels.get(key) != value for key, value in (self.match_labels or {}).items()):
            return False
        return all(holds(labels.get(e.key), e) for e in self.match_expressions or ())


class _Quota(msgspec.Struct, rename="camel"):
    name: str
    nominal_quota: Quantity = 0
    borrowing_limit: Quantity | None = None
    lending_limit: Quantity | None = None

    def quota(self) -> Quota:
        borrowing, lending = self.borrowing_limit, self.lending_limit
        return Quota(
            amount(self.name, self.nominal_quota),
            None if borrowing is None else amount(self.name, borrowing),
            None if lending is None else amount(self.name, lending),
        )


class _FlavorQuotas(msgspec.Struct):
    name: str
    resources: list[_Quota] = []


class _Group(msgspec.Struct, rename="camel"):
    covered_resources: list[str]
    flavors: list[_FlavorQuotas] = []


class _Preemption(msgspec.Struct, rename="camel"):
    reclaim_within_cohort: str = "Never"


class _ClusterQueueSpec(msgspec.Struct, rename="camel"):
    cohort_name: str | None = None
    namespace_selector: Selector | None = None
    queueing_strategy: str = "BestEffortFIFO"
    stop_policy: str | None = None
    preemption: _Preemption | None = None
    resource_groups: list[_Group] | None = None


class ClusterQueueObject(Named):
    """A ClusterQueue."""

    spec: _ClusterQueueSpec = msgspec.field(default_factory=_ClusterQueueSpec)

    @property
    def drains(self) -> bool:
        """Whether what runs has to go."""
        return self.spec.stop_policy == "HoldAndDrain"

    def takes(self, labels: Mapping[str, str]) -> bool:
        """Whether it takes workloads of a namespace with these labels; without a selector it takes none."""
        return self.spec.namespace_selector is not None and self.spec.namespace_selector.matches(labels)

    def inactive(self, flavors: Mapping[str, Flavor]) -> tuple[str, str]:
        """Reason and sentence why it admits nothing; empty if it does."""
        if self.spec.stop_policy not in (None, "None"):
            return "Stopped", "Can't admit new workloads: is stopped."
        named = [quotas.name for group in self.spec.resource_groups or () for quotas in group.flavors]
        missing = sorted({name for name in named if name not in flavors})
        if missing:
            return (
                "FlavorNotFound",
                f"Can't admit new workloads: references missing ResourceFlavor(s): {','.join(missing)}.",
            )
        return "", ""

    def queue(self, flavors: Mapping[str, Flavor]) -> ClusterQueue:
        """What a cycle needs of it, with nothing used."""
        groups = self.spec.resource_groups or []
        quotas: dict[Cell, Quota] = {
            (quotas.name, one.name): one.quota()
            for group in groups
            for quotas in group.flavors
            for one in quotas.resources
        }
        return ClusterQueue(
            name=self.name,
            groups=tuple(
                ResourceGroup(frozenset(group.covered_resources), tuple(quotas.name for quotas in group.flavors))
                for group in groups
            ),
            quotas=quotas,
            cohort=self.spec.cohort_name or "",
            active=not self.inactive(flavors)[0],
            strict=self.spec.queueing_strategy == "StrictFIFO",
            reclaims=(self.spec.preemption or _Preemption()).reclaim_within_cohort,
        )


decode_namespace = msgspec.json.Decoder(Namespace).decode
decode_priority_class = msgspec.json.Decoder(PriorityClass).decode
decode_local_queue = msgspec.json.Decoder(LocalQueue).decode
decode_flavor = msgspec.json.Decoder(ResourceFlavor).decode
decode_cluster_queue = msgspec.json.Decoder(ClusterQueueObject).decode
