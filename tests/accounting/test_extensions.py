"""More time for a session: within the quotas, and counted with what was planned."""

from __future__ import annotations

import pytest
from support.sightings import T0, seen
from support.small_platform import ACTIVITIES, small_platform

from aiinfn_hub.accounting import ledger, spending
from aiinfn_hub.accounting.extensions import extend, extended
from aiinfn_hub.accounting.history import cases, holders
from aiinfn_hub.accounting.quotas import Ask
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.errors import QuotaExceeded
from aiinfn_hub.store.engine import Database

H = 3600.0


def site(gpu_hours: float | None) -> Platform:
    first, *others = ACTIVITIES
    return small_platform(activities=[first | {"gpu_hours": gpu_hours, "window_days": 30}, *others])


ACTIVITY = "lhcb"


def start(database: Database, *, uid: str = "u1", person: str = "ada", planned_s: float = 2 * H) -> None:
    """A session on a T4 (0.4 of a whole card) since T0."""
    facts = {"person": person, "activity": ACTIVITY, "flavour": "t4", "weight": 0.4, "planned_s": planned_s}
    database.run(ledger.observe, [seen(uid, at=0.0, held_from=0.0, pod_name=f"jupyter-{person}", **facts)])


def ask(left_s: float, person: str = "ada") -> Ask:
    return Ask("session", person, ACTIVITY, "t4", 1, 0.4, left_s, "")


def more(database: Database, gpu_hours: float | None, left_s: float, more_s: float, at: float) -> float:
    known = database.run(extended, ["u1"]).get("u1", 0.0)
    now = T0 + at
    return database.run(extend, site(gpu_hours), ask(left_s), "u1", more_s=more_s, extended_s=known, now=now)


def test_it_is_added_up(database: Database) -> None:
    start(database)
    assert database.run(extended, ["u1"]) == {}
    assert more(database, None, H, 4 * H, H) == 4 * H
    assert more(database, None, 5 * H, H, H) == H
    assert database.run(extended, ["u1", "u2"]) == {"u1": 5 * H}


def test_two_who_saw_the_same_end_extend_it_once(database: Database) -> None:
    start(database)
    wish = {"more_s": H, "extended_s": 0.0, "now": T0 + H}
    assert [database.run(extend, site(None), ask(H), "u1", **wish) for _ in range(2)] == [H, 0.0]
    assert database.run(extended, ["u1"]) == {"u1": H}


def test_no_more_than_the_quota_has(database: Database) -> None:
    """2 GPU-hours are 5 h of a T4: one is used, one is planned, and three are left."""
    start(database)
    database.run(ledger.heartbeat, ["u1"], now=T0 + H)
    assert more(database, 2.0, H, 4 * H, H) == pytest.approx(3 * H, abs=1)
    with pytest.raises(QuotaExceeded) as refused:
        more(database, 2.0, 4 * H, 4 * H, H)
    assert "of 2 GPU-hours of" in refused.value.message
    assert database.run(extended, ["u1"])["u1"] == pytest.approx(3 * H, abs=1)


def test_what_was_given_is_nobody_elses(database: Database) -> None:
    start(database)
    more(database, 4.0, H, 4 * H, H)
    other = Ask("session", "bob", ACTIVITY, "t4", 1, 0.4, 10 * H, "")
    found = database.run(spending.decide, site(4.0), other, now=T0 + H)
    # 10 h of a T4 in all: one was used, one was planned, four were given.
    assert found.verdict.seconds == pytest.approx(4 * H, abs=2)


def test_a_forecast_knows_the_later_end_and_the_share(database: Database) -> None:
    start(database)
    more(database, None, H, 4 * H, H)
    assert [one.planned_s for one in database.run(holders)["t4"]] == [6 * H]
    ended = seen(
        "u1", at=3 * H, held_from=0.0, ran_from=1.0, ran_to=3 * H, terminal=True, flavour="t4", planned_s=2 * H
    )
    database.run(ledger.observe, [ended])
    assert database.run(cases, now=T0 + 4 * H) == {("t4", "session"): [pytest.approx(0.5, abs=0.01)]}
