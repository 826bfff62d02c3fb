"""Lists and watches: selectors, pages, versions, and what a watch tells."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

import aiohttp
import pytest
import yaml
from support.asking import Ask, ask, at, play
from support.places import Place, decoded

from aiinfn_hub.kube.client import CONFIGMAPS, PODS

pytestmark = pytest.mark.asyncio


async def make(place: Place, name: str, **labels: str) -> dict[str, Any]:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "labels": {"of": "test"} | labels}}
    return await place.create(CONFIGMAPS, manifest)


async def names(place: Place, **query: str) -> list[str]:
    text = "&".join(f"{key}={quote(value)}" for key, value in query.items())
    answer = await ask(place, Ask(f"GET configmaps?{text}"))
    assert answer.status == 200, answer.text
    return [item["metadata"]["name"] for item in answer.json["items"]]


SELECTORS = [
    ("of=test", "a b c"),
    ("of=test,kind", "a b"),
    ("of==test,!kind", "c"),
    ("of=test,kind=x", "a"),
    ("of=test,kind!=x", "b c"),
    ("of in (test),kind in (x,y)", "a b"),
    ("of=test,kind notin (x)", "b c"),
    ("of=test,size>4", "a"),
    ("of=test,size<4", "b"),
    ("of=test,empty=", "c"),
    ("example.com/of=test", ""),
]


async def test_labels_select(place: Place) -> None:
    await make(place, "a", kind="x", size="5")
    await make(place, "b", kind="y", size="3")
    await make(place, "c", empty="")
    for selector, wanted in SELECTORS:
        assert await names(place, labelSelector=selector) == wanted.split(), selector
    assert await names(place, labelSelector="of=test", fieldSelector="metadata.name=b") == ["b"]
    assert await names(place, labelSelector="of=test", fieldSelector="metadata.name!=b") == ["a", "c"]


UNPARSABLE = "unable to parse requirement"
BAD_SELECTORS = [
    ("configmaps?labelSelector=a%20b%20c", UNPARSABLE),
    ("configmaps?labelSelector=a+in+(x", UNPARSABLE),
    ("configmaps?labelSelector=a%3D%3D%3Db", UNPARSABLE),
    ("configmaps?labelSelector=a%3Ex", "for 'Gt', 'Lt'"),
    ("configmaps?labelSelector=a%2Fb%2Fc", UNPARSABLE),
    ("configmaps?labelSelector=a%3D%24", UNPARSABLE),
    (
        "configmaps?fieldSelector=nosuch%3D1",
        'is not a known field selector: only "metadata.name", "metadata.namespace"',
    ),
    ("configmaps?fieldSelector=metadata.name", "invalid selector: 'metadata.name'; can't understand 'metadata.name'"),
    ("pods?fieldSelector=spec.nosuch%3D1", "field label not supported: spec.nosuch"),
    ("events?fieldSelector=nosuch%3Dx", "field label not supported: nosuch"),
    ("configmaps?limit=x", 'strconv.ParseInt: parsing "x": invalid syntax'),
    ("configmaps?continue=nonsense", "continue key is not valid"),
    ("configmaps?watch=true&timeoutSeconds=x", 'strconv.ParseInt: parsing "x": invalid syntax'),
    ("configmaps?resourceVersion=x", "invalid syntax"),
]


async def test_what_cannot_be_selected_is_refused(place: Place) -> None:
    await play(place, [Ask(f"GET {path}", None, 400, "BadRequest", says) for path, says in BAD_SELECTORS])


async def test_pods_are_selected_by_their_fields(place: Place) -> None:
    common = {"automountServiceAccountToken": False, "containers": [{"name": "main", "image": "i:1"}]}
    for name, spec in (("bound", {"nodeName": "elsewhere"}), ("waits", {"nodeSelector": {"no": "where"}})):
        await place.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": common | spec})
    for selector, wanted in (
        ("spec.nodeName=elsewhere", ["bound"]),
        ("spec.nodeName=", ["waits"]),
        ("status.phase=Pending", ["bound", "waits"]),
        ("status.phase!=Pending", []),
        ("spec.restartPolicy=Always,metadata.name=waits", ["waits"]),
        ("spec.schedulerName=other", []),
    ):
        answer = await ask(place, Ask(f"GET pods?fieldSelector={quote(selector)}"))
        assert [item["metadata"]["name"] for item in answer.json["items"]] == wanted, selector


async def test_items_do_not_repeat_their_kind(place: Place) -> None:
    await make(place, "a")
    has = {"kind": "ConfigMapList", "apiVersion": "v1", "items.0.kind": None, "items.0.apiVersion": None}
    await play(place, [Ask("GET configmaps?labelSelector=of%3Dtest", has=has | {"items.0.metadata.name": "a"})])


async def test_all_pages_of_a_list_show_one_moment(place: Place) -> None:
    for name in ("a", "b", "c"):
        await make(place, name)
    first = await ask(place, Ask("GET configmaps?labelSelector=of%3Dtest&limit=2"))
    assert [item["metadata"]["name"] for item in first.json["items"]] == ["a", "b"]
    await place.client.delete(CONFIGMAPS, "c", place.namespace)
    await make(place, "d")
    token = quote(first.json["metadata"]["continue"])
    second = await ask(place, Ask(f"GET configmaps?labelSelector=of%3Dtest&limit=2&continue={token}"))
    assert [item["metadata"]["name"] for item in second.json["items"]] == ["c"]
    assert not second.json["metadata"].get("continue")
    assert second.json["metadata"]["resourceVersion"] == first.json["metadata"]["resourceVersion"]
    assert await names(place, labelSelector="of=test") == ["a", "b", "d"]


async def test_what_is_left_is_counted_where_nothing_is_selected(place: Place) -> None:
    for name in ("a", "b", "c"):
        manifest = {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}}
        await play(place, [Ask("POST /apis/coordination.k8s.io/v1/namespaces/{ns}/leases", manifest, 201)])
    path = "GET /apis/coordination.k8s.io/v1/namespaces/{ns}/leases?limit=1"
    await play(place, [Ask(path, has={"metadata.remainingItemCount": 2})])
    await play(place, [Ask(f"{path}&labelSelector=!x", has={"metadata.remainingItemCount": None})])


async def test_a_version_of_the_future_is_not_waited_for_long(place: Place) -> None:
    answer = await ask(place, Ask("GET configmaps?resourceVersion=99999999999999"))
    assert (answer.status, answer.json["reason"]) == (504, "Timeout")
    assert answer.json["message"].startswith("Timeout: Too large resource version: 99999999999999, current: ")
    assert at(answer.json, "details.causes.0.reason") == "ResourceVersionTooLarge"


class Events:
    """An open watch, read line by line."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> dict[str, Any] | None:
        """The next event; None at the end."""
        async with asyncio.timeout(20):
            line = await self._response.content.readline()
        return json.loads(line) if line else None

    async def told(self, count: int) -> list[str]:
        """The next events in short."""
        found = [await self.next() for _ in range(count)]
        return [f"{one['type']} {one['object']['metadata']['name']}" for one in found if one]


@asynccontextmanager
async def watching(place: Place, **query: str) -> AsyncIterator[Events]:
    config = yaml.safe_load(place.kubeconfig.read_text())
    cluster, user = config["clusters"][0]["cluster"], config["users"][0]["user"]
    tls = ssl.create_default_context(cadata=decoded(cluster["certificate-authority-data"]))
    path = f"/api/v1/namespaces/{place.namespace}/configmaps"
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls), headers={"Authorization": f"Bearer {user['token']}"}
        ) as session,
        session.get(cluster["server"] + path, params={"watch": "true", **query}) as response,
    ):
        assert response.status == 200
        yield Events(response)


async def test_a_watch_tells_what_happens_after_its_version(place: Place) -> None:
    before = await make(place, "before")
    version = before["metadata"]["resourceVersion"]
    await make(place, "a")
    async with watching(place, resourceVersion=version, labelSelector="of=test") as events:
        await place.client.patch(CONFIGMAPS, "before", {"data": {"k": "v"}}, place.namespace)
        await place.client.delete(CONFIGMAPS, "before", place.namespace)
        assert await events.told(3) == ["ADDED a", "MODIFIED before", "DELETED before"]


@pytest.mark.parametrize("version", [{}, {"resourceVersion": "0"}], ids=["absent", "zero"])
async def test_without_a_version_a_watch_begins_with_what_is_there(place: Place, version: dict[str, str]) -> None:
    await make(place, "b")
    await make(place, "a")
    async with watching(place, labelSelector="of=test", **version) as events:
        assert sorted(await events.told(2)) == ["ADDED a", "ADDED b"]
        await make(place, "c")
        assert await events.told(1) == ["ADDED c"]


async def test_a_list_is_not_streamed(place: Place) -> None:
    """With the gate WatchList off, which an old etcd asks for; clients then list first, and watch from there."""
    says = "sendInitialEvents is forbidden for watch unless the WatchList feature gate is enabled"
    path = "GET configmaps?watch=true&resourceVersionMatch=NotOlderThan&sendInitialEvents="
    await play(place, [Ask(path + value, None, 422, "Invalid", says) for value in ("true", "false")])


async def test_who_ceases_to_match_is_deleted_for_that_watch(place: Place) -> None:
    version = (await make(place, "a", kind="x"))["metadata"]["resourceVersion"]
    async with watching(place, resourceVersion=version, labelSelector="of=test,kind=x") as events:
        gone = await place.client.patch(CONFIGMAPS, "a", {"metadata": {"labels": {"kind": "y"}}}, place.namespace)
        event = await events.next()
        assert event is not None
        assert event["type"] == "DELETED"
        # The state that matched last, under the version of the change that ended it.
        assert event["object"]["metadata"]["labels"]["kind"] == "x"
        assert event["object"]["metadata"]["resourceVersion"] == gone["metadata"]["resourceVersion"]
        await place.client.patch(CONFIGMAPS, "a", {"metadata": {"labels": {"kind": "x"}}}, place.namespace)
        assert await events.told(1) == ["ADDED a"]


async def test_a_deletion_carries_the_version_of_the_deletion(place: Place) -> None:
    made = await make(place, "a")
    version = made["metadata"]["resourceVersion"]
    async with watching(place, resourceVersion=version, fieldSelector="metadata.name=a") as events:
        await make(place, "b")
        await place.client.delete(CONFIGMAPS, "a", place.namespace)
        event = await events.next()
        assert event is not None
        assert (event["type"], event["object"]["kind"]) == ("DELETED", "ConfigMap")
        assert int(event["object"]["metadata"]["resourceVersion"]) > int(version)


async def test_a_watch_ends_at_its_time_with_a_bookmark(place: Place) -> None:
    version = (await make(place, "a"))["metadata"]["resourceVersion"]
    async with watching(place, resourceVersion=version, allowWatchBookmarks="true", timeoutSeconds="2") as events:
        last, event = None, await events.next()
        while event is not None:
            last, event = event, await events.next()
        if last is not None:  # one that is on its way when the time is over may be lost
            assert (last["type"], last["object"]["kind"]) == ("BOOKMARK", "ConfigMap")
            assert set(last["object"]["metadata"]) <= {"resourceVersion", "creationTimestamp"}
