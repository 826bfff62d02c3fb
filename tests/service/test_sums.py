"""What a scrape sums up, on both databases."""

from __future__ import annotations

from support.sightings import T0, life, seen

from aiinfn_hub.accounting import ledger
from aiinfn_hub.service.sums import sums
from aiinfn_hub.store.engine import Database


def test_records_by_state_and_no_hours_of_those_that_cannot_be_true(database: Database) -> None:
    assert database.run(sums, T0)[2] == {"open": 0, "closed": 0, "quarantined": 0}
    database.run(ledger.observe, [*life("u1"), *life("u2", start=3600, end=0), seen("u3", held_from=0)])
    hours, jobs, records = database.run(sums, T0 + 7200)
    assert records == {"open": 1, "closed": 1, "quarantined": 1}
    assert hours == {("lhcb-flashsim", "a100-40-1g.5gb", "session"): (1 + 2) * 0.25}
    assert jobs == {}
