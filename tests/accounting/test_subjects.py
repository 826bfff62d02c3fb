"""Names are one row, and go without a sum changing."""

from __future__ import annotations

import json
from typing import Any

import pytest
import sqlalchemy as sa
from support.sightings import T0, life, seen

from aiinfn_hub.accounting import ledger, reports, rollups, usage
from aiinfn_hub.accounting.subjects import aliases, erase
from aiinfn_hub.errors import NotFound
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.tables import metadata

H = 3600.0
WINDOW: dict[str, Any] = {"since": T0 - H, "until": T0 + 9 * H}


@pytest.fixture
def two(database: Database) -> Database:
    """alice and bob, half of it in sums that are kept."""
    database.run(
        ledger.observe,
        [
            *life("u1", end=2 * H, server="tests"),
            *life("u2", end=H, person="bob", pod_name="jupyter-bob"),
            *life("u3", start=5 * H, end=6 * H),
        ],
    )
    database.run(rollups.roll, now=T0 + 4 * H)
    return database


def text_of_everything(connection: sa.Connection) -> str:
    rows = [tuple(row) for table in metadata.sorted_tables for row in connection.execute(sa.select(table))]
    return json.dumps(rows, default=str)


def test_a_name_has_one_alias(database: Database) -> None:
    first = database.run(aliases, ["alice", "bob"], now=1.0)
    assert database.run(aliases, ["bob", "carol"], now=2.0)["bob"] == first["bob"] != first["alice"]
    assert database.run(aliases, [first["bob"]], now=3.0) == {first["bob"]: first["bob"]}


def test_sums_and_records_say_the_name(two: Database) -> None:
    assert [row["person"] for row in two.run(usage.by_group, by=("person",), **WINDOW)] == ["alice", "bob"]
    assert {row["person"] for row in two.run(reports.records, **WINDOW)} == {"alice", "bob"}


def test_erasing_somebody_changes_no_sum_and_leaves_no_name(two: Database) -> None:
    before = two.run(usage.by_group, by=("activity", "flavour"), **WINDOW)
    alias = two.run(erase, "alice")
    assert two.run(usage.by_group, by=("activity", "flavour"), **WINDOW) == before
    assert {row["person"] for row in two.run(usage.by_group, by=("person",), **WINDOW)} == {alias, "bob"}
    assert [row["records"] for row in two.run(usage.by_group, person=alias, **WINDOW)] == [2]
    assert two.run(usage.by_group, person="alice", **WINDOW) == []
    left = two.run(text_of_everything)
    assert "alice" not in left
    assert "tests" not in left
    assert "jupyter-bob" in left


def test_deriving_the_records_again_does_not_bring_the_name_back(two: Database) -> None:
    alias = two.run(erase, "alice")
    two.run(ledger.rebuild, ["u1", "u3"])
    assert {row["person"] for row in two.run(reports.records, person=alias, **WINDOW)} == {alias}


def test_who_comes_back_is_somebody_new(two: Database) -> None:
    alias = two.run(erase, "alice")
    two.run(ledger.observe, [seen("u4", at=7 * H, held_from=7 * H)])
    found = {row["person"]: row["records"] for row in two.run(usage.by_group, by=("person",), **WINDOW)}
    assert found == {alias: 2, "alice": 1, "bob": 1}


def test_nobody_is_erased_twice_or_by_mistake(two: Database) -> None:
    with pytest.raises(NotFound, match="nobody named 'alicia'"):
        two.run(erase, "alicia")
    alias = two.run(erase, "alice")
    with pytest.raises(NotFound):
        two.run(erase, alias)
