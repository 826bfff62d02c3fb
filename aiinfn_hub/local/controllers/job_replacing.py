"""Which completions of a Job get their next pod now, and which wait after a failure. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from aiinfn_hub.local.controllers.indexes import parse_indexes
from aiinfn_hub.local.controllers.job_failures import verdict
from aiinfn_hub.local.controllers.job_shapes import JobPod
from aiinfn_hub.local.controllers.job_step import Step

#: Seconds that a pod waits at most for its predecessor's failure.
MAX_BACKOFF_S = 600.0


def free_slots(todo: Step, missing: int) -> list[int | None]:
    """The index of each pod to create, at most `missing`; None where there are no indexes."""
    if todo.job.spec.backoff_limit_per_index is not None:
        return _with_tries_of_their_own(todo, missing)
    free_at = _free_at(todo, todo.pods)
    if free_at > todo.now:
        todo.plan.wake(free_at)
        return []
    if not todo.job.indexed:
        return [None] * missing
    return [index for index, _ in zip(_open_indexes(todo), range(missing), strict=False)]


def _with_tries_of_their_own(todo: Step, missing: int) -> list[int | None]:
    found: list[int | None] = []
    for index in _open_indexes(todo):
        if len(found) == missing:
            break
        before = [pod for pod in todo.pods if pod.index == index and pod.phase == "Failed"]
        free_at = _free_at(todo, before)
        if free_at > todo.now:
            todo.plan.wake(free_at)
            continue
        todo.plan.failures[index] = max((_failures(todo, pod) for pod in before), default=0)
        found.append(index)
    return found


def _failures(todo: Step, pod: JobPod) -> int:
    """How often the index of a failed pod has failed, with that pod."""
    return pod.failures + (verdict(todo.job.spec.pod_failure_policy, pod)[0] != "Ignore")


def _open_indexes(todo: Step) -> Iterator[int]:
    """Indexes that are neither done nor given up nor running, lowest first."""
    held = [*todo.active, *(todo.terminating if todo.job.replaces_failed_only else ())]
    taken = parse_indexes(todo.status.completed_indexes) | todo.failed_indexes
    taken |= {pod.index for pod in held if pod.index is not None}
    return (index for index in range(todo.job.spec.completions or 0) if index not in taken)


def _free_at(todo: Step, pods: Iterable[JobPod]) -> float:
    """When the next pod may start: failures since the last success double the pause, ignored ones too."""
    pods = list(pods)
    ended_well = max((pod.finished for pod in pods if pod.phase == "Succeeded"), default=0.0)
    failures = [pod.finished for pod in pods if pod.phase == "Failed" and pod.finished > ended_well]
    if not failures:
        return 0.0
    pause: float = min(MAX_BACKOFF_S, todo.backoff_s * 2 ** min(len(failures) - 1, 10))
    return max(failures) + pause
