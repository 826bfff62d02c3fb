"""When the next unit is free: from limits alone, and from cases."""

from __future__ import annotations

import random
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.capacity.forecast import ENOUGH, Forecast, Holder, _at_least, forecast

H = 3600.0
NOW = 1_700_000_000.0
#: Eight cases: half of all sessions last for a quarter of their time, a quarter for half of it, the others to the end.
CASES = {"session": [0.25] * 4 + [0.5] * 2 + [1.0] * 2}


def holder(ago_h: float, planned_h: float, units: int = 1, kind: str = "session") -> Holder:
    return Holder(kind, units, NOW - ago_h * H, planned_h * H)


def hours(found: Forecast | None) -> tuple[float | None, ...]:
    assert found is not None
    return tuple(None if at is None else round((at - NOW) / H, 3) for at in (found.early, found.late, found.limit))


@pytest.mark.parametrize(
    ("holders", "place", "expected"),
    [
        pytest.param([holder(1, 8)], 1, (1, 3, 7), id="one who has just begun"),
        pytest.param([holder(2.5, 8)], 1, (1.5, 5.5, 5.5), id="one who has outlasted half of the cases"),
        pytest.param([holder(5, 8)], 1, (3, 3, 3), id="one who stays to the end, as all do who came so far"),
        pytest.param([holder(9, 8)], 1, (0, 0, 0), id="one who is overdue"),
        pytest.param([holder(1, 8), holder(1, 8)], 1, (1, 1, 7), id="the first of two"),
        pytest.param([holder(1, 8), holder(1, 8)], 2, (1, 7, 7), id="both of them"),
        pytest.param([holder(1, 8, units=2)], 2, (1, 3, 7), id="two of one holder"),
        pytest.param([holder(0, 4), holder(0, 40)], 1, (1, 2, 4), id="a short one and a long one"),
    ],
)
def test_from_cases(holders: list[Holder], place: int, expected: tuple[float, ...]) -> None:
    found = forecast(holders, CASES, place=place, now=NOW)
    assert hours(found) == expected
    assert found is not None
    assert found.cases == 8


@pytest.mark.parametrize(
    ("holders", "place", "expected"),
    [
        pytest.param([holder(1, 8), holder(1, 4)], 1, (None, None, 3), id="the one with the shorter limit"),
        pytest.param([holder(1, 8), holder(1, 4)], 2, (None, None, 7), id="the other one"),
        pytest.param([holder(9, 8)], 1, (None, None, 0), id="overdue is now"),
        pytest.param([holder(1, 0), holder(1, 4)], 1, (None, None, 3), id="of one nobody knows the end"),
    ],
)
def test_with_few_cases_there_are_only_the_limits(
    holders: list[Holder], place: int, expected: tuple[float | None, ...]
) -> None:
    few = {"session": [0.5] * (ENOUGH - 1)}
    assert hours(forecast(holders, few, place=place, now=NOW)) == expected
    assert hours(forecast(holders, {}, place=place, now=NOW)) == expected


@pytest.mark.parametrize(
    ("holders", "place"),
    [
        pytest.param([], 1, id="nobody holds anything"),
        pytest.param([holder(1, 0)], 1, id="nobody knows when it ends"),
        pytest.param([holder(1, 8)], 2, id="more are wanted than are held"),
    ],
)
def test_where_there_is_nothing_to_say(holders: list[Holder], place: int) -> None:
    assert forecast(holders, CASES, place=place, now=NOW) is None


def test_each_kind_has_its_own_cases() -> None:
    cases = {"session": [0.1] * 8, "job": [1.0] * 9}
    found = forecast([holder(0, 10), holder(0, 10, kind="job")], cases, place=1, now=NOW)
    assert hours(found) == (1, 1, 10)
    assert found is not None
    assert found.cases == 17
    assert hours(forecast([holder(0, 10), holder(0, 10, kind="job")], {"session": [0.1] * 8}, place=1, now=NOW)) == (
        None,
        None,
        10,
    )


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(1, 3)), max_size=6), st.integers(1, 8))
def test_the_chance_is_that_of_counting_all_possibilities(found: list[tuple[float, int]], wanted: int) -> None:
    chances, units = [chance for chance, _ in found], [amount for _, amount in found]
    counted = 0.0
    for ends in product((0, 1), repeat=len(found)):
        weight = 1.0
        for end, chance in zip(ends, chances, strict=True):
            weight *= chance if end else 1 - chance
        counted += weight if sum(end * amount for end, amount in zip(ends, units, strict=True)) >= wanted else 0.0
    assert _at_least(wanted, chances, units) == pytest.approx(counted)


shares = st.lists(st.floats(0.01, 1.0), min_size=ENOUGH, max_size=30).map(sorted)
held = st.builds(holder, st.floats(0, 20), st.floats(0.5, 24), st.integers(1, 2))


@given(st.lists(held, min_size=1, max_size=8), shares, st.integers(1, 4))
def test_a_range_is_in_order_and_within_the_limit(holders: list[Holder], cases: list[float], place: int) -> None:
    found = forecast(holders, {"session": cases}, place=place, now=NOW)
    if found is None:
        assert sum(one.units for one in holders) < place
        return
    assert found.early is not None
    assert found.late is not None
    assert found.limit is not None
    assert NOW <= found.early <= found.late
    later = forecast(holders, {"session": cases}, place=place + 1, now=NOW)
    if later is not None:
        assert (later.early or 0) >= found.early
        assert (later.late or 0) >= found.late


def test_half_of_what_comes_true_lies_in_the_range() -> None:
    """Histories that are drawn from the cases themselves: between one in four and three in four is a half."""
    dice = random.Random(7)
    cases = sorted(dice.betavariate(2, 3) for _ in range(200))
    inside = 0
    for _ in range(400):
        ages = [dice.uniform(0, 2) for _ in range(5)]
        found = forecast([holder(age, 8) for age in ages], {"session": cases}, place=2, now=NOW)
        assert found is not None
        ends = sorted(dice.choice([share for share in cases if share * 8 > age] or [1.0]) * 8 - age for age in ages)
        inside += (found.early or 0) <= NOW + ends[1] * H <= (found.late or 0)
    assert 0.4 < inside / 400 < 0.6
