"""One person's offer from the caches."""

from __future__ import annotations

from typing import Any

import msgspec
from support.cluster_records import node, pod
from support.fakecache import FakeCache
from support.small_platform import small_platform

from aiinfn_hub.capacity.live import Reporter

PLATFORM = small_platform()
ALICE = ("alice", ("lhcb",))


def reporter(nodes: Any, pods: Any) -> Reporter:
    live = Reporter(PLATFORM, nodes, pods, clock=lambda: 100.0)
    pods.on_event = live.notice
    return live


def test_the_offer_follows_the_caches() -> None:
    pods = FakeCache()
    live = reporter(FakeCache(node()), pods)

    def free() -> int:
        return {f.flavour: f.free for f in live.offer(*ALICE, {}).flavours}["t4"]

    assert free() == 8
    session = pod()
    pods.put(session)
    assert free() == 7
    pods.drop(session)
    assert free() == 8


def test_the_arithmetic_runs_only_after_what_makes_a_difference() -> None:
    pods, session = FakeCache(), pod()
    live = reporter(FakeCache(node()), pods)
    pods.put(session)
    before = live.stock()
    assert live.stock() is before
    pods.put(msgspec.structs.replace(session, ready=True, annotations={"aiinfn.infn.it/x": "y"}))
    assert live.stock() is before, "what it asks for and where it is have not changed"
    pods.put(msgspec.structs.replace(session, phase="Succeeded"))
    assert live.stock()["t4"].free == before["t4"].free + 1


def test_a_node_that_comes_changes_or_goes_is_counted_at_once() -> None:
    nodes, pods = FakeCache(node()), FakeCache(pod())
    live = reporter(nodes, pods)

    def counted() -> tuple[int, int]:
        stock = live.stock()["t4"]
        return stock.total, stock.free

    assert counted() == (8, 7)
    second = node("gpu-2", allocatable={"nvidia.com/gpu": 4})
    nodes.put(second)
    assert counted() == (12, 11)
    nodes.put(msgspec.structs.replace(second, unschedulable=True))
    assert counted() == (8, 7)
    pods.put(pod())
    assert counted() == (8, 6)
    nodes.drop(second)
    assert counted() == (8, 6)


def test_a_flavour_of_other_activities_is_not_offered() -> None:
    fpga = ("bob", ("fpga",))
    live = reporter(FakeCache(node()), FakeCache())
    assert "u55c" not in {f.flavour for f in live.offer(*ALICE, {}).flavours}
    assert "u55c" in {f.flavour for f in live.offer(*fpga, {}).flavours}


def test_a_watch_that_fails_makes_every_number_unknown_since_then() -> None:
    pods = FakeCache()
    live = reporter(FakeCache(node()), pods)
    pods.failing_since = 77.0
    offers = live.offer(*ALICE, {}).flavours
    assert {offer.unknown_since for offer in offers} == {77.0}
    assert {offer.reason for offer in offers} == {"the cluster does not answer"}


def test_before_the_first_list_nothing_is_free_and_everything_unknown() -> None:
    nodes = FakeCache()
    nodes.synced.clear()
    live = reporter(nodes, FakeCache())
    assert {offer.unknown_since for offer in live.offer(*ALICE, {}).flavours} == {100.0}


def test_a_silent_node_is_the_reason_beside_the_numbers() -> None:
    live = reporter(FakeCache(node(), node("gpu-2", ready=False)), FakeCache())
    offer = {f.flavour: f for f in live.offer(*ALICE, {}).flavours}["t4"]
    assert (offer.total, offer.reason) == (8, "gpu-2 does not answer")


def test_what_an_activity_used_stands_beside_its_quota() -> None:
    live = reporter(FakeCache(node()), FakeCache())
    activity = live.offer(*ALICE, {"lhcb": 12.3456}).activities[0]
    assert (activity.activity, activity.gpu_hours_used, activity.gpu_hours_quota) == ("lhcb", 12.346, 40)
    assert live.offer(*ALICE, {}).at == 50.0
