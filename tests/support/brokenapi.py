"""An HTTP server that answers as a script says: for what a good API server never does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web
from kubernetes_asyncio.client import ApiClient, Configuration

from aiinfn_hub.kube.client import KubeClient

Answer = Callable[[web.Request], Any]


def answer(status: int, body: Any = "") -> web.Response:
    """A response; objects become JSON."""
    text = body if isinstance(body, str) else json.dumps(body)
    return web.Response(status=status, text=text, content_type="application/json")


def failure(status: int, reason: str, message: str = "no") -> web.Response:
    """A `Status` object."""
    return answer(status, {"kind": "Status", "status": "Failure", "code": status, "reason": reason, "message": message})


class Stream:
    """Lines of a watch, sent one after the other; then the connection ends, stays open or breaks."""

    def __init__(self, *events: Any, then: str = "end") -> None:
        self.events = events
        self.then = then

    async def send(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for event in self.events:
            await response.write(json.dumps(event).encode() + b"\n")
        if self.then == "break" and request.transport is not None:
            request.transport.abort()
        elif self.then == "hang":
            await asyncio.sleep(3600)
        return response


class Script:
    """The answers to requests in turn; the last one is repeated. `seen` holds method and path with query."""

    def __init__(self, *answers: web.Response | Stream | Answer) -> None:
        self.answers = list(answers)
        self.seen: list[str] = []

    async def respond(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(f"{request.method} {request.path_qs}")
        now = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(now, Stream):
            return await now.send(request)
        if isinstance(now, web.Response):
            return web.Response(status=now.status, body=now.body, content_type="application/json")
        made = now(request)
        return await made if asyncio.iscoroutine(made) else made


@asynccontextmanager
async def client_of(script: Script, *, request_s: float = 5.0) -> AsyncIterator[KubeClient]:
    """A client of a server that follows the script."""
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", script.respond)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    client = KubeClient(ApiClient(Configuration(host=f"http://127.0.0.1:{port}")), request_s=request_s)
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()
