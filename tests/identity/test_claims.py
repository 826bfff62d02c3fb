"""From claims to groups: three profiles, three answers."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.identity.claims import PROFILES, groups_of
from aiinfn_hub.identity.person import normal_group


@pytest.mark.parametrize(
    ("claims", "groups"),
    [
        pytest.param({"groups": ["aiinfn", "aiinfn/cms"]}, ("/aiinfn", "/aiinfn/cms"), id="iam, without a slash"),
        pytest.param({"wlcg.groups": ["/aiinfn/cms", "/aiinfn"]}, ("/aiinfn/cms", "/aiinfn"), id="wlcg, in its order"),
        pytest.param({"groups": ["a", "a", "/a"]}, ("/a",), id="twice is once"),
        pytest.param({"groups": ["a//b", "..", "c"]}, ("/c",), id="what is no path is left out"),
        pytest.param({"groups": []}, (), id="an empty list says that there is none"),
        pytest.param({"groups": None}, None, id="null says nothing"),
        pytest.param({}, None, id="a missing claim says nothing"),
        pytest.param({"groups": ["a"], "wlcg.groups": ["/b"]}, ("/a",), id="the iam profile goes first"),
        pytest.param({"wlcg": {"groups": ["/a"]}}, None, id="a dot in a name is only a dot"),
        pytest.param(
            {"eduperson_entitlement": ["urn:geant:infn.it:iam:group:aiinfn:cms#iam.infn.it"]},
            ("/aiinfn/cms",),
            id="aarc, with an authority",
        ),
        pytest.param({"entitlements": ["urn:geant:infn.it:group:aiinfn"]}, ("/aiinfn",), id="aarc, the newer claim"),
        pytest.param(
            {"entitlements": ["urn:geant:x:group:a"], "eduperson_entitlement": ["urn:geant:x:group:b"]},
            ("/b", "/a"),
            id="aarc, both claims",
        ),
        pytest.param({"entitlements": ["urn:geant:x:group:a:role=pi#y"]}, ("/a",), id="a member with a role is one"),
        pytest.param(
            {"entitlements": ["urn:mace:dir:entitlement:common-lib-terms", "https://x/group/a"]},
            (),
            id="an entitlement that is no group is none",
        ),
        pytest.param({"entitlements": ["urn:geant:x:group:a%20b"]}, ("/a b",), id="percent escapes are read"),
        pytest.param({"entitlements": ["urn:geant:x:group:a%2Fadmins"]}, (), id="no slash hides in an escape"),
        pytest.param({"entitlements": ["urn:geant:x:group:..:a"]}, (), id="no step up"),
    ],
)
def test_groups(claims: dict[str, Any], groups: tuple[str, ...] | None) -> None:
    assert groups_of(claims) == groups


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("value", ["admins", "", {"admins": 1}, 7, True, ["a", 7], [["a"]], [None]])
def test_what_is_no_list_of_texts_is_refused(profile: Any, value: Any) -> None:
    with pytest.raises(InvalidInput, match=PROFILES[profile][0]):
        groups_of({PROFILES[profile][0]: value}, profile)


@pytest.mark.parametrize(
    ("profile", "groups"), [("iam", ("/a",)), ("wlcg", ("/b",)), ("aarc", ("/c",)), (None, ("/a",))]
)
def test_a_profile_reads_its_own_claim_only(profile: Any, groups: tuple[str, ...]) -> None:
    claims = {"groups": ["a"], "wlcg.groups": ["/b"], "entitlements": ["urn:x1:y:group:c"]}
    assert groups_of(claims, profile) == groups


def test_a_profile_whose_claim_is_missing_does_not_take_another() -> None:
    assert groups_of({"groups": ["a"]}, "wlcg") is None


@given(
    st.dictionaries(
        st.sampled_from([claim for claims in PROFILES.values() for claim in claims]),
        st.one_of(st.none(), st.text(), st.integers(), st.lists(st.text(max_size=30), max_size=5)),
    )
)
def test_every_answer_is_normal_or_an_error(claims: dict[str, Any]) -> None:
    try:
        groups = groups_of(claims)
    except InvalidInput:
        return
    if groups is not None:
        assert [normal_group(group) for group in groups] == list(groups)
        assert len(set(groups)) == len(groups)


NAME = st.text("abcdefghijklmnopqrstuvwxyz0123456789-_", min_size=1, max_size=8)


@given(st.lists(st.lists(NAME, min_size=1, max_size=4), max_size=4))
def test_the_three_profiles_say_the_same(paths: list[list[str]]) -> None:
    expected = tuple(dict.fromkeys("/" + "/".join(path) for path in paths))
    assert groups_of({"groups": ["/".join(path) for path in paths]}) == expected
    assert groups_of({"wlcg.groups": ["/" + "/".join(path) for path in paths]}) == expected
    urns = ["urn:geant:infn.it:group:" + ":".join(path) + "#iam" for path in paths]
    assert groups_of({"entitlements": urns}) == expected
