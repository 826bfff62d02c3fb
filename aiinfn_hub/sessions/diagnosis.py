"""Why a session has not started yet: what Kubernetes and Kueue say, as a cause, a sentence and a next step. Pure.

Objects are dicts as the Kubernetes API sends them. The rules, with the texts that they read, are in `symptoms`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from aiinfn_hub.sessions.symptoms import Diagnosis, Step, recognised, unknown

_PULL_REASONS = frozenset(
    {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName", "RegistryUnavailable"}
)
#: What Kueue has let in and nobody has started yet.
ADMITTED = Diagnosis("admitted", "queue", "The queue has let your session in.")
#: The cause that a rescue start helps with.
HOME_FULL = "home-full"
_MOUNT_REASONS = frozenset({"FailedMount", "FailedAttachVolume", "FailedCreatePodSandBox"})


def diagnose(
    pod: Mapping[str, Any] | None,
    events: Sequence[Mapping[str, Any]] = (),
    workload: Mapping[str, Any] | None = None,
) -> Diagnosis:
    """What the session waits for now.

    Args:
        pod: the session's Pod, or None before it exists.
        events: its Events, oldest first.
        workload: Kueue's Workload of the pod, if it is known.
    """
    if pod is None:
        return Diagnosis("requested", "quota", "Your session is being prepared.")
    status = pod.get("status") or {}
    if pod["metadata"].get("deletionTimestamp"):
        return _leaving(status)
    initial = [one for one in status.get("initContainerStatuses") or () if not _done(one)]
    statuses = [*initial, *(status.get("containerStatuses") or ())]
    found = next((d for d in (_container(one, events) for one in statuses) if d is not None), None)
    if found is not None:
        return found
    if status.get("phase") == "Failed":
        return recognised("container", f"{status.get('reason', '')}: {status.get('message', '')}") or unknown(
            "failed", "start", "The session failed.", str(status.get("message", "")), final=True
        )
    if status.get("phase") == "Running":
        return _running(statuses)
    return _pending(pod, status, events, workload)


def refused(status: int, message: str) -> Diagnosis:
    """Why the Kubernetes API did not create the pod: the HTTP status of its answer (0 for none) and the message."""
    final = 400 <= status < 500 and status != 429
    return recognised("creation", message) or unknown(
        "refused", "quota", f"Kubernetes refused the session ({status}).", message, final=final
    )


def _condition(holder: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    conditions = (holder.get("conditions") or ()) if holder else ()
    return next((condition for condition in conditions if condition.get("type") == kind), {})


def _leaving(status: Mapping[str, Any]) -> Diagnosis:
    target = _condition(status, "TerminationTarget")
    if str(target.get("reason", "")).startswith("WorkloadEvictedDueTo"):
        return unknown("evicted", "queue", "The queue took the place back.", str(target.get("message", "")), final=True)
    return Diagnosis("stopping", "start", "The session is being stopped.", final=True)


def _running(statuses: Sequence[Mapping[str, Any]]) -> Diagnosis:
    if statuses and all(one.get("ready") for one in statuses):
        return Diagnosis("started", "start", "The session runs.")
    return Diagnosis("starting", "start", "JupyterLab is starting.")


def _done(status: Mapping[str, Any]) -> bool:
    """Whether an init container did what it is for."""
    return ((status.get("state") or {}).get("terminated") or {}).get("exitCode") == 0


def _container(status: Mapping[str, Any], events: Sequence[Mapping[str, Any]]) -> Diagnosis | None:
    """What is wrong with one container, if anything is."""
    state = status.get("state") or {}
    waiting, ended = state.get("waiting") or {}, state.get("terminated") or {}
    reason = str(waiting.get("reason") or "")
    text = f"{reason}: {waiting.get('message', '')}"
    if reason in _PULL_REASONS:
        # Older kubelets say only "Back-off pulling image" here and give the cause in an event.
        said = [text, *(_message(event) for event in reversed(events) if event.get("reason") == "Failed")]
        known = next((d for d in (recognised("pull", one) for one in said) if d is not None), None)
        return known or unknown("image-pull", "start", "The image cannot be fetched yet.", text)
    if reason == "CrashLoopBackOff":
        ended = (status.get("lastState") or {}).get("terminated") or {"reason": "Error"}
    if ended:
        text = f"{ended.get('reason', '')} (exit code {ended.get('exitCode', '?')}): {ended.get('message', '')}"
        known = recognised("container", text)
        return known or unknown("ended", "start", "The session ended at once.", text, final=reason == "")
    if reason in ("", "ContainerCreating", "PodInitializing"):
        return None
    return recognised("container", text) or unknown("container", "start", "The container cannot be started.", text)


def _pending(
    pod: Mapping[str, Any],
    status: Mapping[str, Any],
    events: Sequence[Mapping[str, Any]],
    workload: Mapping[str, Any] | None,
) -> Diagnosis:
    scheduled = _condition(status, "PodScheduled")
    gated = scheduled.get("reason") == "SchedulingGated" or (pod.get("spec") or {}).get("schedulingGates")
    if gated and scheduled.get("status") != "True":
        return _queued(workload)
    if scheduled.get("status") == "False":
        return _unscheduled(str(scheduled.get("message", "")))
    node = (pod.get("spec") or {}).get("nodeName")
    if not node:
        last = _last(events, {"FailedScheduling"})
        return _unscheduled(last) if last else Diagnosis("scheduling", "node", "Kubernetes looks for a node.")
    return _on_node(str(node), events)


def _queued(workload: Mapping[str, Any] | None) -> Diagnosis:
    """A pod that Kueue holds; the reason is on its Workload only."""
    status = (workload or {}).get("status") or {}
    if _condition(status, "Admitted").get("status") == "True":
        return ADMITTED
    return queued(str(_condition(status, "QuotaReserved").get("message", "")))


def queued(message: str) -> Diagnosis:
    """What Kueue means by the message of QuotaReserved; a Workload without one is normal."""
    if not message:
        return Diagnosis("waiting", "queue", "Your session waits for its turn.", "It starts by itself.")
    return recognised("queue", message) or unknown("waiting", "queue", "Your session waits for its turn.", message)


def _unscheduled(message: str) -> Diagnosis:
    return recognised("scheduler", message) or unknown("no-node-fits", "node", "No node can take the session.", message)


def _on_node(node: str, events: Sequence[Mapping[str, Any]]) -> Diagnosis:
    # Kueue has an event "Started" too: "Admitted by clusterQueue ...".
    said = [event for event in events if event.get("reason") and not _message(event).startswith("Admitted by")]
    said = [event for event in said if event["reason"] != "FailedScheduling"]
    last: Mapping[str, Any] = said[-1] if said else {}
    if last.get("reason") in _MOUNT_REASONS:
        text = _message(last)
        return recognised("mount", text) or unknown("mount", "start", f"{node} cannot attach the storage yet.", text)
    sentences: dict[str, tuple[str, str, Step]] = {
        "Pulling": ("pulling", f"{node} fetches the image; a large one takes minutes the first time.", "start"),
        "Pulled": ("creating", f"The image is on {node}; the container is next.", "start"),
        "Created": ("creating", f"The container is ready on {node}.", "start"),
        "Started": ("starting", "JupyterLab is starting.", "start"),
    }
    cause, sentence, step = sentences.get(
        str(last.get("reason")), ("placed", f"{node} takes the session; storage and image come next.", "start")
    )
    return Diagnosis(cause, step, sentence)


def _message(event: Mapping[str, Any]) -> str:
    return str(event.get("message") or "")


def _last(events: Sequence[Mapping[str, Any]], reasons: set[str]) -> str:
    return next((_message(event) for event in reversed(events) if event.get("reason") in reasons), "")
