"""Why a job waits, or why it ended as it did: a sentence, the next step, and the evidence behind it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from aiinfn_hub.capacity.queue import place
from aiinfn_hub.contract.jobs import JobState, Why
from aiinfn_hub.contract.quantities import format_bytes, format_duration
from aiinfn_hub.kube.slim import Condition, Pod, Workload
from aiinfn_hub.offload.observe import Sight, queued_again
from aiinfn_hub.offload.reasons import Reason, queue_reason, start_reason
from aiinfn_hub.offload.runs import Run

_S = JobState
_TERMINAL = frozenset({"Succeeded", "Failed"})
_WAITING = frozenset({_S.QUEUED, _S.EVICTED})
#: Exit code -> what the person can do.
_AFTER_FAILURE = {
    70: "The traceback is the last output: `%offload log {name}`.",
    71: "Use the image of your session (leave --image out), or values that both sides can read.",
    72: "`%offload retry {name}`; if it fails again, choose another --to.",
    73: "`%offload retry {name}`; if it fails again, choose another --to.",
    124: "Ask for more time: `%offload retry {name} --time {time}`.",
    126: "Choose an image with Python 3.8 or newer.",
    127: "Choose an image with Python 3.8 or newer.",
    137: "Ask for more memory: `%offload retry {name} --mem {memory}`.",
    143: "`%offload retry {name}`.",
}


def why(run: Run, sight: Sight, others: Iterable[Workload] = ()) -> Why:
    """The answer for one run; `others` are the Workloads among which it waits."""
    evidence = _evidence(run, sight)
    if run.state in _WAITING:
        return _waiting(run, sight, others, evidence)
    reason = _BY_STATE[run.state](run, sight)
    return Why(state=run.state, sentence=reason.sentence, next_step=reason.next_step, evidence=evidence)


def _waiting(run: Run, sight: Sight, others: Iterable[Workload], evidence: list[str]) -> Why:
    reason = queue_reason(sight.workload)
    before = f"{run.reason} " if run.state is _S.EVICTED else queued_again(run, sight.workload)
    sentence = before + reason.sentence
    if sight.workload is not None and not reason.never:
        position, number = place(sight.workload, others)
        sentence += f" Place {position} of {number} in {run.queue} now; a smaller job may overtake it."
    return Why(state=run.state, sentence=sentence, next_step=reason.next_step, evidence=evidence)


def _staging(run: Run, _sight: Sight) -> Reason:
    if run.placed_at is None and run.reason:
        return Reason(run.reason, "End something of yours that holds them, and it goes sooner.")
    return Reason(run.reason or "Its inputs are being put in place.", "This takes seconds, unless the cluster is away.")


def _starting(run: Run, sight: Sight) -> Reason:
    pod = next((pod for pod in sight.pods if pod.phase not in _TERMINAL and pod.deleted_at is None), None)
    if run.state is _S.PENDING_REMOTE:
        return Reason(run.reason, f"The batch system of {run.target} decides when.")
    return start_reason(pod) if pod is not None else Reason(run.reason or "Its pod is being made.")


def _running(run: Run, _sight: Sight) -> Reason:
    limit = format_duration(run.wanted.resources.time_s)
    return Reason(f"It runs {run.reason}, attempt {run.attempt}.", f"It may run for {limit}.")


def _succeeded(run: Run, _sight: Sight) -> Reason:
    if run.missing:
        lost = "; ".join(f"{name}: {text}" for name, text in run.missing.items())
        return Reason(f"It succeeded, but not everything comes back ({lost}).", "Assign the names that --out lists.")
    return Reason("It succeeded.", f"`%offload get {run.name}` brings its values here." if run.wanted.outputs else "")


def _failed(run: Run, _sight: Sight) -> Reason:
    wanted = run.wanted.resources
    memory, time = format_bytes(2 * wanted.memory_bytes), format_duration(2 * wanted.time_s).replace(" ", "")
    advice = _AFTER_FAILURE.get(run.exit_code or 0, "`%offload log {name}` has its output.")
    if run.verdict.startswith("Out of memory"):
        advice = _AFTER_FAILURE[137]
    if run.started_at is None:
        advice = "It never started; change what the sentence names, and send it again."
    return Reason(run.verdict or run.reason, advice.format(name=run.name, memory=memory, time=time))


def _cancelled(run: Run, _sight: Sight) -> Reason:
    return Reason(run.reason or "Cancelled by you.", f"`%offload retry {run.name}` when you want it.")


def _lost(run: Run, _sight: Sight) -> Reason:
    again = f"`%offload retry {run.name}`"
    return Reason(run.reason, f"{again} sends it again; should its node come back, the result is still taken.")


_BY_STATE = {
    _S.STAGING: _staging,
    _S.PENDING_REMOTE: _starting,
    _S.STARTING: _starting,
    _S.RUNNING: _running,
    _S.SUCCEEDED: _succeeded,
    _S.FAILED: _failed,
    _S.CANCELLED: _cancelled,
    _S.LOST: _lost,
}


def _evidence(run: Run, sight: Sight) -> list[str]:
    """What the sentence rests on: facts of the run, and the conditions of its objects word for word."""
    found = [f"submitted {_clock(run.submitted_at)}, attempt {run.attempt}, queue {run.queue}, target {run.target}"]
    if run.exit_code is not None:
        found.append(f"exit code {run.exit_code}")
    if sight.workload is not None:
        found += _conditions("Workload", sight.workload.conditions)
    if sight.job is not None:
        found += _conditions("Job", sight.job.conditions)
    for pod in sight.pods:
        found += [_pod(pod), *_conditions("Pod", pod.conditions, only="False")]
    return found


def _conditions(kind: str, conditions: dict[str, Condition], only: str = "") -> list[str]:
    return [
        f"{kind} {name}={found.status}" + (f" ({found.reason}: {found.message})" if found.reason else "")
        for name, found in sorted(conditions.items())
        if only in ("", found.status)
    ]


def _pod(pod: Pod) -> str:
    ended = f", exit code {pod.exit_code} {pod.exit_reason}".rstrip() if pod.exit_code is not None else ""
    return f"Pod {pod.name} {pod.phase}" + (f" on {pod.node}" if pod.node else "") + ended


def _clock(moment: float) -> str:
    return datetime.fromtimestamp(moment, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
