"""kill -9 at any statement of the ledger: what is closed is right, what is open is off by a heartbeat at most.

A child process writes the story and is killed at its n-th statement. Its successor lists the cluster, as a service does
at its start, one look later: what it does not find there any more was deleted while nobody watched.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from support.sightings import T0, life, seen

from aiinfn_hub.accounting import ledger
from aiinfn_hub.accounting.fold import HEARTBEAT_S
from aiinfn_hub.accounting.sighting import Sighting
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.ledger_tables import observation, record

#: A life that ends while it is watched, one that ends and is deleted between two looks, and one that goes on.
ENDS, GONE, GOES_ON = "ends", "gone", "goes-on"
TIMES = [0.0, 3.0, 60.0, 120.0, 180.0, 240.0]


def events() -> list[Sighting]:
    found = life(ENDS, start=0, end=130)
    found += life(GONE, start=0, end=170)
    found += [seen(GOES_ON, at=0, held_from=0), seen(GOES_ON, at=4, held_from=0, ran_from=4)]
    return sorted(found, key=lambda one: one.observed_at)


def between(since: float, until: float) -> list[Sighting]:
    return [one for one in events() if since < one.observed_at - T0 <= until]


def there(at: float) -> list[Sighting]:
    """What a list of the cluster shows: the last state of each pod that is not deleted."""
    last: dict[str, Sighting] = {}
    for one in between(-10, at):
        last[one.pod_uid] = one
    return [one for one in last.values() if one.kind == "seen"]


def write(database: Database, first: int = 0) -> None:
    """The service from a look on: a list, what ended unseen, then events and heartbeats."""
    begin = TIMES[first]
    database.run(ledger.observe, there(begin))
    database.run(ledger.close_absent, {one.pod_uid for one in there(begin)}, now=T0 + begin)
    for before, now in zip(TIMES[first:], TIMES[first + 1 :], strict=False):
        database.run(ledger.observe, between(before, now))
        alive = [one.pod_uid for one in there(now) if not one.terminal]
        database.run(ledger.heartbeat, alive, now=T0 + now)
        PROGRESS.value = TIMES.index(now)


PROGRESS: Any = multiprocessing.get_context("fork").Value("i", 0)


def child(url: str, at: int) -> None:
    database, count = Database(url), iter(range(1, 10_000))

    def step(*_args: Any) -> None:
        if next(count) == at:
            os.kill(os.getpid(), signal.SIGKILL)

    sa.event.listen(database.engine, "before_cursor_execute", step)
    sa.event.listen(database.engine, "commit", step)
    write(database)


def killed(url: str, at: int) -> bool:
    """Whether the child lived long enough to be killed at that statement."""
    PROGRESS.value = 0
    process = multiprocessing.get_context("fork").Process(target=child, args=(url, at))
    process.start()
    process.join(30)
    return process.exitcode == -signal.SIGKILL


def rows(connection: sa.Connection) -> dict[str, dict[str, Any]]:
    return {row["pod_uid"]: dict(row) for row in connection.execute(sa.select(record)).mappings()}


def clear(connection: sa.Connection) -> None:
    connection.execute(sa.delete(observation))
    connection.execute(sa.delete(record))


def every_statement(database: Database) -> Iterator[int]:
    url = database.engine.url.render_as_string(hide_password=False)
    for at in range(1, 1000):
        database.run(clear)
        if not killed(url, at):
            return
        yield at


@pytest.mark.timeout(240)
def test_whatever_statement_it_was_the_successor_puts_it_right(database: Database) -> None:
    database.run(clear)
    write(database)
    expected, tried = database.run(rows), 0
    assert {uid: row["end_source"] for uid, row in expected.items()} == {
        ENDS: "container",
        GONE: "container",
        GOES_ON: "",
    }
    for at in every_statement(database):
        tried += 1
        before = database.run(rows)
        write(database, PROGRESS.value + 1)
        after = database.run(rows)
        for uid, row in before.items():
            if row["end_source"] == "container":
                assert after[uid]["held_to"] == row["held_to"] == expected[uid]["held_to"], (at, uid)
        assert after.keys() == expected.keys(), at
        for uid, row in after.items():
            assert row["held_from"] == expected[uid]["held_from"], (at, uid)
            off = abs((row["held_to"] or row["last_seen"]) - (expected[uid]["held_to"] or expected[uid]["last_seen"]))
            assert off <= (0 if row["end_source"] == "container" else HEARTBEAT_S), (at, uid, off)
    assert tried > 30
