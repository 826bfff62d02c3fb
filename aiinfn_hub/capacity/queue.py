"""Where somebody stands in a queue of Kueue, for sessions and jobs alike. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from aiinfn_hub.kube.slim import Workload


def place(workload: Workload, others: Iterable[Workload]) -> tuple[int, int]:
    """Place (from 1) and number of those that wait in the same queue: by priority, then by age, as in Kueue."""
    waiting = [other for other in others if other.queue == workload.queue and _waits(other)]
    before = [other for other in waiting if _order(other) < _order(workload)]
    return len(before) + 1, max(len(waiting), len(before) + 1)


def _order(workload: Workload) -> tuple[int, float, str]:
    return (-workload.priority, workload.created, workload.uid)


def _waits(workload: Workload) -> bool:
    return not any(
        (found := workload.conditions.get(name)) is not None and found.status == "True"
        for name in ("QuotaReserved", "Finished")
    )
