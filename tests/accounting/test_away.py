"""The database is away, its disk is full, or nobody watches for a while: what was seen is not lost, nor invented."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st
from support.cluster_records import pod
from support.databases import away
from support.fakecache import FakeCache
from support.sightings import T0, life, seen
from support.small_platform import small_platform

from aiinfn_hub.accounting import ledger
from aiinfn_hub.accounting.observer import Observer
from aiinfn_hub.accounting.sighting import Sighting, absent
from aiinfn_hub.errors import Unavailable
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.ledger_tables import record
from aiinfn_hub.store.tables import metadata


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def records(connection: sa.Connection) -> dict[str, sa.RowMapping]:
    return {row["pod_uid"]: row for row in connection.execute(sa.select(record)).mappings()}


@pytest.mark.asyncio
async def test_ten_minutes_without_a_database_lose_nothing(database: Database) -> None:
    cache, clock = FakeCache(), Clock()
    watcher = Observer(database, small_platform(), cache, clock=clock)  # type: ignore[arg-type]  # a fake of it
    cache.on_event = watcher.notice
    cache.put(pod(uid="u1"))
    task = asyncio.create_task(watcher.run())
    try:
        async with asyncio.timeout(30):
            while not database.run(records):
                await asyncio.sleep(0.05)
            with away(database):
                clock.now = 1100.0
                # What a full disk still takes is a matter of pages: until it takes no more, there is more to write.
                number = 0
                while watcher.liveness.failing_since is None:
                    number += 1
                    cache.put(pod(uid=f"more{number}"))
                    await asyncio.sleep(0.02)
                clock.now = 1300.0
                cache.put(pod(uid="short", scheduled=1200.0, created=1200.0))
                cache.drop(pod(uid="short", rv="9", scheduled=1200.0, phase="Succeeded", finished=1290.0, exit_code=0))
                cache.put(pod(uid="stays", scheduled=1250.0))
                clock.now = 1400.0
                cache.drop(pod(uid="u1", rv="9", phase="Succeeded", finished=1390.0, exit_code=0))
                clock.now = 1700.0
                with pytest.raises(Unavailable):
                    await watcher.flush()
                assert watcher.queue_depth >= 4
            while watcher.queue_depth:
                await asyncio.sleep(0.05)
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    found = database.run(records)
    assert (found["u1"]["held_to"], found["u1"]["end_source"]) == (1390.0, "container")
    assert (found["short"]["held_from"], found["short"]["held_to"]) == (1200.0, 1290.0)
    assert (found["stays"]["held_from"], found["stays"]["held_to"]) == (1250.0, None)
    assert len(found) == 3 + number
    assert watcher.liveness.failing_since is None


LIVES = st.lists(st.tuples(st.integers(0, 100), st.integers(1, 60)), min_size=1, max_size=8)


@given(lives=LIVES, gap=st.tuples(st.integers(0, 160), st.integers(1, 60)), data=st.data())
def test_a_gap_and_a_new_list_are_an_end_that_is_off_by_no_more_than_it_says(
    lives: list[tuple[int, int]], gap: tuple[int, int], data: st.DataObject
) -> None:
    """Nobody looks from the begin of the gap to its end, when there is a complete list of what is there."""
    begin, end = gap[0], gap[0] + gap[1]
    truth = {f"u{number}": (start, start + length) for number, (start, length) in enumerate(lives)}
    told: list[Sighting] = []
    for uid, (start, stop) in truth.items():
        whole = life(uid, start=start, end=stop)
        told += [one for one in whole if not begin <= one.observed_at - T0 < end]
        if start <= end < stop:
            told.append(seen(uid, at=end, rv=f"{uid}-list", held_from=start, created_at=T0 + start - 2))
    known_before = {one.pod_uid for one in told if one.observed_at - T0 < begin}
    over = {one.pod_uid for one in told if one.kind == "deleted" and one.observed_at - T0 < begin}
    listed = {uid for uid, (start, stop) in truth.items() if start - 2 <= end < stop + 5}
    told += [absent(uid, now=T0 + end) for uid in sorted(known_before - over - listed)]
    database = Database("sqlite://")
    metadata.create_all(database.engine)
    try:
        shuffled = data.draw(st.permutations(told + told[: len(told) // 2]))
        for cut in range(0, len(shuffled), 3):
            database.run(ledger.observe, shuffled[cut : cut + 3])
        found = database.run(records)
    finally:
        database.close()
    assert set(found) == {one.pod_uid for one in told if one.facts}
    for uid, row in found.items():
        start, stop = truth[uid]
        if row["held_from"] is not None:
            assert row["held_from"] == T0 + start, uid
        if row["held_to"] is not None and row["held_from"] is not None:
            assert row["held_to"] <= T0 + stop + 5, uid
            assert row["held_to"] + row["uncertainty_s"] >= T0 + stop, uid
        if row["end_source"] == "container":
            assert row["held_to"] == T0 + stop, uid
