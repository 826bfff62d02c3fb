"""The watch cache: against the embedded API, and through every way in which a watch goes wrong."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from support.brokenapi import Script, Stream, answer, client_of, failure
from support.kubefake import a_pod, eventually

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.kube import cache as cache_module
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.client import JOBS, PODS, WORKLOADS, Kind, KubeClient
from aiinfn_hub.kube.slim import Pod, decode_pod

pytestmark = pytest.mark.asyncio


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "BACKOFF_S", (0.01, 0.05))


def pod(name: str, version: int, **labels: str) -> dict[str, Any]:
    meta = {"uid": f"uid-{name}", "name": name, "namespace": "default", "resourceVersion": str(version)}
    return {"metadata": meta | {"labels": labels}, "spec": {"containers": []}}


def page(version: int, *pods: dict[str, Any]) -> Any:
    return answer(200, {"metadata": {"resourceVersion": str(version)}, "items": list(pods)})


def event(kind: str, found: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": found}


GONE = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old resource version"}}


class Journal:
    """What `on_event` was told."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str, str]] = []

    def __call__(self, kind: str, now: Pod, before: Pod | None) -> None:
        self.lines.append((kind, now.name, before.rv if before else ""))


@asynccontextmanager
async def following(
    client: KubeClient, journal: Any = None, kind: Kind = PODS, **options: Any
) -> AsyncIterator[WatchCache[Pod]]:
    cache = WatchCache(client, kind, options.pop("decode", decode_pod), on_event=journal, **options)
    await cache.start()
    try:
        yield cache
    finally:
        await cache.close()


def names(cache: WatchCache[Pod]) -> set[str]:
    return {found.name for found in cache.items.values()}


async def test_it_follows_a_live_api(client: KubeClient) -> None:
    await client.create(PODS, a_pod("before"))
    journal = Journal()
    async with following(client, journal) as cache:
        await asyncio.wait_for(cache.synced.wait(), 5)
        assert names(cache) == {"before"}
        await client.create(PODS, a_pod("after"))
        await eventually(lambda: names(cache) == {"before", "after"})
        await client.patch(PODS, "after", {"metadata": {"labels": {"a": "b"}}}, "default")
        await eventually(lambda: any(found.labels == {"a": "b"} for found in cache.items.values()))
        await client.delete(PODS, "before", "default", grace_s=0)
        await eventually(lambda: names(cache) == {"after"})
        assert [kind for kind, name, _ in journal.lines if name == "before"] == ["ADDED", "DELETED"]
        assert cache.synced_at > 0
        assert cache.failing_since is None
        assert cache.changes == len(journal.lines)


async def test_it_follows_one_namespace_and_label_only(client: KubeClient) -> None:
    async with following(client, namespace="default", labels="app=ours") as cache:
        await cache.synced.wait()
        await client.create(PODS, a_pod("theirs"))
        await client.create(PODS, a_pod("ours", meta={"namespace": "default", "labels": {"app": "ours"}}))
        await eventually(lambda: names(cache) == {"ours"})


async def test_after_an_expired_watch_it_lists_and_reports_what_it_missed() -> None:
    journal = Journal()
    script = Script(
        page(10, pod("stays", 1), pod("changes", 2), pod("goes", 3)),
        Stream(GONE),
        page(20, pod("stays", 1), pod("changes", 12), pod("comes", 13)),
        Stream(then="hang"),
    )
    async with client_of(script) as client, following(client, journal) as cache:
        await eventually(lambda: cache.restarts == 1 and names(cache) == {"stays", "changes", "comes"})
        assert sorted(journal.lines[3:]) == [
            ("ADDED", "comes", ""),
            ("DELETED", "goes", "3"),
            ("MODIFIED", "changes", "2"),
        ]
        await eventually(lambda: "resourceVersion=20" in script.seen[-1])


@pytest.mark.parametrize(
    ("kind", "asked"), [(PODS, "limit=500"), (JOBS, "limit=500"), (WORKLOADS, "resourceVersion=0")]
)
async def test_custom_kinds_are_listed_from_memory_in_one_piece(kind: Kind, asked: str) -> None:
    script = Script(page(10), Stream(then="hang"))
    async with client_of(script) as client, following(client, kind=kind) as cache:
        await cache.synced.wait()
        assert script.seen[0].partition("?")[2] == asked


async def test_a_watch_that_ends_goes_on_where_it_was() -> None:
    bookmark = event("BOOKMARK", {"metadata": {"resourceVersion": "30"}})
    script = Script(page(10), Stream(event("ADDED", pod("a", 11))), Stream(bookmark), Stream(then="hang"))
    async with client_of(script) as client, following(client) as cache:
        await eventually(lambda: len(script.seen) == 4)
        assert "resourceVersion=11" in script.seen[2]
        assert "resourceVersion=30" in script.seen[3]
        assert cache.restarts == 0
        assert names(cache) == {"a"}


@pytest.mark.parametrize(("then", "seen"), [("end", 3.0), ("break", 2.0)])
async def test_a_watch_that_ends_at_its_time_told_everything_until_then(then: str, seen: float) -> None:
    """A quiet kind has no events, and after a first bookmark no second one: this is all that it has to say."""
    ticks = itertools.count(2)
    script = Script(page(10), Stream(then=then), Stream(then="hang") if then == "end" else failure(503, "Unavailable"))
    async with client_of(script) as client, following(client, clock=lambda: float(next(ticks))) as cache:
        await eventually(lambda: len(script.seen) >= 3)
        assert cache.synced_at == seen


async def test_while_the_api_is_away_it_keeps_what_it_has_and_says_since_when() -> None:
    script = Script(page(10, pod("a", 1)), Stream(then="break"), failure(503, "ServiceUnavailable"))
    async with client_of(script) as client, following(client, clock=lambda: 42.0) as cache:
        await eventually(lambda: cache.failing_since is not None)
        assert cache.failing_since == 42.0
        assert names(cache) == {"a"}
        script.answers = [page(20, pod("a", 1)), Stream(then="hang")]
        await eventually(lambda: cache.failing_since is None)


async def test_before_the_first_list_it_is_not_synced() -> None:
    async with client_of(Script(failure(403, "Forbidden"))) as client, following(client) as cache:
        await eventually(lambda: cache.restarts >= 2)
        assert not cache.synced.is_set()
        assert cache.failing_since is not None
        assert cache.synced_at == 0


async def test_an_object_that_cannot_be_read_is_left_out_and_the_others_stay(caplog: pytest.LogCaptureFixture) -> None:
    strange = pod("strange", 2)
    strange["spec"]["containers"] = [{"name": "c", "resources": {"requests": {"memory": "a lot"}}}]
    script = Script(page(10, pod("a", 1), strange), Stream(event("ADDED", pod("b", 11)), then="hang"))
    async with client_of(script) as client, following(client) as cache:
        await eventually(lambda: names(cache) == {"a", "b"})
    assert "One of the pods cannot be read" in caplog.text


async def test_a_mistake_of_a_consumer_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def broken(kind: str, now: Pod, before: Pod | None) -> None:
        raise ZeroDivisionError(now.name)

    script = Script(page(10, pod("a", 1)), Stream(event("ADDED", pod("b", 11)), then="hang"))
    async with client_of(script) as client, following(client, broken) as cache:
        await eventually(lambda: names(cache) == {"a", "b"})
    assert "ZeroDivisionError" in caplog.text


async def test_a_decoder_with_a_bug_is_logged_and_tried_again(caplog: pytest.LogCaptureFixture) -> None:
    calls = 0

    def decode(text: bytes) -> Pod:
        nonlocal calls
        calls += 1
        if calls == 1:
            raise KeyError("bug")
        return decode_pod(text)

    async with client_of(Script(page(10, pod("a", 1)))) as client, following(client, decode=decode) as cache:
        await eventually(lambda: names(cache) == {"a"})
    assert "Following pods failed." in caplog.text


async def test_what_the_watch_repeats_is_no_news() -> None:
    journal = Journal()
    events = [event("ADDED", pod("a", 1)), event("MODIFIED", pod("a", 12)), event("MODIFIED", pod("a", 11))]
    script = Script(page(10, pod("a", 1)), Stream(*events, event("ADDED", pod("z", 13)), then="hang"))
    async with client_of(script) as client, following(client, journal) as cache:
        await eventually(lambda: len(cache.items) == 2)
        assert journal.lines == [("ADDED", "a", ""), ("MODIFIED", "a", "1"), ("ADDED", "z", "")]


async def test_the_answer_to_a_write_is_known_at_once_and_not_told_twice(client: KubeClient) -> None:
    journal = Journal()
    async with following(client, journal) as cache:
        await cache.synced.wait()
        made = await client.create(PODS, a_pod("p"))
        cache.learn(made)
        assert names(cache) == {"p"}
        changed = await client.patch(PODS, "p", {"metadata": {"labels": {"a": "b"}}}, "default")
        cache.learn(changed)
        await client.create(PODS, a_pod("q"))
        await eventually(lambda: names(cache) == {"p", "q"})
        assert [(kind, name) for kind, name, _ in journal.lines] == [
            ("ADDED", "p"),
            ("MODIFIED", "p"),
            ("ADDED", "q"),
        ]


async def test_an_answer_that_comes_after_the_deletion_brings_nothing_back(client: KubeClient) -> None:
    async with following(client) as cache:
        await cache.synced.wait()
        made = await client.create(PODS, a_pod("p"))
        await eventually(lambda: names(cache) == {"p"})
        await client.delete(PODS, "p", "default", grace_s=0)
        await eventually(lambda: not cache.items)
        cache.learn(made)
        assert not cache.items


async def test_closing_twice_or_before_starting_is_fine(client: KubeClient) -> None:
    cache = WatchCache(client, PODS, decode_pod, log=logging.getLogger("test"))
    await cache.close()
    await cache.start()
    await cache.close()
    await cache.close()


async def test_an_invalid_amount_is_our_error() -> None:
    with pytest.raises(InvalidInput):
        decode_pod(b'{"metadata": {"uid": "u"}, "spec": {"overhead": {"cpu": "x"}}}')


async def test_a_long_list_leaves_the_event_loop_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "AT_A_TIME", 10)
    turns = 0
    decoders, told = set(), []

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def decode(text: bytes) -> Pod:
        decoders.add(threading.get_ident())
        return decode_pod(text)

    script = Script(page(10, *(pod(f"p{number}", 1) for number in range(100))), Stream(then="hang"))
    busy = asyncio.create_task(others())
    async with (
        client_of(script) as client,
        following(client, lambda *_: told.append(turns), decode=decode) as cache,
    ):
        await cache.synced.wait()
        assert threading.get_ident() not in decoders
        assert max(map(told.count, told)) == 10, "ten at a time, then somebody else"
        assert len(told) == len(cache.items) == 100
    busy.cancel()


async def test_what_was_learned_while_it_lists_is_not_taken_for_gone() -> None:
    journal = Journal()
    caches: list[WatchCache[Pod]] = []

    def meanwhile(_: Any) -> Any:
        caches[0].learn(pod("mine", 21))
        return page(20, pod("a", 1))

    script = Script(page(10, pod("a", 1), pod("b", 2)), Stream(GONE), meanwhile, Stream(then="hang"))
    async with client_of(script) as client, following(client, journal) as cache:
        caches.append(cache)
        await eventually(lambda: names(cache) == {"a", "mine"} and len(script.seen) == 4)
    assert [kind for kind, name, _ in journal.lines if name == "mine"] == ["ADDED"]
    assert [kind for kind, name, _ in journal.lines if name == "b"] == ["ADDED", "DELETED"]
