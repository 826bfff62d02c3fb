"""When somebody may not go on with what was started: the table of it."""

from __future__ import annotations

import pytest
from support.small_platform import small_platform

from aiinfn_hub.identity.hubapi import HubStanding
from aiinfn_hub.identity.lapse import lapse
from aiinfn_hub.identity.person import person_of

PLATFORM = small_platform()
IN, OUT, NOWHERE = ("/aiinfn", "/aiinfn/lhcb"), ("/aiinfn",), ("/other",)


def standing(reason: str, *, over: bool = False) -> HubStanding:
    return HubStanding(reason=reason, since=1.0, over=over, sentence="It says so.", next_step="Ask.")


@pytest.mark.parametrize(
    ("groups", "stands", "expected"),
    [
        pytest.param(IN, None, None, id="who is in the group goes on"),
        pytest.param(OUT, None, "activity", id="who has lost it does not"),
        pytest.param(NOWHERE, None, "groups", id="who is in no group that may enter does not"),
        pytest.param((), None, "groups", id="nor who is in none at all"),
        pytest.param((), standing("inactive"), "inactive", id="an account that is not active ends at once"),
        pytest.param(IN, standing("inactive"), "inactive", id="whatever groups are still known"),
        pytest.param((), standing("outage", over=True), None, id="an outage takes nothing that runs, however long"),
        pytest.param(OUT, standing("outage"), None, id="nor while its grace lasts"),
        pytest.param(IN, standing("aup"), None, id="a policy that is not signed ends nothing that runs"),
        pytest.param(IN, standing("expired"), None, id="nor a login that has aged"),
        pytest.param(IN, standing("ended"), None, id="nor one that was ended"),
        pytest.param(NOWHERE, standing("groups"), "groups", id="a person whom the platform file lets in no more"),
    ],
)
def test_who_may_not_go_on(groups: tuple[str, ...], stands: HubStanding | None, expected: str | None) -> None:
    activity = PLATFORM.activities[0]
    assert activity.group == "/aiinfn/lhcb"
    found = lapse(PLATFORM, person_of(PLATFORM, "ada", groups), activity.name, stands)
    assert (found and found.kind) == expected
    if found is not None:
        assert found.at_once is (expected == "inactive")
        assert found.sentence.endswith((".", ")."))
        assert found.next_step


def test_a_name_that_the_platform_file_lost_ends_nothing() -> None:
    assert lapse(PLATFORM, person_of(PLATFORM, "ada", OUT), "renamed", None) is None


def test_the_group_is_named() -> None:
    found = lapse(PLATFORM, person_of(PLATFORM, "ada", OUT), PLATFORM.activities[0].name, None)
    assert found is not None
    assert "/aiinfn/lhcb" in found.sentence
