"""What goes wrong at the turn of a switch, and what a client sees of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from support.iam import BreakableIam, Browser

pytestmark = pytest.mark.asyncio


@pytest.fixture
def token(tmp_path: Path, iam: BreakableIam) -> str:
    return (tmp_path / "switches.token").read_text()


async def turn(browser: Browser, token: str, **switches: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {token}"}
    return await browser.http.post(f"{browser.iam.issuer}switches", json=switches, headers=headers)


async def turned(browser: Browser, token: str, **switches: Any) -> None:
    answer = await turn(browser, token, **switches)
    assert answer.status_code == 200, answer.text


async def test_only_who_has_the_token_may_touch_them(browser: Browser, token: str, tmp_path: Path) -> None:
    assert (tmp_path / "switches.token").stat().st_mode & 0o077 == 0
    for wrong in ("x", token + "x"):
        assert (await turn(browser, wrong, silent="unavailable")).status_code == 401
    assert (await browser.tokens())["access_token"]


@pytest.mark.parametrize(
    ("switches", "status", "said"),
    [
        ({"silence": "unavailable"}, 400, "unknown field `silence`"),
        ({"silent": "off"}, 400, "Invalid enum value 'off'"),
        ({"account": "nobody", "active": False}, 404, "There are operator, outsider, pi, scientist."),
        ({"active": False}, 400, "Whose account?"),
        ({"account": "pi", "username": "scientist"}, 409, "There is an account 'scientist' already."),
    ],
)
async def test_a_wrong_switch_is_named(
    browser: Browser, token: str, switches: dict[str, Any], status: int, said: str
) -> None:
    answer = await turn(browser, token, **switches)
    assert answer.status_code == status
    assert said in answer.json()["error_description"]


@pytest.mark.parametrize(("silent", "status"), [("unavailable", 503), ("busy", 429)])
async def test_it_is_silent_for_everything_but_the_switches(
    browser: Browser, token: str, silent: str, status: int
) -> None:
    tokens = await browser.tokens()
    await turned(browser, token, silent=silent)
    assert (await browser.userinfo(tokens["access_token"])).status_code == status
    assert (await browser.refresh(tokens["refresh_token"])).status_code == status
    assert (await browser.open()).status_code == status
    await turned(browser, token, silent="")
    assert (await browser.userinfo(tokens["access_token"])).status_code == 200, "nothing was lost"


async def test_a_dropped_connection_and_a_slow_answer(iam: BreakableIam, browser: Browser, token: str) -> None:
    tokens = await browser.tokens()
    await turned(browser, token, silent="dropped")
    with pytest.raises(httpx.TransportError):
        await browser.userinfo(tokens["access_token"])
    await turned(browser, token, silent="slow")
    iam.switches.slow_s = 0.3
    began = time.monotonic()
    assert (await browser.userinfo(tokens["access_token"])).status_code == 200
    assert time.monotonic() - began >= 0.3


async def test_an_unsigned_policy_stops_refreshes_until_it_is_signed_at_a_login(browser: Browser, token: str) -> None:
    tokens = await browser.tokens()
    await turned(browser, token, account="scientist", aup_signed=False)
    refused = await browser.refresh(tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (400, "invalid_grant")
    assert "needs to sign AUP" in refused.json()["error_description"]
    assert (await browser.userinfo(tokens["access_token"])).status_code == 200, "a refused refresh ends nothing"

    page = await browser.open(prompt="login")
    page = await browser.submit(page, "scientist", "scientist")
    assert "Acceptable use policy" in page.text
    assert "Acceptable use policy" in (await browser.open()).text, "the session alone is not enough"
    signed = await browser.submit(page, "", "")
    assert signed.status_code == 303
    assert (await browser.refresh(tokens["refresh_token"])).status_code == 200


async def test_nobody_signs_for_somebody_else(browser: Browser, token: str) -> None:
    """The form of the policy needs the session of the person: without one it is a login that fails."""
    await turned(browser, token, account="scientist", aup_signed=False)
    page = await browser.submit(await browser.open(), "", "", aup="signed")
    assert page.status_code == 401


@pytest.mark.parametrize(
    ("switch", "refresh", "access"),
    [
        ({"active": False}, 400, 400),
        ({"end": "removed"}, 400, 401),
        ({"end": "revoked"}, 400, 401),
        ({"end": "expired"}, 400, 200),
    ],
    ids=str,
)
async def test_what_ends_a_login(
    browser: Browser, token: str, switch: dict[str, Any], refresh: int, access: int
) -> None:
    other = await Browser(browser.iam).tokens("pi")
    tokens = await browser.tokens()
    await turned(browser, token, account="scientist", **switch)
    refused = await browser.refresh(tokens["refresh_token"])
    assert (refused.status_code, refused.json()["error"]) == (refresh, "invalid_grant")
    assert (await browser.userinfo(tokens["access_token"])).status_code == access
    assert (await browser.refresh(other["refresh_token"])).status_code == 200, "others do not notice"


async def test_groups_and_names_change(browser: Browser, token: str) -> None:
    tokens = await browser.tokens()
    await turned(browser, token, account="scientist", groups=["/other"], username="ada")
    said = (await browser.userinfo(tokens["access_token"])).json()
    assert (said["groups"], said["preferred_username"]) == (["other"], "ada")
    another = Browser(browser.iam)
    assert (await another.submit(await another.open(), "ada", "scientist")).status_code == 303
    assert (await browser.refresh(tokens["refresh_token"])).status_code == 200, "it is the same person"


@pytest.mark.parametrize(("how", "published"), [("rotate", 2), ("withdraw", 1)])
async def test_keys_rotate(browser: Browser, token: str, how: str, published: int) -> None:
    await turned(browser, token, keys=how)
    keys = (await browser.http.get(f"{browser.iam.issuer}jwk")).json()["keys"]
    assert len(keys) == published
    assert keys[-1]["kid"] != "test"
    assert (await browser.tokens())["id_token"]


async def test_the_session_of_an_account_that_was_removed_is_over(browser: Browser, token: str) -> None:
    await browser.tokens()
    await turned(browser, token, account="scientist", end="removed")
    page = await browser.open()
    assert page.status_code == 200
    assert 'name="password"' in page.text
