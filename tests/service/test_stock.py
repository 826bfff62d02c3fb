"""What is free, for the hub, as soon as it changes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from support.service import HUB_KEY, RunningService, running_service

from aiinfn_hub.contract.offer import StockOffer
from aiinfn_hub.hub.at_service import AtService
from aiinfn_hub.hub.feed import Feed
from aiinfn_hub.hub.offers import OfferSource
from aiinfn_hub.kube.client import NODES, PODS
from aiinfn_hub.sessions.availability import availability

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[RunningService]:
    async with running_service(tmp_path) as running:
        yield running


async def stock(service: RunningService, after: int, wait: float = 20) -> StockOffer:
    async with service.person(Authorization=f"Bearer {HUB_KEY}") as http:
        answer = await http.get("/api/stock", params={"after": after, "wait": wait})
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=StockOffer)


def t4(found: StockOffer) -> tuple[int, int]:
    return next((one.total, one.free) for one in found.flavours if one.flavour == "t4")


def node() -> dict[str, Any]:
    amounts = {"cpu": "64", "memory": "256Gi", "pods": "110", "nvidia.com/gpu": "8"}
    condition = {"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}
    return {
        "metadata": {"name": "gpu-1", "labels": {"nvidia.com/gpu.product": "Tesla-T4"}},
        "status": {"capacity": amounts, "allocatable": amounts, "conditions": [condition]},
    }


def somebodys() -> dict[str, Any]:
    amounts = {"cpu": "1", "nvidia.com/gpu": "1"}
    container = {"name": "x", "image": "x", "resources": {"requests": amounts, "limits": amounts}}
    return {"metadata": {"name": "other"}, "spec": {"nodeName": "gpu-1", "containers": [container]}}


async def test_a_question_waits_for_the_next_change_of_nodes_or_pods(service: RunningService) -> None:
    first = await stock(service, 0)
    assert t4(first) == (0, 0)
    waits = asyncio.create_task(stock(service, first.version))
    await service.client.create(NODES, node())
    second = await waits
    assert (second.version > first.version, t4(second)) == (True, (8, 8))
    waits = asyncio.create_task(stock(service, second.version))
    await service.client.create(PODS, somebodys(), "default")
    assert t4(await waits) == (8, 7)


async def test_without_a_change_it_is_the_same_and_still_true(service: RunningService) -> None:
    first = await stock(service, 0)
    again = await stock(service, first.version, wait=0.1)
    assert (again.version, again.flavours) == (first.version, first.flavours)
    assert again.at >= first.at


async def test_it_is_for_the_hub_alone(service: RunningService) -> None:
    async with service.person(service.hub.add("alice", "/aiinfn")) as http:
        refused = await http.get("/api/stock")
    assert (refused.status_code, "Only the hub" in refused.text) == (403, True)
    async with service.person() as http:
        assert (await http.get("/api/stock")).status_code == 401


async def test_a_form_that_is_open_has_it_without_asking_again(service: RunningService, tmp_path: Path) -> None:
    """The hub's side of it, against the real service."""
    (tmp_path / "hub-key").write_text(HUB_KEY)
    service.hub.add("alice", "/aiinfn", "/aiinfn/lhcb-flashsim")
    await service.client.create(NODES, node())
    hers = OfferSource(AtService("alice", service.url, tmp_path / "hub-key"), deadline_s=10)
    feed = Feed(AtService("", service.url, tmp_path / "hub-key"))
    async with asyncio.timeout(20):
        with feed.listen() as news:
            while availability(seen := await hers.look(0), "t4").text != "8 of 8 free":
                await asyncio.sleep(0.05)
            await service.client.create(PODS, somebodys(), "default")
            while availability(feed.freshen(seen), "t4").text != "7 of 8 free":
                await news.wait()
                news.clear()
    assert availability(seen, "t4").text == "8 of 8 free", "what she was told before"
