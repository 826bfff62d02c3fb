"""A pod's status from what its containers do, as the kubelet computes it. Pure.

Phases, conditions and their reasons follow pkg/kubelet/kubelet_pods.go (getPhase) and pkg/kubelet/status/generate.go.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from aiinfn_hub.kube.moments import rfc3339

Object = dict[str, Any]
Phase = Literal["Pending", "Running", "Succeeded", "Failed"]


@dataclass(frozen=True)
class Waiting:
    """Not started, or about to be started again."""

    reason: str
    message: str = ""

    def to_json(self) -> Object:
        """As in `containerStatuses[].state`."""
        return {"waiting": {"reason": self.reason} | ({"message": self.message} if self.message else {})}


@dataclass(frozen=True)
class Running:
    """Its first process runs since `started`, in Unix seconds."""

    started: float

    def to_json(self) -> Object:
        """As in `containerStatuses[].state`."""
        return {"running": {"startedAt": rfc3339(self.started)}}


@dataclass(frozen=True)
class Terminated:
    """It ended; times in Unix seconds, `started` 0 if it never ran."""

    exit_code: int
    reason: str
    started: float
    finished: float
    message: str = ""
    container_id: str = ""

    def to_json(self) -> Object:
        """As in `containerStatuses[].state`."""
        body: Object = {
            "exitCode": self.exit_code,
            "reason": self.reason,
            "startedAt": rfc3339(self.started),
            "finishedAt": rfc3339(self.finished),
        }
        if self.message:
            body["message"] = self.message
        if self.container_id:
            body["containerID"] = self.container_id
        return {"terminated": body}


@dataclass(frozen=True)
class ContainerView:
    """One container as its pod's status shows it."""

    name: str
    image: str
    state: Waiting | Running | Terminated
    last: Terminated | None = None
    restarts: int = 0
    ready: bool = False
    started: bool = False
    container_id: str = ""

    def to_json(self) -> Object:
        """An entry of `containerStatuses`. Clients raise without `image`, `imageID` and `restartCount`."""
        body: Object = {
            "name": self.name,
            "image": self.image,
            "imageID": f"process://{hashlib.sha256(self.image.encode()).hexdigest()}" if self.container_id else "",
            "restartCount": self.restarts,
            "ready": self.ready,
            "started": self.started,
            "state": self.state.to_json(),
            "lastState": self.last.to_json() if self.last else {},
        }
        return body | ({"containerID": self.container_id} if self.container_id else {})


@dataclass(frozen=True)
class Verdict:
    """Why a pod is over that is not what its containers say: a deadline, a refusal, the end of its node."""

    reason: str
    message: str
    disrupted: bool = False


def container_id(uid: str, name: str, attempt: int) -> str:
    """The name of one run of one container."""
    return f"process://{hashlib.sha256(f'{uid}/{name}/{attempt}'.encode()).hexdigest()}"


@dataclass(frozen=True)
class PodView:
    """What its node knows of a pod; `started` is when the node took it, in Unix seconds.

    `over` means that nothing will be started any more, whatever the pod's `restartPolicy` says.
    """

    init: Sequence[ContainerView]
    containers: Sequence[ContainerView]
    ip: str
    host_ip: str
    started: float
    over: bool = False
    verdict: Verdict | None = None


def phase_of(policy: str, init: Sequence[ContainerView], containers: Sequence[ContainerView]) -> Phase:
    """The phase that follows from the containers and the pod's `restartPolicy`."""
    if not all(_succeeded(view) for view in init):
        return "Failed" if policy == "Never" and any(_failed(view) for view in init) else "Pending"
    if any(isinstance(view.state, Running) for view in containers):
        return "Running"
    if any(isinstance(view.state, Waiting) and view.last is None for view in containers):
        return "Pending"
    if policy == "Always" or any(isinstance(view.state, Waiting) for view in containers):
        return "Running"  # one of them is between two runs
    if all(_succeeded(view) for view in containers):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def pod_status(pod: Mapping[str, Any], view: PodView, now: float) -> Object:
    """The whole `status` of a pod, for a strategic merge patch.

    Args:
        pod: the object; conditions that stay as they are keep their time, foreign ones are left alone.
        view: what is known of it.
        now: Unix seconds.
    """
    phase = phase_of(pod["spec"].get("restartPolicy", "Always"), view.init, view.containers)
    if view.over and phase not in ("Succeeded", "Failed"):
        phase = "Succeeded" if all(_succeeded(each) for each in (*view.init, *view.containers)) else "Failed"
    if view.verdict:
        phase = "Failed"
    if phase in ("Succeeded", "Failed"):
        view = replace(view, init=[*map(_at_rest, view.init)], containers=[*map(_at_rest, view.containers)])
    status: Object = {
        "phase": phase,
        "hostIP": view.host_ip,
        "hostIPs": [{"ip": view.host_ip}],
        "startTime": rfc3339(view.started),
        "containerStatuses": [each.to_json() for each in view.containers],
        "conditions": _conditions(pod, phase, view, now),
    }
    if view.ip:
        status |= {"podIP": view.ip, "podIPs": [{"ip": view.ip}]}
    if view.init:
        status["initContainerStatuses"] = [each.to_json() for each in view.init]
    if view.verdict:
        status |= {"reason": view.verdict.reason, "message": view.verdict.message}
    return status


def _succeeded(view: ContainerView) -> bool:
    return isinstance(view.state, Terminated) and view.state.exit_code == 0


def _failed(view: ContainerView) -> bool:
    return isinstance(view.state, Terminated) and view.state.exit_code != 0


def _at_rest(view: ContainerView) -> ContainerView:
    """Nothing of a finished pod is ready; what waited for another run shows its last one."""
    if isinstance(view.state, Waiting) and view.last is not None:
        return replace(view, state=view.last, last=None, ready=False, started=False)
    return replace(view, ready=False, started=False)


def _conditions(pod: Mapping[str, Any], phase: Phase, view: PodView, now: float) -> list[Object]:
    ended = phase in ("Succeeded", "Failed")
    incomplete = [each.name for each in view.init if not _succeeded(each)]
    unready = [each.name for each in view.containers if not each.ready]
    initialized = _judged("ContainersNotInitialized", "incomplete", incomplete)
    ready = _judged("ContainersNotReady", "unready", unready)
    if phase == "Succeeded":
        initialized = {"status": "True", "reason": "PodCompleted"}
        ready = {"status": "False", "reason": "PodCompleted"}
    elif phase == "Failed":
        ready = {"status": "False", "reason": "PodFailed"}
    found = {
        "PodReadyToStartContainers": {"status": "False" if ended else "True"},
        "Initialized": initialized,
        "Ready": ready,
        "ContainersReady": ready,
        "PodScheduled": {"status": "True"},
    }
    if view.verdict and view.verdict.disrupted:
        found["DisruptionTarget"] = {
            "status": "True",
            "reason": "TerminationByKubelet",
            "message": view.verdict.message,
        }
    before = {c["type"]: c for c in (pod.get("status") or {}).get("conditions") or ()}
    return [_dated({"type": name, **body}, before.get(name), now) for name, body in found.items()]


def _judged(reason: str, word: str, names: Sequence[str]) -> Object:
    if not names:
        return {"status": "True"}
    # Space-separated in brackets is how Go prints a list.
    return {"status": "False", "reason": reason, "message": f"containers with {word} status: [{' '.join(names)}]"}


def _dated(condition: Object, before: Mapping[str, Any] | None, now: float) -> Object:
    before = before or {}
    unchanged = before.get("status") == condition["status"]
    moment = before.get("lastTransitionTime") if unchanged else None
    # The patch merges conditions by their type: null removes what an earlier one said.
    forgotten = {key: None for key in ("reason", "message") if key in before and key not in condition}
    return condition | forgotten | {"lastTransitionTime": moment or rfc3339(now)}
