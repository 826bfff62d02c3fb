"""Where somebody stands in a queue of Kueue, for sessions and jobs alike. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from aiinfn_hub.kube.slim import Workload


def place(workload: Workload, others: Iterable[Workload]) -> tuple[int, int]:
    """Place (from 1) and number of those that wait in the same queue: by priority, then by age, as in Kueue."""
    waiting = [other for other in others if other.queue == workload.queue and waits(other)]
    before = [other for other in waiting if _order(other) < _order(workload)]
    return len(before) + 1, max(len(waiting), len(before) + 1)


def _order(workload: Workload) -> tuple[int, float, str]:
    return (-workload.priority, workload.created, workload.uid)


def waits(workload: Workload) -> bool:
    """Those that are gated or put aside have no place: Kueue takes them up when that is over."""
    reserved, finished = workload.conditions.get("QuotaReserved"), workload.conditions.get("Finished")
    if finished is not None and finished.status == "True":
        return False
    if reserved is not None and (reserved.status == "True" or reserved.reason == "AdmissionGated"):
        return False
    return workload.active
