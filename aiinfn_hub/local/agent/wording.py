"""What the kubelet (1.36), containerd and runc say, word for word: people search for these sentences. Pure."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import Any

CREATED, STARTED = "Container created", "Container started"
NO_COMMAND = "failed to generate container spec: no command specified"
DEADLINE = "Pod was active on the node longer than the specified deadline"
SHUTDOWN = "Pod was terminated in response to imminent node shutdown."
SHUTDOWN_REFUSED = "Pod was rejected as the node is shutting down."
VANISHED = "The container could not be located when the pod was terminated"

_RUNC = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    "unable to start container process: error during container init: exec: "
)


def pulled(image: str) -> str:
    """The event of a start."""
    return f'Container image "{image}" already present on machine and can be accessed by the pod'


def pull_failed(image: str) -> str:
    """There is no such image."""
    return f'failed to pull and unpack image "{image}": failed to resolve reference "{image}": {image}: not found'


def cannot_exec(program: str, number: int) -> str:
    """A program that cannot be executed, by errno."""
    why = {
        errno.ENOENT: f"stat {program}: no such file or directory"
        if "/" in program
        else "executable file not found in $PATH",
        errno.EACCES: "permission denied",
        errno.ENOEXEC: "exec format error",
    }.get(number, f"error {number}")
    return f'{_RUNC}"{program}": {why}: unknown'


def pod_title(pod: Mapping[str, Any]) -> str:
    """A pod as the kubelet's sentences name it."""
    meta = pod["metadata"]
    return f"{meta['name']}_{meta['namespace']}({meta['uid']})"


def backing_off(container: str, pod: Mapping[str, Any], seconds: float) -> str:
    """The message of CrashLoopBackOff."""
    return f"back-off {go_duration(seconds)} restarting failed container={container} pod={pod_title(pod)}"


def back_off_event(container: str, pod: Mapping[str, Any]) -> str:
    """Its event."""
    return f"Back-off restarting failed container {container} in pod {pod_title(pod)}"


def go_duration(seconds: float) -> str:
    """As Go prints a duration: 10s, 1m20s, 5m0s."""
    minutes, rest = divmod(round(seconds, 3), 60)
    return f"{int(minutes)}m{rest:g}s" if minutes else f"{rest:g}s"
