"""A small registry on loopback: the part of the distribution API that we ask, with switches for what goes wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

INDEX = "application/vnd.oci.image.index.v1+json"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
TOKEN = "a-token-of-the-registry"


def digest(body: bytes) -> str:
    return "sha256:" + hashlib.sha256(body).hexdigest()


@dataclass
class Registry:
    """`manifests` by repository and tag or digest; the switches may change while it runs."""

    host: str = ""
    manifests: dict[tuple[str, str], tuple[str, bytes]] = field(default_factory=dict)
    #: Without one there is nothing to be had; where to get it, by the registry's own word.
    private: bool = False
    realm: str = ""
    #: Who alone gets in, as HTTP's Basic has it; with `basic` without a token between.
    login: str = ""
    basic: bool = False
    #: Answers of this status to everything, with these headers.
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    #: Sends another body than the digest says.
    lies: bool = False
    asked: list[str] = field(default_factory=list)
    scopes: list[str] = field(default_factory=list)

    def push(self, repository: str, tag: str, *, layers: tuple[int, ...] = (), platforms: tuple[str, ...] = ()) -> str:
        """An image, or with platforms an index of one for each; its digest."""
        body = json.dumps({"schemaVersion": 2, "mediaType": MANIFEST, "layers": [{"size": n} for n in layers]}).encode()
        kind = MANIFEST
        if platforms:
            self.manifests[repository, digest(body)] = (MANIFEST, body)
            entries = [
                {
                    "digest": digest(body),
                    "size": len(body),
                    "platform": dict(zip(("os", "architecture"), p.split("/"), strict=True)),
                }
                for p in platforms
            ]
            body, kind = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries}).encode(), INDEX
        self.manifests[repository, tag] = self.manifests[repository, digest(body)] = (kind, body)
        return digest(body)

    async def manifest(self, request: web.Request) -> web.Response:
        repository, what = request.match_info["repository"], request.match_info["what"]
        self.asked.append(f"{repository}:{what}")
        if self.status:
            return web.Response(status=self.status, headers=self.headers)
        if self.basic and request.headers.get("Authorization") != f"Basic {self.login}":
            return web.Response(status=401, headers={"WWW-Authenticate": 'Basic realm="images"'})
        if self.private and request.headers.get("Authorization") != f"Bearer {TOKEN}":
            realm = self.realm or f"http://{self.host}/token"
            challenge = f'Bearer realm="{realm}",service="{self.host}",scope="repository:everything:push"'
            return web.Response(status=401, headers={"WWW-Authenticate": challenge})
        kind, body = self.manifests.get((repository, what), ("", b""))
        if not body:
            return web.json_response({"errors": [{"code": "MANIFEST_UNKNOWN"}]}, status=404)
        assert kind in request.headers["Accept"]
        return web.Response(body=body + (b" " if self.lies else b""), headers={"Content-Type": kind})

    async def token(self, request: web.Request) -> web.Response:
        self.scopes.append(request.query["scope"])
        if self.login and request.headers.get("Authorization") != f"Basic {self.login}":
            return web.json_response({"errors": [{"code": "UNAUTHORIZED"}]}, status=401)
        return web.json_response({"token": TOKEN})


@asynccontextmanager
async def running_registry() -> AsyncIterator[Registry]:
    """A registry on a free port."""
    registry = Registry()
    app = web.Application()
    app.add_routes(
        [web.get("/v2/{repository:.+}/manifests/{what}", registry.manifest), web.get("/token", registry.token)]
    )
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port: Any = runner.addresses[0][1]
    registry.host = f"127.0.0.1:{port}"
    try:
        yield registry
    finally:
        await runner.cleanup()
