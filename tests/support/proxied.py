"""The real proxy on Node in front of a small server that streams: `async with running_proxy(...) as proxied:`."""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from aiohttp import web

from aiinfn_hub.local.proxy import launcher

MEGABYTE = bytes(2**20)


@dataclass
class Backend:
    """What a session behind the proxy does: events, chunks, downloads, uploads, websockets."""

    headers: dict[str, str] = field(default_factory=dict)

    def application(self) -> web.Application:
        app = web.Application(client_max_size=2**30)
        app.router.add_get("/user/ada/events", self.events)
        app.router.add_get("/user/ada/slow", self.slow)
        app.router.add_get("/user/ada/large", self.large)
        app.router.add_post("/user/ada/upload", self.upload)
        app.router.add_get("/user/ada/socket", self.socket)
        return app

    async def events(self, request: web.Request) -> web.StreamResponse:
        """One server-sent event at once, then one every `pause` seconds, `count` in all."""
        self.headers = dict(request.headers)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for number in range(int(request.query.get("count", "2"))):
            await response.write(f"data: {number}\n\n".encode())
            await asyncio.sleep(float(request.query.get("pause", "0.5")))
        return response

    async def slow(self, request: web.Request) -> web.StreamResponse:
        """A chunk, silence, a chunk."""
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first")
        await asyncio.sleep(float(request.query["silence"]))
        await response.write(b"last")
        return response

    async def large(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(int(request.query["megabytes"])):
            await response.write(MEGABYTE)
        return response

    async def upload(self, request: web.Request) -> web.Response:
        size = 0
        async for chunk in request.content.iter_chunked(2**20):
            size += len(chunk)
        return web.json_response({"size": size})

    async def socket(self, request: web.Request) -> web.WebSocketResponse:
        connection = web.WebSocketResponse()
        await connection.prepare(request)
        async for message in connection:
            if message.type == aiohttp.WSMsgType.TEXT:
                await connection.send_str(message.data.upper())
            elif message.type == aiohttp.WSMsgType.BINARY:
                await connection.send_bytes(message.data)
        return connection


@dataclass(frozen=True)
class Proxied:
    """Where the proxy listens (`url`), its API and token, its process and what is behind it."""

    url: str
    api_url: str
    token: str
    process: asyncio.subprocess.Process
    backend: Backend

    async def route(self, path: str, target: str) -> int:
        headers = {"Authorization": f"token {self.token}"}
        async with (
            aiohttp.ClientSession() as session,
            session.post(f"{self.api_url}/api/routes{path}", json={"target": target}, headers=headers) as r,
        ):
            return r.status


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running_proxy(cache: Path) -> AsyncIterator[Proxied]:
    """The proxy with the route /user/ada/ to a `Backend`."""
    command = await asyncio.to_thread(launcher.install, cache)
    backend = Backend()
    runner = web.AppRunner(backend.application())
    await runner.setup()
    port, api_port, behind = free_port(), free_port(), free_port()
    await web.TCPSite(runner, "127.0.0.1", behind).start()
    token = secrets.token_hex(16)
    process = await asyncio.create_subprocess_exec(
        *command,
        *("--ip", "127.0.0.1", "--port", str(port), "--api-ip", "127.0.0.1", "--api-port", str(api_port)),
        env={"PATH": os.environ["PATH"], "CONFIGPROXY_AUTH_TOKEN": token},
        stdout=asyncio.subprocess.DEVNULL,
    )
    proxied = Proxied(f"http://127.0.0.1:{port}", f"http://127.0.0.1:{api_port}", token, process, backend)
    try:
        async with asyncio.timeout(20):
            while True:
                try:
                    assert await proxied.route("/user/ada", f"http://127.0.0.1:{behind}") == 201
                    break
                except aiohttp.ClientConnectorError:
                    await asyncio.sleep(0.05)
        yield proxied
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await runner.cleanup()
