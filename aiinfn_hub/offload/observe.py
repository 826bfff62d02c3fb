"""From what the cluster shows of a job to the next step of its run. Pure; the same answer after every restart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiinfn_hub.contract.jobs import JobState
from aiinfn_hub.contract.quantities import format_bytes, format_duration
from aiinfn_hub.kube.slim import Pod, Workload
from aiinfn_hub.offload.kubejob import KubeJob
from aiinfn_hub.offload.reasons import eviction_reason, queue_reason, start_reason
from aiinfn_hub.offload.runs import Run

_S = JobState
_STARTED = frozenset({_S.STARTING, _S.PENDING_REMOTE, _S.RUNNING})
_TERMINAL = frozenset({"Succeeded", "Failed"})
#: Seconds a Job may be missing from the cache right after it was written: the watch is not that far yet.
LAG_S = 30.0
#: Seconds beyond its time after which a job is ended whose runner does not: it fetches inputs and delivers results.
OVERTIME_S = 1800.0
#: Seconds without a word from a running job (it speaks every 5 s) after which the person is told.
SILENCE_S = 60.0


@dataclass(frozen=True)
class Contact:
    """The attempt that spoke last: its pod, and when (Unix seconds)."""

    pod_uid: str = ""
    last_seen: float | None = None


@dataclass(frozen=True)
class Step:
    """A step that the evidence asks for; `changes` are further columns of the run."""

    state: JobState
    reason: str
    changes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sight:
    """What the caches hold of one run. `remote` says that its place is a virtual node."""

    job: KubeJob | None
    pods: Sequence[Pod]
    workload: Workload | None
    contact: Contact = Contact()
    remote: bool = False


def observe(run: Run, sight: Sight, *, now: float) -> Step | None:
    """The next step, or None when the run is where the evidence puts it. Ask again after each step.

    A result that the runner delivered has ended the run before; what is decided here is what nobody reported.
    """
    if run.final or run.state is _S.STAGING:
        return None
    step = _step(run, sight, now)
    unchanged = step is None or (step.state is run.state and step.reason == run.reason)
    return None if unchanged else step


def _step(run: Run, sight: Sight, now: float) -> Step | None:
    live = [pod for pod in sight.pods if pod.phase not in _TERMINAL]
    job = sight.job
    if job is None and not live:
        return _without_anything(run, now)
    if job is not None and job.finished:
        # The Job controller gives its verdict after the last pod has ended: one that seems to run is a watch behind.
        return _ended(run, job, sight.pods) if not live else None
    if run.cancel_requested:
        return Step(run.state, run.verdict or "It is being cancelled.")
    return _alive(run, sight, job, live, now) if job is not None else None


def _alive(run: Run, sight: Sight, job: KubeJob, live: Sequence[Pod], now: float) -> Step | None:
    if job.suspended:
        return _suspended(run, sight.workload, live)
    staying = [pod for pod in live if pod.deleted_at is None]
    if not staying:
        return _between(run)
    return _with_pod(run, max(staying, key=lambda pod: (pod.created, pod.uid)), sight, now)


def _without_anything(run: Run, now: float) -> Step | None:
    if run.cancel_requested:
        return Step(_S.CANCELLED, run.verdict or "Cancelled by you.")
    if now - run.updated_at < LAG_S:
        return None
    return Step(_S.LOST, "Its Job is gone from the cluster, and no result came.")


def _ended(run: Run, job: KubeJob, pods: Sequence[Pod]) -> Step:
    if run.cancel_requested:
        return Step(_S.CANCELLED, run.verdict or "Cancelled by you.")
    if job.holds("Complete"):
        return Step(_S.LOST, "It ended well in the cluster, but its result never came.")
    failed = [pod for pod in pods if pod.phase == "Failed"]
    last = max(failed, key=lambda pod: (pod.finished or pod.created, pod.uid), default=None)
    sentence = verdict(run, job, last)
    code = last.exit_code if last is not None else None
    return Step(_S.FAILED, sentence, {"verdict": sentence, "exit_code": code})


def verdict(run: Run, job: KubeJob, pod: Pod | None) -> str:
    """Why a job failed whose runner could not say it."""
    condition = job.conditions.get("Failed")
    if pod is None:
        said = f"{condition.reason}: {condition.message}" if condition is not None else "no reason given"
        return f"It failed, and its pod is gone ({said})."
    if pod.exit_reason == "OOMKilled":
        return f"Out of memory: it took more than the {_asked_for(run)}."
    if pod.reason == "DeadlineExceeded" or (condition is not None and condition.reason == "DeadlineExceeded"):
        return "The time limit was over."
    if pod.reason in {"NodeLost", "NodeShutdown", "Terminated"} or _disrupted(pod):
        return f"The node {pod.node or 'it ran on'} was lost or taken out of service."
    if pod.reason == "Evicted":
        return f"The node put it out: {pod.message or 'it ran short of something'}"
    return _by_exit_code(run, pod.exit_code)


def _asked_for(run: Run) -> str:
    asked = f"{format_bytes(run.wanted.resources.memory_bytes)} that it asked for"
    return f"{asked} (it was last seen with {format_bytes(run.memory)})" if run.memory else asked


def _disrupted(pod: Pod) -> bool:
    found = pod.conditions.get("DisruptionTarget")
    return found is not None and found.status == "True"


def _by_exit_code(run: Run, code: int | None) -> str:
    limit = format_duration(run.wanted.resources.time_s)
    known = {
        70: "Your code raised an exception.",
        71: "The environment there does not fit: an input cannot be read, or Python is too old.",
        72: "Its inputs could not be fetched: the service cannot be reached from where it ran.",
        73: "Its results could not be delivered: the service could not be reached from where it ran.",
        124: f"The time limit of {limit} was over.",
        126: "The image has no Python that can be started.",
        127: "The image has no Python (python3).",
        137: f"It was killed from outside (exit code 137), most often for want of memory; it has {_asked_for(run)}.",
        143: "It was stopped from outside.",
    }
    return known.get(code or 0, "It ended without a word." if code is None else f"It ended with exit code {code}.")


def _suspended(run: Run, workload: Workload | None, live: Sequence[Pod]) -> Step:
    if run.state in _STARTED:
        return _evicted(run, f"It gave up its place: {eviction_reason(workload)}.")
    if run.state is _S.EVICTED and live:
        return Step(_S.EVICTED, run.reason)
    return Step(_S.QUEUED, queued_again(run, workload) + queue_reason(workload).sentence)


def _evicted(run: Run, why: str) -> Step:
    if run.wanted.on_evict == "stop":
        sentence = f"{why} It ends there, as --on-evict stop says."
        return Step(_S.EVICTED, sentence, {"cancel_requested": True, "verdict": sentence})
    kept = run.checkpointed_at is not None and run.wanted.on_evict == "resume"
    return Step(_S.EVICTED, f"{why} It starts again by itself{', from what it has kept' if kept else ''}.")


def queued_again(run: Run, workload: Workload | None) -> str:
    """Why a run waits that has run before; "" for the first attempt. Kueue keeps the reason until it runs again."""
    return f"Attempt {run.attempt}, because {eviction_reason(workload)}. " if run.attempt > 1 else ""


def _between(run: Run) -> Step | None:
    """Admitted, and no pod that stays: the Job controller is about to make one, or to give its verdict."""
    if run.state in {_S.QUEUED, _S.EVICTED}:
        return Step(_S.STARTING, "Its place is granted; its pod is being made.")
    return None


def _with_pod(run: Run, pod: Pod, sight: Sight, now: float) -> Step | None:
    if pod.phase == "Running":
        return _running(run, pod, sight.contact, now)
    if run.state is _S.RUNNING:
        if pod.uid == sight.contact.pod_uid:
            return None  # its runner has spoken already: the pod's status is older than that
        ended = [other for other in sight.pods if other.phase == "Failed"]
        why = _by_exit_code(run, ended[-1].exit_code) if ended else "Its pod is gone."
        return _evicted(run, why)
    if sight.remote and pod.node:
        return Step(_S.PENDING_REMOTE, f"It waits in the queue of {run.target}.")
    return Step(_S.STARTING, start_reason(pod).sentence)


def _running(run: Run, pod: Pod, contact: Contact, now: float) -> Step:
    spoke = contact.last_seen if contact.pod_uid == pod.uid else None
    if run.state is not _S.RUNNING:
        return Step(_S.RUNNING, f"on {pod.node}", {"started_at": pod.ran_from or now})
    if run.started_at is not None and now - run.started_at > run.wanted.resources.time_s + OVERTIME_S:
        sentence = f"The time limit of {format_duration(run.wanted.resources.time_s)} was over."
        return Step(_S.FAILED, sentence, {"verdict": sentence})
    if spoke is not None and now - spoke > SILENCE_S:
        return Step(_S.RUNNING, f"on {pod.node}; no sign of life for {format_duration((now - spoke) // 60 * 60)}")
    return Step(_S.RUNNING, f"on {pod.node}")
