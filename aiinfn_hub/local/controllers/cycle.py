"""One admission cycle: from queues, their use and what waits, to who is admitted, who waits why, who must go. Pure.

As Kueue does it: the heads of all ClusterQueues are looked at together; those that need not borrow come first, then
priority, then age. A workload that needs what others have borrowed from its queue gets it back by evicting the latest
admitted ones, and is admitted when they have gone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

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
    booked = Pool(replace(queue, usage=dict(queue.usage)) for queue in pool.queues.values())
    lines: dict[str, list[Pending]] = {}
    for waiting in pending:
        if waiting.queue in pool.queues and pool.queues[waiting.queue].active:
            lines.setdefault(waiting.queue, []).append(waiting)
    for line in lines.values():
        line.sort(key=lambda w: (-w.priority, w.since, w.key), reverse=True)  # the head is the last: pop() is cheap
    run = _Run(pool, booked, flavors, list(admitted))
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
    """What has been given, promised and taken so far in this cycle.

    `pool` is the truth: what is evicted holds its quota until it has gone. `booked` has on top of it what was promised
    to those who wait for it, so that nobody else gets it; the sentences are about the truth.
    """

    pool: Pool
    booked: Pool
    flavors: Mapping[str, Flavor]
    staying: list[Admitted]
    leaving: list[Admitted] = field(default_factory=list)
    decisions: Decisions = field(default_factory=Decisions)

    def nominate(self, head: Pending) -> Assignment:
        return assign(self.pool, self.pool.queues[head.queue], head.requests, head.constraints, self.flavors)

    def decide(self, head: Pending, found: Assignment) -> None:
        if found.mode is Mode.FIT and self.booked.fits(self.booked.queues[head.queue], found.usage):
            self.pool.use(head.queue, found.usage)
            self.booked.use(head.queue, found.usage)
            self.decisions.admit[head.key] = found.flavors
        elif found.mode is Mode.FIT:
            self.decisions.wait[head.key] = "Workload no longer fits after processing another workload"
        else:
            self.decisions.wait[head.key] = found.message() + self._reclaim(head, found)

    def _reclaim(self, head: Pending, found: Assignment) -> str:
        """Evict what stands in the way, and keep the place for the head; the end of the head's sentence."""
        queue = self.booked.queues[head.queue]
        if found.mode is not Mode.RECLAIM or queue.reclaims == "Never":
            return ""
        self._move(self.leaving, -1)
        targets = self._targets(head, queue, found.usage)
        self._move(self.leaving, 1)
        if not targets:
            return ""
        self.leaving += targets
        self.staying = [one for one in self.staying if one not in targets]
        self.booked.use(queue.name, found.usage)
        self.decisions.evict.update({target.key: head.key for target in targets if not target.evicted})
        return f". Pending the preemption of {len(targets)} workload(s)"

    def _move(self, some: Iterable[Admitted], sign: int) -> None:
        for one in some:
            self.booked.use(one.queue, one.usage, sign)

    def _targets(self, head: Pending, queue: ClusterQueue, usage: Usage) -> list[Admitted]:
        """The fewest borrowers to evict, the latest admitted first; none if that does not help."""
        if any(queue.borrows(cell, amount) for cell, amount in usage.items()):
            return []  # it would borrow itself: only one's own quota is reclaimed
        chosen: list[Admitted] = []
        for one in sorted(self._candidates(head, queue, usage), key=_order):
            if not self._borrower(one, usage):
                continue  # its queue has given back enough already
            self._move([one], -1)
            chosen.append(one)
            if self.booked.fits(queue, usage):
                break
        enough = self.booked.fits(queue, usage)
        for one in chosen[-2::-1] if enough else []:  # whoever is not needed after all stays; the last chosen one is
            self._move([one], 1)
            if self.booked.fits(queue, usage):
                chosen.remove(one)
            else:
                self._move([one], -1)
        self._move(chosen, 1)
        return chosen if enough else []

    def _candidates(self, head: Pending, queue: ClusterQueue, usage: Usage) -> list[Admitted]:
        others = {member.name for member in self.booked.members(queue.cohort)} - {queue.name} if queue.cohort else set()
        lower = queue.reclaims == "LowerPriority"
        return [
            one
            for one in self.staying
            if one.queue in others and not (lower and one.priority >= head.priority) and self._borrower(one, usage)
        ]

    def _borrower(self, one: Admitted, usage: Usage) -> bool:
        """Whether its queue borrows something that the head needs and it holds some of that."""
        queue = self.booked.queues[one.queue]
        return any(one.usage.get(cell, 0) and queue.borrows(cell) for cell in usage)


def _order(one: Admitted) -> tuple[bool, int, float, str]:
    """Who goes first: those that go anyway, the lowest priority, the latest admitted."""
    return not one.evicted, one.priority, -one.since, one.key
