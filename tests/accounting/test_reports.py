"""The ledger's answers, with sums that were worked out by hand."""

from __future__ import annotations

import pytest
from support.sightings import T0, life, seen

from aiinfn_hub.accounting import ledger, reports, usage
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.store.engine import Database

H = 3600.0


@pytest.fixture
def month(database: Database) -> Database:
    """alice: 2 h of a slice (weight 1/4); bob: 1 h of two cards in another activity; carol: CPU only; dave: open."""
    cards = {"person": "bob", "activity": "cms-ml", "flavour": "a100-40", "units": 2, "weight": 1.0, "kind": "job"}
    database.run(
        ledger.observe,
        [
            *life("u1", start=0, end=2 * H),
            *life("u2", start=H, end=2 * H, **cards),
            *life("u3", start=0, end=4 * H, person="carol", flavour="cpu", units=0, weight=0.0),
            seen("u4", at=10 * H, held_from=10 * H, person="dave"),
        ],
    )
    return database


def test_hours_by_activity(month: Database) -> None:
    rows = month.run(usage.by_group, since=T0, until=T0 + 12 * H, by=("activity",))
    by_name = {row["activity"]: row for row in rows}
    assert by_name["cms-ml"]["weighted_gpu_hours"] == pytest.approx(2.0)
    assert by_name["cms-ml"]["held_hours"] == pytest.approx(1.0)
    flashsim = by_name["lhcb-flashsim"]
    assert flashsim["records"] == 3
    assert flashsim["weighted_gpu_hours"] == pytest.approx((2 + 2) * 0.25)
    assert flashsim["cpu_core_hours"] == pytest.approx((2 + 4 + 2) * 2)


@pytest.mark.parametrize(
    ("since", "until", "hours"),
    [
        pytest.param(0, 12, 0.5, id="the whole of it"),
        pytest.param(1, 12, 0.25, id="from the middle"),
        pytest.param(0, 0.5, 0.125, id="to the middle"),
        pytest.param(0.5, 1.5, 0.25, id="a part inside"),
        pytest.param(2, 12, 0.0, id="a window that begins where it ends has none of it"),
    ],
)
def test_a_record_counts_with_the_part_that_lies_in_the_window(
    month: Database, since: float, until: float, hours: float
) -> None:
    rows = month.run(usage.by_group, since=T0 + since * H, until=T0 + until * H, by=("person",), person="alice")
    assert sum(row["weighted_gpu_hours"] for row in rows) == pytest.approx(hours)


def test_windows_that_touch_add_up_to_the_whole(month: Database) -> None:
    def total(since: float, until: float) -> float:
        rows = month.run(usage.by_group, since=T0 + since * H, until=T0 + until * H, by=("kind",))
        return sum(row["device_hours"] for row in rows)

    assert total(0, 12) == pytest.approx(sum(total(hour, hour + 1) for hour in range(12)))


def test_occupation_is_the_mean_of_units_held(month: Database) -> None:
    series = month.run(reports.occupation, since=T0, until=T0 + 4 * H, steps=8)
    assert series["a100-40"] == pytest.approx([0, 0, 2, 2, 0, 0, 0, 0])
    assert series["a100-40-1g.5gb"] == pytest.approx([1, 1, 1, 1, 0, 0, 0, 0])
    assert "cpu" not in series
    halves = month.run(reports.occupation, since=T0 + 1.5 * H, until=T0 + 2.5 * H, steps=1)
    assert halves["a100-40"] == pytest.approx([1.0])


def test_what_is_held_now_are_the_units_of_open_records(month: Database) -> None:
    assert month.run(reports.held_now) == {"a100-40-1g.5gb": 1}
    assert month.run(reports.held_now, activity="cms-ml") == {}


def test_an_open_record_reaches_to_the_end_of_the_window(month: Database) -> None:
    series = month.run(reports.occupation, since=T0 + 9 * H, until=T0 + 12 * H, steps=3)
    assert series["a100-40-1g.5gb"] == pytest.approx([0, 1, 1])


def test_records_are_the_persons_own_and_newest_first(month: Database) -> None:
    everybody = month.run(reports.records, since=T0, until=T0 + 12 * H)
    assert len(everybody) == 4
    own = month.run(reports.records, since=T0, until=T0 + 12 * H, person="bob")
    assert [row["pod_uid"] for row in own] == ["u2"]


def test_a_pod_that_only_waited_is_in_the_list_and_in_no_sum(database: Database) -> None:
    database.run(ledger.observe, [seen("w1", node="")])
    assert [r["pod_uid"] for r in database.run(reports.records, since=T0 - 1, until=T0 + 1)] == ["w1"]
    assert database.run(usage.by_group, since=T0 - 1, until=T0 + 1) == []


def test_an_unknown_group_is_named_with_the_known_ones(database: Database) -> None:
    with pytest.raises(InvalidInput, match=r"'colour'.*activity, person"):
        database.run(usage.by_group, since=0, until=1, by=("colour",))


@pytest.mark.parametrize(("since", "until", "steps"), [(0, 0, 1), (5, 1, 1), (0, 1, 0), (0, 1, 5000)])
def test_a_plot_without_sense_is_refused(database: Database, since: float, until: float, steps: int) -> None:
    with pytest.raises(InvalidInput):
        database.run(reports.occupation, since=since, until=until, steps=steps)
