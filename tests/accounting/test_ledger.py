"""The ledger's writes, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.sightings import T0, life, seen

from aiinfn_hub.accounting import ledger
from aiinfn_hub.accounting.sighting import absent
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.ledger_tables import observation, record


def rows(connection: sa.Connection) -> list[dict[str, object]]:
    return [dict(row) for row in connection.execute(sa.select(record).order_by(record.c.pod_uid)).mappings()]


def clear(connection: sa.Connection) -> None:
    connection.execute(sa.delete(observation))
    connection.execute(sa.delete(record))


def test_a_life_that_is_seen_twice_is_one_record(database: Database) -> None:
    assert database.run(ledger.observe, life()) == 5
    once = database.run(rows)
    assert database.run(ledger.observe, life()) == 0
    assert database.run(rows) == once
    assert len(once) == 1


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.data())
def test_any_order_and_any_cut_into_batches_gives_the_same_ledger(database: Database, data: st.DataObject) -> None:
    stream = life("u1") + life("u2", start=100, end=200) + [seen("u3", at=5, held_from=5)]
    database.run(clear)
    database.run(ledger.observe, stream)
    expected = database.run(rows)
    database.run(clear)
    shuffled = list(data.draw(st.permutations(stream)))
    while shuffled:
        size = data.draw(st.integers(1, len(shuffled)))
        database.run(ledger.observe, shuffled[:size])
        shuffled = shuffled[size:]
    assert database.run(rows) == expected


def test_two_pods_of_one_name_are_two_records(database: Database) -> None:
    database.run(ledger.observe, life("u1") + life("u2", start=4000, end=5000))
    assert [row["pod_name"] for row in database.run(rows)] == ["jupyter-alice"] * 2


def test_what_a_complete_list_lacks_ends_at_its_last_heartbeat(database: Database) -> None:
    database.run(ledger.observe, [seen("u1", held_from=0), seen("u2", held_from=0)])
    assert database.run(ledger.heartbeat, ["u1", "u2"], now=T0 + 60) == 2
    assert database.run(ledger.close_absent, {"u2"}, now=T0 + 90) == 1
    first, second = database.run(rows)
    assert (first["held_to"], first["end_source"], first["uncertainty_s"]) == (T0 + 60, "last-seen", 30.0)
    assert second["held_to"] is None
    assert database.run(ledger.close_absent, {"u2"}, now=T0 + 95) == 0


def test_a_heartbeat_never_moves_backwards_and_never_touches_a_closed_record(database: Database) -> None:
    database.run(ledger.observe, [*life("u1"), seen("u2", held_from=0)])
    database.run(ledger.heartbeat, ["u1", "u2"], now=T0 + 9000)
    database.run(ledger.heartbeat, ["u1", "u2"], now=T0 + 8000)
    closed, still_open = database.run(rows)
    assert closed["last_seen"] == T0 + 3605
    assert still_open["last_seen"] == T0 + 9000


def test_a_pod_that_was_given_up_and_comes_back_is_open_again(database: Database) -> None:
    database.run(ledger.observe, [seen(held_from=0), absent("u1", now=T0 + 60)])
    assert database.run(ledger.open_uids) == set()
    database.run(ledger.observe, [seen(at=120, held_from=0)])
    assert database.run(ledger.open_uids) == {"u1"}


def test_nothing_seen_writes_nothing(database: Database) -> None:
    assert database.run(ledger.observe, []) == 0
    assert database.run(ledger.heartbeat, [], now=T0) == 0
