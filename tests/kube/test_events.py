"""Events: said once, counted when said again, never too many, never in anybody's way."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from support.brokenapi import Script, answer, client_of, failure

from aiinfn_hub.kube import events as events_module
from aiinfn_hub.kube.client import EVENTS, NODES, PODS, KubeClient
from aiinfn_hub.kube.events import BURST, QUIET_S, REFILL_S, EventRecorder, Involved

pytestmark = pytest.mark.asyncio

POD = Involved(PODS, "p", "uid-p", "default")


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


async def stored(client: KubeClient) -> list[dict[str, Any]]:
    found, _ = await client.list(EVENTS)
    return sorted(found, key=lambda e: e["message"])


async def test_an_event_names_its_object_its_reason_and_its_speaker(client: KubeClient) -> None:
    await EventRecorder(client, "default-scheduler", clock=Clock()).record(
        POD, "FailedScheduling", "no", kind="Warning"
    )
    (event,) = await stored(client)
    assert event["involvedObject"] == {
        "apiVersion": "v1",
        "kind": "Pod",
        "name": "p",
        "uid": "uid-p",
        "namespace": "default",
    }
    assert (event["type"], event["reason"], event["message"]) == ("Warning", "FailedScheduling", "no")
    assert event["source"] == {"component": "default-scheduler"}
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2027-01-15T08:00:00Z"
    assert event["count"] == 1


async def test_the_same_words_become_a_count(client: KubeClient) -> None:
    clock = Clock()
    recorder = EventRecorder(client, "c", clock=clock)
    for _ in range(4):
        await recorder.record(POD, "Waiting", "still")
    (event,) = await stored(client)
    assert event["count"] == 1, "within a few seconds they are only counted"
    clock.now += QUIET_S
    await recorder.record(POD, "Waiting", "still")
    (event,) = await stored(client)
    assert (event["count"], event["lastTimestamp"]) == (5, "2027-01-15T08:00:05Z")


async def test_other_words_or_another_object_make_another_event(client: KubeClient) -> None:
    recorder = EventRecorder(client, "c")
    await recorder.record(POD, "Waiting", "a")
    await recorder.record(POD, "Waiting", "b")
    await recorder.record(Involved(PODS, "q", "uid-q", "default"), "Waiting", "c")
    assert [(e["involvedObject"]["name"], e["message"]) for e in await stored(client)] == [
        ("p", "a"),
        ("p", "b"),
        ("q", "c"),
    ]


async def test_an_object_without_namespace_is_spoken_of_in_the_default_one(client: KubeClient) -> None:
    await EventRecorder(client, "c").record(Involved(NODES, "n", "uid-n"), "NodeNotReady", "x")
    (event,) = await stored(client)
    assert event["metadata"]["namespace"] == "default"
    assert "namespace" not in event["involvedObject"]


async def test_an_event_that_was_forgotten_starts_again(client: KubeClient) -> None:
    clock = Clock()
    recorder = EventRecorder(client, "c", clock=clock)
    await recorder.record(POD, "Waiting", "still")
    (event,) = await stored(client)
    await client.delete(EVENTS, event["metadata"]["name"], "default")
    clock.now += QUIET_S
    await recorder.record(POD, "Waiting", "still")
    (event,) = await stored(client)
    assert event["count"] == 1


async def test_one_object_cannot_flood(client: KubeClient) -> None:
    clock = Clock()
    recorder = EventRecorder(client, "c", clock=clock)
    for number in range(BURST + 5):
        await recorder.record(POD, "Waiting", f"{number:03}")
    assert len(await stored(client)) == BURST
    assert recorder.dropped == 5
    await recorder.record(Involved(PODS, "q", "uid-q", "default"), "Waiting", "another object may still speak")
    assert len(await stored(client)) == BURST + 1
    clock.now += REFILL_S
    await recorder.record(POD, "Waiting", "later")
    assert len(await stored(client)) == BURST + 2


async def test_a_failure_is_logged_and_goes_no_further(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with client_of(Script(failure(403, "Forbidden", "may not"))) as client:
        await EventRecorder(client, "c").record(POD, "Started", "x")
    assert "The event Started of Pod p is lost" in caplog.text


async def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events_module, "REMEMBERED", 10)
    async with client_of(Script(answer(201, {}))) as client:
        recorder = EventRecorder(client, "c")
        for number in range(50):
            await recorder.record(Involved(PODS, "p", f"uid-{number}", "default"), "Waiting", "x")
        assert len(recorder._said) == 10
        assert len(recorder._allowance) == 10


async def test_a_long_message_is_cut_as_the_api_demands(client: KubeClient) -> None:
    await EventRecorder(client, "c").record(POD, "Waiting", "x" * 3000)
    (event,) = await stored(client)
    assert len(event["message"]) == 1024


async def test_an_object_is_pointed_at_from_its_metadata() -> None:
    found = {"metadata": {"name": "n", "uid": "u", "namespace": "ns"}}
    assert Involved.of(PODS, found) == Involved(PODS, "n", "u", "ns")
    assert Involved.of(NODES, {"metadata": {"name": "n", "uid": "u"}}).namespace == ""
