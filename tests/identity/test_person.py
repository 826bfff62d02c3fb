"""Groups by full path, and what they grant."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.small_platform import small_platform

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.identity.person import is_within, may_enter, normal_group, person_of

PLATFORM = small_platform(
    activities=[
        {"name": "lhcb", "title": "LHCb", "group": "/aiinfn/lhcb", "pi_group": "/aiinfn/lhcb/pi", "gid": 20001},
        {"name": "cms", "title": "CMS", "group": "/aiinfn/cms", "gid": 20002},
        {"name": "fpga", "title": "FPGA", "group": "/aiinfn/fpga", "gid": 20003},
    ]
)
PART = st.text(
    st.characters(blacklist_categories=["Cc", "Cs"], blacklist_characters="/%"), min_size=1, max_size=12
).filter(lambda part: part.strip() == part and part not in {".", ".."})


@pytest.mark.parametrize(
    ("text", "path"),
    [
        pytest.param("a/b", "/a/b", id="a slash is put in front"),
        pytest.param("/a/b", "/a/b", id="a full path stays"),
        pytest.param("/a/b/", "/a/b", id="a slash at the end goes"),
        pytest.param(" a ", "/a", id="spaces around go"),
        pytest.param("/a b/c", "/a b/c", id="a space inside a name stays"),
        pytest.param("/A/b", "/A/b", id="capital letters stay"),
        pytest.param("/è", "/è", id="letters beyond ASCII stay"),
    ],
)
def test_normal_groups(text: str, path: str) -> None:
    assert normal_group(text) == path


@pytest.mark.parametrize(
    "text", ["", "/", " ", "a//b", "a/../b", "/./a", "..", "a/ b", "a\nb", "a\x00", "a%2Fb", "/" + "x" * 255, "\x7f"]
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput):
        normal_group(text)


@given(st.lists(PART, min_size=1, max_size=5))
def test_a_normal_group_is_its_own_normal_form(parts: list[str]) -> None:
    path = "/" + "/".join(parts)
    assert normal_group(path) == path
    assert normal_group(path[1:]) == path
    assert normal_group(path + "/") == path


@given(st.text(max_size=40))
def test_any_text_is_a_full_path_or_refused(text: str) -> None:
    try:
        path = normal_group(text)
    except InvalidInput:
        return
    assert path.startswith("/")
    assert not path.endswith("/")
    assert "//" not in path
    assert normal_group(path) == path


@given(st.lists(PART, min_size=1, max_size=4), st.lists(PART, max_size=3))
def test_below_means_whole_parts(ancestor: list[str], more: list[str]) -> None:
    top = "/" + "/".join(ancestor)
    assert is_within("/".join(["", *ancestor, *more]), top)
    assert not is_within(top + "x", top)
    assert not is_within("/x" + top.removeprefix("/"), top)


@pytest.mark.parametrize(
    ("groups", "activities", "pi_of", "admin"),
    [
        pytest.param([], (), (), False, id="no group, nothing"),
        pytest.param(["/aiinfn"], (), (), False, id="the parent of an activity's group does not grant the activity"),
        pytest.param(["/aiinfn/lhcb"], ("lhcb",), (), False, id="a member may charge the activity"),
        pytest.param(["aiinfn/lhcb/"], ("lhcb",), (), False, id="slashes do not matter"),
        pytest.param(["/aiinfn/fpga", "/aiinfn/cms"], ("cms", "fpga"), (), False, id="in the order of the file"),
        pytest.param(
            ["/aiinfn/lhcb", "/aiinfn/lhcb/pi"], ("lhcb",), ("lhcb",), False, id="a PI leads the own activity"
        ),
        pytest.param(["/aiinfn/cms/pi"], (), (), False, id="an activity without PI group is led by nobody"),
        pytest.param(["/aiinfn/lhcb-private"], (), (), False, id="a name that begins alike is another group"),
        pytest.param(["/lhcb", "lhcb"], (), (), False, id="the last part of a path is not the path"),
        pytest.param(["/aiinfn/admins"], (), (), True, id="the admin group makes an operator"),
        pytest.param(["/aiinfn/admins/x"], (), (), False, id="a group below it does not"),
        pytest.param(["/aiinfn/lhcb\n", "a//b", ""], ("lhcb",), (), False, id="what is no path grants nothing"),
    ],
)
def test_what_groups_grant(
    groups: list[str], activities: tuple[str, ...], pi_of: tuple[str, ...], *, admin: bool
) -> None:
    person = person_of(PLATFORM, "ada", groups)
    assert (person.activities, person.pi_of, person.admin) == (activities, pi_of, admin)


def test_whom_the_hub_calls_an_admin_is_an_operator() -> None:
    assert person_of(PLATFORM, "ada", [], admin=True).admin


@pytest.mark.parametrize(
    ("groups", "enters"),
    [
        (["/aiinfn"], True),
        (["/aiinfn/anything"], True),
        (["/aiinfn-friends"], False),
        (["/other", "/x/aiinfn"], False),
        ([], False),
    ],
)
def test_who_may_enter(groups: list[str], *, enters: bool) -> None:
    assert may_enter(PLATFORM, groups) is enters


def test_operators_may_enter_wherever_their_group_is() -> None:
    platform = small_platform(access={"allowed_groups": ["/aiinfn"], "admin_groups": ["/ops"]})
    assert may_enter(platform, ["/ops"])
    assert not may_enter(platform, ["/ops/below"])
