"""What a forecast is made from, out of the ledger."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from support.sightings import T0, life, seen

from aiinfn_hub.accounting import history, ledger
from aiinfn_hub.accounting.history import KEEP_DAYS
from aiinfn_hub.accounting.sighting import absent
from aiinfn_hub.capacity.forecast import Holder
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.tables import run

H, DAY = 3600.0, 86400.0
T4: dict[str, Any] = {"flavour": "t4", "planned_s": 8 * H}


def put_run(connection: sa.Connection, run_id: str, time_s: int) -> None:
    row = {
        "id": run_id, "owner": "alice", "name": "fit", "activity": "lhcb", "state": "running", "target": "local",
        "flavour": "t4", "units": 1, "queue": "q", "missing": {}, "submitted_at": T0, "updated_at": T0,
        "idempotency_key": run_id, "request": {"resources": {"time_s": time_s}},
    }  # fmt: skip
    connection.execute(sa.insert(run).values(row))


def test_cases_are_shares_of_what_was_asked_for(database: Database) -> None:
    database.run(put_run, "r1", 2 * 3600)
    database.run(
        ledger.observe,
        [
            *life("u1", end=4 * H, **T4),
            *life("u2", end=2 * H, **T4),
            *life("job", end=H, flavour="t4", kind="job", run_id="r1"),
            *life("slice", end=H, planned_s=10 * H),
            *life("gone-job", end=H, flavour="t4", kind="job", run_id="forgotten"),
            *life("cpu", end=H, units=0, flavour="cpu", planned_s=2 * H),
            *life("bad", start=H, end=0, **T4),
            *life("old", start=-(KEEP_DAYS + 1) * DAY, end=-(KEEP_DAYS + 1) * DAY + H, **T4),
            seen("open", held_from=0, **T4),
            seen("lost", held_from=0, **T4),
            absent("lost", now=T0 + 600),
        ],
    )
    assert database.run(history.cases, now=T0 + 5 * H) == {
        ("t4", "session"): [pytest.approx(0.25), pytest.approx(0.5)],
        ("t4", "job"): [pytest.approx(0.5)],
        ("a100-40-1g.5gb", "session"): [pytest.approx(0.1)],
    }


def test_who_holds_units_now_and_for_how_long(database: Database) -> None:
    database.run(put_run, "r1", 7200)
    database.run(
        ledger.observe,
        [
            seen("u1", held_from=0, units=2, **T4),
            seen("u2", held_from=60, flavour="t4", kind="job", run_id="r1"),
            seen("u3", held_from=0, flavour="a30"),
            seen("waits", **T4),
            *life("ended", end=H, **T4),
            seen("cpu", held_from=0, units=0, flavour="cpu", planned_s=8 * H),
        ],
    )
    found = database.run(history.holders)
    assert {flavour: set(held) for flavour, held in found.items()} == {
        "t4": {Holder("session", 2, T0, 8 * H), Holder("job", 1, T0 + 60, 7200.0)},
        "a30": {Holder("session", 1, T0, 0.0)},
    }
