"""Quotas over a real ledger: what counts for whom, what is reserved, and what two who ask at once get."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from support.sightings import T0, life, seen
from support.small_platform import small_platform

from aiinfn_hub.accounting import ledger, spending
from aiinfn_hub.accounting.claims import HOLD_S
from aiinfn_hub.accounting.quotas import HOUR, Ask, Decision
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.ledger_tables import record, refusal, reservation
from aiinfn_hub.store.tables import run

DAY = 86400.0
T4 = {"flavour": "t4", "weight": 0.5, "activity": "lhcb"}
RUN = {
    "owner": "alice", "name": "fit", "activity": "lhcb", "state": "queued", "target": "local", "flavour": "t4",
    "units": 1, "queue": "q", "missing": {}, "submitted_at": T0, "updated_at": T0,
}  # fmt: skip


def platform(**rule: Any) -> Platform:
    """12 weighted hours in a week for each person, without the other limits."""
    plain = small_platform()
    flavours = [f.model_copy(update={"max_per_user": None}) for f in plain.flavours]
    activities = [a.model_copy(update={"gpu_hours": None}) for a in plain.activities]
    week = {"name": "week", "title": "GPU-hours of a week", "gpu_hours": 12, "window_days": 7} | rule
    quotas = small_platform(quotas={"rules": [week]}).quotas
    return plain.model_copy(update={"flavours": tuple(flavours), "activities": tuple(activities), "quotas": quotas})


def ask(**changes: Any) -> Ask:
    """alice wants eight hours of a T4, which count four."""
    return replace(Ask("session", "alice", "lhcb", "t4", 1, 0.5, 8 * HOUR, server=""), **changes)


def hours(decision: Decision) -> float:
    return decision.verdict.seconds / HOUR


def put_run(connection: sa.Connection, **changes: Any) -> None:
    row = RUN | {"id": "r1", "idempotency_key": changes.get("id", "r1"), "request": {"resources": {"time_s": 7200}}}
    connection.execute(sa.insert(run).values(row | changes))


def reserved(connection: sa.Connection) -> list[tuple[str, str, float]]:
    columns = (reservation.c.person, reservation.c.server, reservation.c.planned_s)
    return [tuple(row) for row in connection.execute(sa.select(*columns).order_by(*columns))]


def test_nothing_used_is_everything_left(database: Database) -> None:
    assert hours(database.run(spending.reserve, platform(), ask(), now=T0)) == 8
    assert database.run(reserved) == [("alice", "", 8 * HOUR)]


def test_use_counts_in_its_window_and_for_its_person(database: Database) -> None:
    database.run(
        ledger.observe,
        [
            *life("u1", start=-20 * HOUR, end=-HOUR, **T4),
            *life("u2", start=-20 * HOUR, end=-HOUR, person="bob", **T4),
            *life("u3", start=-9 * DAY, end=-8 * DAY, **T4),
            *life("u4", start=-20 * HOUR, end=-HOUR, **T4 | {"flavour": "cpu", "units": 0, "weight": 0.0}),
        ],
    )
    assert hours(database.run(spending.decide, platform(), ask(), now=T0)) == pytest.approx(5), "2.5 left, at half"
    elsewhere = database.run(spending.decide, platform(activities=["cms"]), ask(activity="cms"), now=T0)
    assert hours(elsewhere) == 8, "a quota of one activity counts no other"
    assert hours(database.run(spending.decide, platform(per="activity"), ask(), now=T0)) == 0, "19 of 12 together"


def test_two_tabs_cannot_spend_the_same_hour(database: Database) -> None:
    small = platform(gpu_hours=5)
    assert hours(database.run(spending.reserve, small, ask(), now=T0)) == 8
    assert hours(database.run(spending.reserve, small, ask(server="two"), now=T0)) == pytest.approx(2)
    third = database.run(spending.reserve, small, ask(server="three"), now=T0)
    assert hours(third) == 0
    assert third.verdict.sentence == "0.0 of 5 GPU-hours of a week are left; it asks for 4.0."
    assert third.again_at is not None
    assert third.again_at > T0 + 8 * HOUR
    again = database.run(spending.reserve, small, ask(server="two"), now=T0 + 1)
    assert hours(again) == pytest.approx(2, abs=0.01), "the same server asks again for what it had"
    assert hours(database.run(spending.reserve, small, ask(person="bob"), now=T0)) == 8


@pytest.mark.asyncio
async def test_of_ten_who_ask_at_once_as_many_start_as_there_is_room(database: Database) -> None:
    small = platform(gpu_hours=12)
    asks = [ask(server=f"s{number}") for number in range(10)]
    found = await asyncio.gather(*(database.write(spending.reserve, small, one, now=T0) for one in asks))
    assert sorted(hours(one) for one in found) == pytest.approx([0] * 7 + [8] * 3)


def test_a_reservation_that_nobody_used_is_given_back(database: Database) -> None:
    small = platform(gpu_hours=4)
    database.run(spending.reserve, small, ask(), now=T0)
    assert hours(database.run(spending.reserve, small, ask(server="two"), now=T0 + HOLD_S)) == 0
    assert hours(database.run(spending.reserve, small, ask(server="two"), now=T0 + HOLD_S + 1)) == 8
    assert [server for _, server, _ in database.run(reserved)] == ["two"]


def test_what_the_ledger_sees_is_not_reserved_twice(database: Database) -> None:
    small = platform(gpu_hours=6)
    database.run(spending.reserve, small, ask(), now=T0)
    database.run(ledger.observe, [seen("u1", at=5, held_from=5, planned_s=8 * HOUR, **T4)])
    found = database.run(spending.decide, small, ask(server="two"), now=T0 + HOUR)
    assert hours(found) == pytest.approx(4, abs=0.01), "it used 0.5 and may use 3.5"


def test_a_session_that_starts_again_does_not_stand_in_its_own_way(database: Database) -> None:
    one = platform(gpu_hours=None, units=1, flavours=["t4"])
    database.run(ledger.observe, [seen("u1", held_from=0, planned_s=8 * HOUR, **T4)])
    assert hours(database.run(spending.decide, one, ask(), now=T0 + HOUR)) == 8
    other = database.run(spending.decide, one, ask(server="two"), now=T0 + HOUR)
    assert other.verdict.sentence == "1 of 1 GPU-hours of a week are in use."


@pytest.mark.parametrize(
    ("runs", "left"),
    [
        pytest.param([{}], 5, id="one that waits has its claim"),
        pytest.param([{"state": "succeeded"}], 6, id="one that is over has none"),
        pytest.param([{}, {"id": "r2", "units": 2}], 3, id="each with its units"),
        pytest.param([{"owner": "bob"}], 6, id="somebody else's"),
        pytest.param([{"flavour": "cpu", "units": 0}], 6, id="on no accelerator"),
    ],
)
def test_jobs_spend_from_the_same(database: Database, runs: list[dict[str, Any]], left: float) -> None:
    """The platform says that a T4 counts 0.4; two hours of it are asked for."""
    for changes in runs:
        database.run(put_run, **changes)
    found = database.run(spending.decide, platform(gpu_hours=6), ask(weight=1, planned_s=24 * HOUR), now=T0)
    assert hours(found) == pytest.approx(6 - (6 - left) * 0.8)


@pytest.mark.parametrize(
    ("others", "waits"),
    [
        pytest.param([], False, id="nobody else"),
        pytest.param([{"placed_at": T0}], False, id="one in the queue"),
        pytest.param([{"placed_at": T0}, {"id": "r2", "placed_at": T0}], True, id="two in the queue"),
        pytest.param([{"placed_at": T0}, {"id": "r2"}], False, id="who waits too has nothing"),
        pytest.param([{"placed_at": T0, "units": 2, "state": "failed"}], False, id="one that is over"),
        pytest.param([{"placed_at": T0, "units": 2, "owner": "bob"}], False, id="somebody else's"),
    ],
)
def test_a_job_waits_for_units_of_its_person(database: Database, others: list[dict[str, Any]], waits: bool) -> None:
    mine = ask(kind="job", run_id="mine", server=None)
    for changes in others:
        database.run(put_run, **changes)
    assert bool(database.run(spending.room, platform(gpu_hours=None, units=2), mine, now=T0)) is waits
    assert database.run(spending.room, platform(gpu_hours=4), mine, now=T0) == "", "no limit of units"
    session = database.run(spending.decide, platform(gpu_hours=None, units=2), ask(), now=T0)
    assert session.verdict.granted is not waits


def test_a_job_waits_for_units_that_a_session_holds(database: Database) -> None:
    two = platform(gpu_hours=0.5, units=2)  # of its hours only the units are asked here
    mine = ask(kind="job", run_id="r1", server=None)
    database.run(put_run, placed_at=T0)
    database.run(ledger.observe, [seen("u1", held_from=0, planned_s=8 * HOUR, **T4)])
    assert database.run(spending.room, two, mine, now=T0) == "", "it does not stand in its own way"
    database.run(ledger.observe, [seen("u2", held_from=0, kind="job", run_id="r1", **T4)])
    later = database.run(spending.room, two, replace(mine, run_id="r2"), now=T0)
    assert later == "2 of 2 GPU-hours of a week are in use."


def test_a_job_that_runs_is_counted_once(database: Database) -> None:
    database.run(put_run, state="running")
    database.run(ledger.observe, [seen("u1", held_from=0, kind="job", run_id="r1", **T4)])
    found = database.run(spending.decide, platform(gpu_hours=6), ask(weight=1, planned_s=24 * HOUR), now=T0 + HOUR)
    assert hours(found) == pytest.approx(5), "it used half an hour, and may use half an hour"


def test_a_job_does_not_count_against_itself(database: Database) -> None:
    database.run(put_run)
    mine = ask(kind="job", weight=0.4, planned_s=7200, run_id="r1", server=None)
    assert database.run(spending.decide, platform(gpu_hours=0.8), mine, now=T0).verdict.granted
    assert not database.run(
        spending.decide, platform(gpu_hours=0.8), replace(mine, run_id="r2"), now=T0
    ).verdict.granted


def test_before_anybody_is_sent_away_the_minute_is_looked_at(database: Database) -> None:
    """Sums are of whole hours: what left the window half an hour ago still counts in them."""
    database.run(ledger.observe, life("u1", start=-7 * DAY - 1800, end=-7 * DAY - 60, **T4 | {"weight": 24.0}))
    now = T0 + 1799 - T0 % 3600
    assert hours(database.run(spending.decide, platform(), ask(), now=now)) == 8


def test_a_refusal_is_written_down_and_says_when_again(database: Database) -> None:
    database.run(ledger.observe, life("u1", start=-24 * HOUR, end=0, **T4))
    decision = database.run(spending.reserve, platform(), ask(), now=T0 + 10)
    assert decision.again_at == pytest.approx(T0 - 24 * HOUR + 7 * DAY + 0.25 * HOUR), "when a quarter is left again"
    with database.engine.connect() as connection:
        row = connection.execute(sa.select(refusal)).mappings().one()
        alias = connection.execute(sa.select(record.c.person)).scalar_one()
    assert (row["person"], row["activity"], row["flavour"], row["quota"]) == (alias, "lhcb", "t4", "week")
    assert row["gpu_hours"] == 4
    assert database.run(reserved) == []


def test_of_a_session_the_quota_that_is_used_up_first_is_told_to_the_second(database: Database) -> None:
    """A week ago 24 cards were held until half an hour before the window; whole hours would count some of it."""
    now = T0 + 1799 - T0 % 3600
    database.run(
        ledger.observe,
        [
            *life("old", start=-7 * DAY - 1800, end=-7 * DAY - 60, **T4 | {"weight": 24.0}),
            seen("u1", at=-2 * HOUR, held_from=-2 * HOUR, **T4),
            seen("u2", at=-2 * HOUR, held_from=-2 * HOUR, person="bob", **T4),
            seen("cpu", at=-2 * HOUR, held_from=-2 * HOUR, **T4 | {"units": 0}),
            seen("job", at=-2 * HOUR, held_from=-2 * HOUR, person="carol", kind="job", **T4),
        ],
    )
    found = database.run(spending.least_left, platform(gpu_hours=2), now=now)
    assert found.keys() == {"u1", "u2"}
    used = (now - T0 + 2 * HOUR) / HOUR * 0.5
    assert found["u1"].used == pytest.approx(used)
    assert found["u1"].lasts_s() == pytest.approx((2 - used) / 0.5 * HOUR)
    assert database.run(spending.least_left, platform(gpu_hours=None, units=3), now=now) == {}


def test_a_session_gets_what_is_left_to_the_second(database: Database) -> None:
    """What left the window half an hour ago still counts in the sums, and would make it shorter."""
    now = T0 + 1799 - T0 % 3600
    database.run(
        ledger.observe,
        [
            *life("old", start=-7 * DAY - 1800, end=-7 * DAY - 60, **T4 | {"weight": 4.0}),
            *life("new", start=-30 * HOUR, end=-10 * HOUR, **T4),
        ],
    )
    assert hours(database.run(spending.decide, platform(), ask(weight=1), now=now)) == pytest.approx(2)


def test_it_may_start_again_when_every_quota_has_room(database: Database) -> None:
    """The day has room tomorrow, the week in six days."""
    database.run(ledger.observe, life("u1", start=-24 * HOUR, end=0, **T4))
    day = {"name": "day", "title": "GPU-hours of a day", "gpu_hours": 6, "window_days": 1}
    week = {"name": "week", "title": "GPU-hours of a week", "gpu_hours": 12, "window_days": 7}
    for rules in ([day, week], [week, day]):
        both = platform().model_copy(update={"quotas": small_platform(quotas={"rules": rules}).quotas})
        decision = database.run(spending.decide, both, ask(), now=T0 + 10)
        assert decision.again_at == pytest.approx(T0 - 24 * HOUR + 7 * DAY + 0.25 * HOUR)
