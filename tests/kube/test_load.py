"""A thousand pods through client and cache: in the order of a second, not of a minute."""

from __future__ import annotations

import asyncio
import time

import pytest
from support.brokenapi import Script, Stream, answer, client_of
from support.kubefake import eventually

from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.client import PODS, KubeClient
from aiinfn_hub.kube.slim import decode_pod

pytestmark = pytest.mark.asyncio


def pod(number: int, version: int) -> dict[str, object]:
    meta = {"uid": f"u{number}", "name": f"p{number}", "namespace": "default", "resourceVersion": str(version)}
    container = {"name": "main", "env": [{"name": f"V{n}", "value": "x" * 100} for n in range(40)]}
    return {"metadata": meta, "spec": {"nodeName": "n1", "containers": [container]}, "status": {"phase": "Running"}}


async def test_a_thousand_pods_are_listed_and_followed_quickly() -> None:
    listed = answer(200, {"metadata": {"resourceVersion": "1000"}, "items": [pod(n, n + 1) for n in range(1000)]})
    changes = [{"type": "MODIFIED", "object": pod(n, 2000 + n)} for n in range(1000)]
    async with client_of(Script(listed, Stream(*changes, then="hang"))) as client:
        cache, spent = WatchCache(client, PODS, decode_pod), time.process_time()
        await cache.start()
        await eventually(lambda: cache.changes == 2000, 20)
        await cache.close()
        assert time.process_time() - spent < 5.0
    assert all(int(found.rv) >= 2000 for found in cache.items.values())


async def test_many_requests_at_once_do_not_disturb_each_other(client: KubeClient) -> None:
    async def life(number: int) -> str:
        name = f"p{number}"
        container = {"name": "c", "image": "i"}
        made = await client.create(
            PODS, {"metadata": {"name": name, "namespace": "default"}, "spec": {"containers": [container]}}
        )
        await client.patch(PODS, name, {"metadata": {"labels": {"n": str(number)}}}, "default")
        found = await client.get(PODS, name, "default")
        await client.delete(PODS, name, "default", grace_s=0, uid=made["metadata"]["uid"])
        return str(found["metadata"]["labels"]["n"])

    assert await asyncio.gather(*map(life, range(50))) == [str(number) for number in range(50)]
    left, _ = await client.list(PODS)
    assert left == []


async def test_a_watch_that_is_given_up_is_closed_at_the_server(client: KubeClient) -> None:
    for _ in range(120):  # more than the connections that a client may have
        stream = client.watch(PODS, resource_version="0")
        following = asyncio.create_task(anext(stream, None))
        await asyncio.sleep(0.001)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await stream.aclose()
    found, _ = await client.list(PODS)
    assert found == []
