"""The truth table of the access rules: each sentence by its id, and the same answer as those who decide."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from support.small_platform import ACTIVITIES, small_document, small_platform

from aiinfn_hub.cli import main
from aiinfn_hub.identity.access import rulings
from aiinfn_hub.identity.person import may_enter, person_of

LED = [{**ACTIVITIES[0], "pi_group": "/aiinfn/lhcb/pi"}, *ACTIVITIES[1:]]
PLATFORM = small_platform(activities=LED)
NOBODY_OPERATES = small_platform(activities=LED, access={"allowed_groups": ["/aiinfn"]})

#: Groups of the person -> id and what it is about -> whether it is granted. What is not named is not asked.
TABLE: list[tuple[str, list[str], dict[tuple[str, str], bool]]] = [
    ("a member", ["/aiinfn"], {("enter.member", ""): True, ("operator.missing", ""): False}),
    ("a member, as the profile iam writes it", ["aiinfn/"], {("enter.member", ""): True}),
    ("a member below", ["/aiinfn/cms"], {("enter.member", ""): True, ("activity.member", "cms"): True}),
    ("a name that only begins like it", ["/aiinfn-private"], {("enter.missing", ""): False}),
    ("somebody else", ["/other"], {("enter.missing", ""): False, ("flavour.nothing-to-charge", "cpu"): False}),
    ("nobody's member", [], {("enter.missing", ""): False, ("activity.missing", "lhcb"): False}),
    ("an operator", ["/aiinfn/admins"], {("enter.member", ""): True, ("operator.member", ""): True}),
    ("below the operators", ["/aiinfn/admins/trainees"], {("operator.missing", ""): False}),
    ("no path", ["a//b"], {("group.unreadable", ""): False, ("enter.missing", ""): False}),
    (
        "a member of an activity",
        ["/aiinfn/lhcb"],
        {("activity.member", "lhcb"): True, ("activity.missing", "cms"): False, ("pi.missing", "lhcb"): False},
    ),
    (
        "a leader who is no member",
        ["/aiinfn/lhcb/pi"],
        {("pi.member", "lhcb"): True, ("activity.missing", "lhcb"): False, ("pi.none", "cms"): False},
    ),
    (
        "flavours of everybody and of some",
        ["/aiinfn/cms"],
        {("flavour.activity", "cpu"): True, ("flavour.other-activity", "u55c"): False},
    ),
    ("a flavour of an activity", ["/aiinfn/fpga"], {("flavour.activity", "u55c"): True}),
]


@pytest.mark.parametrize(("groups", "expected"), [row[1:] for row in TABLE], ids=[row[0] for row in TABLE])
def test_the_truth_table(groups: list[str], expected: dict[tuple[str, str], bool]) -> None:
    found = {(one.id, one.about): one.granted for one in rulings(PLATFORM, groups)}
    assert expected.items() <= found.items()


def test_an_operator_from_outside_may_enter() -> None:
    access = {"allowed_groups": ["/aiinfn"], "admin_groups": ["/infn/operators"]}
    found = {one.id for one in rulings(small_platform(access=access), ["/infn/operators"])}
    assert {"enter.operator", "operator.member"} <= found


def test_without_admin_groups_nobody_operates() -> None:
    assert "operator.none" in {one.id for one in rulings(NOBODY_OPERATES, ["/aiinfn"])}


def test_the_table_has_every_sentence_of_the_code() -> None:
    """So that no rule is without a row."""
    shown = {key for _, _, expected in TABLE for key, _ in expected} | {"enter.operator", "operator.none"}
    said = Path(rulings.__code__.co_filename).read_text()
    kinds = ("enter", "operator", "activity", "pi", "flavour", "group")
    written = {text for text in said.split('"') if text.partition(".")[0] in kinds and text.count(".") == 1}
    assert written == shown


def test_the_sentence_names_what_decides() -> None:
    said = {(one.id, one.about): one.sentence for one in rulings(PLATFORM, ["/aiinfn/lhcb/pi"])}
    assert said["enter.member", ""] == "May log in: /aiinfn/lhcb/pi is below /aiinfn."
    assert said["activity.missing", "lhcb"] == (
        "May not charge lhcb: needs /aiinfn/lhcb; /aiinfn/lhcb/pi is below it, which does not count."
    )
    assert said["flavour.other-activity", "u55c"] == (
        "May not have u55c: it is for fpga only, and that needs /aiinfn/fpga."
    )


_GROUPS = [
    "/aiinfn",
    "/aiinfn/lhcb",
    "/aiinfn/lhcb/pi",
    "/aiinfn/cms",
    "/aiinfn/fpga",
    "/aiinfn/admins",
    "/other",
    "x//y",
]


@given(st.lists(st.sampled_from(_GROUPS), unique=True), st.booleans())
def test_the_words_say_what_is_decided(groups: list[str], operated: object) -> None:
    platform = PLATFORM if operated else NOBODY_OPERATES
    found = rulings(platform, groups)
    person = person_of(platform, "ada", groups)

    def granted(kind: str) -> set[str]:
        return {one.about for one in found if one.granted and one.id.startswith(f"{kind}.")}

    assert bool(granted("enter")) is may_enter(platform, person.groups)
    assert bool(granted("operator")) is person.admin
    assert granted("activity") == set(person.activities)
    assert granted("pi") == set(person.pi_of)
    offered = {f.name for f in platform.flavours if set(f.activities or person.activities) & set(person.activities)}
    assert granted("flavour") == offered
    counted = [(one.id.partition(".")[0], one.about) for one in found if one.id != "group.unreadable"]
    assert len(counted) == len(set(counted)), "one ruling each"


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "platform.yaml"
    path.write_text(yaml.safe_dump(small_document()))
    return str(path)


def run(capsys: pytest.CaptureFixture[str], *line: str) -> tuple[int, str, str]:
    code = main(["platform", "explain", *line])
    said = capsys.readouterr()
    return code, said.out, said.err


def test_why_somebody_does_not_see_a_flavour(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, file, "--group", "aiinfn/cms", "--flavour", "u55c")
    assert code == 0
    assert out.splitlines() == [
        "yes  May log in: /aiinfn/cms is below /aiinfn.  [enter.member]",
        "no   May not have u55c: it is for fpga only, and that needs /aiinfn/fpga.  [flavour.other-activity]",
    ]


def test_all_of_it_for_programs(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run(capsys, file, "--group", "/aiinfn/cms", "--json")
    found: list[dict[str, Any]] = json.loads(out)
    assert {one["id"] for one in found} >= {"enter.member", "activity.member", "flavour.activity"}
    assert set(found[0]) == {"id", "about", "granted", "sentence"}


def test_a_flavour_that_there_is_not(file: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, file, "--flavour", "u55")
    assert code == 1
    assert "has no flavour 'u55'.\nDid you mean u55c?" in err
