"""Token exchange as INDIGO IAM has it: impersonation, narrower, for an audience, and only where it is enabled."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from support.iam import CLIENT_ID, CLIENT_SECRET, JOBS_CLIENT, SCOPE, BreakableIam, Browser

from aiinfn_hub.local.iam.endpoints import ACCESS_TOKEN, EXCHANGE

pytestmark = pytest.mark.asyncio
WIDE = f"{SCOPE} storage.read:/ storage.modify:/"


async def exchange(browser: Browser, token: str, *, client: str = CLIENT_ID, **more: str) -> httpx.Response:
    form = {"grant_type": EXCHANGE, "subject_token": token, "subject_token_type": ACCESS_TOKEN}
    return await browser.token(form | more, client=client)


async def claims(browser: Browser, token: str) -> dict[str, Any]:
    keys = (await browser.http.get(f"{browser.iam.issuer}jwk")).json()
    return dict(jwt.decode(token, KeySet.import_key_set(keys), algorithms=["RS256"]).claims)


async def test_a_narrower_token_for_an_audience(browser: Browser, iam: BreakableIam) -> None:
    tokens = await browser.tokens(scope=WIDE)
    answer = await exchange(browser, tokens["access_token"], scope="storage.read:/", audience="https://dav.example.org")
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["scope"], said["issued_token_type"]) == ("storage.read:/", ACCESS_TOKEN)
    assert "refresh_token" not in said
    found = await claims(browser, said["access_token"])
    assert (found["aud"], found["client_id"]) == ("https://dav.example.org", CLIENT_ID)
    assert found["sub"] == (await claims(browser, tokens["access_token"]))["sub"]
    client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "token": said["access_token"]}
    seen = (await browser.http.post(f"{browser.iam.issuer}introspect", data=client)).json()
    assert (seen["active"], seen["aud"], seen["username"]) == (True, "https://dav.example.org", "scientist")
    iam.directory.change("scientist", active=False)
    assert (await browser.http.post(f"{browser.iam.issuer}introspect", data=client)).json() == {"active": False}


async def test_more_audiences_are_a_list(browser: Browser) -> None:
    tokens = await browser.tokens(scope=WIDE)
    answer = await exchange(browser, tokens["access_token"], scope="storage.read:/", audience="a b")
    assert (await claims(browser, answer.json()["access_token"]))["aud"] == ["a", "b"]


async def test_a_refresh_of_the_login_leaves_it_alive(browser: Browser) -> None:
    """It has no refresh token of its own, whose use would end it; the login's own access token is ended."""
    tokens = await browser.tokens(scope=WIDE)
    exchanged = (await exchange(browser, tokens["access_token"], scope="openid profile")).json()["access_token"]
    await browser.refresh(tokens["refresh_token"])
    assert (await browser.userinfo(exchanged)).status_code == 200
    assert (await browser.userinfo(tokens["access_token"])).status_code == 401


async def test_a_narrowed_refresh_is_ended_by_the_next_one(browser: Browser) -> None:
    """Which is why a broker prefers the exchange."""
    tokens = await browser.tokens(scope=WIDE)
    narrowed = (await browser.refresh(tokens["refresh_token"], scope="openid profile")).json()["access_token"]
    assert (await browser.userinfo(narrowed)).status_code == 200
    await browser.refresh(tokens["refresh_token"])
    assert (await browser.userinfo(narrowed)).status_code == 401


@pytest.mark.parametrize(
    ("client", "more", "error"),
    [
        pytest.param("plain", {}, "unsupported_grant_type", id="it is off unless an administrator enables it"),
        pytest.param(CLIENT_ID, {"actor_token": "x"}, "invalid_request", id="no delegation"),
        pytest.param(CLIENT_ID, {"scope": "openid offline_access"}, "access_denied", id="no refresh token for oneself"),
        pytest.param(CLIENT_ID, {"subject_token": "x"}, "invalid_grant", id="no token"),
        pytest.param(CLIENT_ID, {"scope": "storage.modify:/"}, "invalid_scope", id="no wider scope"),
    ],
)
async def test_what_is_refused(browser: Browser, client: str, more: dict[str, str], error: str) -> None:
    tokens = await browser.tokens(scope=f"{SCOPE} storage.read:/")
    answer = await exchange(browser, tokens["access_token"], client=client, **more)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


async def test_another_client_may_have_one_that_it_can_refresh(browser: Browser) -> None:
    tokens = await browser.tokens(scope=WIDE)
    scope = "openid profile offline_access"
    said = (await exchange(browser, tokens["access_token"], client=JOBS_CLIENT, scope=scope)).json()
    form = {"grant_type": "refresh_token", "refresh_token": said["refresh_token"]}
    assert (await browser.token(form, client=JOBS_CLIENT)).status_code == 200
    assert (await browser.token(form)).status_code == 400, "it is that client's"


@pytest.mark.parametrize(("changes", "words"), [({"active": False}, "not active"), ({"aup_signed": False}, "sign AUP")])
async def test_policy_and_account_are_looked_at(
    browser: Browser, iam: BreakableIam, changes: dict[str, Any], words: str
) -> None:
    tokens = await browser.tokens(scope=WIDE)
    iam.directory.change("scientist", **changes)
    answer = await exchange(browser, tokens["access_token"], scope="storage.read:/")
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert words in answer.json()["error_description"]
