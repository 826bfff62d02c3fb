"""Many people whose tokens expire together, by the benchmark at a size at which it is quick: who is asked how often."""

from __future__ import annotations

from pathlib import Path

from bench import logins

PEOPLE = 30


def test_each_is_refreshed_once_whatever_a_page_asks_for(tmp_path: Path) -> None:
    found = {figure.name: figure.value for figure in logins.measure(tmp_path, PEOPLE)}
    assert found["ours: people who were refreshed"] == PEOPLE
    assert found["ours: refreshes at the IAM"] == 1
    assert found["stock class: people who were refreshed"] < PEOPLE, "their requests end each other's tokens"
    assert found["sessions: those with their next token"] == PEOPLE
    assert found["sessions: exchanges at the IAM"] == 1
    assert found["stock class: refreshes at the IAM"] > 1
