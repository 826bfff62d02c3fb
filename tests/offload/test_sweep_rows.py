"""Sweeps in the database, on both kinds of it: all or none, so many at once, the latest of each point."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from support.offload import new_run, request

from aiinfn_hub.contract.jobs import JobState
from aiinfn_hub.contract.sweeps import SweepRequest
from aiinfn_hub.errors import Conflict, NotFound, QuotaExceeded
from aiinfn_hub.offload import entry, runs, sweeps
from aiinfn_hub.offload.sweeps import Sweep, Waits
from aiinfn_hub.store.engine import Database

S = JobState
ASKED = SweepRequest(request("fit"), [{"lr": number / 10, "deep": None} for number in range(4)], 2)


class Room:
    """A budget that has room for everything."""

    def check(self, connection: sa.Connection, run: Any, *, now: float) -> None:
        pass

    def place(self, connection: sa.Connection, run: Any, *, now: float) -> str:
        runs.note(connection, run.id, now=now, placed_at=now)
        return ""

    def refused(self, *_about: Any, now: float) -> None:
        pass


ROOM = Room()


def made(database: Database, key: str = "k", now: float = 1.0) -> Sweep:
    new = sweeps.new_runs(new_run(), ASKED, range(4), key)
    return database.run(sweeps.enter, ASKED, new, key, ROOM, now=now)[0]


def test_its_runs_come_in_the_order_of_its_points(database: Database) -> None:
    sweep = made(database)
    found = database.run(sweeps.latest_of, sweep.id)
    assert [(run.name, run.place, run.point) for run in found] == [
        (f"fit-{place}", place, point) for place, point in enumerate(ASKED.points)
    ]
    assert [run.id for run in database.run(sweeps.waiting, sweep.id)] == [run.id for run in found]
    assert ["under way" in run.reason for run in found] == [False, False, True, True]


def test_no_more_than_so_many_are_let_in_and_an_end_makes_room(database: Database) -> None:
    sweep = made(database)
    first, second, third, _ = database.run(sweeps.latest_of, sweep.id)
    assert [database.run(sweeps.let_in, run, ROOM, now=2.0)[1] for run in (first, second, third)] == [
        Waits.NOT,
        Waits.NOT,
        Waits.SWEEP,
    ]
    database.run(runs.move, first.id, S.FAILED, now=3.0)
    assert database.run(sweeps.let_in, third, ROOM, now=4.0) == ("", Waits.NOT)


def test_what_is_to_be_cancelled_waits_no_more(database: Database) -> None:
    sweep = made(database)
    database.run(runs.move, database.run(sweeps.latest_of, sweep.id)[3].id, S.FAILED, now=2.0)
    assert len(database.run(sweeps.cancel, sweep, now=3.0)) == 3
    assert database.run(sweeps.waiting, sweep.id) == []
    for run in database.run(sweeps.latest_of, sweep.id):
        database.run(runs.move, run.id, S.CANCELLED, now=4.0)
    with pytest.raises(Conflict, match="is over"):
        database.run(sweeps.cancel, sweep, now=5.0)


def test_too_many_are_none(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sweeps, "MAX_ACTIVE", 3)
    with pytest.raises(QuotaExceeded, match="more than 3 jobs"):
        made(database)
    assert database.run(runs.count_active, "alice") == 0
    with pytest.raises(NotFound):
        database.run(sweeps.find, "alice", "fit")
    assert entry.MAX_ACTIVE == 500


def test_the_latest_of_a_name_and_of_a_point_counts(database: Database) -> None:
    old, sweep = made(database, "a", 1.0), made(database, "b", 2.0)
    assert database.run(sweeps.find, "alice", "fit") == sweep
    assert database.run(sweeps.find, "alice", old.id) == old
    with pytest.raises(NotFound):
        database.run(sweeps.find, "bob", "fit")
    bad = database.run(sweeps.latest_of, sweep.id)[1]
    database.run(runs.move, bad.id, S.FAILED, now=3.0)
    again = new_run(request("fit-1"), place=1, point=bad.point, idempotency_key="c:1")
    database.run(sweeps.again, sweep, [(bad, again)], ROOM, now=4.0)
    found = database.run(sweeps.latest_of, sweep.id)
    assert [run.place for run in found] == [0, 1, 2, 3]
    assert (found[1].id != bad.id, found[1].state, found[1].sweep) == (True, S.STAGING, sweep.id)
    with pytest.raises(Conflict, match="tried again in this moment"):
        database.run(sweeps.again, sweep, [(bad, again)], ROOM, now=5.0)
