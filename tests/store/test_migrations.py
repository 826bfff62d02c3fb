"""Each migration up and down, on both databases, with rows in them."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from support.offload import new_run

from aiinfn_hub.offload import runs
from aiinfn_hub.store.engine import Database

RECORD = {
    "pod_uid": "u1",
    "kind": "session",
    "person": "alice",
    "activity": "cms-ml",
    "activity_reason": "chosen",
    "flavour": "t4",
    "units": 1,
    "weight": 0.4,
    "resource": "nvidia.com/gpu",
    "model": "T4",
    "cpu_millis": 2000,
    "memory_bytes": 2**33,
    "namespace": "aiinfn",
    "pod_name": "jupyter-alice",
    "node": "gpu-1",
    "server": "",
    "run_id": "",
    "created_at": 1.0,
    "last_seen": 2.0,
    "end_source": "",
    "uncertainty_s": 0.0,
}


def put(connection: sa.Connection, **changes: Any) -> None:
    row = RECORD | changes
    columns, values = ", ".join(row), ", ".join(f":{name}" for name in row)
    connection.execute(sa.text(f"INSERT INTO record ({columns}) VALUES ({values})"), row)


def all_of(connection: sa.Connection, table: str) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.text(f"SELECT * FROM {table} ORDER BY 1")).mappings()]


@pytest.fixture
def older(database: Database) -> Database:
    """The schema of version 0003 with two people's records."""
    database.migrate("0003", down=True)
    for uid, person in (("u1", "alice"), ("u2", "bob"), ("u3", "alice")):
        database.run(put, pod_uid=uid, person=person)
    return database


def test_people_get_an_alias_and_keep_their_name(older: Database) -> None:
    older.migrate()
    people = {row["name"]: row["alias"] for row in older.run(all_of, "subject")}
    records = older.run(all_of, "record")
    assert [row["person"] for row in records] == [people["alice"], people["bob"], people["alice"]]
    assert {row["compute_weight"] for row in records} == {row["memory_weight"] for row in records} == {0.4}
    older.migrate("0003", down=True)
    assert [row["person"] for row in older.run(all_of, "record")] == ["alice", "bob", "alice"]


def test_who_was_erased_stays_so_on_the_way_down(older: Database) -> None:
    older.migrate()
    older.run(lambda connection: connection.execute(sa.text("UPDATE subject SET name = NULL WHERE name = 'bob'")))
    older.migrate("0003", down=True)
    people = [row["person"] for row in older.run(all_of, "record")]
    assert people[0] == "alice"
    assert people[1].startswith("p-")


@pytest.mark.parametrize("revision", ["0001", "0002", "0003", "0004", "0005", "0006"])
def test_down_and_up_again_loses_no_record(database: Database, revision: str) -> None:
    """Up to the revision, a record is put, and then down one by one and up again."""
    database.migrate("0001", down=True)
    database.migrate(revision)
    database.run(put)
    for number in range(int(revision), 1, -1):
        database.migrate(f"{number - 1:04}", down=True)
    database.migrate()
    assert [row["pod_uid"] for row in database.run(all_of, "record")] == ["u1"]


def test_a_run_outlives_the_way_down_from_sweeps_and_up_again(database: Database) -> None:
    run, _ = database.run(runs.create, new_run(sweep="01s", place=2, point={"lr": 0.5}), now=1.0)
    database.migrate("0011", down=True)
    assert [row["id"] for row in database.run(all_of, "run")] == [run.id]
    database.migrate()
    found = database.run(runs.get, run.id)
    assert (found.sweep, found.place, found.point, found.metrics) == ("", 0, {}, {}), "a job of its own, with no point"
