"""Sums by hour, day and month: the same as those over the records themselves, whatever happened in between."""

from __future__ import annotations

import asyncio
import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from support.sightings import T0, life, seen

from aiinfn_hub.accounting import ledger, rollups, usage
from aiinfn_hub.accounting.keeper import Keeper
from aiinfn_hub.accounting.rollups import DAY, HOUR, Span, begin_of, cover, end_of
from aiinfn_hub.accounting.sighting import Sighting, absent
from aiinfn_hub.errors import Unavailable
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.ledger_tables import GROUPS, rolled, rollup
from aiinfn_hub.store.tables import metadata

#: The first hour that begins after T0.
BASE = begin_of("hour", T0) + HOUR - T0
MONTH = 31 * DAY


def roll(database: Database, now: float) -> None:
    while database.run(rollups.roll, now=now):
        pass


def by_records(database: Database, since: float, until: float, **scope: Any) -> list[dict[str, Any]]:
    """The same question with no sums kept."""

    def ask(connection: sa.Connection) -> list[dict[str, Any]]:
        kept = connection.execute(sa.select(rolled)).mappings().all()
        connection.execute(sa.delete(rolled))
        found = usage.by_group(connection, since=since, until=until, by=GROUPS, **scope)
        if kept:
            connection.execute(sa.insert(rolled), [dict(row) for row in kept])
        return found

    return database.run(ask)


def same(database: Database, since: float, until: float, **scope: Any) -> None:
    found = database.run(usage.by_group, since=since, until=until, by=GROUPS, **scope)
    expected = by_records(database, since, until, **scope)
    assert [[row[name] for name in (*GROUPS, "records", "quarantined")] for row in found] == [
        [row[name] for name in (*GROUPS, "records", "quarantined")] for row in expected
    ]
    for one, other in zip(found, expected, strict=True):
        assert {name: one[name] for name in usage.HOURS} == pytest.approx({n: other[n] for n in usage.HOURS}, abs=1e-9)


def grains(database: Database, since: float, until: float) -> list[str]:
    return [span.grain for span in database.run(cover, since, until)]


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("grain", "moment", "begin", "end"),
    [
        ("hour", "2028-02-29T23:59:59", "2028-02-29T23:00", "2028-03-01T00:00"),
        ("day", "2028-02-29T12:00", "2028-02-29T00:00", "2028-03-01T00:00"),
        ("day", "2028-03-26T12:00", "2028-03-26T00:00", "2028-03-27T00:00"),
        ("month", "2028-02-29T12:00", "2028-02-01T00:00", "2028-03-01T00:00"),
        ("month", "2027-12-31T23:59", "2027-12-01T00:00", "2028-01-01T00:00"),
        ("month", "2028-01-01T00:00", "2028-01-01T00:00", "2028-02-01T00:00"),
    ],
)
def test_periods_are_of_utc(grain: str, moment: str, begin: str, end: str) -> None:
    assert begin_of(grain, at(moment)) == at(begin)
    assert end_of(grain, at(begin)) == at(end)


def test_a_window_is_covered_by_the_longest_periods_that_fit(database: Database) -> None:
    database.run(ledger.observe, life(start=0, end=HOUR))
    roll(database, at("2024-03-03T02:30"))
    found = database.run(cover, at("2023-11-29T22:20"), at("2024-03-03T02:15"))
    assert [(span.grain, span.start, span.until) for span in found] == [
        ("", at("2023-11-29T22:20"), at("2023-11-29T23:00")),
        ("hour", at("2023-11-29T23:00"), at("2023-11-30T00:00")),
        ("day", at("2023-11-30T00:00"), at("2023-12-01T00:00")),
        ("month", at("2023-12-01T00:00"), at("2024-03-01T00:00")),
        ("day", at("2024-03-01T00:00"), at("2024-03-03T00:00")),
        ("hour", at("2024-03-03T00:00"), at("2024-03-03T02:00")),
        ("", at("2024-03-03T02:00"), at("2024-03-03T02:15")),
    ]


def test_an_hour_is_summed_when_it_is_settled(database: Database) -> None:
    hour = T0 + BASE
    database.run(ledger.observe, [seen("open", at=BASE, held_from=BASE)])
    database.run(ledger.heartbeat, ["open"], now=hour + 2 * HOUR - 1)
    roll(database, hour + 5 * HOUR)
    assert grains(database, hour, hour + 2 * HOUR) == ["hour", ""], "of the second hour, the last second is not known"
    database.run(ledger.heartbeat, ["open"], now=hour + 3 * HOUR)
    roll(database, hour + 3 * HOUR + rollups.SETTLE_S - 1)
    assert grains(database, hour, hour + 3 * HOUR) == ["hour", ""], "the third may have ends that nobody told yet"
    roll(database, hour + 3 * HOUR + rollups.SETTLE_S)
    assert grains(database, hour, hour + 3 * HOUR) == ["hour"]
    same(database, hour, hour + 4 * HOUR)


def test_an_empty_ledger_has_nothing_to_sum(database: Database) -> None:
    assert database.run(rollups.roll, now=T0) is False
    assert database.run(usage.by_group, since=0.0, until=T0, by=()) == []


@pytest.mark.parametrize(
    ("late", "hours"),
    [
        pytest.param(life("late", start=BASE + 1800, end=BASE + 1.5 * HOUR), [0, 1], id="a record that nobody knew"),
        pytest.param([seen("u1", at=1e6, held_from=BASE, ran_to=BASE + 5400, terminal=True)], [1], id="an earlier end"),
        pytest.param([seen("u1", at=1e6, held_from=BASE + 600)], [], id="what changes nothing"),
    ],
)
def test_late_news_takes_out_the_hours_that_it_touches(
    database: Database, late: list[Sighting], hours: list[int]
) -> None:
    database.run(ledger.observe, [seen("u1", at=BASE, held_from=BASE)])
    database.run(ledger.observe, [absent("u1", now=T0 + BASE + 2 * HOUR + 300)])
    database.run(ledger.heartbeat, ["u1"], now=T0 + BASE)
    database.run(ledger.observe, life("u2", start=BASE, end=BASE + 2 * HOUR))
    first = T0 + BASE
    roll(database, first + MONTH)
    assert grains(database, first, first + 3 * HOUR) == ["hour"]
    database.run(ledger.observe, late)
    for number in range(3):
        known = grains(database, first + number * HOUR, first + (number + 1) * HOUR) == ["hour"]
        if number in hours:
            assert not known, number
    same(database, T0 - DAY, first + MONTH)
    roll(database, first + MONTH)
    same(database, T0 - DAY, first + MONTH)


def test_summing_again_changes_no_row(database: Database) -> None:
    database.run(ledger.observe, [*life("u1", start=0, end=50 * HOUR), *life("u2", start=HOUR, end=3 * DAY, units=2)])

    def rows(connection: sa.Connection) -> list[Any]:
        return list(connection.execute(sa.select(rollup).order_by(*rollup.primary_key.columns)))

    roll(database, T0 + 2 * MONTH)
    before = database.run(rows)
    assert before
    roll(database, T0 + 2 * MONTH)
    assert database.run(rows) == before
    database.run(rollups.spoil, [Span(T0, T0 + 2 * MONTH)])
    roll(database, T0 + 2 * MONTH)
    assert database.run(rows) == before


def test_sums_are_scoped_like_records(database: Database) -> None:
    database.run(
        ledger.observe, [*life("u1", end=5 * HOUR), *life("u2", end=3 * HOUR, person="bob", activity="cms-ml")]
    )
    roll(database, T0 + 2 * MONTH)
    for scope in ({"person": "bob"}, {"activity": "cms-ml"}, {"person": "alice", "activity": "cms-ml"}, {}):
        same(database, T0 - 2 * DAY, T0 + MONTH, **scope)
    assert database.run(usage.by_group, since=T0 - DAY, until=T0 + DAY, by=("person",), person="nobody") == []


#: Lives of up to three days, at whole and at odd seconds, so that borders of hours are met.
MOMENTS = st.one_of(
    st.integers(0, 24 * 4).map(lambda quarter: BASE + quarter * 900.0),
    st.floats(BASE, BASE + DAY).map(lambda moment: round(moment, 3)),
)
LIVES = st.lists(
    st.tuples(
        MOMENTS,
        st.sampled_from([0.0, 1.0, 900.0, 1800.0, HOUR, 2 * HOUR, 30 * HOUR, 60 * HOUR, -300.0]),
        st.sampled_from(["alice", "bob"]),
        st.sampled_from(["closed", "open", "lost"]),
    ),
    max_size=8,
)


def stream(lives: list[tuple[float, float, str, str]]) -> list[list[Sighting]]:
    """The observations of each pod."""
    found = []
    for number, (start, length, person, how) in enumerate(lives):
        uid, created = f"u{number}", T0 + start - 2
        whole = life(uid, start=start, end=start + length, person=person, created_at=created)
        kept = {
            "closed": whole,
            "open": whole[:3],
            "lost": [*whole[:3], absent(uid, now=T0 + start + abs(length) + 99)],
        }
        found.append([dataclasses.replace(one, resource_version=f"{uid}{one.resource_version}") for one in kept[how]])
    return found


@settings(max_examples=40)  # each makes a ledger, and sums several days of it twice
@given(before=LIVES, after=LIVES, edges=st.tuples(MOMENTS, MOMENTS))
def test_kept_sums_are_those_of_the_records(
    before: list[tuple[float, float, str, str]],
    after: list[tuple[float, float, str, str]],
    edges: tuple[float, float],
) -> None:
    """Some is seen, summed, and then more is learned, also of what was seen."""
    database = Database("sqlite://")
    metadata.create_all(database.engine)
    try:
        now = T0 + BASE + 4 * DAY
        for sightings in stream(before):
            database.run(ledger.observe, sightings)
        database.run(ledger.heartbeat, [f"u{number}" for number in range(len(before))], now=now)
        roll(database, now)
        since, until = T0 + min(edges) - HOUR, T0 + max(edges) + 2 * DAY
        same(database, since, until)
        for sightings in stream(after):
            database.run(ledger.observe, sightings)
        same(database, since, until)
        database.run(ledger.heartbeat, [f"u{number}" for number in range(len(after))], now=now)
        roll(database, now)
        same(database, since, until)
        same(database, T0 - MONTH, now)
    finally:
        database.close()


def test_a_clock_that_stood_at_1970_does_not_make_a_history_of_fifty_years(database: Database) -> None:
    database.run(ledger.observe, [*life("u1", start=0, end=HOUR), *life("u2", start=-T0, end=-T0 - 100 * HOUR)])
    roll(database, T0 + DAY)
    with database.engine.connect() as connection:
        assert connection.execute(sa.select(sa.func.min(rolled.c.start))).scalar_one() == begin_of("month", T0)


def test_a_keeper_sums_what_is_there_and_goes_on_when_the_database_is_back(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    class Away:
        """Does not answer at first."""

        calls = 0

        async def write(self, *args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == 1:
                raise Unavailable("The database does not answer.")
            return await database.write(*args, **kwargs)

    async def until_summed() -> None:
        task = asyncio.create_task(Keeper(Away(), clock=lambda: T0 + 2 * MONTH, every_s=0.01).run())  # type: ignore[arg-type]
        async with asyncio.timeout(60):
            while grains(database, begin_of("month", T0), T0 + MONTH - DAY)[:1] != ["month"]:
                await asyncio.sleep(0.05)
        task.cancel()

    database.run(ledger.observe, life("u1", start=0, end=HOUR))
    asyncio.run(until_summed())
    assert "Sums are kept later" in caplog.text
