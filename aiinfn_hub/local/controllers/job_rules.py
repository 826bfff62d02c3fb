"""One step of a Job: from its state and its pods to what is to be done. Pure; made as Kubernetes' syncJob."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from aiinfn_hub.kube.moments import rfc3339, unix
from aiinfn_hub.local.controllers.job_counting import count
from aiinfn_hub.local.controllers.job_replacing import free_slots
from aiinfn_hub.local.controllers.job_shapes import Job, JobCondition, JobPod, JobStatus
from aiinfn_hub.local.controllers.job_step import Plan, Step

#: Seconds before the pod after a first failure is created; doubled by each further one.
BACKOFF_S = 10.0
FINISHED = ("Complete", "Failed")


def step(job: Job, pods: Iterable[JobPod], now: float, *, backoff_s: float = BACKOFF_S) -> Plan:
    """The next step of a Job at `now` (Unix seconds); `backoff_s` is the first pause after a failed pod."""
    status = msgspec.convert(msgspec.to_builtins(job.status), JobStatus)  # a copy to change
    plan = Plan(status)
    if job.metadata.deletion_timestamp is not None:
        plan.release = [pod for pod in pods if pod.tracked]
        return plan
    over = next((c for name in FINISHED if (c := status.condition(name))), None)
    if over is not None:
        return _afterwards(job, list(pods), now, plan, over)
    todo = Step(job, now, backoff_s, list(pods), plan)
    _sort(todo)
    count(todo)
    if _failing(todo):
        _clear(todo)
    elif job.spec.suspend and not status.condition("SuccessCriteriaMet"):
        _suspend(todo)
    else:
        _resume(todo)
        _fill(todo)
    _summarise(todo)
    return plan


def _afterwards(job: Job, pods: list[JobPod], now: float, plan: Plan, over: JobCondition) -> Plan:
    """A finished Job only lets go of its pods, and vanishes when its time is over."""
    plan.release = [pod for pod in pods if pod.tracked]
    if job.spec.ttl_seconds_after_finished is not None:
        at = unix(over.last_transition_time or rfc3339(now)) + job.spec.ttl_seconds_after_finished
        plan.expired = now >= at
        if not plan.expired:
            plan.wake(at)
    return plan


def _sort(todo: Step) -> None:
    for pod in todo.pods:
        if pod.phase in ("Succeeded", "Failed"):
            continue
        (todo.terminating if pod.deleting else todo.active).append(pod)


def _failing(todo: Step) -> bool:
    """Whether the Job has failed, or is failing now; then the reason is in its condition FailureTarget."""
    if todo.status.condition("FailureTarget"):
        return True
    reason, message = _failure(todo)
    if reason:
        todo.set("FailureTarget", reason, message)
    return bool(reason)


def _failure(todo: Step) -> tuple[str, str]:
    spec, limit = todo.job.spec, todo.job.spec.backoff_limit if todo.job.spec.backoff_limit is not None else 6
    if todo.policy_failure:
        return "PodFailurePolicy", todo.policy_failure
    restarts = 0
    if spec.template.get("spec", {}).get("restartPolicy") == "OnFailure":
        restarts = sum(pod.restarts for pod in todo.active)
    if todo.failed > limit or (restarts and restarts >= max(limit, 1)):
        return "BackoffLimitExceeded", "Job has reached the specified backoff limit"
    if spec.max_failed_indexes is not None and len(todo.failed_indexes) > spec.max_failed_indexes:
        return "MaxFailedIndexesExceeded", "Job has exceeded the specified maximal number of failed indexes"
    started = todo.status.start_time
    if spec.active_deadline_seconds is not None and started and not spec.suspend:
        deadline = unix(started) + spec.active_deadline_seconds
        if todo.now >= deadline:
            return "DeadlineExceeded", "Job was active longer than specified deadline"
        todo.plan.wake(deadline)
    return "", ""


def _clear(todo: Step) -> None:
    """End what still runs; these pods count as failed, as in Kubernetes."""
    todo.plan.delete += todo.active
    todo.terminating += todo.active
    todo.active = []


def _suspend(todo: Step) -> None:
    """Let go of the pods first and delete them then: a suspension uses up nothing of the backoff limit."""
    todo.plan.delete += todo.active
    todo.plan.release += [pod for pod in todo.active if pod.tracked]
    todo.terminating += todo.active
    todo.active = []
    todo.status.start_time = None
    if todo.set("Suspended", "JobSuspended", "Job suspended"):
        todo.plan.events.append(("Normal", "Suspended", "Job suspended"))


def _resume(todo: Step) -> None:
    if todo.status.condition("Suspended"):
        todo.set("Suspended", "JobResumed", "Job resumed", status="False")
        todo.plan.events.append(("Normal", "Resumed", "Job resumed"))
        todo.status.start_time = None
    if todo.status.start_time is None:
        todo.status.start_time = rfc3339(todo.now)
        if todo.job.spec.active_deadline_seconds is not None:
            todo.plan.wake(todo.now + todo.job.spec.active_deadline_seconds)


def _fill(todo: Step) -> None:
    """Create what is missing up to the parallelism, and delete what is too much."""
    holding = len(todo.active) + (len(todo.terminating) if todo.job.replaces_failed_only else 0)
    wanted = _wanted(todo)
    if len(todo.active) > wanted:
        # Those go that are least far; they are let go of first, so that they are no failures.
        surplus = sorted(todo.active, key=lambda p: (p.ready, p.phase == "Running"))[: len(todo.active) - wanted]
        todo.plan.delete += surplus
        todo.plan.release += surplus
        todo.active = [pod for pod in todo.active if pod not in surplus]
    missing = wanted - holding
    if missing <= 0:
        return
    todo.plan.create = free_slots(todo, missing)


def _wanted(todo: Step) -> int:
    spec = todo.job.spec
    parallelism = 1 if spec.parallelism is None else spec.parallelism
    if spec.completions is None:  # a work queue: the first success says that there is no more work
        return min(parallelism, len(todo.active)) if todo.succeeded else parallelism
    return min(parallelism, max(0, spec.completions - todo.succeeded - len(todo.failed_indexes)))


def _summarise(todo: Step) -> None:
    """The counts, and the end where it has come."""
    status, spec = todo.status, todo.job.spec
    status.active = len(todo.active) + len(todo.plan.create)
    status.ready = sum(pod.ready for pod in todo.active)
    status.terminating = len(todo.terminating)
    if not spec.suspend and not todo.plan.create and not status.condition("FailureTarget") and _all_done(todo):
        if todo.failed_indexes:
            todo.set("FailureTarget", "FailedIndexes", "Job has failed indexes")
        else:
            todo.set("SuccessCriteriaMet", "CompletionsReached", "Reached expected number of succeeded pods")
    target = status.condition("FailureTarget")
    waiting = todo.uncounted
    quiet = not todo.active and not todo.terminating and not waiting.succeeded and not waiting.failed
    if target is not None and quiet:
        todo.set("Failed", target.reason, target.message)
        todo.plan.events.append(("Warning", target.reason, target.message))
    elif (met := status.condition("SuccessCriteriaMet")) is not None and quiet:
        todo.set("Complete", met.reason, met.message)
        status.completion_time = rfc3339(todo.now)
        todo.plan.events.append(("Normal", "Completed", "Job completed"))


def _all_done(todo: Step) -> bool:
    completions = todo.job.spec.completions
    if completions is None:
        return todo.succeeded > 0 and not todo.active and not todo.terminating
    return todo.succeeded + len(todo.failed_indexes) >= completions and not todo.active
