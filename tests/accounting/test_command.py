"""`aiinfn accounting report`, on a database file."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.sightings import T0, life, seen

from aiinfn_hub.accounting import ledger
from aiinfn_hub.accounting.quotas import Ask
from aiinfn_hub.accounting.refusals import note_refusal
from aiinfn_hub.accounting.sighting import absent
from aiinfn_hub.accounting.windows import window
from aiinfn_hub.cli import main
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.store.engine import Database

H = 3600.0
NOW = datetime(2026, 11, 15, 12, tzinfo=UTC).timestamp()


@pytest.fixture
def url(tmp_path: Path) -> str:
    """The file with the URL of a database in which three sessions of November 2023 are, and one of a broken clock."""
    address = f"sqlite:///{tmp_path}/aiinfn.sqlite"
    database = Database(address)
    database.migrate()
    database.run(
        ledger.observe,
        [
            *life("u1", end=2 * H),
            *life("u2", end=H, person="bob", activity="cms-ml", flavour="a100-40", units=2, weight=1.0, kind="job"),
            seen("u3", held_from=0),
            absent("u3", now=T0 + 600),
            *life("u4", start=H, end=0),
        ],
    )
    database.close()
    path = tmp_path / "url"
    path.write_text(address + "\n")
    return str(path)


def test_a_report_for_people_says_how_sure_it_is(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["accounting", "report", "--database", url, "--month", "2023-11"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "From 2023-11-01T00:00Z to 2023-12-01T00:00Z"
    assert [line.split() for line in lines[2:6]] == [
        [
            "ACTIVITY",
            "FLAVOUR",
            "KIND",
            "NUMBER",
            "HELD",
            "H",
            "RUN",
            "H",
            "DEVICE",
            "H",
            "GPU-H",
            "CORE-H",
            "MEM",
            "GIB-H",
            "DISK",
            "GIB-H",
            "ACTIVE",
        ],
        ["cms-ml", "a100-40", "job", "1", "1.00", "1.00", "2.00", "2.00", "2.00", "8.00", "50.00", "-"],
        [
            "lhcb-flashsim",
            "a100-40-1g.5gb",
            "session",
            "2",
            "2.00",
            "2.00",
            "2.00",
            "0.50",
            "4.00",
            "16.00",
            "100.00",
            "-",
        ],
        ["total", "3", "3.00", "3.00", "4.00", "2.50", "6.00", "24.00", "150.00", "-"],
    ]
    assert lines[7] == "94.7 % observed, 10 min inferred."
    assert lines[8].startswith("1 in quarantine")


def test_a_report_for_programs_has_the_same(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["accounting", "report", "--database", url, "--since", "2023-11-14", "--until", "2023-11-16", "--json"]
    assert main([*command, "--by", "person", "--activity", "cms-ml"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["since"], found["until"], found["by"]) == ("2023-11-14T00:00Z", "2023-11-16T00:00Z", ["person"])
    assert [(row["person"], row["weighted_gpu_hours"]) for row in found["rows"]] == [("bob", 2.0)]
    assert (found["total"]["records"], found["coverage"]) == (1, 1.0)


def test_nothing_is_said_to_be_nothing(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["accounting", "report", "--database", url, "--month", "2024-01"]) == 0
    assert "nobody held anything" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("month", "since", "until", "expected"),
    [
        pytest.param(None, None, None, ("2026-11-01", "2026-11-15T12:00"), id="the present month"),
        pytest.param("2025-12", None, None, ("2025-12-01", "2026-01-01"), id="December ends with the year"),
        pytest.param(None, "2026-11-02", "2026-12-24", ("2026-11-02", "2026-11-15T12:00"), id="not what is to come"),
        pytest.param(None, "2026-11-02T06:30", None, ("2026-11-02T06:30", "2026-11-15T12:00"), id="up to now"),
        pytest.param(
            None, "2026-11-02T06:30+02:00", "2026-11-03", ("2026-11-02T04:30", "2026-11-03"), id="another zone"
        ),
        pytest.param(None, None, "2026-11-03", ("2026-11-01", "2026-11-03"), id="the present month up to a day"),
    ],
)
def test_a_window_is_of_utc(month: str, since: str, until: str, expected: tuple[str, str]) -> None:
    wanted = tuple(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() for text in expected)
    assert window(month, since, until, now=NOW) == wanted


@pytest.mark.parametrize(
    ("month", "since", "until", "words"),
    [
        ("2026-13", None, None, "no month"),
        ("november", None, None, "no month"),
        ("٢٠٢٦-11", None, None, "no month"),
        ("2026-11", "2026-11-01", None, "a window already"),
        (None, "yesterday", None, "--since 'yesterday' is no time"),
        (None, "2026-11-01", "soon", "--until 'soon' is no time"),
        (None, "2026-11-03", "2026-11-02", "From 2026-11-03T00:00Z to 2026-11-02T00:00Z there is no time"),
        (None, "2027-01-01", None, "to 2026-11-15T12:00Z there is no time"),
        ("2026-12", None, None, "From 2026-12-01T00:00Z to 2026-11-15T12:00Z there is no time"),
        (None, None, "2026-10-02", "to 2026-10-02T00:00Z there is no time"),
    ],
)
def test_what_is_no_window_is_named(month: str, since: str, until: str, words: str) -> None:
    with pytest.raises(InvalidInput, match=words) as caught:
        window(month, since, until, now=NOW)
    assert caught.value.hint


def test_mistakes_are_said_in_a_line(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["accounting", "report", "--database", str(tmp_path / "none")]) != 0
    assert "There is no file" in capsys.readouterr().err
    assert main(["accounting", "report", "--database", url, "--by", "colour"]) != 0
    assert "'colour'" in capsys.readouterr().err


def test_what_was_refused_is_in_the_report(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    database = Database(Path(url).read_text().strip())
    ask = Ask("session", "alice", "cms-ml", "a100-40", 1, 1.0, 8 * H)
    for _ in range(2):
        database.run(note_refusal, ask, "", now=T0 + H)
    database.close()
    assert main(["accounting", "report", "--database", url, "--month", "2023-11"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1].split() == ["cms-ml", "a100-40", "session", "-", "2", "16.00"]
    assert main(["accounting", "report", "--database", url, "--month", "2023-11", "--person", "bob", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["refused"] == []
    assert main(["accounting", "report", "--database", url, "--month", "2023-11", "--person", "alice", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["refused"][0]["asks"] == 2
