"""Which rights of PIs and operators a token carries."""

from __future__ import annotations

import pytest
from jupyterhub.roles import _role_name_pattern
from jupyterhub.scopes import _custom_scope_pattern
from support.small_platform import small_platform

from aiinfn_hub.catalogue import example_path, load_platform
from aiinfn_hub.identity.person import Person, person_of
from aiinfn_hub.identity.roles import LEAD, OPERATE, SCOPES, narrowed, roles

PLATFORM = load_platform(example_path())
ALL = ["/aiinfn/admins", "/aiinfn/lhcb-flashsim", "/aiinfn/lhcb-flashsim/pi", "/aiinfn/cms-ml", "/aiinfn/cms-ml/pi"]
LHCB, CMS = f"{LEAD}!group=/aiinfn/lhcb-flashsim", f"{LEAD}!group=/aiinfn/cms-ml"


def test_a_role_for_operators_and_one_for_each_activity_that_somebody_leads() -> None:
    found = {role["name"]: (role["groups"], role["scopes"]) for role in roles(PLATFORM)}
    assert found == {
        "aiinfn-operator": (["/aiinfn/admins"], [OPERATE]),
        "aiinfn-pi-lhcb-flashsim": (["/aiinfn/lhcb-flashsim/pi"], [LHCB]),
        "aiinfn-pi-cms-ml": (["/aiinfn/cms-ml/pi"], [CMS]),
    }


def test_jupyterhub_takes_their_names() -> None:
    assert all(_role_name_pattern.fullmatch(role["name"]) for role in roles(PLATFORM))
    assert all(_custom_scope_pattern.fullmatch(scope) for scope in SCOPES)
    assert {scope.partition("!")[0] for role in roles(PLATFORM) for scope in role["scopes"]} == set(SCOPES)


@pytest.mark.parametrize(
    ("scopes", "admin", "pi_of"),
    [
        pytest.param([OPERATE, LHCB, CMS, "self"], True, ("lhcb-flashsim", "cms-ml"), id="a token of everything"),
        pytest.param([], False, (), id="one of a session"),
        pytest.param([OPERATE], True, (), id="for the operator's work only"),
        pytest.param([CMS], False, ("cms-ml",), id="for one activity"),
        pytest.param([LEAD], False, ("lhcb-flashsim", "cms-ml"), id="for whatever one leads"),
        pytest.param([f"{LEAD}!group=/aiinfn"], False, (), id="a group above is another group"),
        pytest.param([f"{OPERATE}!user=ada"], False, (), id="a filter where there is none"),
        pytest.param(["admin:users", "access:services"], False, (), id="rights at the hub are others"),
    ],
)
def test_a_token_does_what_its_scopes_say(scopes: list[str], pi_of: tuple[str, ...], *, admin: bool) -> None:
    person = person_of(PLATFORM, "ada", ALL)
    found = narrowed(PLATFORM, person, scopes)
    assert (found.admin, found.pi_of) == (admin, pi_of)
    assert found.activities == person.activities, "a scientist's rights are there in any case"


def test_scopes_grant_nothing_that_groups_do_not() -> None:
    nobody = Person("eve", frozenset(), ())
    assert narrowed(PLATFORM, nobody, [OPERATE, LEAD, LHCB]) == nobody


def test_two_activities_of_one_group_have_their_own_pis() -> None:
    document = small_platform().model_dump(mode="json")
    first = document["activities"][0]
    second = first | {"name": "second", "pi_group": f"{first['group']}/others", "gid": 29999}
    document["activities"].append(second)
    platform = type(small_platform()).model_validate(document)
    other = person_of(platform, "ada", [second["pi_group"]])
    assert narrowed(platform, other, [f"{LEAD}!group={first['group']}"]).pi_of == ("second",)
