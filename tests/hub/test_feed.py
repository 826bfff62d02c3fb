"""One question of the whole hub for what is free, which waits for a change and wakes all forms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.offerservice import KEY, OfferService, offer_service

from aiinfn_hub.contract.offer import FlavourOffer, Offer, StockOffer
from aiinfn_hub.hub.at_service import AtService
from aiinfn_hub.hub.feed import Feed
from aiinfn_hub.sessions.availability import Seen

pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def fed(folder: Path) -> AsyncIterator[tuple[Feed, OfferService]]:
    (folder / "hub-key").write_text(KEY)
    async with offer_service() as service:
        yield Feed(AtService("", service.url, folder / "hub-key")), service


async def arrived(event: asyncio.Event) -> None:
    async with asyncio.timeout(10):
        await event.wait()
    event.clear()


def free(feed: Feed) -> int:
    assert feed.stock is not None
    return next(one.free for one in feed.stock.flavours if one.flavour == "a100-1g.5gb")


async def test_everybody_who_listens_is_woken_by_a_change_and_one_question_is_asked(tmp_path: Path) -> None:
    async with fed(tmp_path) as (feed, service):
        with feed.listen() as first, feed.listen() as second:
            await asyncio.gather(arrived(first), arrived(second))
            assert free(feed) == 3
            service.free = 1
            await asyncio.gather(arrived(first), arrived(second))
            assert free(feed) == 1
        assert service.asked == [], "nobody's own offer was asked for"


async def test_nobody_asks_while_nobody_listens(tmp_path: Path) -> None:
    """But for the question that waits already, which takes one more answer."""
    async with fed(tmp_path) as (feed, service):
        with feed.listen() as news:
            await arrived(news)
        service.free = 2
        async with asyncio.timeout(10):
            while free(feed) != 2:
                await asyncio.sleep(0.02)
        service.free = 0
        await asyncio.sleep(0.2)
        assert free(feed) == 2
        with feed.listen() as news:
            await arrived(news)
        assert free(feed) == 0


async def test_who_opens_and_closes_a_form_again_and_again_asks_once(tmp_path: Path) -> None:
    """A hub has ten connections to others; a question that is given up keeps one until the service answers it."""
    async with fed(tmp_path) as (feed, service):
        for _ in range(30):
            with feed.listen():
                await asyncio.sleep(0.02)
        assert service.polls <= 2
        async with asyncio.timeout(2):
            await AtService("ada", service.url, tmp_path / "hub-key").ask("offer", deadline_s=1)


async def test_a_service_that_fails_leaves_nothing_old_and_is_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiinfn_hub.hub.feed.AGAIN_S", 0.05)
    async with fed(tmp_path) as (feed, service):
        with feed.listen() as news:
            await arrived(news)
            service.status, service.free = 503, 2
            async with asyncio.timeout(10):
                while feed.stock is not None:
                    await asyncio.sleep(0.02)
            service.status = 200
            await arrived(news)
            assert free(feed) == 2


async def test_a_feed_that_died_lives_again_with_the_next_form(tmp_path: Path) -> None:
    async with fed(tmp_path) as (feed, _):
        with feed.listen() as first:
            await arrived(first)
            assert feed._task is not None
            feed._task.cancel()
            await asyncio.gather(feed._task, return_exceptions=True)
            feed.stock = None
            with feed.listen() as second:
                await asyncio.gather(arrived(first), arrived(second))


async def test_there_is_one_feed_in_a_hub(tmp_path: Path) -> None:
    settings: dict[str, Any] = {}
    feeds = {Feed.of(settings, AtService(name, "http://x", tmp_path)) for name in ("ada", "bob")}
    assert len(feeds) == 1


OLD, NEW = FlavourOffer("t4", 8, 5, "unit"), FlavourOffer("t4", 8, 4, "unit")
OTHER = FlavourOffer("a30", 1, 1, "unit")


STOCK, BEFORE = StockOffer(1, 40.0, [OTHER, NEW]), Seen(Offer("a", 50.0, [OLD], []), 55.0)


@pytest.mark.parametrize(
    ("stock", "changed_at", "seen", "free"),
    [
        pytest.param(STOCK, 60.0, BEFORE, 4, id="it came later"),
        pytest.param(STOCK, 50.0, BEFORE, 5, id="it came before"),
        pytest.param(None, 60.0, BEFORE, 5, id="nothing"),
        pytest.param(StockOffer(1, 60.0, [OTHER]), 60.0, BEFORE, 5, id="of others"),
        pytest.param(STOCK, 60.0, replace(BEFORE, failing="away"), 5, id="the service fails"),
    ],
)
async def test_an_offer_has_what_is_free_by_now_and_no_flavour_more(
    tmp_path: Path, stock: StockOffer | None, changed_at: float, seen: Seen, free: int
) -> None:
    """Whatever `at` says: of nodes nothing may have been heard for a minute."""
    feed = Feed(AtService("", "", tmp_path))
    feed.stock, feed.changed_at = stock, changed_at
    found = feed.freshen(seen)
    assert found.offer is not None
    assert [(one.flavour, one.free) for one in found.offer.flavours] == [("t4", free)]
    assert feed.freshen(Seen(failing="x")) == Seen(failing="x")
