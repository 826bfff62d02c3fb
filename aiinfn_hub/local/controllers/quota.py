"""ClusterQueues, their cohorts, and what is left of their quotas. Pure; the arithmetic is Kueue's for flat cohorts.

Amounts are kept by `(flavor, resource)`. Of its nominal quota a queue lends what its lending limit allows (all, without
one); it may use its own, and what the others of its cohort lend and do not use, up to its borrowing limit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Cell = tuple[str, str]
Usage = dict[Cell, int]


@dataclass(frozen=True)
class Quota:
    """The quota of one resource in one flavor; no limit is None."""

    nominal: int
    borrowing_limit: int | None = None
    lending_limit: int | None = None

    @property
    def kept(self) -> int:
        """What nobody else may use."""
        return 0 if self.lending_limit is None else max(0, self.nominal - self.lending_limit)


NO_QUOTA = Quota(0)


@dataclass(frozen=True)
class ResourceGroup:
    """Resources that come from the same flavor, and the flavors in order of preference."""

    covered: frozenset[str]
    flavors: tuple[str, ...]


@dataclass
class ClusterQueue:
    """A ClusterQueue with what its admitted workloads use."""

    name: str
    groups: tuple[ResourceGroup, ...] = ()
    quotas: Mapping[Cell, Quota] = field(default_factory=dict)
    cohort: str = ""
    active: bool = True
    strict: bool = False
    reclaims: str = "Never"
    usage: Usage = field(default_factory=dict)

    def quota(self, cell: Cell) -> Quota:
        """The quota of a cell; nothing where the queue has none."""
        return self.quotas.get(cell, NO_QUOTA)

    def borrows(self, cell: Cell, more: int = 0) -> bool:
        """Whether it uses more than its own quota, or would."""
        return self.usage.get(cell, 0) + more > self.quota(cell).nominal


class Pool:
    """All ClusterQueues, and for every cohort what is lent and taken; kept up to date as usage comes and goes."""

    def __init__(self, queues: Iterable[ClusterQueue]) -> None:
        self.queues = {queue.name: queue for queue in queues}
        self._lent: dict[tuple[str, Cell], int] = {}
        self._taken: dict[tuple[str, Cell], int] = {}
        for queue in self.queues.values():
            if not queue.cohort:
                continue
            for cell, quota in queue.quotas.items():
                _add(self._lent, (queue.cohort, cell), quota.nominal - quota.kept)
            for cell, used in queue.usage.items():
                _add(self._taken, (queue.cohort, cell), _beyond(queue, cell, used))

    def members(self, cohort: str) -> list[ClusterQueue]:
        """The queues of a cohort."""
        return [queue for queue in self.queues.values() if queue.cohort == cohort]

    def use(self, name: str, usage: Mapping[Cell, int], sign: int = 1) -> None:
        """A workload takes its quota, or gives it back (`sign` -1)."""
        queue = self.queues[name]
        for cell, amount in usage.items():
            before = queue.usage.get(cell, 0)
            after = queue.usage[cell] = before + sign * amount
            if queue.cohort:
                _add(self._taken, (queue.cohort, cell), _beyond(queue, cell, after) - _beyond(queue, cell, before))

    def available(self, queue: ClusterQueue, cell: Cell) -> int:
        """How much more the queue could use now; negative when a quota was lowered below its use."""
        quota, used = queue.quota(cell), queue.usage.get(cell, 0)
        if not queue.cohort:
            return quota.nominal - used
        key = (queue.cohort, cell)
        shared = self._lent.get(key, 0) - self._taken.get(key, 0)
        if quota.borrowing_limit is not None:
            own = quota.nominal - quota.kept - _beyond(queue, cell, used)
            shared = min(shared, own + quota.borrowing_limit)
        return max(0, quota.kept - used) + shared

    def capacity(self, queue: ClusterQueue, cell: Cell) -> int:
        """How much the queue could use if nobody used anything."""
        quota = queue.quota(cell)
        if not queue.cohort:
            return quota.nominal
        most = quota.kept + self._lent.get((queue.cohort, cell), 0)
        return most if quota.borrowing_limit is None else min(most, quota.nominal + quota.borrowing_limit)

    def fits(self, queue: ClusterQueue, usage: Mapping[Cell, int]) -> bool:
        """Whether all of it is there now."""
        return all(amount <= self.available(queue, cell) for cell, amount in usage.items())


def _beyond(queue: ClusterQueue, cell: Cell, used: int) -> int:
    """What the queue takes out of the cohort's common part."""
    return max(0, used - queue.quota(cell).kept)


def _add(amounts: dict[tuple[str, Cell], int], key: tuple[str, Cell], more: int) -> None:
    amounts[key] = amounts.get(key, 0) + more
