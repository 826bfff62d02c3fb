"""The scheduler's events: written once each in the newer style, without a count and with a moment (events.k8s.io)."""

from __future__ import annotations

import logging
import time
from typing import Literal

from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.kube.client import EVENTS, KubeClient
from aiinfn_hub.kube.moments import rfc3339_micro
from aiinfn_hub.kube.slim import Pod

NAME = "default-scheduler"


class Verdicts:
    """What the scheduler says of pods; a failure is logged and never reaches the caller."""

    def __init__(self, client: KubeClient, log: logging.Logger) -> None:
        self._client = client
        self._log = log

    async def bound(self, pod: Pod, node: str) -> None:
        """The pod has its node."""
        await self._say(
            pod, "Normal", "Scheduled", "Binding", f"Successfully assigned {pod.namespace}/{pod.name} to {node}"
        )

    async def refused(self, pod: Pod, message: str) -> None:
        """No node takes the pod."""
        await self._say(pod, "Warning", "FailedScheduling", "Scheduling", message)

    async def _say(self, pod: Pod, kind: Literal["Normal", "Warning"], reason: str, action: str, message: str) -> None:
        event = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": f"{pod.name[:236]}.{time.time_ns():x}", "namespace": pod.namespace},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": pod.name,
                "namespace": pod.namespace,
                "uid": pod.uid,
                "resourceVersion": pod.rv,
            },
            "type": kind,
            "reason": reason,
            "action": action,
            "message": message[:1024],
            "source": {},
            "reportingComponent": NAME,
            "reportingInstance": NAME,
            "eventTime": rfc3339_micro(time.time()),
            "firstTimestamp": None,
            "lastTimestamp": None,
        }
        try:
            await self._client.create(EVENTS, event, pod.namespace)
        except AiinfnError as error:
            self._log.warning("The event %s of pod %s is lost: %s", reason, pod.name, error)
