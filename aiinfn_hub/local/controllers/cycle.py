"""One admission cycle: from queues, their use and what waits, to who is admitted, who waits why, who must go. Pure.

As Kueue does it: the heads of all ClusterQueues are looked at together; those that need not borrow come first, then
priority, then age. A workload that needs what others have borrowed from its queue gets it back by evicting the latest
admitted ones, and is admitted when they have gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aiinfn_hub.local.controllers.constraints import Constraints
from aiinfn_hub.local.controllers.flavors import Assignment, Flavor, Mode, assign
from aiinfn_hub.local.controllers.quota import ClusterQueue, Pool, Usage


@dataclass(frozen=True)
class Pending:
    """A workload that waits; `queue` is its ClusterQueue, `since` orders those of the same priority."""

    key: str
    queue: str
    requests: Mapping[str, int]
    constraints: Constraints = field(default_factory=Constraints)
    priority: int = 0
    since: float = 0.0


@dataclass(frozen=True)
class Admitted:
    """A workload that holds quota; `evicted` if it was told to go and has not gone yet."""

    key: str
    queue: str
    usage: Mapping[tuple[str, str], int]
    priority: int = 0
    since: float = 0.0
    evicted: bool = False


@dataclass
class Decisions:
    """What a cycle decided, by the workload's key.

    Attributes:
        admit: flavor by resource.
        wait: the sentence of the condition.
        evict: who is to go, and for whom.
    """

    admit: dict[str, dict[str, str]] = field(default_factory=dict)
    wait: dict[str, str] = field(default_factory=dict)
    evict: dict[str, str] = field(default_factory=dict)


def cycle(
    queues: Iterable[ClusterQueue],
    flavors: Mapping[str, Flavor],
    admitted: Sequence[Admitted],
    pending: Iterable[Pending],
) -> Decisions:
    """Decide about everything that waits in active queues; the queues' usage is that of `admitted` and is changed."""
    pool = Pool(queues)
    lines: dict[str, list[Pending]] = {}
    for waiting in pending:
        if waiting.queue in pool.queues and pool.queues[waiting.queue].active:
            lines.setdefault(waiting.queue, []).append(waiting)
    for line in lines.values():
        line.sort(key=lambda w: (-w.priority, w.since, w.key), reverse=True)  # the head is the last: pop() is cheap
    run = _Run(pool, flavors, list(admitted))
    while lines:
        heads = [line.pop() for line in lines.values()]
        nominated = [(head, run.nominate(head)) for head in heads]
        nominated.sort(key=lambda one: (one[1].borrows, -one[0].priority, one[0].since, one[0].key))
        for head, assignment in nominated:
            run.decide(head, assignment)
            queue = pool.queues[head.queue]
            blocked = queue.strict and head.key not in run.decisions.admit
            if blocked or not lines[head.queue]:
                del lines[head.queue]
    return run.decisions


@dataclass
class _Run:
    """What has been given and taken so far in this cycle."""

    pool: Pool
    flavors: Mapping[str, Flavor]
    admitted: list[Admitted]
    decisions: Decisions = field(default_factory=Decisions)

    def nominate(self, head: Pending) -> Assignment:
        return assign(self.pool, self.pool.queues[head.queue], head.requests, head.constraints, self.flavors)

    def decide(self, head: Pending, found: Assignment) -> None:
        queue = self.pool.queues[head.queue]
        if found.mode is Mode.FIT and self.pool.fits(queue, found.usage):
            self.pool.use(queue.name, found.usage)
            self.decisions.admit[head.key] = found.flavors
        elif found.mode is Mode.FIT:
            self.decisions.wait[head.key] = "Workload no longer fits after processing another workload"
        else:
            self.decisions.wait[head.key] = found.message() + self._reclaim(head, queue, found)

    def _reclaim(self, head: Pending, queue: ClusterQueue, found: Assignment) -> str:
        """Evict what stands in the way, and keep the place for the head; the end of the head's sentence."""
        if found.mode is not Mode.RECLAIM or queue.reclaims == "Never":
            return ""
        targets = self._targets(head, queue, found.usage)
        if not targets:
            return ""
        for target in targets:
            if not target.evicted:
                self.decisions.evict.setdefault(target.key, head.key)
            # Their quota counts as the head's from now on, so that nobody else in this cycle gets it.
            self.pool.use(target.queue, target.usage, -1)
            self.admitted.remove(target)
        self.pool.use(queue.name, found.usage)
        return f". Pending the preemption of {len(targets)} workload(s)"

    def _targets(self, head: Pending, queue: ClusterQueue, usage: Usage) -> list[Admitted]:
        """The fewest borrowers to evict, the latest admitted first; none if that does not help."""
        if any(queue.borrows(cell, amount) for cell, amount in usage.items()):
            return []  # it would borrow itself: only one's own quota is reclaimed
        chosen: list[Admitted] = []
        for one in sorted(self._candidates(head, queue, usage), key=_order):
            if not self._borrower(one, usage):
                continue  # its queue has given back enough already
            self.pool.use(one.queue, one.usage, -1)
            chosen.append(one)
            if self.pool.fits(queue, usage):
                break
        enough = self.pool.fits(queue, usage)
        for one in chosen[-2::-1] if enough else []:  # whoever is not needed after all stays; the last chosen one is
            self.pool.use(one.queue, one.usage)
            if self.pool.fits(queue, usage):
                chosen.remove(one)
            else:
                self.pool.use(one.queue, one.usage, -1)
        for one in chosen:
            self.pool.use(one.queue, one.usage)
        return chosen if enough else []

    def _candidates(self, head: Pending, queue: ClusterQueue, usage: Usage) -> list[Admitted]:
        members = {member.name for member in self.pool.members(queue.cohort)} if queue.cohort else set()
        lower = queue.reclaims == "LowerPriority"
        return [
            one
            for one in self.admitted
            if one.queue in members
            and one.queue != queue.name
            and not (lower and one.priority >= head.priority)
            and self._borrower(one, usage)
        ]

    def _borrower(self, one: Admitted, usage: Usage) -> bool:
        """Whether its queue borrows something that the head needs and it holds some of that."""
        queue = self.pool.queues[one.queue]
        return any(one.usage.get(cell, 0) and queue.borrows(cell) for cell in usage)


def _order(one: Admitted) -> tuple[bool, int, float, str]:
    """Who goes first: those that go anyway, the lowest priority, the latest admitted."""
    return not one.evicted, one.priority, -one.since, one.key
