"""Garbage collection over random families: when it has settled, nobody is left whose owners are gone."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aiinfn_hub.errors import Unavailable
from aiinfn_hub.local.api import deletion
from aiinfn_hub.local.api.deletion import DeleteOptions
from aiinfn_hub.local.api.garbage import GarbageCollector
from aiinfn_hub.local.api.kinds import Resources
from aiinfn_hub.local.api.objects import Objects
from aiinfn_hub.local.api.persistence import Ref
from aiinfn_hub.local.api.store import Change, Store

RESOURCES = Resources()
MAPS = RESOURCES.builtin(("", "configmaps"))
SPACES = RESOURCES.builtin(("", "namespaces"))
POLICIES = st.sampled_from(["Background", "Foreground", "Orphan", None])

#: Each member: which earlier members own it, and whether it blocks their deletion.
FAMILIES = st.lists(st.tuples(st.sets(st.integers(0, 7), max_size=3), st.booleans()), min_size=1, max_size=8)
ACTS = st.lists(st.tuples(st.integers(0, 7), POLICIES, st.booleans()), min_size=1, max_size=6)


class Family:
    """Objects that own each other, and a garbage collector at work."""

    def __init__(self) -> None:
        self.objects = Objects(Store(), None, lambda: 1_767_225_600.0)
        self.objects.create(SPACES, "", {"metadata": {"name": "default"}})
        self.garbage = GarbageCollector(self.objects, RESOURCES, logging.getLogger(__name__))

    def add(self, number: int, owners: set[int], *, blocks: bool) -> None:
        references = []
        for owner in sorted(owners):
            found = self.objects.store.get(Ref("", "configmaps", "default", f"m{owner}"))
            uid = found.obj["metadata"]["uid"] if found else f"never-{owner}"
            references.append(
                {"apiVersion": "v1", "kind": "ConfigMap", "name": f"m{owner}", "uid": uid, "blockOwnerDeletion": blocks}
            )
        body = {"metadata": {"name": f"m{number}", "ownerReferences": references}}
        self.objects.create(MAPS, "default", body)

    def delete(self, number: int, policy: str | None) -> None:
        if f"m{number}" in self.left():
            deletion.delete(self.objects, MAPS, "default", f"m{number}", DeleteOptions(propagation_policy=policy))

    def left(self) -> dict[str, Any]:
        return {row.ref.name: row.obj["metadata"] for row in self.objects.store.select(("", "configmaps"))}

    async def settle(self) -> None:
        """Until nothing changes any more."""
        revision = -1
        while revision != self.objects.store.revision:
            revision = self.objects.store.revision
            for _ in range(30):
                await asyncio.sleep(0)


@settings(max_examples=150, deadline=None)
@given(FAMILIES, ACTS)
def test_nobody_is_left_whose_owners_are_gone(members: list[tuple[set[int], bool]], acts: list[Any]) -> None:
    async def play() -> None:
        family = Family()
        family.garbage.start()
        for number, (owners, blocks) in enumerate(members):
            family.add(number, {owner for owner in owners if owner < number}, blocks=blocks)
        await family.settle()
        assert len(family.left()) == len(members), "whoever has an owner stays"
        for number, policy, at_once in acts:
            family.delete(number, policy)
            if not at_once:
                await family.settle()
        await family.settle()
        left = family.left()
        uids = {meta["uid"] for meta in left.values()}
        for meta in left.values():
            assert "deletionTimestamp" not in meta, "nothing waits for ever"
            assert {owner["uid"] for owner in meta.get("ownerReferences", ())} <= uids, "nobody is missed"
        await family.garbage.stop()

    asyncio.run(play())


@settings(max_examples=50, deadline=None)
@given(FAMILIES, st.data())
def test_what_was_missed_while_it_was_away_is_made_up_for(members: list[tuple[set[int], bool]], data: Any) -> None:
    """Deletions without a collector, as between a crash and the restart."""

    async def play() -> None:
        family = Family()
        for number, (owners, blocks) in enumerate(members):
            family.add(number, {owner for owner in owners if owner < number}, blocks=blocks)
        family.delete(data.draw(st.integers(0, len(members) - 1)), data.draw(POLICIES))
        family.garbage.start()
        await family.settle()
        left = family.left()
        uids = {meta["uid"] for meta in left.values()}
        assert all(
            {owner["uid"] for owner in meta.get("ownerReferences", ())} <= uids and "deletionTimestamp" not in meta
            for meta in left.values()
        )
        await family.garbage.stop()

    asyncio.run(play())


@pytest.mark.asyncio
async def test_in_the_foreground_children_go_first() -> None:
    family = Family()
    order: list[str] = []

    def note(change: Change) -> None:
        if change.verb == "DELETED":
            order.append(change.now.ref.name)

    family.objects.store.subscribe(("", "configmaps"), note)
    family.garbage.start()
    for number, owners in enumerate([set(), {0}, {1}]):
        family.add(number, owners, blocks=True)
    family.delete(0, "Foreground")
    await family.settle()
    assert order == ["m2", "m1", "m0"]
    await family.garbage.stop()


@pytest.mark.asyncio
async def test_in_the_background_owners_go_first() -> None:
    family = Family()
    order: list[str] = []
    family.objects.store.subscribe(
        ("", "configmaps"), lambda change: order.append(change.now.ref.name) if change.verb == "DELETED" else None
    )
    family.garbage.start()
    for number, owners in enumerate([set(), {0}, {1}]):
        family.add(number, owners, blocks=True)
    family.delete(0, "Background")
    await family.settle()
    assert order == ["m0", "m1", "m2"]
    await family.garbage.stop()


def full_disk(*_args: Any) -> Any:
    raise Unavailable("disk full")


@pytest.mark.asyncio
async def test_a_mistake_in_one_round_does_not_end_the_next(caplog: pytest.LogCaptureFixture) -> None:
    family = Family()
    family.garbage.start()
    await family.settle()
    family.add(0, set(), blocks=False)
    family.add(1, {0}, blocks=False)
    put, family.objects.store.drop = family.objects.store.drop, full_disk  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        family.delete(0, "Background")
    family.objects.store.drop = put  # type: ignore[method-assign]
    family.delete(0, "Background")
    family.objects.store.drop = full_disk  # type: ignore[method-assign]
    await family.settle()
    assert "m1" in family.left()
    assert "garbage collection of ConfigMap default/m1 failed" in caplog.text
    family.objects.store.drop = put  # type: ignore[method-assign]
    family.add(2, set(), blocks=False)
    family.delete(2, "Background")
    await family.settle()
    assert family.left() == {}, "what failed is tried again with the next change"
    await family.garbage.stop()


@pytest.mark.asyncio
async def test_a_thousand_dependents_are_collected_in_a_moment() -> None:
    family = Family()
    family.garbage.start()
    family.add(0, set(), blocks=False)
    for number in range(1, 1001):
        family.add(number, {0}, blocks=False)
    family.delete(0, "Background")
    async with asyncio.timeout(5):
        while family.left():
            await asyncio.sleep(0.01)
    await family.garbage.stop()
