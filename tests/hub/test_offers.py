"""One person's offer from a service that answers, is slow, is wrong, or is away."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from support.offerservice import KEY, offer_service

from aiinfn_hub.hub.at_service import AtService
from aiinfn_hub.hub.offers import OfferSource
from aiinfn_hub.sessions.availability import availability

pytestmark = pytest.mark.asyncio


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def source(folder: Path, url: str, clock: Clock | None = None, person: str = "mrossi") -> OfferSource:
    key = folder / "hub-key"
    key.write_text(f"{KEY}\n")
    return OfferSource(AtService(person, url, key), deadline_s=0.3, clock=clock or Clock())


async def test_the_service_is_asked_for_the_person_with_the_hubs_key(tmp_path: Path) -> None:
    async with offer_service() as service:
        seen = await source(tmp_path, service.url, person="m rossi&admin=1").look()
    assert (service.asked, service.keys) == (["m rossi&admin=1"], [f"Bearer {KEY}"])
    assert availability(seen, "a100-1g.5gb").text == "3 of 7 free"


async def test_pages_that_look_at_the_same_time_ask_once(tmp_path: Path) -> None:
    async with offer_service() as service:
        service.delay_s = 0.05
        shared = source(tmp_path, service.url)
        await asyncio.gather(*(shared.look(0) for _ in range(5)))
        assert len(service.asked) == 1


async def test_an_answer_is_used_for_as_long_as_it_is_fresh_enough(tmp_path: Path) -> None:
    clock = Clock()
    async with offer_service() as service:
        shared = source(tmp_path, service.url, clock)
        await shared.look(4)
        clock.now += 3
        await shared.look(4)
        assert len(service.asked) == 1
        clock.now += 2
        await shared.look(4)
        assert len(service.asked) == 2


async def test_a_page_that_goes_away_does_not_take_the_answer_from_the_others(tmp_path: Path) -> None:
    async with offer_service() as service:
        service.delay_s = 0.1
        shared = source(tmp_path, service.url)
        leaving, staying = asyncio.ensure_future(shared.look()), asyncio.ensure_future(shared.look())
        await asyncio.sleep(0.02)
        leaving.cancel()
        assert (await staying).failing == ""


async def test_a_service_that_goes_away_leaves_the_time_of_its_last_answer(tmp_path: Path) -> None:
    clock = Clock()
    async with offer_service() as service:
        shared = source(tmp_path, service.url, clock)
        await shared.look()
    clock.now += 60
    words = availability(await shared.look(), "a100-1g.5gb")
    assert (words.state, words.since, words.reason) == ("unknown", 1000.0, "the service does not answer")


async def test_a_service_that_comes_back_is_believed_again(tmp_path: Path) -> None:
    clock = Clock()
    async with offer_service() as service:
        shared = source(tmp_path, service.url, clock)
        service.status = 503
        assert (await shared.look()).failing == "the service answers 503"
        service.status = 200
        clock.now += 5
        assert (await shared.look()).failing == ""


async def test_nobody_waits_longer_than_the_deadline(tmp_path: Path) -> None:
    async with offer_service() as service:
        service.delay_s = 3
        async with asyncio.timeout(1):
            assert (await source(tmp_path, service.url).look()).failing == "the service does not answer"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        pytest.param({"status": 403}, "the service answers 403", id="the key is wrong"),
        pytest.param({"status": 500}, "the service answers 500", id="the service fails"),
        pytest.param({"body": b"<html>"}, "the service answers something else", id="it is not our service"),
        pytest.param({"body": b'{"person": "x"}'}, "the service answers something else", id="a field is missing"),
        pytest.param(
            {"body": b'{"person": "other", "at": 1, "flavours": [], "activities": []}'},
            "the service answers for somebody else",
            id="it is another person's offer",
        ),
        pytest.param(
            {"status": 302, "location": "http://127.0.0.1:1/"},
            "the service answers 302",
            id="the key follows no redirect",
        ),
    ],
)
async def test_an_answer_that_is_no_offer_is_a_reason(tmp_path: Path, change: dict[str, object], reason: str) -> None:
    async with offer_service() as service:
        for name, value in change.items():
            setattr(service, name, value)
        seen = await source(tmp_path, service.url).look()
    assert (seen.offer, seen.failing) == (None, reason)


async def test_without_a_service_the_reason_says_so(tmp_path: Path) -> None:
    assert (await source(tmp_path, "").look()).failing == "no service is configured"


async def test_without_a_key_nobody_is_asked(tmp_path: Path) -> None:
    async with offer_service() as service:
        keyless = OfferSource(AtService("mrossi", service.url, tmp_path / "none"), deadline_s=0.3)
        assert (await keyless.look()).failing == "the hub has no key for the service"
        assert service.asked == []


async def test_a_new_key_is_used_at_once(tmp_path: Path) -> None:
    clock = Clock()
    async with offer_service() as service:
        shared = source(tmp_path, service.url, clock)
        await shared.look()
        (tmp_path / "hub-key").write_text("another")
        clock.now += 5
        await shared.look()
    assert service.keys == [f"Bearer {KEY}", "Bearer another"]
