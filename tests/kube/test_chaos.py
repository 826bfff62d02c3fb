"""A cache behind a line that keeps breaking ends up with what the API has, and its events add up to the same."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import pytest
from aiohttp import ClientSession, TCPConnector, web
from kubernetes_asyncio.client import ApiClient, Configuration
from support.kubeapi import RunningApi
from support.kubefake import a_pod, eventually

from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.kube import cache as cache_module
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.client import PODS, KubeClient
from aiinfn_hub.kube.slim import Pod, decode_pod

pytestmark = pytest.mark.asyncio


class BadLine:
    """A proxy that breaks connections, and answers 410 to watches and 503 to lists, as `chance` has it."""

    def __init__(self, api: RunningApi, chance: random.Random) -> None:
        self.api = api
        self.chance = chance
        self.quiet = False
        self.faults: Counter[str] = Counter()

    def _fault(self, request: web.Request) -> str:
        if self.quiet:
            return ""
        # No watch lasts, so that each run meets every fault, however quick or slow the machine is.
        return self.chance.choice(
            ["break", "410", "late", "late"] if "watch" in request.query else ["", "503", "break"]
        )

    async def respond(self, request: web.Request) -> web.StreamResponse:
        fault = self._fault(request)
        self.faults[fault] += 1
        if fault == "503":
            return web.json_response({"message": "overloaded", "reason": "ServiceUnavailable"}, status=503)
        if fault == "410":
            return web.json_response({"message": "too old", "reason": "Expired"}, status=410)
        async with (
            ClientSession(connector=TCPConnector(ssl=self.api.tls)) as session,
            session.request(
                request.method,
                self.api.url + request.path_qs,
                data=await request.read(),
                headers={"Authorization": f"Bearer {self.api.token}", "Content-Type": request.content_type},
            ) as upstream,
        ):
            response = web.StreamResponse(status=upstream.status)
            await response.prepare(request)
            left = self.chance.randint(1, 5) if fault in ("break", "late") else -1
            async for chunk in upstream.content.iter_any():
                if fault == "break" or left == 0:
                    # Half a line, then nothing: what a dying load balancer sends.
                    await response.write(chunk[: len(chunk) // 2])
                    if request.transport is not None:
                        request.transport.abort()
                    return response
                left -= 1
                await response.write(chunk)
            return response


@asynccontextmanager
async def behind(line: BadLine) -> AsyncIterator[KubeClient]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", line.respond)
    runner = web.AppRunner(application, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    client = KubeClient(ApiClient(Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")), request_s=5)
    try:
        yield client
    finally:
        await client.close()
        await runner.cleanup()


async def change(client: KubeClient, chance: random.Random, number: int) -> None:
    """Create, label or delete a pod."""
    name = f"p{chance.randint(0, 5)}"
    with suppress(AiinfnError):  # it is there already, or not there
        match chance.choice(["create", "label", "delete"]):
            case "create":
                await client.create(PODS, a_pod(name))
            case "label":
                await client.patch(PODS, name, {"metadata": {"labels": {"n": str(number)}}}, "default")
            case _:
                await client.delete(PODS, name, "default", grace_s=0)


@pytest.mark.parametrize("seed", range(4))
async def test_the_cache_is_right_in_the_end(
    api: RunningApi, client: KubeClient, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache_module, "BACKOFF_S", (0.005, 0.02))
    chance = random.Random(seed)
    line = BadLine(api, chance)
    replayed: dict[str, str] = {}

    def replay(event: str, pod: Pod, before: Pod | None) -> None:
        if event == "DELETED":
            assert replayed.pop(pod.uid)
        else:
            assert (event == "MODIFIED") == (pod.uid in replayed) == (before is not None)
            replayed[pod.uid] = pod.rv

    async with behind(line) as through:
        cache = WatchCache(through, PODS, decode_pod, on_event=replay)
        await cache.start()
        for number in count():
            await change(client, chance, number)
            await asyncio.sleep(chance.choice([0, 0, 0.005, 0.02]))
            if number >= 120 and cache.restarts:  # until the line has broken it at least once
                break
        line.quiet = True

        async def settled() -> bool:
            found, _ = await client.list(PODS)
            wanted: dict[str, Any] = {p["metadata"]["uid"]: p["metadata"]["resourceVersion"] for p in found}
            return {uid: pod.rv for uid, pod in cache.items.items()} == wanted == replayed

        await eventually(settled)
        await eventually(lambda: cache.failing_since is None)
        await cache.close()
