"""What `kubectl get pods` says of a pod: the reason that matters most, as `printPod` of Kubernetes finds it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Object = dict[str, Any]


def pod_ready(pod: Object) -> str:
    """Ready containers of all: `1/2`."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    return f"{sum(bool(s.get('ready')) for s in statuses)}/{len(pod['spec'].get('containers') or ())}"


def pod_restarts(pod: Object, age: Callable[[str], str]) -> str:
    """Restarts of all containers, with the age of the last one: `3 (2m ago)`."""
    statuses = (pod.get("status") or {}).get("containerStatuses") or ()
    restarts = sum(int(s.get("restartCount", 0)) for s in statuses)
    ends = [
        ended["finishedAt"]
        for s in statuses
        if (ended := (s.get("lastState") or {}).get("terminated")) and ended.get("finishedAt")
    ]
    return f"{restarts} ({age(max(ends))} ago)" if restarts and ends else str(restarts)


def pod_status(pod: Object) -> str:
    """One word: the phase, or what a container waits for or ended with, or that it is on its way out."""
    status = pod.get("status") or {}
    word = status.get("reason") or status.get("phase") or "Unknown"
    scheduled: Object = next((c for c in status.get("conditions") or () if c.get("type") == "PodScheduled"), {})
    if scheduled.get("reason") == "SchedulingGated":
        word = "SchedulingGated"
    initialising = _initialising(pod, status)
    word = initialising or _containers(status, word)
    if "deletionTimestamp" in pod["metadata"]:
        if status.get("reason") == "NodeLost":
            return "Unknown"
        if status.get("phase") not in {"Succeeded", "Failed"}:
            return "Terminating"
    return str(word)


def _initialising(pod: Object, status: Object) -> str:
    statuses = status.get("initContainerStatuses") or ()
    total = len(pod["spec"].get("initContainers") or ())
    for index, container in enumerate(statuses):
        state = container.get("state") or {}
        ended, waiting = state.get("terminated"), state.get("waiting") or {}
        if ended and ended.get("exitCode") == 0:
            continue
        if ended:
            return f"Init:{_ending(ended)}"
        if waiting.get("reason") not in {None, "", "PodInitializing"}:
            return f"Init:{waiting['reason']}"
        return f"Init:{index}/{total}"
    return ""


def _containers(status: Object, word: str) -> str:
    running = False
    for container in reversed(status.get("containerStatuses") or ()):
        state = container.get("state") or {}
        if (state.get("waiting") or {}).get("reason"):
            word = state["waiting"]["reason"]
        elif state.get("terminated"):
            word = _ending(state["terminated"])
        elif container.get("ready") and state.get("running") is not None:
            running = True
    return "Running" if word == "Completed" and running else word


def _ending(ended: Object) -> str:
    if ended.get("reason"):
        return str(ended["reason"])
    return f"Signal:{ended['signal']}" if ended.get("signal") else f"ExitCode:{ended.get('exitCode', 0)}"
