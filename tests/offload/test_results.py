from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.offload import NOW, new_run, request, run

from aiinfn_hub.contract.jobs import JobState, ValueRef
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.offload import results, runs
from aiinfn_hub.offload.results import Report, check_output, plain
from aiinfn_hub.store.engine import Database

S = JobState


@pytest.fixture
def open_run(database: Database) -> runs.Run:
    found, _ = database.run(runs.create, new_run(request(outputs=["total", "π"])), now=NOW)
    database.run(runs.move, found.id, S.QUEUED, now=NOW)
    return database.run(runs.get, found.id)


@pytest.mark.parametrize(
    ("name", "codec"),
    [("other", "json"), ("../total", "json"), ("total", "pickle"), ("total", ""), ("", "json")],
)
def test_only_declared_names_and_known_codecs_are_taken(name: str, codec: str) -> None:
    with pytest.raises(InvalidInput):
        check_output(run(wanted=request(outputs=["total"])), name, codec)


def test_a_declared_name_is_taken() -> None:
    check_output(run(wanted=request(outputs=["total"])), "total", "npy")


def test_values_are_kept_by_name_and_the_latest_counts(database: Database, open_run: runs.Run) -> None:
    for size in (1, 2):
        database.run(results.put, open_run.id, "total", ValueRef("json", "0" * 64, size, "int"))
    database.run(results.put, open_run.id, "π", ValueRef("json", "1" * 64, 3, "float"))
    found = database.run(results.of_run, open_run.id)
    assert {name: value.size for name, value in found.items()} == {"total": 2, "π": 3}


@pytest.mark.parametrize(
    ("report", "cancelled", "expected"),
    [
        pytest.param(Report("succeeded", 0), False, S.SUCCEEDED, id="it succeeded"),
        pytest.param(Report("failed", 70, "ValueError: x"), False, S.FAILED, id="it failed"),
        pytest.param(Report("succeeded", 0), True, S.SUCCEEDED, id="it was faster than the cancel"),
        pytest.param(Report("failed", 143), True, S.CANCELLED, id="the cancel was faster"),
    ],
)
def test_a_report_ends_the_run(
    database: Database, open_run: runs.Run, report: Report, *, cancelled: bool, expected: JobState
) -> None:
    if cancelled:
        open_run = database.run(runs.ask_to_cancel, open_run.id, now=NOW)
    assert database.run(results.finish, open_run, report, now=NOW + 9)
    ended = database.run(runs.get, open_run.id)
    assert (ended.state, ended.exit_code, ended.verdict, ended.finished_at) == (
        expected,
        report.exit_code,
        report.verdict,
        NOW + 9,
    )


def test_what_is_missing_is_kept_for_declared_names_only(database: Database, open_run: runs.Run) -> None:
    missing = {"total": "the code did not assign it\x00", "evil": "x"}
    database.run(results.finish, open_run, Report("succeeded", 0, missing=missing), now=NOW)
    assert database.run(runs.get, open_run.id).missing == {"total": "the code did not assign it "}


@pytest.mark.parametrize("state", ["running", "cancelled", "lost", "", "SUCCEEDED"])
def test_a_runner_cannot_report_any_other_state(database: Database, open_run: runs.Run, state: str) -> None:
    with pytest.raises(InvalidInput, match="no end that a run can report"):
        database.run(results.finish, open_run, Report(state, 0), now=NOW)


@given(st.text(st.characters(codec=None, exclude_categories=[]), max_size=1000))
def test_text_of_a_job_becomes_one_printable_line(text: str) -> None:
    found = plain(text)
    assert len(found) <= 500
    assert "\x00" not in found
    assert "\n" not in found
    assert "\x1b" not in found
    found.encode("utf-8")
