"""From the pod cache to the ledger, with time in our hands."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest
import sqlalchemy as sa
from support.cluster_records import pod, stranger
from support.fakecache import FakeCache
from support.small_platform import small_platform

from aiinfn_hub.accounting.observer import Observer
from aiinfn_hub.accounting.sighting import of_pod
from aiinfn_hub.accounting.subjects import aliases
from aiinfn_hub.errors import Unavailable
from aiinfn_hub.pods import names
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.ledger_tables import record

PLATFORM = small_platform()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def rows(connection: sa.Connection) -> list[Any]:
    return list(connection.execute(sa.select(record).order_by(record.c.pod_uid)).mappings())


def observer(database: Any, pods: Any, **more: Any) -> tuple[Observer, Clock]:
    clock = Clock()
    return Observer(database, PLATFORM, pods, clock=clock, **more), clock


async def eventually(condition: Any, seconds: float = 5.0) -> Any:
    async with asyncio.timeout(seconds):
        while not (result := condition()):
            await asyncio.sleep(0.02)
    return result


@pytest.mark.asyncio
async def test_a_session_is_recorded_from_its_first_sight_to_its_end(database: Database) -> None:
    watcher, clock = observer(database, FakeCache())
    session = pod(uid="u1")
    watcher.notice("ADDED", session)
    await watcher.flush()
    first = database.run(rows)[0]
    assert (first["activity"], first["flavour"], first["units"]) == ("lhcb", "t4", 1)
    assert first["person"] == database.run(aliases, ["alice"], now=0.0)["alice"] != "alice"
    assert (first["held_from"], first["held_to"]) == (101.0, None)
    clock.now = 2000.0
    watcher.notice("DELETED", pod(uid="u1", rv="2", phase="Succeeded", finished=1990.0, exit_code=0), session)
    await watcher.flush()
    assert database.run(rows)[0]["held_to"] == 1990.0


@pytest.mark.asyncio
async def test_pods_that_are_not_ours_are_nobodys_business(database: Database) -> None:
    watcher, _ = observer(database, FakeCache())
    watcher.notice("ADDED", stranger())
    assert watcher.queue_depth == 0


def test_updates_that_change_nothing_for_the_ledger_are_not_written(database: Database) -> None:
    watcher, _ = observer(database, FakeCache())
    for version in range(10):
        watcher.notice("MODIFIED", pod(uid="u1", rv=str(version), ready=version % 2 == 0))
    assert watcher.queue_depth == 1


@pytest.mark.asyncio
async def test_a_pod_that_a_new_list_lacks_ends_when_it_was_last_seen(database: Database) -> None:
    watcher, clock = observer(database, FakeCache())
    session = pod(uid="u1")
    watcher.notice("ADDED", session)
    clock.now = 1500.0
    watcher.notice("DELETED", session, session)
    await watcher.flush()
    found = database.run(rows)[0]
    assert (found["held_to"], found["end_source"], found["uncertainty_s"]) == (1000.0, "last-seen", 500.0)


@pytest.mark.asyncio
async def test_what_ended_while_nobody_watched_is_closed_at_the_start(database: Database) -> None:
    earlier, _ = observer(database, FakeCache())
    earlier.notice("ADDED", pod(uid="gone"))
    earlier.notice("ADDED", pod(uid="there"))
    await earlier.flush()
    cache = FakeCache(pod(uid="there"))
    watcher, clock = observer(database, cache)
    clock.now = 5000.0
    task = asyncio.create_task(watcher.run())
    await eventually(lambda: watcher.liveness.inferred)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    gone, there = database.run(rows)
    assert (gone["held_to"], gone["end_source"]) == (1000.0, "last-seen")
    assert there["held_to"] is None


class Flaky:
    """A database that is away for its first writes."""

    def __init__(self, database: Database, failures: int) -> None:
        self.database = database
        self.failures = failures

    async def write(self, fn: Any, *arguments: Any, **keywords: Any) -> Any:
        if self.failures:
            self.failures -= 1
            raise Unavailable("The database does not answer.")
        return await self.database.write(fn, *arguments, **keywords)


@pytest.mark.asyncio
async def test_a_database_that_goes_away_loses_nothing(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher, _ = observer(Flaky(database, 2), FakeCache())
    watcher.notice("ADDED", pod(uid="u1"))
    for _ in range(2):
        with pytest.raises(Unavailable):
            await watcher.flush()
        assert watcher.queue_depth == 1
    await watcher.flush()
    assert len(database.run(rows)) == 1
    assert watcher.queue_depth == 0


@pytest.mark.asyncio
async def test_there_is_no_heartbeat_while_the_watch_is_broken(database: Database) -> None:
    cache = FakeCache(pod(uid="u1"))
    watcher, clock = observer(database, cache)
    watcher.notice("ADDED", pod(uid="u1"))
    await watcher.flush()
    clock.now = 1060.0
    cache.failing_since = 1010.0
    await watcher._beat()
    assert database.run(rows)[0]["last_seen"] == 1000.0
    cache.failing_since = None
    await watcher._beat()
    assert database.run(rows)[0]["last_seen"] == 1060.0


@pytest.mark.parametrize(
    ("changes", "held_from"),
    [
        pytest.param({}, 101.0, id="held from its binding"),
        pytest.param(
            {"node": "", "phase": "Pending", "scheduled": None}, None, id="a pod without a node holds nothing"
        ),
        pytest.param({"scheduled": None, "started": 102.0}, 102.0, id="else from the kubelet's word"),
        pytest.param({"scheduled": None}, 7.0, id="else from when we saw it"),
    ],
)
def test_when_a_pod_begins_to_hold(changes: dict[str, Any], held_from: float | None) -> None:
    sighting = of_pod(PLATFORM, pod(**changes), kind="seen", now=7.0)
    assert sighting is not None
    assert sighting.held_from == held_from


def test_a_flavour_that_left_the_catalogue_is_recorded_without_weight() -> None:
    sighting = of_pod(PLATFORM, pod("v100"), kind="seen", now=7.0)
    assert sighting is not None
    assert (sighting.facts["flavour"], sighting.facts["weight"], sighting.facts["units"]) == ("v100", 0.0, 0)


def test_the_job_of_a_run_is_found_by_its_label() -> None:
    labels = pod().labels | {names.KIND: "job", names.RUN: "01J"}
    sighting = of_pod(PLATFORM, pod(labels=labels), kind="seen", now=7.0)
    assert sighting is not None
    assert (sighting.facts["kind"], sighting.facts["run_id"]) == ("job", "01J")


@pytest.mark.asyncio
async def test_what_a_site_calls_a_job_is_another_name_of_the_same_record(database: Database) -> None:
    watcher, _ = observer(database, FakeCache())
    known = pod(uid="u1").annotations
    watcher.notice("ADDED", pod(uid="u1"))
    watcher.notice("MODIFIED", pod(uid="u1", rv="2", annotations=known | {names.REMOTE_ID: "4711.leonardo"}))
    watcher.notice("MODIFIED", pod(uid="u1", rv="3", annotations=known))
    await watcher.flush()
    [row] = database.run(rows)
    assert (row["pod_uid"], row["remote_id"]) == ("u1", "4711.leonardo")


def test_for_how_long_a_session_asked_is_on_its_record() -> None:
    for text, seconds in (("28800", 28800.0), ("", 0.0), ("soon", 0.0), ("\u0663", 0.0)):
        sighting = of_pod(PLATFORM, pod(annotations={names.LIFETIME: text}), kind="seen", now=7.0)
        assert sighting is not None
        assert sighting.facts["planned_s"] == seconds
