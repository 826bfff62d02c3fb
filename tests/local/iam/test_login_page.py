"""The login page and the authorization endpoint, as a browser meets them."""

from __future__ import annotations

from dataclasses import replace

import httpx
import pytest
from support.iam import ACTION, CALLBACK, BreakableIam, Browser, sent_back

pytestmark = pytest.mark.asyncio


async def test_the_right_password_sends_the_browser_back_with_code_and_state(browser: Browser) -> None:
    answer = sent_back(await browser.submit(await browser.open(), "scientist", "scientist"))
    assert answer["state"] == "a state"
    assert len(answer["code"]) > 20


@pytest.mark.parametrize(
    ("username", "password"),
    [
        pytest.param("scientist", "wrong", id="a wrong password says so"),
        pytest.param("nobody", "scientist", id="an unknown name says the same"),
        pytest.param("", "", id="an empty form says the same"),
    ],
)
async def test_refused_logins(browser: Browser, username: str, password: str) -> None:
    page = await browser.submit(await browser.open(), username, password)
    assert page.status_code == 401
    assert 'role="alert"' in page.text
    assert "The username or the password is wrong." in page.text


async def test_a_second_authorization_needs_no_login(browser: Browser) -> None:
    first = await browser.code()
    second = sent_back(await browser.open())
    assert second["code"] not in {"", first}


async def test_prompt_login_asks_again_and_prompt_none_never_does(browser: Browser) -> None:
    assert sent_back(await browser.open(prompt="none"))["error"] == "login_required"
    await browser.code()
    assert "code" in sent_back(await browser.open(prompt="none"))
    assert (await browser.open(prompt="login")).status_code == 200


async def test_after_logout_the_page_asks_again(browser: Browser, iam: BreakableIam) -> None:
    await browser.code()
    stolen = dict(browser.http.cookies)
    page = await browser.http.get(f"{iam.issuer}authorize/logout")
    assert "Logged out" in page.text
    assert (await browser.open()).status_code == 200
    browser.http.cookies.update(stolen)
    assert (await browser.open()).status_code == 200, "the server forgets, not only the browser"


async def test_a_session_ends_by_itself(browser: Browser, iam: BreakableIam) -> None:
    await browser.code()
    iam._clock.now += 9 * 3600  # type: ignore[attr-defined]
    assert (await browser.open()).status_code == 200


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        pytest.param({"code_challenge": ""}, "invalid_request", id="PKCE is not optional"),
        pytest.param({"code_challenge_method": "plain"}, "invalid_request", id="a plain challenge is refused"),
        pytest.param({"code_challenge_method": ""}, "invalid_request", id="no method means plain and is refused"),
        pytest.param({"response_type": "token"}, "unsupported_response_type", id="the implicit flow is not there"),
        pytest.param({"scope": "profile"}, "invalid_scope", id="without openid it is not a login"),
    ],
)
async def test_a_wrong_request_is_told_to_the_client(browser: Browser, changes: dict[str, str], error: str) -> None:
    answer = sent_back(await browser.open(**changes))
    assert answer["error"] == error
    assert answer["state"] == "a state"


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"client_id": "another"}, id="an unknown client"),
        pytest.param({"redirect_uri": "http://evil.example/"}, id="a foreign redirect_uri"),
        pytest.param({"redirect_uri": CALLBACK + "/more"}, id="a longer redirect_uri"),
        pytest.param({"redirect_uri": CALLBACK.replace("http:", "HTTP:")}, id="another spelling of the redirect_uri"),
        pytest.param({"redirect_uri": ""}, id="no redirect_uri"),
    ],
)
async def test_nothing_is_sent_to_an_address_that_is_not_registered(browser: Browser, changes: dict[str, str]) -> None:
    page = await browser.open(**changes)
    assert page.status_code in {400, 403}
    assert "location" not in page.headers


async def test_a_form_of_another_site_is_refused(browser: Browser) -> None:
    page = await browser.open()
    refused = await browser.submit(page, "scientist", "scientist", csrf="guessed")
    assert refused.status_code == 403
    browser.http.cookies.clear()
    assert (await browser.submit(page, "scientist", "scientist")).status_code == 403


async def test_what_is_typed_and_what_is_asked_is_escaped(browser: Browser) -> None:
    nasty = '"><script>alert(1)</script>'
    page = await browser.submit(await browser.open(state=nasty, nonce=nasty), nasty, "wrong")
    assert "<script>" not in page.text
    assert ACTION.search(page.text)


async def test_the_page_can_do_nothing_but_be_sent(browser: Browser) -> None:
    page = await browser.open()
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "form-action 'self' http://127.0.0.1:8000" in policy
    assert "no-store" in page.headers["cache-control"]


async def test_the_page_can_be_used_with_a_screen_reader(browser: Browser) -> None:
    page = (await browser.open()).text
    assert '<html lang="en">' in page
    for name in ("username", "password"):
        assert f'<label for="{name}">' in page
        assert f'id="{name}"' in page
    assert 'autocomplete="current-password"' in page


async def test_cookies_are_for_the_login_page_only(browser: Browser) -> None:
    page = await browser.submit(await browser.open(), "scientist", "scientist")
    cookie = page.headers["set-cookie"]
    assert "Path=/authorize" in cookie
    assert "HttpOnly" in cookie
    assert "SameSite=Lax" in cookie


async def test_guessing_passwords_is_slowed_down(browser: Browser, iam: BreakableIam) -> None:
    page = await browser.open()
    for _ in range(5):
        await browser.submit(page, "pi", "wrong")
    blocked = await browser.submit(page, "pi", "pi")
    assert blocked.status_code == 429
    assert "Try again in 30 seconds" in blocked.text
    assert "code" in sent_back(await browser.submit(page, "scientist", "scientist")), "others are not held up"
    iam._clock.now += 31  # type: ignore[attr-defined]
    page = await browser.open(prompt="login")
    assert "code" in sent_back(await browser.submit(page, "pi", "pi"))


async def test_an_account_that_is_not_active_cannot_log_in(browser: Browser, iam: BreakableIam) -> None:
    scientist = await iam.directory.check("scientist", "scientist")
    assert scientist is not None
    iam.directory.put(replace(scientist, active=False))
    assert (await browser.submit(await browser.open(), "scientist", "scientist")).status_code == 401


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1"])
async def test_another_host_name_is_refused(iam: BreakableIam, host: str) -> None:
    async with httpx.AsyncClient() as http:
        answer = await http.get(f"{iam.issuer}.well-known/openid-configuration", headers={"Host": host})
    assert answer.status_code == 403
    assert "location" not in answer.headers
