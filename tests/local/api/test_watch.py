"""Watches: where they start, what they tell, and that nothing is lost or doubled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest
from support.kubeapi import RunningApi, pod, running_api

from aiinfn_hub.errors import Conflict, Expired
from aiinfn_hub.kube.client import CONFIGMAPS, PODS, KubeClient
from aiinfn_hub.local.api.kinds import Resources
from aiinfn_hub.local.api.persistence import Ref
from aiinfn_hub.local.api.store import Store
from aiinfn_hub.local.api.views import Whole
from aiinfn_hub.local.api.watching import Watch

pytestmark = pytest.mark.asyncio

MAPS = "/api/v1/namespaces/default/configmaps"


class Events:
    """An open watch, read line by line."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.response = response

    async def next(self, seconds: float = 5) -> Any:
        async with asyncio.timeout(seconds):
            line = await self.response.content.readline()
        return json.loads(line) if line else None

    async def names(self, count: int) -> list[tuple[str, str]]:
        events = [await self.next() for _ in range(count)]
        return [(event["type"], event["object"]["metadata"]["name"]) for event in events]


@asynccontextmanager
async def watching(api: RunningApi, path: str = MAPS, **query: str) -> AsyncIterator[Events]:
    connector = aiohttp.TCPConnector(ssl=api.tls)
    headers = {"Authorization": f"Bearer {api.token}"}
    async with (
        aiohttp.ClientSession(connector=connector, headers=headers) as session,
        session.get(api.url + path, params={"watch": "true", **query}) as response,
    ):
        assert response.status == 200
        yield Events(response)


async def make(client: KubeClient, name: str, **labels: str) -> dict[str, Any]:
    return await client.create(CONFIGMAPS, {"metadata": {"name": name, "labels": labels}}, "default")


@pytest.mark.parametrize("word", ["true", "True", "1", "t"])
async def test_every_spelling_of_true_watches(api: RunningApi, client: KubeClient, word: str) -> None:
    await make(client, "a")
    async with watching(api, watch=word) as events:
        assert await events.names(1) == [("ADDED", "a")]


async def test_watch_false_lists(api: RunningApi) -> None:
    assert (await api.call("GET", f"{MAPS}?watch=false")).json["kind"] == "ConfigMapList"


async def test_other_kinds_and_namespaces_are_not_told(api: RunningApi, client: KubeClient) -> None:
    async with watching(api, PODS.path("default"), fieldSelector="spec.nodeName=") as events:
        await make(client, "a")
        await client.create(PODS, pod("p"), "kube-system")
        await client.create(PODS, pod("q", nodeName="n"), "default")
        await client.create(PODS, pod("r"), "default")
        assert await events.names(1) == [("ADDED", "r")]


async def test_a_watch_over_all_namespaces_tells_of_each(api: RunningApi, client: KubeClient) -> None:
    async with watching(api, PODS.path()) as events:
        await client.create(PODS, pod("p"), "kube-system")
        await client.create(PODS, pod("q"), "default")
        assert await events.names(2) == [("ADDED", "p"), ("ADDED", "q")]


async def test_too_old_a_version_is_told_as_an_event(tmp_path: Any) -> None:
    async with running_api(tmp_path, history=3) as api:
        client = await KubeClient.connect(api.kubeconfig)
        first = await make(client, "a")
        for number in range(5):
            await client.patch(CONFIGMAPS, "a", {"data": {"x": str(number)}}, "default")
        async with watching(api, resourceVersion=first["metadata"]["resourceVersion"]) as events:
            event = await events.next()
            assert await events.next() is None, "the stream ends"
        assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")
        assert event["object"]["message"].startswith("too old resource version: ")
        with pytest.raises(Expired):
            async for _ in client.watch(CONFIGMAPS, "default", resource_version=first["metadata"]["resourceVersion"]):
                pass
        await client.close()


async def test_the_last_events_of_a_short_history_are_still_told(tmp_path: Any) -> None:
    async with running_api(tmp_path, history=3) as api:
        client = await KubeClient.connect(api.kubeconfig)
        await make(client, "a")
        versions = [
            (await client.patch(CONFIGMAPS, "a", {"data": {"x": str(n)}}, "default"))["metadata"]["resourceVersion"]
            for n in range(6)
        ]
        async with watching(api, resourceVersion=versions[2]) as events:
            told = [(await events.next())["object"]["metadata"]["resourceVersion"] for _ in range(3)]
        assert told == versions[3:]
        await client.close()


async def test_bookmarks_say_how_far_a_watch_has_come(tmp_path: Any) -> None:
    async with running_api(tmp_path, bookmark_s=0.1) as api:
        client = await KubeClient.connect(api.kubeconfig)
        async with watching(api, allowWatchBookmarks="true") as events:
            pod_made = await client.create(PODS, pod("p"), "default")
            while True:
                event = await events.next()
                assert event["type"] == "BOOKMARK"
                if event["object"]["metadata"]["resourceVersion"] == pod_made["metadata"]["resourceVersion"]:
                    break
            assert event["object"]["kind"] == "ConfigMap"
            made = await make(client, "a")
            while (event := await events.next())["type"] == "BOOKMARK":
                assert int(event["object"]["metadata"]["resourceVersion"]) < int(made["metadata"]["resourceVersion"])
        async with watching(api) as events:
            assert (await events.next())["type"] == "ADDED"
            with pytest.raises(TimeoutError):
                await events.next(0.3)
        await client.close()


async def test_stopping_the_server_ends_its_watches_at_once(tmp_path: Any) -> None:
    async with running_api(tmp_path) as api, watching(api) as events:
        stopping = asyncio.create_task(api.server.stop())
        assert await events.next() is None
        async with asyncio.timeout(3):
            await stopping


async def test_a_client_that_has_gone_is_forgotten(api: RunningApi) -> None:
    async with watching(api):
        assert len(api.server._watches._open) == 1
    for _ in range(50):
        if not api.server._watches._open:
            break
        await asyncio.sleep(0.02)
    assert not api.server._watches._open
    assert not api.server.store._subscribers[CONFIGMAPS.group, CONFIGMAPS.plural]


async def test_a_watcher_that_does_not_read_is_cut_off() -> None:
    maps = Resources().builtin(("", "configmaps"))
    store = Store()
    with Watch(store, Whole(maps), "", None, most=3) as watch:
        watch.open({})
        for number in range(4):
            assert not watch.cut
            store.put(Ref("", "configmaps", "default", f"m{number}"), {"metadata": {"name": f"m{number}"}})
        assert watch.cut
        assert await watch.next(1) == b""
        assert not store._subscribers["", "configmaps"]


async def test_list_and_watch_together_miss_and_double_nothing(api: RunningApi, client: KubeClient) -> None:
    """Writers at work while a reader lists and then watches: what it rebuilds is what there is."""

    async def write(writer: int) -> None:
        for number in range(30):
            name = f"w{writer}-{number % 7}"
            try:
                await make(client, name)
            except Conflict:  # it is there from an earlier round
                if number % 3:
                    await client.patch(CONFIGMAPS, name, {"data": {"n": str(number)}}, "default")
                else:
                    await client.delete(CONFIGMAPS, name, "default")

    writers = [asyncio.create_task(write(number)) for number in range(4)]
    await asyncio.sleep(0.05)
    items, version = await client.list(CONFIGMAPS, "default", limit=3)
    seen = {item["metadata"]["name"]: item for item in items}
    versions: list[int] = []
    async with watching(api, resourceVersion=version) as events:
        await asyncio.gather(*writers)
        end = await make(client, "end")
        while "end" not in seen:
            event = await events.next()
            obj = event["object"]
            versions.append(int(obj["metadata"]["resourceVersion"]))
            name = obj["metadata"]["name"]
            assert (event["type"] == "ADDED") is (name not in seen), "no ADDED twice, no MODIFIED of the unknown"
            if event["type"] == "DELETED":
                del seen[name]
            else:
                seen[name] = obj
    assert versions == sorted(set(versions))
    now, _ = await client.list(CONFIGMAPS, "default")
    assert {name: obj["metadata"] for name, obj in seen.items()} == {
        item["metadata"]["name"]: item["metadata"] for item in now
    }
    assert end["metadata"]["resourceVersion"] == str(versions[-1])


async def test_many_watchers_all_see_everything(api: RunningApi, client: KubeClient) -> None:
    async def follow(events: Events) -> list[tuple[str, str]]:
        return await events.names(20)

    async with watching(api) as one, watching(api) as two, watching(api, labelSelector="even=1") as three:
        for number in range(20):
            await make(client, f"m{number:02}", **({"even": "1"} if number % 2 == 0 else {}))
        every = [("ADDED", f"m{number:02}") for number in range(20)]
        assert await follow(one) == every
        assert await follow(two) == every
        assert await three.names(10) == every[::2]
