"""The cluster that lives in this process: Kubernetes API, controllers, and one agent that plays every node."""

from __future__ import annotations

import asyncio
import secrets

import yaml

from aiinfn_hub.kube.client import KubeClient
from aiinfn_hub.local.agent import NodeAgent
from aiinfn_hub.local.api import ApiServer
from aiinfn_hub.local.controllers import JobController, NodeController, QueueController, Scheduler
from aiinfn_hub.local.controllers.admission import admit
from aiinfn_hub.local.home import Home
from aiinfn_hub.local.nodes import load_nodes


class Embedded:
    """`start`, use `client`, `run_cluster`, `stop`."""

    client: KubeClient

    def __init__(self, home: Home, port: int, namespace: str) -> None:
        self.namespace = namespace
        self.port = port
        self.root = home.folder("nodes")
        self.nodes = load_nodes()
        self.kubeconfig = home.path / "kube" / "config"
        self.hub_kubeconfig = self.service_kubeconfig = self.kubeconfig
        self._token = home.secret("kube-token", secrets.token_urlsafe(32)).read_text()
        self._home = home
        self._api = ApiServer(home.folder("kube"), self._token, admission=admit, logs_root=self.root / "pods")
        self._agent: NodeAgent | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """The API alone, with its kubeconfig and our client."""
        await self._api.start("127.0.0.1", self.port)
        self._home.write_private(self.kubeconfig, yaml.safe_dump(self._api.kubeconfig(self.namespace)))
        self.client = await KubeClient.connect(self.kubeconfig)

    async def run_cluster(self) -> None:
        """The controllers and the nodes."""
        for kind in (Scheduler, JobController, QueueController, NodeController):
            self._tasks.append(asyncio.create_task(kind(self.client).run(), name=kind.__name__))
        self._agent = NodeAgent(self.client, self.nodes, self.root)
        self._tasks.append(asyncio.create_task(self._agent.run(), name="NodeAgent"))

    async def stop(self) -> None:
        """End the pods' processes first, while the API can still be told."""
        if self._agent is not None:
            await self._agent.stop()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if hasattr(self, "client"):
            await self.client.close()
        await self._api.stop()
