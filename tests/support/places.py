"""Where a behaviour of the Kubernetes API is tried: the real control plane, or the embedded platform.

Each test gets a namespace and a node of its own; the node's pods are processes of this machine in both.
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from support.controlplane.cluster import Cluster
from support.kubeapi import Answer, running_api, send

from aiinfn_hub.errors import NotFound
from aiinfn_hub.kube.client import NAMESPACES, NODES, PODS, SERVICE_ACCOUNTS, KubeClient
from aiinfn_hub.kube.kinds import Kind
from aiinfn_hub.local.agent import NodeAgent, this_machine
from aiinfn_hub.local.controllers import JobController, NodeController, QueueController, Scheduler
from aiinfn_hub.local.controllers.admission import admit
from aiinfn_hub.local.nodes import NodeSpec

Object = dict[str, Any]


@dataclass
class Place:
    """One API with one node, and a namespace that nobody else uses.

    `unique` ends in every cluster-wide name that a test makes, so that tests do not meet. `made` are cluster-wide
    objects to delete at the end, last made first.
    """

    name: str
    kubeconfig: Path
    client: KubeClient
    namespace: str
    unique: str
    node: NodeSpec
    agent: NodeAgent
    made: list[tuple[Kind, str]] = field(default_factory=list)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request as it goes over the wire; `{ns}` in the path is the namespace."""
        config = yaml.safe_load(self.kubeconfig.read_text())
        cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
        tls = ssl.create_default_context(cadata=decoded(cluster["certificate-authority-data"]))
        sent = {"Authorization": f"Bearer {user['token']}"}
        if body is not None:
            sent["Content-Type"] = content_type
        url = cluster["server"] + path.replace("{ns}", self.namespace)
        return await send(method, url, body, tls=tls, headers=sent | (headers or {}))

    async def create(self, kind: Kind, manifest: Object) -> Object:
        """Create an object here; what is cluster-wide is deleted after the test."""
        made = await self.client.create(kind, manifest, self.namespace if kind.namespaced else None)
        if not kind.namespaced:
            self.made.append((kind, made["metadata"]["name"]))
        return made

    async def get(self, kind: Kind, name: str) -> Object:
        """An object of the namespace."""
        return await self.client.get(kind, name, self.namespace if kind.namespaced else None)

    async def until(
        self, kind: Kind, name: str, condition: Callable[[Object], object], what: str = "", timeout_s: float = 30
    ) -> Object:
        """The object, once the condition holds of it."""
        found: Object = {}
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    with suppress(NotFound):
                        found = await self.get(kind, name)
                        if condition(found):
                            return found
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{name}: not {what or 'so'} in {timeout_s} s; it is {found}") from None

    async def until_gone(self, kind: Kind, name: str, timeout_s: float = 30) -> None:
        """Wait until the object is no more."""
        with suppress(NotFound):
            async with asyncio.timeout(timeout_s):
                while True:
                    await self.get(kind, name)
                    await asyncio.sleep(0.05)


def decoded(text: str) -> str:
    return base64.b64decode(text).decode()


@asynccontextmanager
async def real_place(cluster: Cluster, folder: Path) -> AsyncIterator[Place]:
    """A namespace and a node on the real control plane."""
    client = await KubeClient.connect(cluster.kubeconfig)
    try:
        async with _place("real", cluster.kubeconfig, client, folder) as place:
            yield place
    finally:
        await client.close()


@asynccontextmanager
async def embedded_place(folder: Path) -> AsyncIterator[Place]:
    """The embedded platform with all of its controllers."""
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(running_api(folder, admit))
        client = await KubeClient.connect(api.kubeconfig)
        stack.push_async_callback(client.close)
        for controller in (Scheduler, JobController, QueueController, NodeController):
            task = asyncio.create_task(controller(client).run())
            stack.push_async_callback(_end, task)
        yield await stack.enter_async_context(_place("embedded", api.kubeconfig, client, folder))


@asynccontextmanager
async def _place(name: str, kubeconfig: Path, client: KubeClient, folder: Path) -> AsyncIterator[Place]:
    unique = uuid.uuid4().hex[:8]
    namespace = f"test-{unique}"
    node = NodeSpec(
        name=f"node-{unique}",
        capacity={"cpu": "16", "memory": "64Gi", "nvidia.com/gpu": "4"},
        labels={"test": unique},
    )
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    host = this_machine(os.environ, retry_s=(0.05, 0.2), back_off_s=(0.3, 1.0))
    agent = NodeAgent(client, [node], folder / "node", namespace=namespace, host=host)
    running = asyncio.create_task(agent.run())
    place = Place(name, kubeconfig, client, namespace, unique, node, agent)
    try:
        await place.until(NODES, node.name, _ready, "ready")
        if name == "real":  # pods are refused until the namespace has its account
            await place.until(SERVICE_ACCOUNTS, "default", lambda found: found)
        yield place
    finally:
        await _clean(place)
        await agent.stop()
        await _end(running)


def _ready(node: Object) -> bool:
    taints = node["spec"].get("taints") or ()
    return not any(taint["key"] == "node.kubernetes.io/not-ready" for taint in taints)


async def _clean(place: Place) -> None:
    """Nothing of a test is left that the next one could meet."""
    pods, _ = await place.client.list(PODS, place.namespace)
    for pod in pods:
        with suppress(NotFound):
            await place.client.delete(PODS, pod["metadata"]["name"], place.namespace, grace_s=0)
    await place.client.delete(NAMESPACES, place.namespace)
    for kind, name in [*reversed(place.made), (NODES, place.node.name)]:
        with suppress(NotFound):
            await place.client.delete(kind, name)


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
