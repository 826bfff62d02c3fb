"""The token endpoint and what uses its tokens: the behaviour of INDIGO IAM that the platform relies on."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet
from support.iam import CALLBACK, CLIENT_ID, CLIENT_SECRET, BreakableIam, Browser, Clock, running_iam

from aiinfn_hub.errors import Conflict, InvalidInput
from aiinfn_hub.local.iam import IamServer, demo_accounts

pytestmark = pytest.mark.asyncio


async def claims(browser: Browser, token: str) -> dict[str, Any]:
    keys = (await browser.http.get(f"{browser.iam.issuer}jwk")).json()
    return dict(jwt.decode(token, KeySet.import_key_set(keys), algorithms=["RS256"]).claims)


def exchange(code: str, browser: Browser, **changes: str) -> dict[str, str]:
    form = {"grant_type": "authorization_code", "code": code, "redirect_uri": CALLBACK}
    return form | {"code_verifier": browser.verifier} | changes


async def test_discovery_names_endpoints_that_answer(browser: Browser, iam: BreakableIam) -> None:
    document = (await browser.http.get(f"{iam.issuer}.well-known/openid-configuration")).json()
    assert document["issuer"] == iam.issuer
    assert document["issuer"].endswith("/")
    for name, url in document.items():
        if name.endswith(("_endpoint", "_uri")):
            assert (await browser.http.request("OPTIONS", url)).status_code == 405, name


async def test_a_login_gives_every_token(browser: Browser, iam: BreakableIam, clock: Clock) -> None:
    tokens = await browser.tokens()
    assert tokens["token_type"] == "Bearer"
    assert tokens["expires_in"] == 3600
    assert tokens["scope"] == "openid profile email offline_access wlcg.groups"
    identity = await claims(browser, tokens["id_token"])
    assert identity["iss"] == iam.issuer
    assert identity["aud"] == CLIENT_ID
    assert identity["nonce"] == "a nonce"
    assert identity["exp"] - clock.now == 600
    assert identity["groups"] == ["aiinfn", "aiinfn/lhcb-flashsim"]
    assert identity["wlcg.groups"] == ["/aiinfn", "/aiinfn/lhcb-flashsim"]
    access = await claims(browser, tokens["access_token"])
    assert access["exp"] - clock.now == 3600
    assert access["sub"] == identity["sub"]
    assert access["aud"] == "https://wlcg.cern.ch/jwt/v1/any"


async def test_no_public_key_has_a_private_part(browser: Browser, iam: BreakableIam) -> None:
    for key in (await browser.http.get(f"{iam.issuer}jwk")).json()["keys"]:
        assert set(key) == {"kty", "kid", "use", "alg", "n", "e"}


@pytest.mark.parametrize(
    ("scope", "present", "absent"),
    [
        pytest.param("openid", {"sub"}, {"groups", "wlcg.groups", "email", "name"}, id="openid gives the subject"),
        pytest.param("openid profile", {"groups", "name"}, {"wlcg.groups", "email"}, id="profile brings groups"),
        pytest.param("openid wlcg.groups", {"wlcg.groups"}, {"groups", "name"}, id="wlcg.groups brings its own"),
        pytest.param("openid email storage.stage:/", {"email"}, {"groups"}, id="an unknown scope is left out"),
    ],
)
async def test_claims_follow_the_granted_scope(
    browser: Browser, scope: str, present: set[str], absent: set[str]
) -> None:
    tokens = await browser.tokens(scope=scope)
    userinfo = (await browser.userinfo(tokens["access_token"])).json()
    identity = await claims(browser, tokens["id_token"])
    for found in (set(userinfo), set(identity)):
        assert present <= found
        assert not absent & found
    assert "storage.stage:/" not in tokens["scope"]
    assert "refresh_token" not in tokens, "offline_access was not asked for"


async def test_both_ways_of_client_authentication(browser: Browser, iam: BreakableIam) -> None:
    basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    answer = await browser.http.post(
        f"{iam.issuer}token",
        data=exchange(await browser.code(), browser),
        headers={"Authorization": f"Basic {basic}"},
    )
    assert answer.status_code == 200
    assert (await browser.token(exchange(await browser.code(), browser))).status_code == 200


@pytest.mark.parametrize("header", ["Basic !!!", "Basic " + base64.b64encode(b"aiinfn-hub:x").decode(), "Bearer x"])
async def test_a_client_that_proves_nothing_gets_nothing(browser: Browser, iam: BreakableIam, header: str) -> None:
    form = exchange(await browser.code(), browser)
    for path in ("token", "introspect", "revoke"):
        answer = await browser.http.post(f"{iam.issuer}{path}", data=form, headers={"Authorization": header})
        assert answer.status_code == 401
        assert answer.json()["error"] == "invalid_client"
    assert (await browser.token(form, secret="wrong")).status_code == 401


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"code_verifier": "x" * 43}, id="another verifier"),
        pytest.param({"code_verifier": ""}, id="no verifier"),
        pytest.param({"redirect_uri": CALLBACK + "2"}, id="another redirect_uri"),
        pytest.param({"code": "made up"}, id="a code that was never given"),
    ],
)
async def test_a_code_is_bound_to_its_request(browser: Browser, changes: dict[str, str]) -> None:
    form = exchange(await browser.code(), browser)
    answer = await browser.token(form | changes)
    assert answer.status_code == 400
    assert answer.json()["error"] == "invalid_grant"
    if "code" not in changes:
        assert (await browser.token(form)).status_code == 400, "one wrong try spends the code"


async def test_a_code_works_once_and_a_copy_ends_what_it_gave(browser: Browser) -> None:
    form = exchange(await browser.code(), browser)
    tokens = (await browser.token(form)).json()
    assert (await browser.token(form)).json()["error"] == "invalid_grant"
    assert (await browser.userinfo(tokens["access_token"])).status_code == 401
    assert (await browser.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_a_code_lives_a_minute(browser: Browser, clock: Clock) -> None:
    code = await browser.code()
    clock.now += 61
    assert (await browser.token(exchange(code, browser))).json()["error"] == "invalid_grant"


async def test_a_refresh_ends_earlier_access_tokens_and_keeps_the_refresh_token(browser: Browser) -> None:
    first = await browser.tokens()
    second = (await browser.refresh(first["refresh_token"])).json()
    assert second["refresh_token"] == first["refresh_token"]
    assert (await browser.userinfo(first["access_token"])).status_code == 401
    assert (await browser.userinfo(second["access_token"])).status_code == 200
    assert "nonce" not in await claims(browser, second["id_token"])


async def test_a_refresh_of_one_login_leaves_the_others_alone(browser: Browser) -> None:
    one, other = await browser.tokens(), await browser.tokens()
    await browser.refresh(one["refresh_token"])
    assert (await browser.userinfo(other["access_token"])).status_code == 200


async def test_a_refresh_narrows_the_scope_but_never_widens_it(browser: Browser) -> None:
    tokens = await browser.tokens(scope="openid profile offline_access")
    narrow = (await browser.refresh(tokens["refresh_token"], scope="openid")).json()
    assert narrow["scope"] == "openid"
    assert "groups" not in (await browser.userinfo(narrow["access_token"])).json()
    assert (await browser.refresh(tokens["refresh_token"], scope="openid email")).json()["error"] == "invalid_scope"
    again = (await browser.refresh(tokens["refresh_token"])).json()
    assert again["scope"] == "openid profile offline_access", "narrowing is for one token"


async def test_tokens_expire(browser: Browser, clock: Clock) -> None:
    tokens = await browser.tokens()
    clock.now += 3601
    assert (await browser.userinfo(tokens["access_token"])).status_code == 401
    clock.now += 31 * 86400
    assert (await browser.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"


async def test_a_suspended_account_is_refused_with_proof(browser: Browser, iam: BreakableIam) -> None:
    tokens = await browser.tokens()
    account = iam.directory.by_sub((await claims(browser, tokens["id_token"]))["sub"])
    iam.directory.put(replace(account, active=False))
    answer = (await browser.refresh(tokens["refresh_token"])).json()
    assert answer == {"error": "invalid_grant", "error_description": "User account is not active."}
    iam.directory.put(account)
    assert (await browser.refresh(tokens["refresh_token"])).status_code == 200, "refused is not ended"


async def test_userinfo_says_the_groups_of_now(browser: Browser, iam: BreakableIam) -> None:
    tokens = await browser.tokens()
    account = iam.directory.by_sub((await claims(browser, tokens["id_token"]))["sub"])
    iam.directory.put(replace(account, groups=("/aiinfn",)))
    assert (await browser.userinfo(tokens["access_token"])).json()["groups"] == ["aiinfn"]


async def test_introspection_and_revocation(browser: Browser, iam: BreakableIam) -> None:
    tokens = await browser.tokens()
    client = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}

    async def post(path: str, token: str) -> dict[str, Any]:
        return dict((await browser.http.post(f"{iam.issuer}{path}", data=client | {"token": token})).json())

    known = await post("introspect", tokens["access_token"])
    assert known["active"] is True
    assert known["iss"] == iam.issuer
    assert await post("introspect", tokens["id_token"]) == {"active": False}, "an ID token is no access token"
    assert await post("introspect", "nonsense") == {"active": False}
    await post("revoke", tokens["access_token"])
    assert await post("introspect", tokens["access_token"]) == {"active": False}
    await post("revoke", tokens["refresh_token"])
    assert (await browser.refresh(tokens["refresh_token"])).json()["error"] == "invalid_grant"
    assert await post("revoke", "nonsense") == {}


async def test_an_id_token_opens_no_userinfo(browser: Browser) -> None:
    tokens = await browser.tokens()
    assert (await browser.userinfo(tokens["id_token"])).status_code == 401


async def test_an_unknown_grant_type_is_refused(browser: Browser) -> None:
    assert (await browser.token({"grant_type": "password"})).json()["error"] == "unsupported_grant_type"


async def test_a_restart_keeps_keys_and_logins(tmp_path: Path) -> None:
    async with running_iam(tmp_path) as iam:
        browser = Browser(iam)
        tokens = await browser.tokens()
        port = int(iam.issuer.rstrip("/").rpartition(":")[2])
    async with running_iam(tmp_path, port=port):
        assert (await browser.userinfo(tokens["access_token"])).status_code == 200
        assert (await claims(browser, tokens["id_token"]))["preferred_username"] == "scientist"
        assert (await browser.refresh(tokens["refresh_token"])).status_code == 200


async def test_after_a_rotation_old_tokens_still_verify(browser: Browser, iam: BreakableIam) -> None:
    old = await browser.tokens()
    iam.keys.rotate()
    new = await browser.tokens()
    for tokens in (old, new):
        assert await claims(browser, tokens["id_token"])
    assert old["id_token"].partition(".")[0] != new["id_token"].partition(".")[0]


async def test_the_state_is_private_and_holds_no_usable_token(tmp_path: Path) -> None:
    state = tmp_path / "iam"
    async with running_iam(state) as iam:
        tokens = await Browser(iam).tokens()
    for path in state.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
        text = path.read_text()
        assert tokens["refresh_token"] not in text
        assert tokens["access_token"] not in text


@pytest.mark.parametrize("name", ["keys.json", "grants.json"])
async def test_a_state_that_cannot_be_read_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("{broken")
    with pytest.raises(InvalidInput, match=name):
        IamServer([], clients=[], state_dir=tmp_path)


async def test_a_port_in_use_is_named(tmp_path: Path, iam: BreakableIam) -> None:
    port = int(iam.issuer.rstrip("/").rpartition(":")[2])
    other = IamServer([], clients=[], state_dir=tmp_path / "other")
    with pytest.raises(Conflict, match=str(port)):
        await other.start("127.0.0.1", port)


async def test_the_demo_has_four_people_with_their_own_passwords() -> None:
    fixed, once, again = (demo_accounts(fixed_passwords=how) for how in (True, False, False))
    assert [account.role for account in fixed] == ["scientist", "pi", "operator", "outsider"]
    assert [account.sub for account in once] == [account.sub for account in again]
    passwords = {account.password for account in once + again}
    assert len(passwords) == 8
    assert all(len(password) == 12 for password in passwords)
    assert "password" not in repr(fixed[0])
