"""Usernames are bound to subjects, for ever."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.errors import Forbidden, Unavailable
from aiinfn_hub.identity.bindings import MAX_NAME, Bindings, username_of


@pytest.mark.parametrize(
    ("preferred", "name"),
    [
        pytest.param("ada", "ada", id="a plain name stays"),
        pytest.param("Ada.Marino", "ada.marino", id="small letters"),
        pytest.param("m_rossi", "m_rossi", id="an underscore stays: m_rossi and mrossi are two people"),
        pytest.param("Nicolò D'Amico", "nicolo-d-amico", id="accents go, other signs become a dash"),
        pytest.param("ada@infn.it", "ada-infn.it", id="a mail address can be read"),
        pytest.param("../../etc", "etc", id="no path comes through"),
        pytest.param("a..b--c__d", "a.b-c_d", id="signs do not pile up"),
        pytest.param("-ada-", "ada", id="no sign at the ends"),
        pytest.param("x" * 100, "x" * MAX_NAME, id="long names are cut"),
    ],
)
def test_names_can_be_read(preferred: str, name: str) -> None:
    assert username_of(preferred, "sub") == name


@pytest.mark.parametrize("preferred", ["", "   ", "...", "漢字", "/"])
def test_where_nothing_is_left_the_subject_gives_the_name(preferred: str) -> None:
    one, other = username_of(preferred, "one"), username_of(preferred, "other")
    assert one.startswith("user-")
    assert one != other


@given(st.text(max_size=80), st.uuids())
def test_every_name_is_safe(preferred: str, sub: object) -> None:
    name = username_of(preferred, str(sub))
    assert 0 < len(name) <= MAX_NAME
    assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")
    assert name[0].isalnum()
    assert name[-1].isalnum()
    assert ".." not in name
    assert username_of(name, "any") == name


@pytest.fixture
def bindings(tmp_path: Path) -> Bindings:
    return Bindings(tmp_path / "bindings.sqlite")


def test_the_first_name_stays(bindings: Bindings) -> None:
    assert bindings.bind("1", "ada") == "ada"
    assert bindings.bind("1", "countess") == "ada"
    assert bindings.name_for("1", "countess") == "ada"


@pytest.mark.parametrize("other", ["ada", "Ada", "ada.", "àda"])
def test_a_name_belongs_to_one_subject(bindings: Bindings, other: str) -> None:
    bindings.bind("1", "ada")
    with pytest.raises(Forbidden, match="'ada' already belongs"):
        bindings.bind("2", other)
    assert bindings.bind("2", "grace") == "grace", "with another name there is room"


def test_a_name_stays_taken_after_its_owner_was_renamed(bindings: Bindings) -> None:
    bindings.bind("1", "ada")
    bindings.bind("1", "countess")
    with pytest.raises(Forbidden):
        bindings.bind("2", "ada")
    assert bindings.bind("2", "countess") == "countess", "a name that was only wished for is free"


def test_asking_for_a_name_does_not_take_it(bindings: Bindings) -> None:
    assert bindings.name_for("1", "ada") == "ada"
    assert bindings.bind("2", "ada") == "ada"


def test_one_of_many_first_logins_wins(bindings: Bindings) -> None:
    def bind(sub: int) -> str:
        try:
            return bindings.bind(str(sub), "ada")
        except Forbidden:
            return "refused"

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(bind, range(16)))
    assert sorted(answers) == ["ada"] + ["refused"] * 15


def test_a_new_process_reads_the_same_file(tmp_path: Path, bindings: Bindings) -> None:
    bindings.bind("1", "ada")
    assert Bindings(tmp_path / "bindings.sqlite").bind("1", "x") == "ada"


def test_only_the_owner_can_read_the_file(tmp_path: Path, bindings: Bindings) -> None:
    bindings.bind("1", "ada")
    assert (tmp_path / "bindings.sqlite").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("place", ["missing/bindings.sqlite", "broken"])
def test_a_file_that_cannot_be_used_is_named(tmp_path: Path, place: str) -> None:
    (tmp_path / "broken").write_text("this is no database, and long enough to be looked at as one" * 20)
    with pytest.raises(Unavailable, match=place):
        Bindings(tmp_path / place).bind("1", "ada")
