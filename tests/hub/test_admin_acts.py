"""Which requests to the hub are acts that somebody may have to answer for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.hub.admin_acts import act_of


@pytest.mark.parametrize(
    ("method", "path", "actor", "expected"),
    [
        ("DELETE", "/hub/api/users/ada/server", "olga", ("admin", "ada")),
        ("POST", "/hub/api/users/ada/servers/gpu", "olga", ("admin", "ada")),
        ("POST", "/hub/spawn/ada", "olga", ("admin", "ada")),
        ("DELETE", "/hub/aiinfn/tickets/ada/", "olga", ("admin", "ada")),
        ("POST", "/hub/api/shares/ada/", "olga", ("admin", "ada")),
        ("PATCH", "/hub/api/groups/x", "olga", ("admin", "")),
        ("POST", "/hub/api/shutdown", "olga", ("admin", "")),
        ("POST", "/hub/api/users/ada/tokens", "ada", ("hub-token", "ada")),
        ("DELETE", "/hub/api/users/ada/tokens/a3", "olga", ("hub-token", "ada")),
        ("DELETE", "/hub/api/users/ada/server", "ada", None),
        ("POST", "/hub/api/users/ada/activity", "ada", None),
        ("POST", "/hub/spawn", "ada", None),
        ("POST", "/hub/api/oauth2/token", "ada", None),
        ("POST", "/hub/api/users", "olga", ("admin", "")),
        ("POST", "/hub/oauth_login", "ada", None),
        ("POST", "/hub/api/users/ada/server", "", None),
        ("POST", "/hub/aiinfn/audit", "aiinfn", None),
        ("POST", "/hub/api/users/ada/tokensandmore", "ada", None),
    ],
)
def test_which_requests_are_acts(method: str, path: str, actor: str, expected: tuple[str, str] | None) -> None:
    act = act_of(method, path, 201, actor, "user")
    assert (act and (act.what, act.about)) == expected
    if act is not None:
        assert (act.actor, act.done, act.why) == (actor, True, f"{method} {path}")


def test_a_service_is_named_as_one_and_a_refusal_as_such() -> None:
    act = act_of("POST", "/hub/api/users/ada/server", 403, "aiinfn", "service")
    assert act is not None
    assert (act.actor, act.done, act.facts) == ("service aiinfn", False, {"status": 403})


@given(st.text(), st.text())
def test_any_path_is_judged(path: str, actor: str) -> None:
    act = act_of("POST", path, 200, actor, "user")
    assert act is None or actor
