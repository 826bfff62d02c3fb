"""IamAuthenticator against the embedded IAM: who gets in, under which name, and what a refresh says."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
import pytest_asyncio
import yaml
from oauthenticator.generic import GenericOAuthenticator
from support.iam import CALLBACK, CLIENT_SECRET, Answer, BreakableIam, Browser, running_iam
from support.iamusers import Handler, User, logged_in, login, made, settings_of

from aiinfn_hub.catalogue import example_path
from aiinfn_hub.errors import AiinfnError, CatalogueInvalid, Forbidden, InvalidInput
from aiinfn_hub.hub.authenticator import IamAuthenticator
from aiinfn_hub.hub.checks import ABOUT_THE_TOKEN
from aiinfn_hub.identity.provider import Tokens
from aiinfn_hub.local.iam.grants import challenge_of

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def iam(tmp_path: Path) -> AsyncIterator[BreakableIam]:
    async with running_iam(tmp_path / "iam") as server:
        yield server


@pytest.fixture
def settings(iam: BreakableIam, tmp_path: Path) -> dict[str, Any]:
    return settings_of(iam.issuer, CALLBACK) | {"binding_file": str(tmp_path / "bindings.sqlite")}


@pytest.fixture
def authenticator(settings: dict[str, Any]) -> IamAuthenticator:
    return made(settings)


# --- who gets in ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        pytest.param(("/aiinfn",), "user", id="a member of the allowed group comes in"),
        pytest.param(("/aiinfn/cms-ml",), "user", id="a member below the allowed group comes in"),
        pytest.param(("/aiinfn", "/aiinfn/admins"), "admin", id="a member of the admin group operates"),
        pytest.param(("/aiinfn/admins",), "admin", id="the admin group alone is enough"),
        pytest.param(("/aiinfn/admins/trainees",), "user", id="a group below the admin group operates nothing"),
        pytest.param(("/aiinfn/lhcb/admins",), "user", id="another group called admins operates nothing"),
        pytest.param((), "refused", id="no group at all is refused"),
        pytest.param(("/other",), "refused", id="a foreign group is refused"),
        pytest.param(("/aiinfn-friends",), "refused", id="a name that only begins like the group is refused"),
        pytest.param(("/other/aiinfn",), "refused", id="the name at another place of the tree is refused"),
        pytest.param(("/AIINFN",), "refused", id="capital letters make another group"),
    ],
)
@pytest.mark.parametrize("profile", ["iam", "wlcg", ""])
async def test_access(
    settings: dict[str, Any], iam: BreakableIam, groups: tuple[str, ...], expected: str, profile: str
) -> None:
    iam.directory.change("scientist", groups=groups)
    authenticator = made(settings, groups_profile=profile)
    if expected == "refused":
        with pytest.raises(Forbidden):
            await login(authenticator, iam)
    else:
        model = await login(authenticator, iam)
        assert model["admin"] is (expected == "admin")
        assert model["groups"] == sorted(groups)


async def test_a_refusal_names_the_group_and_whom_to_ask(settings: dict[str, Any], iam: BreakableIam) -> None:
    with pytest.raises(Forbidden) as refused:
        await login(made(settings, contact="ops@aiinfn.invalid"), iam, "outsider")
    assert "/aiinfn," in refused.value.message
    assert "/other" in refused.value.message
    assert "ops@aiinfn.invalid" in refused.value.hint
    with pytest.raises(Forbidden, match=iam.issuer):
        await login(made(settings), iam, "outsider")


async def test_jupyterhubs_own_allow_lists_still_work(settings: dict[str, Any], iam: BreakableIam) -> None:
    assert (await login(made(settings, allowed_users={"outsider"}), iam, "outsider"))["groups"] == ["/other"]
    assert (await login(made(settings, admin_users={"scientist"}), iam))["admin"] is True


async def test_a_blocked_user_stays_out(settings: dict[str, Any], iam: BreakableIam) -> None:
    authenticator = made(settings, blocked_users={"scientist"})
    browser = Browser(iam)
    code = await browser.code(nonce=challenge_of(browser.verifier))
    assert await authenticator.get_authenticated_user(Handler(code, browser.verifier), None) is None


async def test_who_may_enter_changes_with_the_platform_file(
    settings: dict[str, Any], iam: BreakableIam, tmp_path: Path
) -> None:
    path = tmp_path / "platform.yaml"
    platform = yaml.safe_load(example_path().read_text())
    path.write_text(yaml.safe_dump(platform))
    authenticator = made(settings, platform_file=str(path))
    with pytest.raises(Forbidden):
        await login(authenticator, iam, "outsider")
    platform["access"]["allowed_groups"].append("/other")
    path.write_text(yaml.safe_dump(platform))
    assert (await login(authenticator, iam, "outsider"))["name"] == "outsider"


async def test_a_login_without_the_claim_of_the_groups_is_refused(settings: dict[str, Any], iam: BreakableIam) -> None:
    """V7: a missing claim is not an empty list; V5: a dot in the name of a claim is only a dot."""
    authenticator = made(settings, groups_profile="wlcg")
    assert (await login(authenticator, iam))["groups"] == ["/aiinfn", "/aiinfn/lhcb-flashsim"]
    with pytest.raises(AiinfnError, match="does not say which groups"):
        await login(authenticator, iam, scope="openid profile")


async def test_a_text_instead_of_groups_is_refused(authenticator: IamAuthenticator, iam: BreakableIam) -> None:
    """V6: it would come apart into its letters."""
    sub = iam.directory._accounts["scientist"].sub
    iam.broken["/userinfo"] = Answer(200, {"sub": sub, "preferred_username": "scientist", "groups": "aiinfn"})
    with pytest.raises(InvalidInput, match="groups is str"):
        await login(authenticator, iam)


# --- what a login proves ---------------------------------------------------------------------------------------------


async def test_userinfo_of_another_person_is_refused(authenticator: IamAuthenticator, iam: BreakableIam) -> None:
    iam.broken["/userinfo"] = Answer(200, {"sub": "another", "groups": ["aiinfn"]})
    with pytest.raises(AiinfnError, match="another person"):
        await login(authenticator, iam)


async def test_an_id_token_of_another_login_is_refused(authenticator: IamAuthenticator, iam: BreakableIam) -> None:
    browser = Browser(iam)
    code = await browser.code(nonce="another")
    with pytest.raises(AiinfnError, match="another login"):
        await authenticator.get_authenticated_user(Handler(code, browser.verifier), None)


async def test_a_code_that_was_used_is_refused(authenticator: IamAuthenticator, iam: BreakableIam) -> None:
    browser = Browser(iam)
    handler = Handler(await browser.code(nonce=challenge_of(browser.verifier)), browser.verifier)
    await authenticator.get_authenticated_user(handler, None)
    with pytest.raises(AiinfnError) as refused:
        await authenticator.get_authenticated_user(handler, None)
    assert refused.value.status == 401


async def test_auth_state_keeps_tokens_and_claims(authenticator: IamAuthenticator, iam: BreakableIam) -> None:
    state = (await login(authenticator, iam))["auth_state"]
    assert state["refresh_token"]
    assert state["id_claims"]["sub"] == state["oauth_user"]["sub"] == state["sub"]
    assert 3500 < state["expires_at"] - time.time() <= 3600
    assert "wlcg.groups" in state["scope"]
    assert "id_token" not in state, "its claims are enough, and cannot be used against us"


async def test_an_optional_group_is_asked_for_by_the_platform_file(
    settings: dict[str, Any], iam: BreakableIam, tmp_path: Path
) -> None:
    """A group with the label wlcg.optional-group is named to nobody who does not ask."""
    iam.directory.change("scientist", groups=("/aiinfn",), optional_groups=("/aiinfn/pilot", "/aiinfn/secret"))
    plain = made(settings)
    assert (await login(plain, iam, scope=" ".join(plain.login_scope)))["groups"] == ["/aiinfn"]
    platform = yaml.safe_load(example_path().read_text())
    platform["access"]["optional_groups"] = ["/aiinfn/pilot", "/aiinfn/not-mine"]
    path = tmp_path / "platform.yaml"
    path.write_text(yaml.safe_dump(platform))
    asking = made(settings, platform_file=str(path), groups_profile="wlcg")
    user = await logged_in(asking, iam, scope=" ".join(asking.login_scope))
    assert [group.name for group in user.groups] == ["/aiinfn", "/aiinfn/pilot"]
    user.save(await asking.refresh_user(user))
    assert [group.name for group in user.groups] == ["/aiinfn", "/aiinfn/pilot"], "a refresh keeps what was asked for"


async def test_an_access_token_of_another_person_ends_no_login(
    settings: dict[str, Any], iam: BreakableIam, monkeypatch: pytest.MonkeyPatch
) -> None:
    authenticator = made(settings, auth_refresh_age=7200)
    user = await logged_in(authenticator, iam)
    sign = iam.keys.sign
    monkeypatch.setattr(iam.keys, "sign", lambda claims: sign(claims | ({} if "nonce" in claims else {"sub": "x"})))
    with pytest.raises(AiinfnError, match="access token is not good"):
        await login(authenticator, iam)
    before = user.rights
    user.save(await authenticator.refresh_user(user))
    assert user.rights == before


# --- names ----------------------------------------------------------------------------------------------------------


async def test_a_person_who_is_renamed_keeps_the_old_name(authenticator: IamAuthenticator, iam: BreakableIam) -> None:
    await login(authenticator, iam)
    account = iam.directory._accounts.pop("scientist")
    iam.directory.put(replace(account, username="ada", password="ada"))
    assert (await login(authenticator, iam, "ada"))["name"] == "scientist"


@pytest.mark.parametrize("other", ["Scientist", "scientist.", "s\u0063ientist\u0301", " scientist"])
async def test_another_person_whose_name_reads_the_same_is_refused(
    authenticator: IamAuthenticator, iam: BreakableIam, other: str
) -> None:
    await login(authenticator, iam)
    account = replace(iam.directory._accounts["pi"], username=other.strip(), password="pi")
    iam.directory.put(account)
    sub = account.sub
    iam.broken["/userinfo"] = Answer(200, {"sub": sub, "preferred_username": other, "groups": ["aiinfn"]})
    with pytest.raises(Forbidden, match="belongs to somebody else"):
        await login(authenticator, iam, "pi")


async def test_a_refused_person_takes_no_name(authenticator: IamAuthenticator, iam: BreakableIam) -> None:
    with pytest.raises(Forbidden):
        await login(authenticator, iam, "outsider")
    iam.broken["/userinfo"] = Answer(
        200,
        {"sub": iam.directory._accounts["pi"].sub, "preferred_username": "outsider", "groups": ["aiinfn"]},
    )
    assert (await login(authenticator, iam, "pi"))["name"] == "outsider"


async def test_no_name_at_all_gives_one_made_from_the_subject(
    authenticator: IamAuthenticator, iam: BreakableIam
) -> None:
    sub = iam.directory._accounts["pi"].sub
    iam.broken["/userinfo"] = Answer(200, {"sub": sub, "groups": ["aiinfn"]})
    assert (await login(authenticator, iam, "pi"))["name"].startswith("user-")


# --- refresh --------------------------------------------------------------------------------------------------------


async def test_a_refresh_brings_the_groups_of_now(authenticator: IamAuthenticator, iam: BreakableIam) -> None:
    user = await logged_in(authenticator, iam)
    iam.directory.change("scientist", groups=("/aiinfn", "/aiinfn/admins"))
    user.save(await authenticator.refresh_user(user))
    assert user.rights == (["/aiinfn", "/aiinfn/admins"], True)
    iam.directory.change("scientist", groups=("/aiinfn",))
    user.save(await authenticator.refresh_user(user))
    assert user.rights == (["/aiinfn"], False)


async def test_who_lost_every_group_loses_the_rights_first_and_then_the_login(
    authenticator: IamAuthenticator, iam: BreakableIam
) -> None:
    user = await logged_in(authenticator, iam, username="operator")
    iam.directory.change("operator", groups=("/other",))
    user.save(await authenticator.refresh_user(user))
    assert user.rights == (["/other"], False)
    assert await authenticator.refresh_user(user) is False


async def test_a_refresh_without_the_claim_changes_nothing(authenticator: IamAuthenticator, iam: BreakableIam) -> None:
    """V7: neither the groups nor the rights of an operator are wiped."""
    user = await logged_in(authenticator, iam, username="operator")
    before = user.rights
    assert user.auth_state is not None
    iam.broken["/userinfo"] = Answer(200, {"sub": user.auth_state["sub"]})
    user.save(await authenticator.refresh_user(user))
    assert user.rights == before
    assert user.rights[1] is True


async def test_a_refresh_with_a_text_for_groups_changes_nothing(
    authenticator: IamAuthenticator, iam: BreakableIam
) -> None:
    """V6, and the new tokens of that refresh are not lost."""
    user = await logged_in(authenticator, iam)
    before = user.rights
    assert user.auth_state is not None
    old, user.auth_state["expires_at"] = user.auth_state["access_token"], 0.0
    iam.broken["/userinfo"] = Answer(200, {"sub": user.auth_state["sub"], "groups": "aiinfn"})
    user.save(await authenticator.refresh_user(user))
    assert user.rights == before
    assert user.auth_state["access_token"] != old


BREAKS = [
    pytest.param({"/userinfo": Answer(503)}, True, id="userinfo answers 503"),
    pytest.param({"/userinfo": Answer(429)}, True, id="userinfo has no time"),
    pytest.param({"/userinfo": Answer(0)}, True, id="the connection breaks"),
    pytest.param({"/userinfo": Answer(200, "<html>")}, True, id="a captive portal answers"),
    pytest.param({"/userinfo": Answer(302)}, True, id="a redirect is not followed"),
    pytest.param({"/userinfo": Answer(403)}, True, id="the client lacks a right"),
    pytest.param({"/userinfo": Answer(401), "/token": Answer(503)}, True, id="the token is dead, no new one today"),
    pytest.param({"/userinfo": Answer(429), "/token": Answer(0)}, True, id="V3: no time, then no connection"),
    pytest.param({"/userinfo": Answer(401), "/token": Answer(0)}, True, id="no connection for a new token"),
    pytest.param(
        {"/userinfo": Answer(401), "/token": Answer(401, {"error": "invalid_client"})},
        True,
        id="the hub's secret was changed at the IAM: not the person's fault",
    ),
    pytest.param(
        {"/userinfo": Answer(401), "/token": Answer(400, {"error": "invalid_request"})},
        True,
        id="a request that the IAM does not understand: not the person's fault",
    ),
    pytest.param(
        {"/userinfo": Answer(401), "/token": Answer(400, {"error": "invalid_grant"})},
        False,
        id="the refresh token was revoked",
    ),
    pytest.param(
        {"/userinfo": Answer(200, {"sub": "another", "groups": ["aiinfn"]})},
        False,
        id="the token belongs to another person",
    ),
]


@pytest.mark.parametrize(("broken", "expected"), BREAKS)
async def test_what_a_refresh_says(
    authenticator: IamAuthenticator, iam: BreakableIam, broken: dict[str, Answer], *, expected: bool
) -> None:
    user = await logged_in(authenticator, iam)
    before = user.rights
    # Answers are used up, so each test has its own.
    iam.broken = {path: replace(answer) for path, answer in broken.items()}
    assert await authenticator.refresh_user(user) is expected
    assert user.rights == before


async def test_an_iam_that_is_gone_logs_nobody_out(authenticator: IamAuthenticator, iam: BreakableIam) -> None:
    user = await logged_in(authenticator, iam)
    await iam.stop()
    assert await authenticator.refresh_user(user) is True


async def test_an_iam_that_hangs_holds_up_no_request_for_long(settings: dict[str, Any], iam: BreakableIam) -> None:
    authenticator = made(settings, refresh_patience=0.05)
    user = await logged_in(authenticator, iam)
    iam.broken["/userinfo"] = Answer(200, "slow", times=1)
    iam.slow["/userinfo"] = asyncio.Event()
    started = time.monotonic()
    assert await authenticator.refresh_user(user) is True
    assert time.monotonic() - started < 8
    iam.slow.pop("/userinfo").set()


async def test_tokens_that_come_too_late_are_saved_at_the_next_refresh(
    settings: dict[str, Any], iam: BreakableIam
) -> None:
    authenticator = made(settings, refresh_patience=0.05)
    user = await logged_in(authenticator, iam)
    assert user.auth_state is not None
    old = user.auth_state["access_token"]
    user.auth_state["expires_at"] = 0.0
    iam.slow["/token"] = asyncio.Event()
    assert await authenticator.refresh_user(user) is True
    iam.slow.pop("/token").set()
    authenticator.refresh_patience = 5.0
    user.save(await authenticator.refresh_user(user))
    assert user.auth_state["access_token"] != old
    assert iam.seen["/token"] == 2, "one for the login, one for the refresh"


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ("User needs to sign AUP for this organization in order to proceed.", "aup"),
        ("Refresh token revoked", "ended"),
        ("Expired refresh token: eyJ...", "expired"),
    ],
)
async def test_the_log_says_why_somebody_must_log_in_again(
    authenticator: IamAuthenticator,
    iam: BreakableIam,
    caplog: pytest.LogCaptureFixture,
    description: str,
    reason: str,
) -> None:
    user = await logged_in(authenticator, iam)
    iam.broken["/userinfo"] = Answer(401)
    iam.broken["/token"] = Answer(400, {"error": "invalid_grant", "error_description": description})
    with caplog.at_level(logging.INFO, logger=authenticator.log.name):
        assert await authenticator.refresh_user(user) is False
    assert f"must log in again: {reason}" in caplog.text
    standing = authenticator.standings.of(user.name)
    assert standing is not None
    assert standing.reason == reason


async def test_a_suspended_account_loses_the_rights_first_and_then_the_login(
    authenticator: IamAuthenticator, iam: BreakableIam
) -> None:
    user = await logged_in(authenticator, iam, username="operator")
    iam.directory.change("operator", active=False)
    iam.broken["/userinfo"] = Answer(401)
    user.save(await authenticator.refresh_user(user))
    assert user.rights == ([], False)
    assert await authenticator.refresh_user(user) is False
    standing = authenticator.standings.of(user.name)
    assert standing is not None
    assert standing.reason == "inactive"


@dataclass
class Request:
    """What JupyterHub's handler is used for when somebody is logged out."""

    hub: Any = field(default_factory=lambda: SimpleNamespace(base_url="/hub/"))
    cookies: dict[str, str] = field(default_factory=dict)

    def set_cookie(self, name: str, value: str, *, path: str, max_age: int, samesite: str) -> None:
        assert (path, max_age, samesite) == ("/hub/", 600, "Lax")
        self.cookies[name] = value


async def test_the_login_page_is_told_why(authenticator: IamAuthenticator, iam: BreakableIam) -> None:
    user, request = await logged_in(authenticator, iam), Request()
    await authenticator.refresh_user(user, request)
    assert request.cookies == {}
    iam.broken["/userinfo"] = Answer(401)
    iam.broken["/token"] = Answer(400, {"error": "invalid_grant", "error_description": "needs to sign AUP"})
    assert await authenticator.refresh_user(user, request) is False
    assert request.cookies == {"aiinfn-standing": "aup"}


# --- an outage is not a logout -------------------------------------------------------------------------------------


@pytest.mark.parametrize("username", ["scientist", "operator"])
async def test_rights_outlive_the_iams_last_word_for_the_grace_and_no_longer(
    settings: dict[str, Any], iam: BreakableIam, username: str
) -> None:
    authenticator = made(settings, outage_grace=3600.0)
    user = await logged_in(authenticator, iam, username=username)
    before = user.rights
    assert user.auth_state is not None
    heard_at = user.auth_state["heard_at"]
    iam.broken["/userinfo"] = Answer(503)
    assert await authenticator.refresh_user(user) is True
    assert user.rights == before
    standing = authenticator.standings.of(user.name)
    assert standing is not None
    assert (standing.reason, standing.until, standing.over) == ("outage", heard_at + 3600.0, False)

    user.auth_state["heard_at"] -= 4000.0
    restarted = made(settings, outage_grace=3600.0)
    user.save(await restarted.refresh_user(user))
    assert user.rights == ([], False), "a restart of the hub does not renew the grace"
    assert await restarted.refresh_user(user) is True, "the login stays, and what is known of it"
    iam.broken.clear()
    user.save(await restarted.refresh_user(user))
    assert user.rights == before
    assert restarted.standings.of(user.name) is None


async def test_new_tokens_are_saved_also_after_the_grace(settings: dict[str, Any], iam: BreakableIam) -> None:
    """The tokens say that the login is alive, not what groups there are."""
    authenticator = made(settings, outage_grace=3600.0)
    user = await logged_in(authenticator, iam)
    assert user.auth_state is not None
    old = user.auth_state["access_token"]
    user.auth_state |= {"heard_at": 0.0, "expires_at": 0.0}
    iam.broken["/userinfo"] = Answer(503)
    proves(authenticator, "")
    user.save(await authenticator.refresh_user(user))
    assert user.rights == ([], False)
    assert user.auth_state["access_token"] != old


async def test_an_operator_by_name_stays_one(settings: dict[str, Any], iam: BreakableIam) -> None:
    """JupyterHub's own setting does not come from the IAM, and somebody must be able to look."""
    authenticator = made(settings, outage_grace=3600.0, admin_users={"scientist"})
    user = await logged_in(authenticator, iam)
    assert user.auth_state is not None
    user.auth_state["heard_at"] = 0.0
    await iam.stop()
    user.save(await authenticator.refresh_user(user))
    assert user.rights == ([], True)
    assert await authenticator.refresh_user(user) is True


def proves(authenticator: IamAuthenticator, id_token: str) -> None:
    """Another ID token with each refresh, or none, as some login providers have it."""
    refresh = authenticator.provider.refresh

    async def refreshed(refresh_token: str, scope: str = "") -> Tokens:
        return msgspec.structs.replace(await refresh(refresh_token, scope), id_token=id_token)

    authenticator.provider.refresh = refreshed


async def test_a_refresh_is_one_request_and_tells_the_groups_of_now(
    authenticator: IamAuthenticator, iam: BreakableIam
) -> None:
    user = await logged_in(authenticator, iam)
    assert user.auth_state is not None
    user.auth_state |= {"expires_at": 0.0}
    user.auth_state["oauth_user"] |= {"groups": ["aiinfn/of-before"], "eppn": "ada@infn"}
    iam.directory.change("scientist", groups=("/aiinfn", "/aiinfn/cms-ml"))
    asked = sum(iam.seen.values())
    user.save(await authenticator.refresh_user(user))
    assert sum(iam.seen.values()) == asked + 1
    assert user.rights == (["/aiinfn", "/aiinfn/cms-ml"], False)
    assert user.auth_state["oauth_user"]["eppn"] == "ada@infn"
    assert not ABOUT_THE_TOKEN & user.auth_state["oauth_user"].keys()


@pytest.mark.parametrize("proof", ["", "no.id.token", "of another person"])
async def test_userinfo_is_asked_where_the_id_token_says_nothing(
    authenticator: IamAuthenticator, iam: BreakableIam, proof: str
) -> None:
    user = await logged_in(authenticator, iam)
    assert user.auth_state is not None
    if proof == "of another person":
        other = await logged_in(authenticator, iam, username="pi")
        assert other.auth_state is not None
        proof = (await authenticator.provider.refresh(other.auth_state["refresh_token"])).id_token
        assert proof
    proves(authenticator, proof)
    user.auth_state["expires_at"] = 0.0
    asked = iam.seen["/userinfo"]
    user.save(await authenticator.refresh_user(user))
    assert iam.seen["/userinfo"] == asked + 1
    assert user.rights == (["/aiinfn", "/aiinfn/lhcb-flashsim"], False)


async def test_a_token_that_will_not_last_is_renewed(authenticator: IamAuthenticator, iam: BreakableIam) -> None:
    """V4: one with five seconds left still opens userinfo, and is no use to anybody."""
    user = await logged_in(authenticator, iam)
    assert user.auth_state is not None
    old = dict(user.auth_state)
    user.auth_state["expires_at"] = time.time() + 5
    user.save(await authenticator.refresh_user(user))
    assert user.auth_state["access_token"] != old["access_token"]
    assert user.auth_state["refresh_token"] == old["refresh_token"]
    assert user.auth_state["expires_at"] > time.time() + 3000


async def test_a_token_that_lasts_is_kept(authenticator: IamAuthenticator, iam: BreakableIam) -> None:
    """V2: the ID token is not asked for again, so its ten minutes do not matter."""
    user = await logged_in(authenticator, iam)
    assert user.auth_state is not None
    old = dict(user.auth_state)
    user.auth_state["id_claims"]["exp"] = time.time() - 100
    user.save(await authenticator.refresh_user(user))
    assert user.auth_state["access_token"] == old["access_token"]
    assert iam.seen["/token"] == 1, "only the login"


async def test_new_tokens_are_saved_although_userinfo_fails(authenticator: IamAuthenticator, iam: BreakableIam) -> None:
    user = await logged_in(authenticator, iam)
    before, old = user.rights, dict(user.auth_state or {})
    iam.broken["/userinfo"] = Answer(401)
    user.save(await authenticator.refresh_user(user))
    assert user.auth_state is not None
    assert user.auth_state["access_token"] != old["access_token"]
    assert user.rights == before


async def test_without_a_refresh_token_the_iams_word_on_the_access_token_counts(
    authenticator: IamAuthenticator, iam: BreakableIam
) -> None:
    user = await logged_in(authenticator, iam, scope="openid profile")
    user.save(await authenticator.refresh_user(user))
    iam.broken["/userinfo"] = Answer(503)
    assert await authenticator.refresh_user(user) is True
    iam.broken["/userinfo"] = Answer(401)
    assert await authenticator.refresh_user(user) is False


@pytest.mark.parametrize("state", [None, {}, {"access_token": "x"}, {"token_response": {"access_token": "x"}}])
async def test_somebody_of_whom_no_tokens_are_kept_logs_in_again(
    authenticator: IamAuthenticator, state: dict[str, Any] | None
) -> None:
    assert await authenticator.refresh_user(User("scientist", auth_state=state)) is False


async def test_requests_at_the_same_time_share_one_refresh(authenticator: IamAuthenticator, iam: BreakableIam) -> None:
    user = await logged_in(authenticator, iam)
    assert user.auth_state is not None
    user.auth_state["expires_at"] = 0.0
    models = await asyncio.gather(*(authenticator.refresh_user(user) for _ in range(5)))
    assert iam.seen["/token"] == 2, "one for the login, one for all of them"
    assert len({model["auth_state"]["access_token"] for model in models if isinstance(model, dict)}) == 1
    user.save(models[-1])
    user.save(await authenticator.refresh_user(user))


async def test_a_bug_of_ours_logs_nobody_out(
    authenticator: IamAuthenticator, iam: BreakableIam, caplog: pytest.LogCaptureFixture
) -> None:
    user = await logged_in(authenticator, iam)
    user.auth_state = {"sub": "x", "access_token": object(), "expires_at": "never"}
    assert await authenticator.refresh_user(user) is True
    assert "Traceback" in caplog.text


async def test_no_token_is_ever_logged(
    authenticator: IamAuthenticator, iam: BreakableIam, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    user = await logged_in(authenticator, iam)
    assert user.auth_state is not None
    secret_words = {CLIENT_SECRET, user.auth_state["access_token"], user.auth_state["refresh_token"]}
    for broken in (Answer(503), Answer(401), Answer(200, "<html>")):
        iam.broken["/userinfo"] = broken
        result = await authenticator.refresh_user(user)
        if isinstance(result, dict):
            secret_words.add(result["auth_state"]["access_token"])
            user.save(result)
    assert not [word for word in secret_words if word in caplog.text]


# --- the audit ------------------------------------------------------------------------------------------------------


async def test_logins_refusals_and_changed_rights_are_acts(settings: dict[str, Any], iam: BreakableIam) -> None:
    authenticator = made(settings)
    user = await logged_in(authenticator, iam)
    with pytest.raises(Forbidden):
        await login(authenticator, iam, "outsider")
    iam.directory.change("scientist", groups=("/aiinfn", "/aiinfn/admins"))
    for _ in range(2):
        user.save(await authenticator.refresh_user(user))
    iam.directory.change("scientist", active=False)
    for _ in range(2):
        model = await authenticator.refresh_user(user)
        if isinstance(model, dict):
            user.save(model)
    acts = await authenticator.outbox.next([])
    assert [(act.what, act.about, act.done) for act in acts] == [
        ("login", "scientist", True),
        ("login-refused", "outsider", False),
        ("rights", "scientist", True),
        ("standing", "scientist", False),
        ("rights", "scientist", True),
    ]
    assert acts[2].facts == {"gained": ["/aiinfn/admins"], "lost": ["/aiinfn/lhcb-flashsim"], "admin": True}
    assert acts[3].facts == {"reason": "inactive"}
    assert acts[4].facts == {"gained": [], "lost": ["/aiinfn", "/aiinfn/admins"], "admin": False}
    assert user.auth_state is not None
    written = " ".join(act.line for act in acts)
    for secret in ("access_token", "refresh_token"):
        assert user.auth_state[secret] not in written


async def test_an_outage_is_nobodys_act_until_it_costs_rights(settings: dict[str, Any], iam: BreakableIam) -> None:
    authenticator = made(settings, outage_grace=0.3)
    user = await logged_in(authenticator, iam)
    iam.switches.silent = "unavailable"
    assert await authenticator.refresh_user(user) is True
    await asyncio.sleep(0.4)
    user.save(await authenticator.refresh_user(user))
    acts = (await authenticator.outbox.next([]))[1:]
    assert [(act.what, act.facts.get("reason")) for act in acts] == [("standing", "outage"), ("rights", None)]


# --- settings -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"issuer": ""}, InvalidInput, id="no issuer"),
        pytest.param({"issuer": "http://iam.example.org/"}, InvalidInput, id="an issuer without TLS"),
        pytest.param({"platform_file": ""}, InvalidInput, id="no platform file"),
        pytest.param({"client_id": ""}, InvalidInput, id="no client"),
        pytest.param({"enable_pkce": False}, InvalidInput, id="PKCE switched off"),
        pytest.param({"platform_file": __file__}, CatalogueInvalid, id="a platform file with mistakes"),
        pytest.param({"platform_file": "/nowhere"}, OSError, id="a platform file that is not there"),
    ],
)
async def test_mistakes_in_the_settings_stop_the_hub(
    settings: dict[str, Any], changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        made(settings, **changes)


async def test_the_hub_starts_without_the_iam(settings: dict[str, Any], iam: BreakableIam) -> None:
    await iam.stop()
    made(settings)
    assert iam.seen == {}


async def test_few_settings_of_our_own_and_each_explained() -> None:
    own = set(IamAuthenticator.class_traits(config=True)) - set(GenericOAuthenticator.class_traits(config=True))
    assert len(own) <= 10
    for name in own:
        assert len(IamAuthenticator.class_traits()[name].help) > 40, name


async def test_what_jupyterhub_needs_is_on_without_being_asked_for(authenticator: IamAuthenticator) -> None:
    assert authenticator.manage_groups
    assert authenticator.enable_auth_state
    assert authenticator.refresh_pre_spawn
    assert authenticator.enable_pkce
    assert authenticator.any_allow_config


# --- POSIX users ---------------------------------------------------------------------------------------------------


def with_posix(settings: dict[str, Any], tmp_path: Path, **posix: Any) -> dict[str, Any]:
    document = yaml.safe_load(example_path().read_text())
    document["posix"] = {"image": "docker.io/library/busybox:1.37", **posix}
    path = tmp_path / "with-posix.yaml"
    path.write_text(yaml.safe_dump(document))
    return settings | {"platform_file": str(path)}


async def test_a_login_allocates_a_user_number(settings: dict[str, Any], iam: BreakableIam, tmp_path: Path) -> None:
    authenticator = made(with_posix(settings, tmp_path))
    await login(authenticator, iam, "scientist")
    first = authenticator.uids.known("scientist")
    assert first is not None
    assert 200_000 <= first <= 999_999
    await login(authenticator, iam, "scientist")
    assert authenticator.uids.known("scientist") == first


async def test_without_posix_nobody_has_one(authenticator: IamAuthenticator, iam: BreakableIam) -> None:
    await login(authenticator, iam, "scientist")
    assert authenticator.uids.known("scientist") is None


async def test_who_has_no_number_at_the_iam_is_refused_and_told(
    settings: dict[str, Any], iam: BreakableIam, tmp_path: Path
) -> None:
    authenticator = made(with_posix(settings, tmp_path, claim="attr.uidNumber"))
    with pytest.raises(Forbidden, match=r"no user number for scientist \(claim attr.uidNumber\)"):
        await login(authenticator, iam, "scientist")
