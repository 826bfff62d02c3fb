"""Closed months: what was reported stays, and what comes later is a correction that everybody can see."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from support.sightings import T0, life, seen

from aiinfn_hub.accounting import ledger, months, usage
from aiinfn_hub.accounting.months import Author
from aiinfn_hub.accounting.reconcile import Disagreement, reconcile
from aiinfn_hub.accounting.sighting import absent
from aiinfn_hub.accounting.signing import Signer, fingerprint
from aiinfn_hub.accounting.subjects import aliases, erase
from aiinfn_hub.cli import main
from aiinfn_hub.errors import Conflict, InvalidInput, NotFound
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.ledger_tables import AMOUNTS, correction
from aiinfn_hub.store.tables import attempt, run

H, DAY = 3600.0, 86400.0
KEY = Ed25519PrivateKey.generate()
SIGNER = Signer(KEY)


def at(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


NOV, DEC, JAN = at("2023-11-01"), at("2023-12-01"), at("2024-01-01")
NOW = JAN + 2 * DAY
CARD: dict[str, Any] = {"flavour": "a100-40", "weight": 1.0}


def told(database: Database, start: float, end: float, **scope: Any) -> float:
    rows = database.run(usage.by_group, since=start, until=end, **scope)
    return sum(row["weighted_gpu_hours"] for row in rows)


def shut(database: Database, start: float = NOV) -> dict[str, Any]:
    return database.run(months.close, start, by="root", signer=SIGNER, now=NOW)


def correct(database: Database, start: float = NOV, reason: str = "The node's log says so.") -> list[dict[str, Any]]:
    deltas = database.run(months.news, start)
    return database.run(months.correct, start, deltas, Author(by="root", reason=reason), signer=SIGNER, now=NOW)


def broken(database: Database) -> list[str]:
    return [closed.month for closed in database.run(months.closed_months) if not closed.whole]


@pytest.fixture
def autumn(database: Database) -> Database:
    """In November 2 h of alice and 1 h of bob, one session over the end of the month (4 h and 2 h), 3 h in December."""
    over = DEC - T0
    database.run(
        ledger.observe,
        [
            *life("u1", end=2 * H, **CARD),
            *life("u2", end=H, person="bob", **CARD),
            *life("u3", start=over - 4 * H, end=over + 2 * H, **CARD),
            *life("u4", start=over + DAY, end=over + DAY + 3 * H, **CARD),
        ],
    )
    return database


def test_a_closed_month_keeps_what_it_said(autumn: Database) -> None:
    row = shut(autumn)
    assert (row["sums"], len(row["sha256"])) == (2, 64)
    before = told(autumn, NOV, DEC)
    assert before == pytest.approx(7)
    autumn.run(ledger.observe, life("late", start=10 * H, end=12 * H, **CARD))
    assert told(autumn, NOV, DEC) == before
    assert told(autumn, NOV, JAN) == pytest.approx(before + 5), "December goes on by itself"
    autumn.run(ledger.observe, life("new", start=DEC - T0 + 9 * H, end=DEC - T0 + 10 * H, **CARD))
    assert told(autumn, DEC, JAN) == pytest.approx(6)


def test_what_is_known_later_is_a_correction(autumn: Database) -> None:
    shut(autumn)
    autumn.run(ledger.observe, life("late", start=10 * H, end=12 * H, person="bob", **CARD))
    autumn.run(ledger.observe, [seen("u1", at=1e6, held_from=0, ran_to=1.5 * H, terminal=True, **CARD)])
    [row] = correct(autumn)
    assert (row["revision"], row["made_by"], row["reason"]) == (1, "root", "The node's log says so.")
    assert told(autumn, NOV, DEC) == pytest.approx(9)
    assert told(autumn, NOV, DEC, person="bob") == pytest.approx(3)
    assert told(autumn, at("2023-11-10"), DEC, person="bob") == pytest.approx(1), "a part of it is as it was closed"
    assert autumn.run(months.news, NOV) == {}
    with pytest.raises(InvalidInput, match="nothing to correct in 2023-11"):
        correct(autumn)
    assert broken(autumn) == []


def test_a_correction_can_take_away(autumn: Database) -> None:
    shut(autumn)
    alias = autumn.run(aliases, ["bob"], now=NOW)["bob"]
    deltas = {("lhcb-flashsim", alias, "a100-40", "session", "A100", ""): {"weighted_s": -0.5 * H}}
    autumn.run(
        months.correct, NOV, deltas, Author(by="root", reason="A driver hung.", source="typed"), signer=SIGNER, now=NOW
    )
    assert told(autumn, NOV, DEC, person="bob") == pytest.approx(0.5)
    assert autumn.run(months.news, NOV) == {}, "what somebody knows better is not undone by the records"


@pytest.mark.parametrize(
    ("start", "now", "words"),
    [
        pytest.param(DEC, NOW, "2023-11 is open", id="not in its order"),
        pytest.param(NOV, DEC - 1, "2023-11 is not over", id="too early"),
        pytest.param(at("2023-10-01"), NOW, "2023-10 lies before the first month", id="nothing in it"),
    ],
)
def test_what_cannot_be_closed_is_said(autumn: Database, start: float, now: float, words: str) -> None:
    with pytest.raises(Conflict, match=words):
        autumn.run(months.close, start, by="root", signer=SIGNER, now=now)


def test_a_month_with_something_in_the_air_stays_open(autumn: Database) -> None:
    autumn.run(ledger.observe, [seen("u9", at=DAY, held_from=DAY, **CARD)])
    with pytest.raises(Conflict, match="has not been seen since its end"):
        shut(autumn)
    autumn.run(ledger.observe, [absent("u9", now=NOW)])
    assert shut(autumn)["sums"] == 2


def test_months_are_closed_once_and_one_after_the_other(autumn: Database) -> None:
    first = shut(autumn)
    with pytest.raises(Conflict, match="2023-11 is closed"):
        shut(autumn)
    assert shut(autumn, DEC)["sha256"] != first["sha256"]
    assert broken(autumn) == []


def test_an_open_month_is_not_corrected_and_no_correction_is_without_a_reason(autumn: Database) -> None:
    delta = {("a", "p", "f", "job", "", ""): {"weighted_s": 1.0}}
    with pytest.raises(NotFound, match="not closed"):
        autumn.run(months.correct, NOV, delta, Author(by="root", reason="x"), signer=SIGNER, now=NOW)
    shut(autumn)
    with pytest.raises(InvalidInput, match="needs a reason"):
        autumn.run(months.correct, NOV, delta, Author(by="root", reason=" "), signer=SIGNER, now=NOW)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE rollup SET weighted_s = weighted_s - 1 WHERE grain = 'month'",
        "DELETE FROM rollup WHERE grain = 'month'",
        "UPDATE correction SET weighted_s = 0 WHERE revision = 1",
        "UPDATE correction SET reason = 'none' WHERE revision = 1",
        "DELETE FROM correction WHERE revision = 1",
        "UPDATE month SET sha256 = 'x'",
        "UPDATE month SET signature = 'x'",
        "UPDATE month SET signature = (SELECT signature FROM correction WHERE revision = 1)",
        "UPDATE correction SET signature = '' WHERE revision = 2",
        "UPDATE correction SET signer = '' WHERE revision = 2",
    ],
)
def test_who_changes_a_closed_month_by_hand_is_found_out(autumn: Database, statement: str) -> None:
    shut(autumn)
    for number in (1, 2):
        autumn.run(ledger.observe, life(f"late{number}", start=10 * H, end=12 * H, activity=f"a{number}", **CARD))
        correct(autumn)
    assert broken(autumn) == []
    autumn.run(lambda connection: connection.execute(sa.text(statement)))
    assert broken(autumn) == ["2023-11"]


def test_a_month_that_somebody_else_signs_is_found_out(autumn: Database) -> None:
    """Who may write to the database can make new seals, and not the signatures of those who are known."""
    mine, other = {SIGNER.public}, Signer(Ed25519PrivateKey.generate())
    shut(autumn)
    autumn.run(months.close, DEC, by="root", signer=other, now=NOW + 40 * DAY)
    window = {"since": NOV, "until": NOW, "now": NOW}
    assert autumn.run(reconcile, **window, signers=mine | {other.public}) == []
    assert autumn.run(reconcile, **window) == [], "nobody said who may"
    [found] = autumn.run(reconcile, **window, signers=mine)
    assert (found.kind, found.about) == ("not-signed", "2023-12")
    assert fingerprint(other.public) in found.sentence
    autumn.run(lambda connection: connection.execute(sa.text("UPDATE month SET signer = '', signature = ''")))
    assert [(one.kind, one.about) for one in autumn.run(reconcile, **window)] == [
        ("not-signed", "2023-11"),
        ("not-signed", "2023-12"),
    ]


def test_a_version_that_counts_more_breaks_no_seal(autumn: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    fewer = tuple(name for name in AMOUNTS if name != "energy_j")
    monkeypatch.setattr(months, "AMOUNTS", fewer)
    shut(autumn)
    autumn.run(ledger.observe, life("late", start=10 * H, end=12 * H, **CARD))
    monkeypatch.setattr(months, "AMOUNTS", AMOUNTS)
    correct(autumn)
    assert broken(autumn) == []


def test_erasing_somebody_breaks_no_seal(autumn: Database) -> None:
    shut(autumn)
    autumn.run(erase, "alice")
    assert broken(autumn) == []
    assert autumn.run(months.news, NOV) == {}


def found_by(database: Database) -> list[Disagreement]:
    return database.run(reconcile, since=NOV, until=NOW, now=NOW)


def kinds(database: Database) -> dict[str, str]:
    return {one.kind: one.about for one in found_by(database)}


def test_a_ledger_that_agrees_has_nothing_to_say(autumn: Database) -> None:
    assert kinds(autumn) == {}
    shut(autumn)
    assert kinds(autumn) == {}


def test_that_nothing_disagrees_is_said(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    window = ("--since", "2023-10-01", "--until", "2023-10-02")
    assert said(capsys, "reconcile", "--database", url, *window).endswith("nothing disagrees.\n")


def test_what_disagrees_is_named(autumn: Database) -> None:
    times = {"started_at": T0, "token_hash": "x", "end_reason": "", "ended_at": None}
    job = {
        "id": "r1", "owner": "alice", "name": "fit", "activity": "a", "request": {}, "state": "succeeded",
        "target": "local", "flavour": "t4", "units": 1, "queue": "q", "missing": {}, "submitted_at": T0,
        "updated_at": T0, "finished_at": T0 + 60, "idempotency_key": "k",
    }  # fmt: skip

    def put(connection: sa.Connection) -> None:
        connection.execute(sa.insert(run).values(job))
        for number, (uid, seen_at) in enumerate({"u1": T0 + 3 * H, "nobody-saw": T0 + 9}.items()):
            row = {"run_id": "r1", "number": number + 1, "pod_uid": uid, "last_seen": seen_at} | times
            connection.execute(sa.insert(attempt).values(row))

    autumn.run(put)
    autumn.run(
        ledger.observe,
        [
            *life("q1", start=H, end=0),
            seen("behind", at=H, held_from=0, ran_from=-6, ran_to=H - 6, terminal=True),
            seen("ahead", at=H, held_from=0, ran_from=6, ran_to=H + 6, terminal=True),
            seen("prompt", at=H, held_from=0, ran_from=-4, ran_to=H + 4, terminal=True),
            seen("lost", held_from=0),
            absent("lost", now=T0 + 600),
            seen("open", held_from=0, kind="job", run_id="r1"),
        ],
    )
    autumn.run(ledger.heartbeat, ["open"], now=T0 + 2 * H)
    skewed = [one for one in found_by(autumn) if one.kind == "clock-skew"]
    assert {one.about: one.sentence.split(" is ")[1].split(",")[0] for one in skewed} == {
        "behind": "6 s behind",
        "ahead": "6 s ahead",
    }
    assert {kind: about for kind, about in kinds(autumn).items() if kind != "clock-skew"} == {
        "quarantine": "q1",
        "out-of-sight": "open",
        "end-inferred": "lost",
        "job-over": "open",
        "never-seen": "nobody-saw",
        "ended-before-its-runner": "u1",
    }
    autumn.run(ledger.observe, [absent("open", now=NOW)])
    shut(autumn)
    autumn.run(ledger.observe, life("late", start=10 * H, end=12 * H, **CARD))
    autumn.run(lambda connection: connection.execute(sa.delete(correction)))
    assert kinds(autumn)["month-changed"] == "2023-11"


@pytest.fixture
def url(tmp_path: Path) -> str:
    address = f"sqlite:///{tmp_path}/aiinfn.sqlite"
    database = Database(address)
    database.migrate()
    database.run(ledger.observe, [*life("u1", end=2 * H, **CARD), *life("q1", start=H, end=0)])
    database.close()
    (tmp_path / "url").write_text(address)
    (tmp_path / "key").write_bytes(KEY.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
    return str(tmp_path / "url")


def said(capsys: pytest.CaptureFixture[str], *command: str, code: int = 0) -> str:
    assert main(["accounting", *command]) == code
    return capsys.readouterr().out


def test_an_operator_closes_corrects_and_checks(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    where, key = ("--database", url), ("--key", url.replace("url", "key"))
    closed = json.loads(said(capsys, "close", *where, *key, "--month", "2023-11", "--json"))
    assert (closed["sums"], closed["signer"]) == (2, SIGNER.public)
    typed = ("--activity", "lhcb-flashsim", "--person", "alice", "--flavour", "a100-40", "--kind", "session")
    hours = ("--gpu-hours", "-0.5", "--reason", "A hang.")
    text = said(capsys, "correct", *where, *key, "--month", "2023-11", *typed, *hours)
    assert text.startswith("2023-11: 1 corrections, -0.50 GPU-h. sha256 ")
    report = json.loads(said(capsys, "report", *where, "--month", "2023-11", "--by", "person", "--json"))
    assert [(row["person"], row["weighted_gpu_hours"]) for row in report["rows"]] == [("alice", 1.5)]
    text = said(capsys, "reconcile", *where, "--month", "2023-11", code=1)
    assert "quarantine" in text
    assert "What to do:" in text
    found = json.loads(said(capsys, "reconcile", *where, "--month", "2023-11", "--json", code=1))
    assert {one["kind"] for one in found["disagreements"]} == {"quarantine"}
    signers = Path(url).with_name("signers")
    signers.write_text(f"root {Signer(Ed25519PrivateKey.generate()).public} somebody else\n")
    strict = said(capsys, "reconcile", *where, "--month", "2023-11", "--signers", str(signers), code=1)
    assert f"signed by the key {fingerprint(SIGNER.public)}, which is not on the list" in strict


def test_an_operator_forgets_somebody(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    alias = json.loads(said(capsys, "erase", "--database", url, "--person", "alice", "--json"))["alias"]
    report = said(capsys, "report", "--database", url, "--month", "2023-11", "--by", "person")
    assert alias in report
    assert "alice" not in report


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (("close", "--month", "november"), "'november' is no month"),
        (("close", "--month", "2023-12"), "2023-11 is open"),
        (("correct", "--month", "2023-11", "--reason", "x", "--from-records"), "2023-11 is not closed"),
        (("correct", "--month", "2023-11", "--reason", "x"), "--activity is missing"),
        (("erase", "--person", "mallory"), "nobody named 'mallory'"),
    ],
)
def test_mistakes_are_said_in_a_line(
    url: str, capsys: pytest.CaptureFixture[str], command: tuple[str, ...], words: str
) -> None:
    key = () if command[0] == "erase" else ("--key", url.replace("url", "key"))
    assert main(["accounting", command[0], "--database", url, *key, *command[1:]]) != 0
    assert words in capsys.readouterr().err


def test_hours_that_are_not_given_are_asked_for(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    whose = ("--key", url.replace("url", "key"), "--activity", "a", "--flavour", "f", "--kind", "job")
    assert main(["accounting", "correct", "--database", url, "--month", "2023-11", "--reason", "x", *whose]) != 0
    assert "By how many hours" in capsys.readouterr().err
