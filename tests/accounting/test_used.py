"""Sums for pages that are asked for often: run once in a while, for whom they are due."""

from __future__ import annotations

import pytest
from support.sightings import T0, life
from support.small_platform import small_platform

from aiinfn_hub.accounting import ledger, spending
from aiinfn_hub.accounting.quotas import Ask
from aiinfn_hub.accounting.used import BOOKS_S, KEEP_S, Used
from aiinfn_hub.errors import Unavailable
from aiinfn_hub.store.engine import Database

pytestmark = pytest.mark.asyncio

H = 3600.0
MONTH = 30  # days


def use(database: Database, uid: str, hours: float, activity: str = "lhcb-flashsim") -> None:
    database.run(ledger.observe, life(uid, start=0, end=hours * H, activity=activity, units=1, weight=1.0))


async def hours(used: Used, days: dict[str, int], now: float) -> dict[str, float]:
    rows = await used.rows(days, now)
    return {name: sum(row["weighted_gpu_hours"] for row in mine) for name, mine in rows.items()}


async def test_a_sum_is_used_again_for_a_while_and_then_it_is_new(database: Database) -> None:
    used, now = Used(database), T0 + 100 * H
    use(database, "u1", 2)
    assert await hours(used, {"lhcb-flashsim": MONTH}, now) == {"lhcb-flashsim": pytest.approx(2)}
    use(database, "u2", 3)
    assert await hours(used, {"lhcb-flashsim": MONTH}, now + KEEP_S - 1) == {"lhcb-flashsim": pytest.approx(2)}
    assert await hours(used, {"lhcb-flashsim": MONTH}, now + KEEP_S) == {"lhcb-flashsim": pytest.approx(5)}


async def test_each_activity_is_summed_when_it_is_due_and_in_its_own_window(database: Database) -> None:
    used, now = Used(database), T0 + 36 * H
    use(database, "u1", 2)
    use(database, "u2", 13, activity="cms-ml")
    assert await hours(used, {"lhcb-flashsim": MONTH}, now) == {"lhcb-flashsim": pytest.approx(2)}
    both = await hours(used, {"lhcb-flashsim": MONTH, "cms-ml": 1}, now)
    # A window begins with an hour of the clock, so that kept sums are enough.
    assert both == {"lhcb-flashsim": pytest.approx(2), "cms-ml": pytest.approx(1 + T0 % H / H)}
    assert await hours(used, {}, now) == {}


async def test_what_is_known_is_told_while_the_database_is_away() -> None:
    away = Database("sqlite:////nowhere/at/all.sqlite")
    used = Used(away)
    used._sums["activity", "cms-ml", 1] = (T0, [{"weighted_gpu_hours": 7.0}])
    assert await hours(used, {"cms-ml": 1}, T0 + 1) == {"cms-ml": 7.0}
    with pytest.raises(Unavailable):
        await hours(used, {"cms-ml": 1}, T0 + KEEP_S)


async def test_limits_are_told_from_sums_that_are_kept_and_from_what_is_open_now(database: Database) -> None:
    used, now, platform = Used(database), T0 + 100 * H, small_platform()
    use(database, "u1", 2, activity="lhcb")

    async def lhcb(at: float) -> tuple[float, float]:
        [quota] = await used.quotas(platform, "alice", ["lhcb"], at)
        return quota.used, quota.committed

    assert await lhcb(now) == pytest.approx((2, 0))
    use(database, "u2", 3, activity="lhcb")
    ask = Ask("session", "bob", "lhcb", "t4", 1, 0.4, 5 * H, server="")
    await database.write(spending.reserve, platform, ask, now=now)
    assert await lhcb(now + BOOKS_S - 0.1) == pytest.approx((2, 0))
    assert await lhcb(now + BOOKS_S) == pytest.approx((2, 2)), "a reservation is seen soon"
    assert await lhcb(now + KEEP_S) == pytest.approx((5, 2))
    assert await used.quotas(platform, "alice", ["cms"], now + KEEP_S) == [], "where there are no limits"
