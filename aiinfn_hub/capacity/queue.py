"""Where somebody stands in a queue of Kueue, for sessions and jobs alike. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable

from aiinfn_hub.kube.slim import Workload

_Order = tuple[int, float, str]


class Lines:
    """Those that wait, queue by queue; made once for many questions, because queues hold thousands."""

    def __init__(self, workloads: Iterable[Workload]) -> None:
        self._orders: dict[str, list[_Order]] = defaultdict(list)
        self._owned: dict[str, Workload] = {}
        for workload in workloads:
            self._owned[workload.owner_uid] = workload
            if waits(workload):
                self._orders[workload.queue].append(_order(workload))
        for orders in self._orders.values():
            orders.sort()

    def of(self, owner_uid: str) -> Workload | None:
        """The Workload of a pod or a Job, which may wait or not."""
        return self._owned.get(owner_uid)

    def place(self, workload: Workload) -> tuple[int, int]:
        """Place (from 1) and number of those that wait in the same queue: by priority, then by age, as in Kueue."""
        orders = self._orders.get(workload.queue, [])
        before = bisect_left(orders, _order(workload))
        return before + 1, max(len(orders), before + 1)


def place(workload: Workload, others: Iterable[Workload]) -> tuple[int, int]:
    """As `Lines.place`, for one question."""
    return Lines(other for other in others if other.queue == workload.queue).place(workload)


def _order(workload: Workload) -> _Order:
    return (-workload.priority, workload.created, workload.uid)


def waits(workload: Workload) -> bool:
    """Those that are gated or put aside have no place: Kueue takes them up when that is over."""
    reserved, finished = workload.conditions.get("QuotaReserved"), workload.conditions.get("Finished")
    if finished is not None and finished.status == "True":
        return False
    if reserved is not None and (reserved.status == "True" or reserved.reason == "AdmissionGated"):
        return False
    return workload.active
