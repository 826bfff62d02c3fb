"""`aiinfn users`, on the file of a hub that runs."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.cli import main
from aiinfn_hub.errors import Conflict, Forbidden
from aiinfn_hub.identity.bindings import Bindings

ADA, NEW = "e3ec02b1-18c0-5c96-b967-83698eeea098", "0a1b2c3d-0000-5c96-b967-83698eeea098"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "bindings.sqlite"
    table = Bindings(path)
    table.bind(ADA, "Ada")
    table.bind("another", "m_rossi")
    return path


def run(capsys: pytest.CaptureFixture[str], *line: str) -> tuple[int, str, str]:
    code = main(["users", *line])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_list_is_for_people(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "list", "--file", str(file))
    lines = out.splitlines()
    assert code == 0
    assert lines[0].split() == ["USERNAME", "SUBJECT", "NAME", "AT", "THE", "IAM", "SINCE", "(UTC)"]
    assert [line.split()[:3] for line in lines[1:]] == [["ada", ADA, "Ada"], ["m_rossi", "another", "m_rossi"]]


@pytest.mark.parametrize("who", ["ada", ADA])
def test_one_person_by_name_or_subject(file: Path, capsys: pytest.CaptureFixture[str], who: str) -> None:
    _, out, _ = run(capsys, "show", who, "--json", "--file", str(file))
    (found,) = json.loads(out)
    assert (found["name"], found["sub"], found["preferred"]) == ("ada", ADA, "Ada")


def test_nobody_has_a_nearest_name(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "show", "mrossi", "--file", str(file))
    assert code == 1
    assert "Nobody here is 'mrossi'.\nDid you mean m_rossi?" in err


def test_a_file_that_is_not_there_is_not_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "list", "--file", str(tmp_path / "typo.sqlite"))
    assert code == 1
    assert "There is no file" in err
    assert not (tmp_path / "typo.sqlite").exists()


def test_an_account_that_was_made_anew_gets_its_name_and_home_back(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = Bindings(file)
    _, out, _ = run(capsys, "give", "ada", NEW, "--file", str(file))
    assert f"now of {ADA}" in out
    assert "Nothing was changed" in out
    assert table.name_for(ADA, "Ada") == "ada"

    code, out, _ = run(capsys, "give", "ada", NEW, "--yes", "--file", str(file))
    assert code == 0
    assert f"belongs to {NEW}" in out
    assert f"still logged in as {ADA}" in out
    assert table.bind(NEW, "ada.marino") == "ada", "whatever the IAM calls the new account"
    assert {one.sub for one in table.everybody()} == {NEW, "another"}


def test_a_home_of_before_the_first_login(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "give", "bruno", NEW, "--yes", "--file", str(file))
    assert code == 0
    assert "still logged in" not in out
    assert Bindings(file).bind(NEW, "b.neri") == "bruno"


@pytest.mark.parametrize(
    ("name", "sub", "said"),
    [
        ("Ada Marino", NEW, "Did you mean 'ada-marino'?"),
        ("../etc", NEW, "Did you mean 'etc'?"),
        ("ada2", ADA, "has the name 'ada' already"),
        ("m_rossi", ADA, "has the name 'ada' already"),
    ],
)
def test_what_is_refused_is_refused_in_a_dry_run(
    file: Path, capsys: pytest.CaptureFixture[str], name: str, sub: str, said: str
) -> None:
    before = Bindings(file).everybody()
    for how in ([], ["--yes"]):
        code, _, err = run(capsys, "give", name, sub, *how, "--file", str(file))
        assert code == 1
        assert said in err
    assert Bindings(file).everybody() == before


def test_who_has_the_name_already_keeps_it_as_it_is(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Bindings(file).everybody()
    code, out, _ = run(capsys, "give", "ada", ADA, "--yes", "--file", str(file))
    assert (code, "still logged in" in out) == (0, False)
    assert Bindings(file).everybody() == before


@given(
    st.lists(st.tuples(st.sampled_from(["ada", "bob", "eve"]), st.sampled_from("12345"), st.booleans()), max_size=15)
)
def test_a_name_has_one_subject_and_a_subject_one_name(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, str, bool]]
) -> None:
    table = Bindings(tmp_path_factory.mktemp("table") / "bindings.sqlite")
    for name, sub, given_by_operator in steps:
        with suppress(Conflict, Forbidden):
            if given_by_operator:
                table.give(name, sub)
            else:
                table.bind(sub, name)
        found = table.everybody()
        assert len({one.name for one in found}) == len({one.sub for one in found}) == len(found)


def test_numbers_are_shown_where_people_have_them(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "uid", "ada", "200123", "--file", str(file))
    assert code == 0
    assert "Would make ada, which has none, the user 200123. Nothing was changed" in out
    assert "UID" not in run(capsys, "list", "--file", str(file))[1]
    assert run(capsys, "uid", "ada", "200123", "--yes", "--file", str(file))[0] == 0
    lines = run(capsys, "list", "--file", str(file))[1].splitlines()
    assert [line.split()[:2] for line in lines] == [["USERNAME", "UID"], ["ada", "200123"], ["m_rossi", "-"]]
    shown = json.loads(run(capsys, "show", "ada", "--json", "--file", str(file))[1])
    assert shown[0]["uid"] == 200123
    code, _, err = run(capsys, "uid", "m_rossi", "200123", "--yes", "--file", str(file))
    assert code != 0
    assert "belongs to ada" in err
