"""The service as one process would run it, in this one: real listeners, a real embedded Kubernetes API, a fake hub."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
from support.fakehub import SERVICE_TOKEN, FakeHub, running_hub
from support.kubeapi import RunningApi, running_api

from aiinfn_hub.catalogue import example_path
from aiinfn_hub.kube.client import KubeClient
from aiinfn_hub.local.home import free_ports
from aiinfn_hub.service.app import Service
from aiinfn_hub.service.config import load_config

HUB_KEY = "key-of-the-hub"
PREFIX = "/services/aiinfn"


@dataclass
class RunningService:
    """Where it listens, and what is around it."""

    service: Service
    hub: FakeHub
    api: RunningApi
    client: KubeClient
    url: str
    runs_url: str
    metrics_url: str

    def person(self, token: str = "", **headers: str) -> httpx.AsyncClient:
        """Somebody with a token, or nobody."""
        known = {"Authorization": f"token {token}"} if token else {}
        return httpx.AsyncClient(base_url=self.url, headers=known | headers, timeout=30)


def secret(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o600)
    return str(path)


@asynccontextmanager
async def running_service(folder: Path, database_url: str = "") -> AsyncIterator[RunningService]:
    """A service over the example platform, ready to be asked."""
    port, runs, metrics = free_ports(3)
    async with running_hub() as hub, running_api(folder) as api:
        settings = {
            "platform_file": str(example_path()),
            "database_url_file": secret(folder / "database-url", database_url or f"sqlite:///{folder}/service.sqlite"),
            "api_token_file": secret(folder / "token", SERVICE_TOKEN),
            "hub_key_file": secret(folder / "key", HUB_KEY),
            "hub_api_url": hub.url,
            "runs_url": f"http://127.0.0.1:{runs}",
            "blobs": str(folder / "blobs"),
            "port": port,
            "runs_port": runs,
            "metrics_port": metrics,
            "kubeconfig": str(api.kubeconfig),
        }
        path = folder / "service.json"
        path.write_text(json.dumps(settings))
        client = await KubeClient.connect(api.kubeconfig)
        service = Service(load_config(path), logging.getLogger("test"))
        await service.start()
        await service.pods.synced.wait()
        await service.nodes.synced.wait()
        try:
            yield RunningService(
                service,
                hub,
                api,
                client,
                f"http://127.0.0.1:{port}{PREFIX}",
                f"http://127.0.0.1:{runs}",
                f"http://127.0.0.1:{metrics}/metrics",
            )
        finally:
            await service.stop()
            await client.close()
