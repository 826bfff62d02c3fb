"""Quotas as arithmetic: what may start, for how long, and when again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.small_platform import small_platform

from aiinfn_hub.accounting.quotas import DAY, HOUR, Ask, Spell, Standing, again_at, crowded, judge, meant, out_at
from aiinfn_hub.catalogue import Quota

NOW = 1_700_000_000.0
WEEK = Quota(name="week", title="GPU-hours of a week", gpu_hours=12, window_days=7)
TWO = Quota(name="two", title="units of T4 for one person", flavours=("t4",), units=2)


def ask(kind: str = "session", hours: float = 8, rate: float = 1.0, units: int = 1) -> Ask:
    return Ask(kind, "alice", "lhcb", "t4", units, rate / units, hours * HOUR)


@pytest.mark.parametrize(
    ("standing", "asked", "hours"),
    [
        pytest.param(Standing(WEEK), ask(), 8, id="nothing used"),
        pytest.param(Standing(WEEK, used=4), ask(), 8, id="just enough"),
        pytest.param(Standing(WEEK, used=10), ask(), 2, id="a session is shorter"),
        pytest.param(Standing(WEEK, used=2, committed=8), ask(), 2, id="what runs has its claim"),
        pytest.param(Standing(WEEK, used=11.9), ask(), 0, id="not worth starting"),
        pytest.param(Standing(WEEK, used=11.5), ask(hours=0.1), 0.1, id="but for a short one"),
        pytest.param(Standing(WEEK, used=11.9), ask(rate=0.1), 1, id="and on a slice"),
        pytest.param(Standing(WEEK, used=20), ask(), 0, id="overdrawn"),
        pytest.param(Standing(WEEK, used=20), ask(rate=0), 8, id="what counts nothing is not limited"),
        pytest.param(Standing(WEEK, used=10), ask("job"), 0, id="a job is not cut short"),
        pytest.param(Standing(WEEK, used=4), ask("job"), 8, id="a job that fits"),
        pytest.param(Standing(TWO, held=1), ask(), 8, id="the second unit"),
        pytest.param(Standing(TWO, held=2), ask(), 0, id="the third unit"),
        pytest.param(Standing(TWO, held=1), ask(units=2), 0, id="two more of which one is free"),
        pytest.param(Standing(TWO, held=1, queued=1), ask(), 0, id="a job may get it at any moment"),
        pytest.param(Standing(TWO, held=2), ask("job"), 8, id="jobs wait for units"),
        pytest.param(Standing(TWO), ask("job", units=3), 0, id="but not for ever"),
    ],
)
def test_one_quota(standing: Standing, asked: Ask, hours: float) -> None:
    verdict = judge([standing], asked)
    assert verdict.seconds == pytest.approx(hours * HOUR)
    assert bool(verdict.sentence) is (hours * HOUR < asked.planned_s)


def test_the_tightest_of_several_decides_and_says_so() -> None:
    verdict = judge([Standing(WEEK, used=9), Standing(WEEK, used=11), Standing(TWO, held=1)], ask())
    assert verdict.seconds == pytest.approx(HOUR)
    assert verdict.sentence == "1.0 of 12 GPU-hours of a week are left: enough for 1 h."
    refused = judge([Standing(WEEK, used=9), Standing(TWO, held=2)], ask())
    assert refused.sentence == "2 of 2 units of T4 for one person are in use."
    assert judge([Standing(WEEK, used=12)], ask("job")).sentence.endswith("are left; it asks for 8.0.")
    never = judge([Standing(TWO)], ask("job", units=3))
    assert never.sentence == "It asks for 3, and there are never more than 2 units of T4 for one person."


@pytest.mark.parametrize(
    ("held", "queued", "sentence"),
    [
        (1, 0, ""),
        (2, 0, "2 of 2 units of T4 for one person are in use."),
        (1, 1, "2 of 2 units of T4 for one person are in use, 1 of them by jobs in the queue."),
    ],
)
def test_who_has_the_units(held: int, queued: int, sentence: str) -> None:
    assert crowded(Standing(TWO, held=held, queued=queued), ask("job")) == sentence
    assert crowded(Standing(WEEK, used=12, held=held, queued=queued), ask("job")) == "", "hours are no units"


def test_no_quota_is_no_limit() -> None:
    assert judge([], ask()).seconds == 8 * HOUR


def test_what_a_quota_is_about() -> None:
    own = {"name": "own", "title": "Own", "gpu_hours": 1, "activities": ["cms"]}
    cards = {"name": "cards", "title": "Cards", "units": 3}
    slices = {"name": "slices", "title": "Slices", "units": 1, "flavours": ["a100-1g.5gb", "cpu"]}
    platform = small_platform(quotas={"rules": [own, cards, slices]})
    found = {
        (activity, flavour): [quota.name for quota in meant(platform, activity, platform.flavour(flavour))]
        for activity in ("lhcb", "cms")
        for flavour in ("cpu", "t4", "a100-1g.5gb")
    }
    assert found == {
        ("lhcb", "cpu"): ["slices"],
        ("lhcb", "t4"): ["activity-lhcb", "flavour-t4", "cards"],
        ("lhcb", "a100-1g.5gb"): ["activity-lhcb", "cards", "slices"],
        ("cms", "cpu"): ["slices"],
        ("cms", "t4"): ["flavour-t4", "own", "cards"],
        ("cms", "a100-1g.5gb"): ["own", "cards", "slices"],
    }


def past(begin_h: float, end_h: float, rate: float = 1.0) -> Spell:
    """Hours before now."""
    return Spell(NOW - begin_h * HOUR, NOW - end_h * HOUR, rate)


@pytest.mark.parametrize(
    ("spells", "needed", "hours"),
    [
        pytest.param([], 12, 0, id="nothing was used"),
        pytest.param([], 13, None, id="more than there ever is"),
        pytest.param([past(12, 0)], 0.25, 156.25, id="what began 12 h ago leaves the week from its begin on"),
        pytest.param([past(167, 155)], 0.25, 1.25, id="an hour from now the window passes over it"),
        pytest.param([past(167, 155)], 1, 2, id="and takes as long as it was used"),
        pytest.param([past(167, 161, 2)], 1, 1.5, id="at twice the rate in half the time"),
        pytest.param([past(300, 160)], 0.25, 0, id="what lies before the window does not count"),
        pytest.param([past(12, 0), Spell(NOW, NOW + 2 * HOUR, 1)], 0.25, 158.25, id="what runs goes on first"),
    ],
)
def test_when_again(spells: list[Spell], needed: float, hours: float | None) -> None:
    found = again_at(WEEK, spells, needed=needed, now=NOW)
    assert found == (None if hours is None else pytest.approx(NOW + hours * HOUR, abs=1))


def used_at(spells: list[Spell], moment: float) -> float:
    """And what has a claim to be."""
    begin = moment - WEEK.window_days * DAY
    return sum(s.rate * max(0.0, s.end - max(s.begin, begin)) for s in spells) / HOUR


@given(
    st.lists(
        st.tuples(st.integers(-400, 10), st.integers(0, 60), st.sampled_from([0.125, 0.5, 1.0, 4.0])), max_size=12
    ),
    st.floats(0, 12),
)
def test_then_there_is_enough_and_a_minute_earlier_there_was_not(
    lives: list[tuple[int, int, float]], needed: float
) -> None:
    spells = [Spell(NOW + begin * HOUR, NOW + (begin + length) * HOUR, rate) for begin, length, rate in lives]
    found = again_at(WEEK, spells, needed=needed, now=NOW)
    assert found is not None
    assert used_at(spells, found) <= 12 - needed + 1e-6
    if found > NOW + 60:
        assert used_at(spells, found - 60) > 12 - needed - 1e-6


def test_out_at_the_rate_of_late() -> None:
    standing = Standing(WEEK, used=8, committed=1)
    assert out_at(standing, recent=6, recent_s=DAY, now=NOW) == pytest.approx(NOW + 3 / 6 * DAY)
    assert out_at(standing, recent=1, recent_s=DAY, now=NOW) is None, "7 in a week is less than 12"
    assert out_at(standing, recent=0, recent_s=DAY, now=NOW) is None
    assert out_at(Standing(TWO), recent=6, recent_s=DAY, now=NOW) is None
