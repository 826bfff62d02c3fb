"""A node agent on the embedded Kubernetes API: `async with running_agent(tmp_path) as cluster:`."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.kubeapi import RunningApi, running_api

from aiinfn_hub.errors import NotFound
from aiinfn_hub.kube.client import EVENTS, NAMESPACES, PODS, KubeClient
from aiinfn_hub.local.agent import NodeAgent, this_machine
from aiinfn_hub.local.nodes import NodeSpec

Object = dict[str, Any]
NAMESPACE = "aiinfn"
NODE = NodeSpec(name="n1", capacity={"cpu": "4", "memory": "8Gi", "nvidia.com/gpu": "1"}, labels={"zone": "one"})


def pod(name: str, *command: str, node: str = "n1", **spec: Any) -> Object:
    """A pod with one container that runs `command`, bound already; a keyword `container` goes into the container."""
    container = {"name": "main", "image": "example.org/image:1", "command": list(command), **spec.pop("container", {})}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": NAMESPACE, **spec.pop("metadata", {})},
        "spec": {
            "nodeName": node,
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": 2,
            "containers": [container],
            **spec,
        },
    }


def python(code: str) -> tuple[str, ...]:
    """A command that runs Python code at once."""
    return ("python3", "-I", "-S", "-c", code)


def phase(wanted: str) -> Callable[[Object], bool]:
    """A condition for `Cluster.until`."""
    return lambda found: found["status"].get("phase") == wanted


def state(found: Object, kind: str = "containerStatuses") -> Object:
    """The state of a pod's first container."""
    states = found["status"].get(kind) or [{"state": {}}]
    return dict(states[0]["state"])


def restarts(found: Object) -> int:
    """How often a pod's first container was started again."""
    states = found["status"].get("containerStatuses") or [{"restartCount": 0}]
    return int(states[0]["restartCount"])


def waiting_for(reason: str) -> Callable[[Object], bool]:
    """Whether the first container waits, and why."""
    return lambda found: state(found).get("waiting", {}).get("reason") == reason


@dataclass
class Cluster:
    """One API, one agent, and the questions that tests ask."""

    api: RunningApi
    client: KubeClient
    agent: NodeAgent
    root: Path

    async def create(self, obj: Object) -> Object:
        return await self.client.create(PODS, obj, NAMESPACE)

    async def get(self, name: str) -> Object:
        return await self.client.get(PODS, name, NAMESPACE)

    async def until(self, name: str, condition: Callable[[Object], bool], timeout_s: float = 15) -> Object:
        """The pod, once the condition holds."""
        found: Object = {}
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    found = await self.get(name)
                    if condition(found):
                        return found
                    await asyncio.sleep(0.01)
        except TimeoutError:
            raise AssertionError(f"{name} stays {found.get('status')}") from None

    async def until_gone(self, name: str, timeout_s: float = 15) -> None:
        async with asyncio.timeout(timeout_s):
            with contextlib.suppress(NotFound):
                while True:
                    await self.get(name)
                    await asyncio.sleep(0.01)

    async def delete(self, name: str, grace_s: int | None = None) -> None:
        await self.client.delete(PODS, name, NAMESPACE, grace_s=grace_s)
        await self.until_gone(name)

    async def log(self, name: str, container: str = "main") -> str:
        """Everything the container has said, as the API serves it."""
        chunks = [chunk async for chunk in self.client.logs(name, NAMESPACE, container=container)]
        return b"".join(chunks).decode()

    async def says(self, name: str, text: str, timeout_s: float = 10) -> str:
        """The log, once it contains the text."""
        found = ""
        try:
            async with asyncio.timeout(timeout_s):
                while text not in found:
                    await asyncio.sleep(0.01)
                    file = self.log_file(await self.get(name))
                    found = file.read_text() if file.exists() else ""
        except TimeoutError:
            raise AssertionError(f"{name} says {found!r}") from None
        return found

    async def output(self, name: str, *command: str, **spec: Any) -> str:
        """What a pod says that runs to a good end."""
        await self.create(pod(name, *command, **spec))
        await self.until(name, phase("Succeeded"))
        return (await self.log(name)).strip()

    async def events(self, name: str) -> list[tuple[str, str]]:
        """(reason, message) of the events about a pod, oldest first."""
        found, _ = await self.client.list(EVENTS, NAMESPACE)
        about = [event for event in found if event["involvedObject"]["name"] == name]
        return [(event["reason"], event["message"]) for event in sorted(about, key=lambda e: e["metadata"]["name"])]

    def folder(self, found: Object) -> Path:
        return self.root / "pods" / str(found["metadata"]["uid"])

    def log_file(self, found: Object, container: str = "main") -> Path:
        return self.folder(found) / "logs" / f"{container}.log"


def alive(pid: int) -> bool:
    """Whether the process runs (a zombie does not)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


async def until_dead(pid: int, timeout_s: float = 5) -> None:
    async with asyncio.timeout(timeout_s):
        while alive(pid):
            await asyncio.sleep(0.01)


@asynccontextmanager
async def agent_on(
    client: KubeClient, root: Path, *, stop: bool = True, nodes: tuple[NodeSpec, ...] = (NODE,), **options: Any
) -> AsyncIterator[NodeAgent]:
    """An agent that is stopped at the end, or (`stop=False`) left as a killed one leaves its processes."""
    agent = NodeAgent(client, nodes, root, **options)
    running = asyncio.create_task(agent.run())
    try:
        yield agent
    finally:
        if stop:
            await agent.stop()
        else:
            running.cancel()
        await asyncio.wait({running})
        if not running.cancelled():
            running.result()


@asynccontextmanager
async def running_cluster(folder: Path, **options: Any) -> AsyncIterator[Cluster]:
    """API and agent; pauses are short, so that retries and restarts are quick."""
    host = this_machine(os.environ, retry_s=(0.05, 0.2), back_off_s=(0.3, 1.0), **options.pop("host", {}))
    async with running_api(folder) as api:
        client = await KubeClient.connect(api.kubeconfig)
        try:
            await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
            async with agent_on(client, folder, host=host, **options) as agent:
                yield Cluster(api, client, agent, folder)
        finally:
            await client.close()
