"""POSIX users: one for each name, for ever, from the IAM or allocated."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.catalogue.people import Posix
from aiinfn_hub.errors import Conflict, Forbidden, InvalidInput, NotFound, Unavailable
from aiinfn_hub.identity.bindings import Bindings
from aiinfn_hub.identity.uids import Uids

IMAGE = "docker.io/library/busybox:1.37"
OURS = Posix(first_uid=5000, last_uid=5099, image=IMAGE)
THEIRS = OURS.model_copy(update={"claim": "attr.uidNumber"})


def claims(value: Any) -> dict[str, Any]:
    return {"sub": "x", "attr": {"uidNumber": value}}


def test_a_name_keeps_its_number_and_nobody_else_gets_it(tmp_path: Path) -> None:
    uids = Uids(tmp_path / "table")
    first = {name: uids.login(name, OURS, {}) for name in (f"p{n}" for n in range(100))}
    assert sorted(first.values()) == list(range(5000, 5100)), "all of the range, each once"
    assert {name: uids.of(name, OURS) for name in first} == first
    with pytest.raises(Unavailable, match="Every user number from 5000 to 5099 is taken"):
        uids.of("one-too-many", OURS)


@given(names=st.lists(st.text("abc.-_0", min_size=1, max_size=5), unique=True, max_size=12))
def test_another_order_of_logins_never_makes_two_people_one(
    tmp_path_factory: pytest.TempPathFactory, names: list[str]
) -> None:
    uids = Uids(tmp_path_factory.mktemp("uids") / "table")
    small = Posix(first_uid=5000, last_uid=5011, image=IMAGE)
    found = [uids.of(name, small) for name in names]
    assert len(set(found)) == len(names)
    assert all(5000 <= uid <= 5011 for uid in found)


def test_a_lost_file_gives_most_people_the_same_number_again(tmp_path: Path) -> None:
    wide = Posix(image=IMAGE)
    names = [f"person-{n}" for n in range(50)]
    once, again = Uids(tmp_path / "one"), Uids(tmp_path / "other")
    before = {name: once.of(name, wide) for name in names}
    after = {name: again.of(name, wide) for name in reversed(names)}
    assert sum(before[name] == after[name] for name in names) >= 48


def test_first_logins_at_the_same_moment(tmp_path: Path) -> None:
    uids = Uids(tmp_path / "table")
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda n: uids.of(f"p{n % 20}", OURS), range(80)))
    assert len(set(found)) == 20


def test_the_iam_has_the_numbers(tmp_path: Path) -> None:
    uids = Uids(tmp_path / "table")
    assert uids.login("ada", THEIRS, claims("5007")) == 5007
    assert uids.login("bob", THEIRS, claims(5008)) == 5008
    assert uids.of("ada", THEIRS) == 5007
    with pytest.raises(Forbidden, match="ines has no user number yet"):
        uids.of("ines", THEIRS)


@pytest.mark.parametrize(
    ("said", "words"),
    [
        pytest.param({}, "has no user number for bob", id="none"),
        pytest.param({"attr": "5001"}, "has no user number for bob", id="no map"),
        pytest.param(claims(0), "not between 5000 and 5099", id="root"),
        pytest.param(claims("0005001x"), "no user number", id="a word"),
        pytest.param(claims(True), "no user number", id="a truth"),
        pytest.param(claims("٥٠٠١"), "no user number", id="digits of another script"),
        pytest.param(claims(-5001), "no user number", id="negative"),
        pytest.param(claims(5000.5), "no user number", id="a fraction"),
        pytest.param(claims([5001]), "no user number", id="a list"),
        pytest.param(claims("9" * 5000), "no user number", id="longer than a number"),
        pytest.param(claims(1001), "not between", id="the keeper of the shares"),
        pytest.param(claims(5007), "belongs to ada here", id="of somebody else"),
    ],
)
def test_a_number_that_cannot_be_is_refused_and_explained(tmp_path: Path, said: dict[str, Any], words: str) -> None:
    uids = Uids(tmp_path / "table")
    uids.login("ada", THEIRS, claims(5007))
    with pytest.raises(Forbidden, match=words) as caught:
        uids.login("bob", THEIRS, said)
    assert caught.value.hint
    assert uids.known("bob") is None, "nothing half-done stays"


def test_a_number_that_changes_at_the_iam_is_refused(tmp_path: Path) -> None:
    uids = Uids(tmp_path / "table")
    uids.login("ada", THEIRS, claims(5007))
    with pytest.raises(Forbidden, match="is not the 5007 that the files of ada belong to"):
        uids.login("ada", THEIRS, claims(5010))
    assert uids.known("ada") == 5007
    with pytest.raises(Forbidden):
        uids.login("bob", THEIRS, claims(5007))


def test_an_operator_mends_a_number(tmp_path: Path) -> None:
    uids, bindings = Uids(tmp_path / "table"), Bindings(tmp_path / "table")
    bindings.bind("sub-a", "ada")
    bindings.bind("sub-b", "bob")
    uids.login("ada", THEIRS, claims(5007))
    assert uids.put("ada", 5010, dry_run=True) == 5007
    assert uids.known("ada") == 5007
    assert uids.put("ada", 5010) == 5007
    assert uids.login("ada", THEIRS, claims(5010)) == 5010
    with pytest.raises(Conflict, match="5010 belongs to ada"):
        uids.put("bob", 5010)
    with pytest.raises(NotFound, match="Nobody here is 'eve'"):
        uids.put("eve", 5011)
    with pytest.raises(InvalidInput, match="0 is no user number"):
        uids.put("ada", 0)
    bindings.give("ada", "sub-new")
    assert uids.known("ada") == 5010, "the files stay"
