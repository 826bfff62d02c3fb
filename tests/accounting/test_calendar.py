"""The calendar: a table, and days at random in which a course always finds what was reserved for it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sightings import T0, seen
from support.small_platform import ACTIVITIES, FLAVOURS, small_platform

from aiinfn_hub.accounting import ledger, spending
from aiinfn_hub.accounting.calendar import ahead, limit
from aiinfn_hub.accounting.claims import Claim
from aiinfn_hub.accounting.quotas import Ask, Decision
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.store.engine import Database

H = 3600.0
UNITS = 4


def course(name: str = "course", begin: float = 4 * H, end: float = 8 * H, **more: Any) -> dict[str, Any]:
    """Two units of a T4 for fpga, at times after T0."""
    known = {"name": name, "title": "Course", "activity": "fpga", "flavour": "t4", "units": 2}
    return known | {"begin": _iso(T0 + begin), "end": _iso(T0 + end)} | more


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()


def site(*reservations: dict[str, Any]) -> Platform:
    flavours = [one | {"units": UNITS, "max_per_user": None} if one["name"] == "t4" else one for one in FLAVOURS]
    first, *others = ACTIVITIES
    free = [first | {"gpu_hours": None}, *others]
    return small_platform(flavours=flavours, activities=free, reservations=list(reservations))


def ask(activity: str = "lhcb", hours: float = 8.0, person: str = "ada") -> Ask:
    return Ask("session", person, activity, "t4", 1, 0.4, hours * H, "")


def judge(platform: Platform, held: list[Claim], wanted: Ask, now: float) -> Decision:
    return limit(platform.flavour("t4"), ahead(platform, wanted, T0 + now), held, wanted, T0 + now)


def holding(activity: str = "lhcb", until: float = 24 * H, units: int = 1) -> Claim:
    return Claim("bob", activity, "t4", units, 0.4 * units, T0 + until, holds=True)


@pytest.mark.parametrize(
    ("held", "wanted", "now", "seconds"),
    [
        pytest.param([], ask(), 0.0, 8 * H, id="there is room beside it"),
        pytest.param([holding()], ask(), 0.0, 8 * H, id="the last one beside it"),
        pytest.param([holding(), holding()], ask(), 0.0, 4 * H, id="it ends before the course"),
        pytest.param([holding(until=3 * H), holding()], ask(), 0.0, 8 * H, id="another one ends before"),
        pytest.param([holding(), holding()], ask(hours=4), 0.0, 4 * H, id="it is over by then"),
        pytest.param([holding(), holding()], ask(), 4 * H - 600, 0.0, id="not worth starting"),
        pytest.param([holding(), holding()], ask(), 5 * H, 0.0, id="the course is on"),
        pytest.param([holding(), holding()], ask(), 8 * H, 8 * H, id="the course is over"),
        pytest.param([holding(), holding()], ask("fpga"), 5 * H, 8 * H, id="its own people"),
        pytest.param([holding("fpga"), holding()], ask(), 5 * H, 8 * H, id="what they hold is of the reserved"),
        pytest.param([holding("fpga", units=3), holding()], ask(), 5 * H, 0.0, id="unless they hold more"),
    ],
)
def test_beside_a_course(held: list[Claim], wanted: Ask, now: float, seconds: float) -> None:
    found = judge(site(course()), held, wanted, now)
    assert found.verdict.seconds == seconds
    assert found.again_at == (T0 + 8 * H if seconds == 0 else None)


def test_a_job_is_not_asked() -> None:
    job = Ask("job", "ada", "lhcb", "t4", 1, 0.4, 8 * H, run_id="r")
    assert ahead(site(course()), job, T0 + 5 * H) == []


def test_two_at_once_are_added_up() -> None:
    both = site(course(), course("second", begin=5 * H, end=6 * H, activity="cms"))
    assert judge(both, [], ask(), 0.0).verdict.seconds == 5 * H
    assert judge(both, [], ask("cms"), 0.0).verdict.seconds == 8 * H


def test_what_is_said() -> None:
    found = judge(site(course()), [holding(), holding()], ask(), 0.0).verdict
    assert found.sentence == (
        "2 units of NVIDIA T4 are reserved for Course when this session would still run: it ends before."
    )
    now = judge(site(course()), [holding(), holding()], ask(), 5 * H).verdict
    assert now.sentence == "2 units of NVIDIA T4 are reserved for Course now, and the others are in use."


wishes = st.lists(
    st.tuples(st.floats(0, 3), st.sampled_from(["lhcb", "cms", "fpga"]), st.floats(0.3, 12), st.floats(0.05, 1)),
    max_size=40,
)


@given(wishes)
def test_a_course_always_finds_its_units(said: list[tuple[float, str, float, float]]) -> None:
    """Sessions come and go, some before their time; whenever one of the course asks, there are units for it."""
    platform, now = site(course(), course("second", begin=10 * H, end=14 * H, units=3)), 0.0
    held: list[tuple[Claim, float]] = []
    for after, activity, hours, stays in said:
        now += after * H
        held = [(one, gone) for one, gone in held if gone > T0 + now]
        known = [one for one, _ in held]
        found = judge(platform, known, ask(activity, hours), now).verdict
        taken = sum(one.units for one in known)
        if activity == "fpga":
            own = sum(one.units for one in known if one.activity == "fpga")
            active = [one.units for one in platform.reservations if one.active(T0 + now)]
            assert found.seconds == hours * H
            assert not active or own >= sum(active) or taken < UNITS, "there is one of its own free"
        if found.granted and taken < UNITS:
            until = T0 + now + found.seconds
            held.append((holding(activity, until - T0), T0 + now + found.seconds * stays))


def test_in_the_ledger(database: Database) -> None:
    """Two others hold one each to the end of the day; the third is shortened, and in the course refused."""
    facts = {"activity": "lhcb", "flavour": "t4", "weight": 0.4, "planned_s": 24 * H}
    for who in ("ada", "bob"):
        pod = seen(f"u-{who}", at=0.0, held_from=0.0, person=who, pod_name=f"jupyter-{who}", **facts)
        database.run(ledger.observe, [pod])
    platform, other = site(course()), ask(person="eve")
    first = database.run(spending.reserve, platform, other, now=T0 + H)
    assert first.verdict.seconds == 3 * H
    refused = database.run(spending.reserve, platform, ask(person="tom"), now=T0 + 4 * H)
    assert (refused.verdict.granted, refused.again_at) == (False, T0 + 8 * H)
    assert database.run(spending.reserve, platform, ask("fpga", person="pi"), now=T0 + 4 * H).verdict.granted
