"""Hub, Kueue and Prometheus beside the ledger: each disagreement is listed, and none changes a record."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from support.sightings import T0, life, seen

from aiinfn_hub.accounting import ledger
from aiinfn_hub.accounting.admissions import KUEUE, witness
from aiinfn_hub.accounting.measuring import PROMETHEUS
from aiinfn_hub.accounting.reconcile import reconcile
from aiinfn_hub.accounting.sighting import Sighting
from aiinfn_hub.identity import audit
from aiinfn_hub.identity.audit import Act, What
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.ledger_tables import record

H = 3600.0
SESSION: dict[str, Any] = {"kind": "session", "units": 1, "created_at": T0 - 5}
JOB: dict[str, Any] = {"kind": "job", "units": 1, "created_at": T0 - 5}


def kueue(uid: str, kind: str, at: float) -> Sighting:
    return witness(KUEUE, kind, uid, T0 + at)


def hub(what: What, uid: str, at: float) -> Act:
    return Act(what=what, about="alice", at=T0 + at, facts={"server": "", "uid": uid}, id=f"{what}-{uid}")


def found(database: Database, until: float = 10 * H) -> list[tuple[str, str]]:
    rows = database.run(reconcile, since=T0 - H, until=T0 + until, now=T0 + until)
    assert all(row.sentence.endswith(".") and row.next_step.endswith(".") for row in rows)
    return [(row.kind, row.about) for row in rows]


#: Of an hour from T0 on: what Kueue and Prometheus say of it, and what is made of that.
@pytest.mark.parametrize(
    ("said", "kind"),
    [
        pytest.param([kueue("u1", "began", -2), kueue("u1", "ended", H + 3)], None, id="Kueue agrees"),
        pytest.param([kueue("u1", "began", 59), kueue("u1", "ended", H - 59)], None, id="within a minute of clocks"),
        pytest.param([kueue("u1", "began", 61)], "held-before-admitted", id="it had its node first"),
        pytest.param([kueue("u1", "began", 0), kueue("u1", "ended", H - 61)], "held-after-release", id="it stayed"),
        pytest.param([], None, id="Kueue is not heard"),
        pytest.param([witness(PROMETHEUS, "ended", "u1", T0 + H + 61)], "active-after-its-end", id="a left process"),
    ],
)
def test_what_others_say_of_one_pod(database: Database, said: list[Sighting], kind: str | None) -> None:
    database.run(ledger.observe, life("u1", end=H, **JOB))
    before = database.run(_records)
    database.run(ledger.observe, said)
    assert found(database) == ([] if kind is None else [(kind, "u1")])
    assert database.run(_records) == before, "none of it changes a record"
    database.run(ledger.rebuild, ["u1"])
    assert database.run(_records) == before


def _records(connection: sa.Connection) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(sa.select(record)).mappings()]


def test_what_is_still_there_after_kueue_gave_its_place_away(database: Database) -> None:
    database.run(ledger.observe, [seen("u1", held_from=0, **JOB), kueue("u1", "began", 0), kueue("u1", "ended", 600)])
    assert ("held-after-release", "u1") not in found(database), "nobody has seen it since"
    database.run(ledger.heartbeat, ["u1"], now=T0 + 700)
    assert ("held-after-release", "u1") in found(database)


def test_a_pod_that_passed_by_the_queue(database: Database) -> None:
    database.run(ledger.observe, life("u0", end=H, **JOB))
    database.run(ledger.observe, [*life("u1", end=H, **JOB), kueue("u1", "began", 0)])
    later = {"start": 2 * H, "end": 3 * H, "created_at": T0 + 2 * H}
    database.run(ledger.observe, life("u2", **JOB | later))
    database.run(ledger.observe, life("cpu", **JOB | later | {"units": 0}))
    database.run(ledger.observe, life("u3", **SESSION | later))
    # Not u0, which is older than what is heard of Kueue; nor u3: this hub may not queue its sessions.
    assert found(database) == [("never-admitted", "u2")]


def test_what_the_hub_says_of_its_sessions(database: Database) -> None:
    acts = [
        hub("session-started", "good", 5),
        hub("session-stopped", "good", H + 20),
        hub("session-started", "stuck", 5),
        hub("session-stopped", "stuck", H - 61),
        hub("session-started", "unseen", 3 * H),
        hub("session-started", "fresh", 10 * H - 30),
    ]
    database.run(audit.record, acts)
    for uid in ("good", "stuck"):
        database.run(ledger.observe, life(uid, end=H, **SESSION))
    later = SESSION | {"created_at": T0 + H}
    database.run(ledger.observe, life("by-hand", start=H, end=2 * H, **later))
    database.run(ledger.observe, life("short", start=H, end=H + 60, **later))
    database.run(ledger.observe, life("job", start=H, end=2 * H, **later | {"kind": "job"}))
    assert found(database) == [
        ("held-after-its-stop", "stuck"),
        ("not-of-the-hub", "by-hand"),
        ("never-seen", "unseen"),
    ]


def test_before_the_hub_says_anything_no_session_is_suspect(database: Database) -> None:
    database.run(ledger.observe, life("old", end=H, **SESSION))
    assert found(database) == []
    database.run(audit.record, [hub("session-started", "new", 2 * H), hub("session-stopped", "new", 3 * H)])
    database.run(ledger.observe, life("new", start=2 * H, end=3 * H, **SESSION | {"created_at": T0 + 2 * H}))
    assert found(database) == []


@pytest.mark.parametrize(
    ("length", "measured_s", "listed"),
    [(H, 0.0, True), (599.0, 0.0, False), (H, 30.0, False), (H, None, False)],
    ids=["nothing", "too short", "a little", "not asked yet"],
)
def test_what_nobody_measured(database: Database, length: float, measured_s: float | None, *, listed: bool) -> None:
    database.run(ledger.observe, life("u1", end=length, **JOB))
    database.run(lambda c: c.execute(sa.update(record).values(measured_s=measured_s)))
    assert found(database) == ([("not-measured", "u1")] if listed else [])
