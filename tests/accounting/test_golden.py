"""A month that was written by hand, with sums that were worked out on paper.

February 2028 has 29 days. On 26 March 2028 clocks in Europe go forward: UTC, in which months are counted, does not.
"""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import pytest
from support.sightings import T0, life, seen

from aiinfn_hub.accounting import ledger, usage
from aiinfn_hub.accounting.sighting import Sighting, absent
from aiinfn_hub.accounting.windows import window
from aiinfn_hub.store.engine import Database

H = 3600.0
AFTER = datetime(2030, 1, 1, tzinfo=UTC).timestamp()
CARD = {"flavour": "a100-40", "units": 1, "weight": 1.0}


def at(text: str) -> float:
    """Seconds after T0 of a moment of UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() - T0


#: Each line: what happened, and the GPU-hours that it is worth in February, and in March.
MONTHS: list[tuple[str, list[Sighting], float, float]] = [
    ("2 h of a slice of a quarter", life("slice", start=at("2028-02-03T10:00"), end=at("2028-02-03T12:00")), 0.5, 0),
    ("over the leap day", life("leap", start=at("2028-02-28T12:00"), end=at("2028-03-01T12:00"), **CARD), 36, 12),
    ("over the change of clocks", life("dst", start=at("2028-03-25T22:00"), end=at("2028-03-26T22:00"), **CARD), 0, 24),
    ("ends with the month", life("end", start=at("2028-02-29T23:00"), end=at("2028-03-01T00:00"), **CARD), 1, 0),
    ("begins with the month", life("begin", start=at("2028-03-01T00:00"), end=at("2028-03-01T00:30"), **CARD), 0, 0.5),
    ("the first of a name", life("name-1", start=at("2028-02-10T08:00"), end=at("2028-02-10T09:00"), **CARD), 1, 0),
    ("the second of it", life("name-2", start=at("2028-02-10T20:00"), end=at("2028-02-10T22:00"), **CARD), 2, 0),
    (
        "an attempt that was evicted, and the next one",
        [
            *life("try-1", start=at("2028-02-12T00:00"), end=at("2028-02-12T01:00"), run_id="r", kind="job", **CARD),
            *life("try-2", start=at("2028-02-12T06:00"), end=at("2028-02-12T06:30"), run_id="r", kind="job", **CARD),
        ],
        1.5,
        0,
    ),
    (
        "the same card in slices before, and whole after a remix: each with the weight of its day",
        [
            *life("mix-1", start=at("2028-02-14T00:00"), end=at("2028-02-14T04:00"), units=2, weight=0.25),
            *life("mix-2", start=at("2028-02-14T05:00"), end=at("2028-02-14T07:00"), **CARD),
        ],
        4,
        0,
    ),
    (
        "a node whose clock is ten minutes behind: it ends before it begins",
        life("behind", start=at("2028-02-16T10:00"), end=at("2028-02-16T09:50") + 1, **CARD),
        0,
        0,
    ),
    (
        "seen to the last heartbeat, missing eight minutes later",
        [
            seen("lost", at=at("2028-02-20T10:00"), held_from=at("2028-02-20T10:00"), **CARD),
            seen("lost", at=at("2028-02-20T12:00"), held_from=at("2028-02-20T10:00"), **CARD),
            absent("lost", now=T0 + at("2028-02-20T12:08")),
        ],
        2,
        0,
    ),
]


@pytest.fixture
def ledger_of_two_months(database: Database) -> Database:
    for _, stream, _, _ in MONTHS:
        database.run(ledger.observe, stream)
    return database


def total(database: Database, month: str, **scope: Any) -> dict[str, float]:
    since, until = window(month, None, None, now=AFTER)
    rows = database.run(usage.by_group, since=since, until=until, by=("kind",), **scope)
    return {key: sum(row[key] or 0 for row in rows) for key in rows[0] if key != "kind"} if rows else {}


def test_the_sums_of_two_months(ledger_of_two_months: Database) -> None:
    february, march = (total(ledger_of_two_months, month) for month in ("2028-02", "2028-03"))
    assert february["weighted_gpu_hours"] == pytest.approx(sum(line[2] for line in MONTHS))
    assert march["weighted_gpu_hours"] == pytest.approx(sum(line[3] for line in MONTHS))
    assert february["quarantined"] == 1
    assert february["inferred_hours"] == pytest.approx(8 / 60)
    assert march["inferred_hours"] == 0


@pytest.mark.parametrize(("stream", "february", "march"), [pytest.param(*line[1:], id=line[0]) for line in MONTHS])
def test_each_line_of_them(database: Database, stream: list[Sighting], february: float, march: float) -> None:
    database.run(ledger.observe, stream)
    for month, hours in (("2028-02", february), ("2028-03", march)):
        assert total(database, month).get("weighted_gpu_hours", 0) == pytest.approx(hours), month


def test_months_add_up_to_the_year_and_have_the_hours_of_the_calendar(ledger_of_two_months: Database) -> None:
    begins = [window(f"2028-{number:02}", None, None, now=AFTER) for number in range(1, 13)]
    assert all(before[1] == after[0] for before, after in pairwise(begins))
    assert [round((end - begin) / H) for begin, end in begins[:4]] == [744, 696, 744, 720]
    year = ledger_of_two_months.run(usage.by_group, since=begins[0][0], until=begins[-1][1], by=("activity",))
    months = [total(ledger_of_two_months, f"2028-{number:02}") for number in range(1, 13)]
    for key in ("held_hours", "device_hours", "weighted_gpu_hours", "cpu_core_hours", "inferred_hours"):
        assert sum(row[key] for row in year) == pytest.approx(sum(month.get(key, 0) for month in months)), key


def test_what_was_seen_and_what_was_not_add_up(ledger_of_two_months: Database) -> None:
    since, until = window("2028-02", None, None, now=AFTER)
    rows = ledger_of_two_months.run(usage.by_group, since=since, until=until, by=("person",))
    held = sum(row["held_hours"] for row in rows)
    assert usage.coverage(rows) == pytest.approx(held / (held + 8 / 60))


def test_an_open_record_is_seen_to_its_last_heartbeat_and_inferred_after_it(database: Database) -> None:
    database.run(ledger.observe, [seen("open", held_from=0, **CARD)])
    database.run(ledger.heartbeat, ["open"], now=T0 + 2 * H)
    rows = database.run(usage.by_group, since=T0, until=T0 + 3 * H)
    assert (rows[0]["held_hours"], rows[0]["observed_hours"], rows[0]["inferred_hours"]) == pytest.approx((3, 2, 1))
    assert usage.coverage(rows) == pytest.approx(2 / 3)
    assert usage.coverage([]) is None
    soon = database.run(usage.by_group, since=T0, until=T0 + 2 * H + 90)
    assert usage.coverage(soon) == 1.0, "the next heartbeat is only due"
    later = database.run(usage.by_group, since=T0 + 2.5 * H, until=T0 + 3 * H)
    assert usage.coverage(later) == 0.0, "nobody saw any of it"
