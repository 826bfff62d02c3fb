"""A running embedded Kubernetes API for tests: `async with running_api(tmp_path) as api:`."""

from __future__ import annotations

import json
import os
import secrets
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from aiinfn_hub.local.api import ApiServer
from aiinfn_hub.local.api.objects import Admission


@dataclass(frozen=True)
class Answer:
    """What came back; `json` is {} for anything but an object."""

    status: int
    json: dict[str, Any]
    text: str


@dataclass(frozen=True)
class RunningApi:
    """Where it listens and how to speak to it."""

    url: str
    token: str
    kubeconfig: Path
    logs_root: Path
    server: ApiServer

    @property
    def tls(self) -> ssl.SSLContext:
        """For clients that do not read the kubeconfig: trusts the server's own certificate."""
        return ssl.create_default_context(cadata=self.server.certificate)

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        content_type: str = "application/json",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One request as it goes over the wire; `body` is text or something to encode."""
        sent = {"Authorization": f"Bearer {self.token}"} | ({"Content-Type": content_type} if body is not None else {})
        return await send(method, self.url + path, body, tls=self.tls, headers=sent | (headers or {}))


async def send(method: str, url: str, body: Any, *, tls: ssl.SSLContext, headers: dict[str, str]) -> Answer:
    """One request; `body` is text or something to encode."""
    data = body if isinstance(body, str | None) else json.dumps(body)
    connector = aiohttp.TCPConnector(ssl=tls)
    async with (
        aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(30)) as session,
        session.request(method, url, data=data, headers=headers) as response,
    ):
        text = await response.text()
        return Answer(response.status, json.loads(text) if text.startswith("{") else {}, text)


def write_kubeconfig(path: Path, server: ApiServer, namespace: str = "default") -> Path:
    """A kubeconfig that only its owner can read."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(server.kubeconfig(namespace), file)  # JSON is YAML, and much faster to write
    return path


@asynccontextmanager
async def running_api(
    folder: Path, admission: Admission | None = None, *, persistent: bool = False, **options: Any
) -> AsyncIterator[RunningApi]:
    """An `ApiServer` on a free port of loopback.

    Args:
        folder: for its kubeconfig, its logs, and with `persistent` its objects.
        admission: as `ApiServer` takes it.
        persistent: keep the objects in `folder/objects`.
        options: other arguments of `ApiServer`.
    """
    token = secrets.token_urlsafe(16)
    logs_root = folder / "pods"
    server = ApiServer(folder / "objects" if persistent else None, token, admission, logs_root=logs_root, **options)
    url = await server.start()
    try:
        kubeconfig = write_kubeconfig(folder / "kubeconfig", server)
        yield RunningApi(url, token, kubeconfig, logs_root, server)
    finally:
        await server.stop()


def pod(name: str, **spec: Any) -> dict[str, Any]:
    """A small pod; keywords go into its specification."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "main", "image": "busybox:1"}], **spec},
    }
