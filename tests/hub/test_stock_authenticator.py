"""What OAuthenticator's GenericOAuthenticator does with INDIGO IAM, case by case, and ours does not.

The first half of each test is there to fail when the stock class is mended: then the reason for ours is gone. The cases
are numbered as in the notes on the released stack.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import pytest
import pytest_asyncio
from oauthenticator.generic import GenericOAuthenticator
from support.hub import running_hub
from support.iam import CALLBACK, Answer, BreakableIam, Browser, running_iam
from support.iamusers import logged_in, made, settings_of, stock_settings
from tornado.httpclient import HTTPClientError
from tornado.web import HTTPError
from traitlets.config import Config

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.local.home import free_ports
from aiinfn_hub.local.iam.grants import Lifetimes

pytestmark = pytest.mark.asyncio
Maker = Callable[..., GenericOAuthenticator]


@pytest_asyncio.fixture
async def iam(tmp_path: Path, request: pytest.FixtureRequest) -> AsyncIterator[BreakableIam]:
    async with running_iam(tmp_path / "iam", lifetimes=getattr(request, "param", None)) as server:
        yield server


@pytest.fixture
def stock(iam: BreakableIam) -> Maker:
    known = stock_settings(iam.issuer, CALLBACK) | {"allowed_groups": {"aiinfn"}, "admin_groups": {"aiinfn/admins"}}
    return lambda **changes: GenericOAuthenticator(config=Config(GenericOAuthenticator=known | changes))


@pytest.fixture
def ours(iam: BreakableIam, tmp_path: Path) -> Maker:
    known = settings_of(iam.issuer, CALLBACK) | {"binding_file": str(tmp_path / "bindings.sqlite")}
    return lambda **changes: made(known, **changes)


async def test_v1_an_outage_raises(stock: Maker, ours: Maker, iam: BreakableIam) -> None:
    """JupyterHub then takes the person for a stranger and refuses the activity of running sessions."""
    one, other = stock(), ours()
    theirs, mine = await logged_in(one, iam), await logged_in(other, iam)
    iam.broken["/userinfo"] = Answer(503)
    with pytest.raises(HTTPClientError):
        await one.refresh_user(theirs)
    assert await other.refresh_user(mine) is True


async def test_v1_at_the_hub_the_activity_of_a_session_is_refused(tmp_path: Path) -> None:
    """What ours does there is in `test_authenticator_hub.py`."""
    port = free_ports(1)[0]
    callback = f"http://127.0.0.1:{port}/hub/oauth_callback"
    async with running_iam(tmp_path / "iam", redirect_uris=[callback]) as iam:
        settings = stock_settings(iam.issuer, callback) | {"allow_all": True, "auth_refresh_age": 1}
        with running_hub(tmp_path / "hub", port, ["list:users"], kind="generic-oauth", **settings) as hub:
            browser = Browser(iam, http=httpx.AsyncClient(follow_redirects=True, timeout=20))
            page = await browser.http.get(f"{hub.url}/oauth_login?next=/hub/token")
            await browser.submit(page, "pi", "pi")
            headers = {"X-XSRFToken": browser.http.cookies["_xsrf"]}
            made = await browser.http.post(f"{hub.url}/api/users/pi/tokens", headers=headers, json={})
            iam.broken["/userinfo"] = Answer(503)
            await asyncio.sleep(1.1)  # auth_refresh_age
            active = await browser.http.post(
                f"{hub.url}/api/users/pi/activity",
                headers={"Authorization": f"token {made.json()['token']}"},
                json={"last_activity": datetime.now(UTC).isoformat()},
            )
    assert active.status_code == 403, active.text


@pytest.mark.parametrize("iam", [Lifetimes(id_token=-2.0)], indirect=True)
async def test_v2_an_old_id_token_breaks_every_refresh_and_is_shown(
    stock: Maker, ours: Maker, iam: BreakableIam
) -> None:
    """ID tokens live for ten minutes at IAM; here for less than none, because ours allows for the clocks."""
    one, other = stock(), ours()
    theirs, mine = await logged_in(one, iam), await logged_in(other, iam)
    assert theirs.auth_state is not None
    asked = iam.seen["/token"]
    with pytest.raises(HTTPError) as raised:
        await stock(userdata_from_id_token=True, userdata_url="").refresh_user(theirs)
    assert raised.value.status_code == 500
    assert theirs.auth_state["token_response"]["id_token"] in str(raised.value)
    assert iam.seen["/token"] == asked, "the refresh token is not used"
    assert isinstance(await other.refresh_user(mine), dict)


async def test_v3_a_busy_moment_and_a_lost_connection_are_a_logout(
    stock: Maker, ours: Maker, iam: BreakableIam
) -> None:
    one, other = stock(), ours()
    theirs, mine = await logged_in(one, iam), await logged_in(other, iam)
    iam.broken = {"/userinfo": Answer(429), "/token": Answer(0)}
    assert await one.refresh_user(theirs) is False
    assert await other.refresh_user(mine) is True


@pytest.mark.parametrize("iam", [Lifetimes(access=5.0)], indirect=True)
async def test_v4_a_token_with_five_seconds_left_is_kept(stock: Maker, ours: Maker, iam: BreakableIam) -> None:
    one, other = stock(), ours()
    theirs, mine = await logged_in(one, iam), await logged_in(other, iam)
    asked = iam.seen["/token"]
    assert isinstance(await one.refresh_user(theirs), dict)
    assert iam.seen["/token"] == asked
    assert isinstance(await other.refresh_user(mine), dict)
    assert iam.seen["/token"] == asked + 1


async def test_v5_a_claim_with_a_dot_in_its_name_is_never_found(stock: Maker, ours: Maker, iam: BreakableIam) -> None:
    theirs = await logged_in(stock(auth_state_groups_key="oauth_user.wlcg.groups", allow_all=True), iam)
    assert theirs.groups == []
    mine = await logged_in(ours(groups_profile="wlcg"), iam)
    assert [group.name for group in mine.groups] == ["/aiinfn", "/aiinfn/lhcb-flashsim"]


async def test_v6_a_text_comes_apart_into_its_letters(stock: Maker, ours: Maker, iam: BreakableIam) -> None:
    sub = iam.directory._accounts["scientist"].sub
    iam.broken["/userinfo"] = Answer(200, {"sub": sub, "preferred_username": "scientist", "groups": "admins"})
    theirs = await logged_in(stock(allow_all=True), iam)
    assert {group.name for group in theirs.groups} == set("admins")
    with pytest.raises(InvalidInput, match="not a list"):
        await logged_in(ours(), iam)


async def test_v7_a_missing_claim_takes_groups_and_rights(stock: Maker, ours: Maker, iam: BreakableIam) -> None:
    one, other = stock(), ours()
    theirs, mine = await logged_in(one, iam, username="operator"), await logged_in(other, iam, username="operator")
    before = mine.rights
    assert theirs.admin
    assert mine.admin
    sub = iam.directory._accounts["operator"].sub
    iam.broken["/userinfo"] = Answer(200, {"sub": sub, "preferred_username": "operator"})
    theirs.save(await one.refresh_user(theirs))
    assert theirs.rights == ([], False)
    mine.save(await other.refresh_user(mine))
    assert mine.rights == before


async def test_v14_who_lost_the_allowed_group_stays_in(stock: Maker, ours: Maker, iam: BreakableIam) -> None:
    one, other = stock(), ours()
    theirs, mine = await logged_in(one, iam), await logged_in(other, iam)
    iam.directory.change("scientist", groups=("/other",))
    for _ in range(3):
        model = await one.refresh_user(theirs)
        assert isinstance(model, dict), "nobody looks at allowed_groups again"
        theirs.save(model)
    mine.save(await other.refresh_user(mine))
    assert mine.rights == (["/other"], False)
    assert await other.refresh_user(mine) is False
