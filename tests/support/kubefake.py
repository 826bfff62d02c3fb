"""Objects for tests of the controllers, and a kubelet that only says what a real one would."""

from __future__ import annotations

import asyncio
import inspect
import json
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.kube.client import EVENTS, NODES, PODS, KubeClient
from aiinfn_hub.kube.moments import rfc3339

Object = dict[str, Any]


def raw(obj: Object) -> bytes:
    """An object as the API sends it."""
    return json.dumps(obj).encode()


def a_node(
    name: str, *, labels: Object | None = None, taints: Any = (), unschedulable: bool = False, **allocatable: Any
) -> Object:
    """A ready node; keywords are resources, `gpu` is nvidia.com/gpu."""
    amounts = {"cpu": "8", "memory": "16Gi", "pods": "110"} | {
        {"gpu": "nvidia.com/gpu"}.get(key, key): str(value) for key, value in allocatable.items()
    }
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": name, "uid": f"uid-{name}", "labels": {"kubernetes.io/hostname": name} | (labels or {})},
        "spec": {"taints": list(taints), "unschedulable": unschedulable},
        "status": {
            "allocatable": amounts,
            "capacity": amounts,
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
        },
    }


def a_pod(name: str, *, cpu: str = "1", memory: str = "1Gi", meta: Object | None = None, **spec: Any) -> Object:
    """A pod; `gpu` asks for nvidia.com/gpu, other keywords go into its specification."""
    wanted = {"cpu": cpu, "memory": memory}
    if "gpu" in spec:
        wanted["nvidia.com/gpu"] = str(spec.pop("gpu"))
    container = {"name": "main", "image": "busybox:1", "resources": {"requests": wanted, "limits": wanted}}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "default"} | (meta or {}),
        "spec": {"containers": [container], "restartPolicy": "Never"} | spec,
    }


def a_job(name: str, *, labels: Object | None = None, annotations: Object | None = None, **spec: Any) -> Object:
    """A Job of small pods; `pod` are keywords of `a_pod`, the others go into its specification."""
    pod = a_pod("x", **spec.pop("pod", {}))
    meta = {"name": name, "namespace": "default", "labels": labels or {}, "annotations": annotations or {}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": meta,
        "spec": {"template": {"spec": pod["spec"]}} | spec,
    }


async def eventually(question: Callable[[], Any], timeout_s: float = 10.0, *, every_s: float = 0.02) -> Any:
    """The first true answer; what an assertion over a running system asks for."""
    deadline = time.monotonic() + timeout_s
    while True:
        answer = question()
        if inspect.isawaitable(answer):
            answer = await answer
        if answer:
            return answer
        assert time.monotonic() < deadline, f"still not after {timeout_s} s: {inspect.getsource(question).strip()}"
        await asyncio.sleep(every_s)


@asynccontextmanager
async def running(*coroutines: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run things in the background; one that fails fails the test."""
    tasks = [asyncio.create_task(coroutine) for coroutine in coroutines]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result


async def reasons(client: KubeClient, name: str) -> list[tuple[str, str]]:
    """Reason and message of every event on an object."""
    events, _ = await client.list(EVENTS)
    return [(e["reason"], e["message"]) for e in events if e["involvedObject"]["name"] == name]


class FakeKubelet:
    """Plays every node: starts bound pods, ends them as `ending` says, and obeys deletions.

    Args:
        ending: for a pod object that runs, the exit code with which it ends; None lets it run on.
        grace_s: seconds that a deleted pod takes to end.
    """

    def __init__(
        self, client: KubeClient, ending: Callable[[Object], int | None] = lambda pod: None, *, grace_s: float = 0.0
    ) -> None:
        self.client = client
        self.ending = ending
        self.grace_s = grace_s
        self.most_active = 0
        self._dying: set[str] = set()

    async def run(self) -> None:
        """Look at all pods again and again; the load of tests is small."""
        while True:
            pods, _ = await self.client.list(PODS)
            alive = [p for p in pods if p["status"].get("phase") in ("Pending", "Running")]
            self.most_active = max(self.most_active, sum("deletionTimestamp" not in p["metadata"] for p in alive))
            for pod in pods:
                if pod["spec"].get("nodeName"):
                    with suppress(AiinfnError):  # the pod changed or went meanwhile; the next round sees that
                        await self._tend(pod)
            await asyncio.sleep(0.02)

    async def _tend(self, pod: Object) -> None:
        phase, meta = pod["status"].get("phase", "Pending"), pod["metadata"]
        if meta.get("deletionTimestamp"):
            if meta["uid"] not in self._dying:
                self._dying.add(meta["uid"])
                await asyncio.sleep(self.grace_s)
                if phase in ("Pending", "Running"):
                    await self._say(pod, "Failed", {"terminated": _ended(143)})
                await self.client.delete(PODS, meta["name"], meta["namespace"], grace_s=0, uid=meta["uid"])
        elif phase == "Pending":
            await self._say(pod, "Running", {"running": {"startedAt": rfc3339(time.time())}})
        elif phase == "Running" and (code := self.ending(pod)) is not None:
            await self._say(pod, "Failed" if code else "Succeeded", {"terminated": _ended(code)})

    async def _say(self, pod: Object, phase: str, state: Object) -> None:
        status = {"name": "main", "image": "busybox:1", "imageID": "", "restartCount": 0, "ready": "running" in state}
        ready = {"type": "Ready", "status": "True" if "running" in state else "False"}
        patch = {"status": {"phase": phase, "conditions": [ready], "containerStatuses": [status | {"state": state}]}}
        meta = pod["metadata"]
        await self.client.patch(
            PODS, meta["name"], patch, meta["namespace"], strategy="strategic", subresource="status"
        )


def _ended(code: int) -> Object:
    now = rfc3339(time.time())
    return {"exitCode": code, "reason": "Error" if code else "Completed", "startedAt": now, "finishedAt": now}


async def add_nodes(client: KubeClient, *nodes: Object) -> None:
    """Create nodes with their status, as a kubelet does."""
    for node in nodes:
        await client.create(NODES, {key: value for key, value in node.items() if key != "status"})
        await client.patch(
            NODES, node["metadata"]["name"], {"status": node["status"]}, strategy="strategic", subresource="status"
        )
