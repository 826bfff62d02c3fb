"""Options that a person has given a name."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.errors import AiinfnError, InvalidInput, NotFound
from aiinfn_labext.parsing import parse_cell, parse_line
from aiinfn_labext.profiles import OPTIONS, Profiles, load

FILE = """
[default]
time = "4h"

[big]
gpu = "a100-40"
mem = "64Gi"
cpu = 8
on-evict = "stop"
"""


def written(folder: Path, text: str) -> dict[str, str]:
    """An environment whose profiles say this."""
    (folder / "aiinfn").mkdir(exist_ok=True)
    (folder / "aiinfn" / "profiles.toml").write_text(text)
    return {"XDG_CONFIG_HOME": str(folder)}


def test_what_is_typed_counts_over_the_profile(tmp_path: Path) -> None:
    environ = written(tmp_path, FILE)
    big = parse_cell("fit --profile big --mem 8Gi", lambda: load(environ))
    wanted = big.resources
    assert (wanted.gpu, wanted.memory_bytes, wanted.cpu_millis) == ("a100-40", 8 * 2**30, 8000)
    assert (wanted.time_s, big.on_evict, big.timed) == (3600, "stop", False), "one profile, not two"
    usual = parse_cell("fit", lambda: load(environ))
    assert (usual.resources.time_s, usual.timed) == (4 * 3600, True)
    assert parse_cell("fit --time 5m", lambda: load(environ)).resources.time_s == 300
    script = parse_line("run --profile big x.py --profile", lambda: load(environ))
    assert (script.options.resources.gpu, script.arguments) == ("a100-40", ("--profile",))


def test_without_a_file_all_is_as_ever(tmp_path: Path) -> None:
    none = load({"HOME": str(tmp_path)})
    assert none.file == tmp_path / ".config" / "aiinfn" / "profiles.toml"
    assert none.options("") == {}
    with pytest.raises(NotFound) as refused:
        none.options("big")
    assert f"Write it into {none.file}." in refused.value.hint
    assert parse_cell("fit") == parse_cell("fit", lambda: none)


def test_a_profile_that_is_none_names_the_nearest(tmp_path: Path) -> None:
    profiles = load(written(tmp_path, FILE))
    with pytest.raises(NotFound) as refused:
        profiles.options("bigg")
    assert refused.value.hint == "Did you mean big?"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[big]\nmemm = '1'", "Did you mean mem?"),
        ("[big]\nsecret = '1'", "There are: to, gpu, cpu"),
        ("big = 1", "Write [big] on a line of its own."),
        ("[big]\nmem = ['1']", "As in mem"),
        ("[big]\nmem = true", "As in mem"),
        ("[big", "cannot be read"),
    ],
)
def test_a_file_that_is_wrong_is_said_with_its_name(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        load(written(tmp_path, text))
    assert said in refused.value.message + refused.value.hint
    assert "profiles.toml" in refused.value.message


def test_a_broken_file_is_in_nobodys_way_who_needs_none(tmp_path: Path) -> None:
    environ = written(tmp_path, "[big")
    assert parse_line("log fit", lambda: load(environ)).verb == "log"


@given(st.dictionaries(st.sampled_from(OPTIONS), st.text(min_size=1, max_size=8)))
def test_whatever_a_profile_says_is_read_or_refused(options: dict[str, str]) -> None:
    profiles = Profiles({"default": options})
    try:
        found = parse_cell("fit", lambda: profiles)
    except AiinfnError:
        return
    assert found.image == options.get("image", "")
