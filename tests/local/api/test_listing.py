"""Lists: order, selection, pages of one moment, versions."""

from __future__ import annotations

import time
from typing import Any

import pytest
from support.kubeapi import RunningApi, pod

from aiinfn_hub.kube.client import CONFIGMAPS, PODS, KubeClient
from aiinfn_hub.local.api.kinds import Resources
from aiinfn_hub.local.api.listing import MAX_SNAPSHOTS, Listing, flag
from aiinfn_hub.local.api.persistence import Ref
from aiinfn_hub.local.api.store import Store

pytestmark = pytest.mark.asyncio

MAPS = "/api/v1/namespaces/default/configmaps"


async def make(client: KubeClient, *names: str, namespace: str = "default") -> None:
    for name in names:
        await client.create(CONFIGMAPS, {"metadata": {"name": name}}, namespace)


def names(answer: Any) -> list[str]:
    return [item["metadata"]["name"] for item in answer.json["items"]]


async def test_a_list_is_sorted_by_namespace_and_name(api: RunningApi, client: KubeClient) -> None:
    await make(client, "b", "c", "a")
    await make(client, "z", namespace="kube-public")
    await make(client, "y", namespace="default")
    answer = await api.call("GET", "/api/v1/configmaps")
    assert names(answer) == ["a", "b", "c", "y", "z"]
    assert (answer.json["kind"], answer.json["apiVersion"]) == ("ConfigMapList", "v1")
    assert names(await api.call("GET", "/api/v1/namespaces/kube-public/configmaps")) == ["z"]


async def test_a_list_has_the_version_of_the_newest_change(api: RunningApi, client: KubeClient) -> None:
    await make(client, "a")
    last = await client.create(PODS, pod("p"), "default")
    answer = await api.call("GET", MAPS)
    assert answer.json["metadata"] == {"resourceVersion": last["metadata"]["resourceVersion"]}


async def test_a_page_that_was_forgotten_is_gone(api: RunningApi) -> None:
    answer = await api.call("GET", f"{MAPS}?limit=1&continue=0123456789abcdef")
    assert (answer.status, answer.json["reason"]) == (410, "Expired")
    assert answer.json["message"].startswith("The provided continue parameter is too old")
    assert (await api.call("GET", f"{MAPS}?continue=%%%")).status == 400


async def test_only_so_many_unfinished_lists_are_kept() -> None:
    store, resource = Store(), Resources().builtin(("", "configmaps"))
    for name in ("a", "b"):
        store.put(Ref("", "configmaps", "default", name), {"metadata": {"name": name}})
    lists = Listing(store)
    for _ in range(MAX_SNAPSHOTS + 10):
        lists.page(resource, "", {"limit": "1"})
    assert len(lists._snapshots) == MAX_SNAPSHOTS


async def test_an_old_or_zero_version_gets_the_present(api: RunningApi, client: KubeClient) -> None:
    await make(client, "a")
    for version in ("0", "1"):
        assert names(await api.call("GET", f"{MAPS}?resourceVersion={version}")) == ["a"]


@pytest.mark.parametrize(
    ("query", "on"),
    [
        ({}, False),
        ({"w": "true"}, True),
        ({"w": "True"}, True),
        ({"w": "1"}, True),
        ({"w": ""}, True),
        ({"w": "false"}, False),
        ({"w": "0"}, False),
    ],
)
async def test_a_switch_is_read_as_the_real_server_reads_it(query: dict[str, str], *, on: bool) -> None:
    assert flag(query, "w") is on


async def test_metadata_alone_can_be_asked_for(api: RunningApi, client: KubeClient) -> None:
    await client.create(CONFIGMAPS, {"metadata": {"name": "a"}, "data": {"x": "1"}}, "default")
    accept = {"Accept": "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1,application/json"}
    answer = await api.call("GET", MAPS, headers=accept)
    assert answer.json["kind"] == "PartialObjectMetadataList"
    assert [set(item) for item in answer.json["items"]] == [{"kind", "apiVersion", "metadata"}]


async def test_ten_thousand_pods_are_listed_in_about_a_second(api: RunningApi, client: KubeClient) -> None:
    resource = api.server.resources.builtin(("", "pods"))
    for number in range(10_000):
        body = pod(f"p{number:05}", nodeName=f"n{number % 50}")
        body["metadata"]["labels"] = {"team": f"t{number % 10}"}
        api.server.objects.create(resource, "default", body)
    begin = time.perf_counter()
    items, _ = await client.list_raw(PODS, "default", limit=0)
    whole = time.perf_counter() - begin
    assert len(items) == 10_000
    begin = time.perf_counter()
    paged, _ = await client.list_raw(PODS, "default", limit=500)
    assert paged == items
    pages = time.perf_counter() - begin
    begin = time.perf_counter()
    few, _ = await client.list_raw(PODS, labels="team=t3", fields="spec.nodeName=n3")
    chosen = time.perf_counter() - begin
    assert len(few) == 200
    # Generous: the machine is shared. Seen alone: 0.15, 0.3 and 0.05 s.
    assert whole < 2
    assert pages < 4
    assert chosen < 1
