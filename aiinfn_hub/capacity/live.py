"""The live reporter: one person's offer, from the caches of nodes and pods and the ledger's sums."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

from aiinfn_hub.capacity.inventory import Demand, Shelf, Stock, count, sessions_hold, shelves
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.offer import ActivityOffer, FlavourOffer, Offer, OnNodes, Reserved
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.slim import Node, Pod

#: Seconds of the calendar that people see.
AHEAD_S = 7 * 86400.0


class Reporter:
    """Answers "what is free" from memory; the arithmetic runs again only after a change that makes a difference.

    `notice` must be told every change of `pods`, from the first on.
    """

    def __init__(
        self,
        platform: Platform,
        nodes: WatchCache[Node],
        pods: WatchCache[Pod],
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.platform = platform
        self.nodes = nodes
        self.pods = pods
        self.clock = clock
        self._demand = Demand(pods.items.values())
        self._shelves: list[Shelf] = []
        self._stock: dict[str, Stock] = {}
        self._counted: tuple[int, int] | None = None

    def notice(self, event: str, pod: Pod, before: Pod | None) -> None:
        """A change of the cache of pods, as its `on_event` tells it."""
        self._demand.change(None if event == "DELETED" else pod, before)

    def stock(self) -> dict[str, Stock]:
        """The stock of every flavour as of the caches."""
        version = (self.nodes.changes, self._demand.changes)
        if version != self._counted:
            if self._counted is None or version[0] != self._counted[0]:
                self._shelves = shelves(self.platform, self.nodes.items.values())
            self._stock = count(self._shelves, self._demand)
            self._counted = version
        return self._stock

    @property
    def unknown_since(self) -> float | None:
        """When the numbers stopped being true: a watch that fails, or that never listed; None while all is well."""
        caches = (self.nodes, self.pods)
        never = [cache for cache in caches if not cache.synced.is_set()]
        failing = [cache.failing_since for cache in caches if cache.failing_since is not None]
        if never:
            return min(failing, default=self.clock())
        return min(failing, default=None)

    @property
    def at(self) -> float:
        """When the caches were last known to be true (Unix seconds)."""
        return min(self.nodes.synced_at, self.pods.synced_at) or self.clock()

    def flavours(self) -> list[FlavourOffer]:
        """Every flavour, in the order of the platform file."""
        unknown, stock, reserved = self.unknown_since, self.stock(), self._reserved()
        return [
            _flavour(stock[flavour.name], unknown, [*reserved.get(flavour.name, []), *self._kept(stock[flavour.name])])
            for flavour in self.platform.flavours
        ]

    def _kept(self, stock: Stock) -> list[Reserved]:
        """What nodes are kept for an activity by a taint."""
        titles = {activity.name: activity.title for activity in self.platform.activities}
        known = sorted(stock.reserved.items())
        return [Reserved(titles[name], name, units, None, None, left) for name, (units, left) in known]

    def _reserved(self) -> dict[str, list[Reserved]]:
        """What the calendar has, by flavour; the pods are looked at only while something of it holds."""
        now = self.clock()
        soon = [one for one in self.platform.reservations if one.begins < now + AHEAD_S and one.ends > now]
        held = sessions_hold(self.platform, self.pods.items.values()) if any(r.active(now) for r in soon) else Counter()
        found: dict[str, list[Reserved]] = {}
        for one in sorted(soon, key=lambda one: one.begins):
            kept = max(0, one.units - held[one.flavour, one.activity]) if one.active(now) else 0
            said = Reserved(one.title, one.activity, one.units, one.begins, one.ends, kept)
            found.setdefault(one.flavour, []).append(said)
        return found

    def offer(self, person: str, activities: Sequence[str], used: Mapping[str, float]) -> Offer:
        """What somebody of these activities may ask for and can have now.

        Args:
            person: the name, which is told back.
            activities: those that the person may charge.
            used: weighted GPU-hours by activity, in its window.
        """
        able = {
            flavour.name
            for flavour in self.platform.flavours
            if not flavour.activities or set(flavour.activities) & set(activities)
        }
        flavours = [one for one in self.flavours() if one.flavour in able]
        budgets = [
            ActivityOffer(name, round(used.get(name, 0.0), 3), self.platform.activity(name).gpu_hours)
            for name in activities
        ]
        return Offer(person, self.at, flavours, budgets)


def _flavour(stock: Stock, unknown: float | None, reserved: list[Reserved]) -> FlavourOffer:
    reason = f"{', '.join(stock.silent)} does not answer" if stock.silent else ""
    if unknown is not None:
        reason = "the cluster does not answer"
    return FlavourOffer(
        stock.flavour,
        stock.total,
        stock.free,
        stock.unit,
        unknown,
        reason,
        neighbours=stock.neighbours,
        reserved=reserved,
        images={name: OnNodes(on, stock.nodes, size) for name, (on, size) in stock.images.items()},
    )
