"""The whole login through a real JupyterHub process and the embedded IAM."""

from __future__ import annotations

import asyncio
import re
import socket
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urljoin

import httpx
import pytest
import pytest_asyncio
from support.hub import RunningHub, running_hub
from support.iam import CLIENT_SECRET, Answer, BreakableIam, Browser, running_iam
from support.iamusers import settings_of

from aiinfn_hub.errors import NotFound, RemoteFailed
from aiinfn_hub.identity.hubapi import HubApi, HubUser, TokenJob, TokenJobs

#: Three parts of base64url, the first two of them JSON; three letters alone come about by chance.
JWT = re.compile(r"eyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]{8,}")
SCOPES = ["read:users:name", "read:users:groups", "read:servers", "list:users"]


@dataclass
class Site:
    """A hub and its IAM."""

    iam: BreakableIam
    hub: RunningHub
    #: The answer to a login before the IAM ran.
    early: httpx.Response

    async def user(self, name: str) -> HubUser:
        api = HubApi(f"{self.hub.url}/api", self.hub.token)
        try:
            return await api.user(name)
        finally:
            await api.close()

    async def login(self, username: str) -> tuple[Browser, httpx.Response]:
        browser = Browser(self.iam, http=httpx.AsyncClient(follow_redirects=True, timeout=20))
        page = await browser.http.get(f"{self.hub.url}/oauth_login?next=/hub/token")
        return browser, await browser.submit(page, username, username)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    folder = tmp_path_factory.mktemp("site")
    port, iam_port = free_port(), free_port()
    callback = f"http://127.0.0.1:{port}/hub/oauth_callback"
    settings = settings_of(f"http://127.0.0.1:{iam_port}/", callback) | {
        "contact": "ops@aiinfn.invalid",
        "auth_refresh_age": 1,
    }
    with running_hub(folder / "hub", port, SCOPES, **settings) as hub:
        async with httpx.AsyncClient() as http:
            early = await http.get(f"{hub.url}/oauth_login", timeout=20)
        async with running_iam(folder / "iam", port=iam_port, redirect_uris=[callback]) as iam:
            yield Site(iam, hub, early)


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_a_member_comes_in_with_groups_by_full_path(site: Site) -> None:
    _, page = await site.login("scientist")
    assert page.status_code == 200, page.text
    assert page.url.path == "/hub/token"
    user = await site.user("scientist")
    assert set(user.groups) == {"/aiinfn", "/aiinfn/lhcb-flashsim"}
    assert user.admin is False
    assert user.servers == {}


async def test_an_operator_is_an_admin_of_the_hub(site: Site) -> None:
    browser, _ = await site.login("operator")
    assert (await browser.http.get(f"{site.hub.url}/admin")).status_code == 200
    assert (await site.user("operator")).admin is True


async def test_an_outsider_reads_which_group_is_needed_and_whom_to_ask(site: Site) -> None:
    _, page = await site.login("outsider")
    assert page.status_code == 403
    for words in ("/aiinfn", "/other", "ops@aiinfn.invalid"):
        assert words in page.text
    assert "Traceback" not in page.text
    assert "Ask for membership at ops@aiinfn.invalid" in page.text
    with sqlite3.connect(site.hub.folder / "aiinfn-bindings.sqlite") as table:
        names = {row[0] for row in table.execute("SELECT name FROM binding")}
    assert "outsider" not in names, "whom we refuse takes no name"


async def test_after_a_refusal_somebody_else_can_log_in(site: Site) -> None:
    """The IAM remembers the person who was refused, and would send the same one for ever."""
    browser, refused = await site.login("outsider")
    assert (await browser.http.get(f"{site.hub.url}/oauth_login")).status_code == 403, "the same person again"
    link = re.search(r"href='([^']+)'>Log in as somebody else", refused.text)
    assert link, refused.text
    page = await browser.http.get(urljoin(site.hub.url, link[1]) + "&next=/hub/token")
    assert (await browser.submit(page, "scientist", "scientist")).status_code == 200


async def test_the_hub_starts_without_the_iam_and_says_so_at_a_login(site: Site) -> None:
    assert site.early.status_code == 503
    assert "does not answer" in site.early.text
    assert "sessions that run are not touched" in site.early.text


async def test_an_outage_of_the_iam_loses_no_activity_and_logs_nobody_out(site: Site) -> None:
    """V1: JupyterHub took everybody for a stranger, refused their activity, and the culler stopped busy sessions."""
    browser, _ = await site.login("pi")
    made = await browser.http.post(
        f"{site.hub.url}/api/users/pi/tokens", headers={"X-XSRFToken": browser.http.cookies["_xsrf"]}, json={}
    )
    assert made.status_code == 201, made.text
    site.iam.broken.update({"/userinfo": Answer(503), "/token": Answer(0)})
    await asyncio.sleep(1.1)  # auth_refresh_age
    asked = site.iam.seen["/userinfo"]
    try:
        active = await browser.http.post(
            f"{site.hub.url}/api/users/pi/activity",
            headers={"Authorization": f"token {made.json()['token']}"},
            json={"last_activity": datetime.now(UTC).isoformat()},
        )
        page = await browser.http.get(f"{site.hub.url}/token")
    finally:
        site.iam.broken.clear()
    assert active.status_code == 200, active.text
    assert page.status_code == 200
    assert "The login provider has not answered since" in page.text
    assert "has not answered" not in (await browser.http.get(f"{site.hub.url}/token")).text, "it answers again"
    assert page.url.path == "/hub/token", "not sent to the login"
    assert site.iam.seen["/userinfo"] > asked, "the IAM was asked"


async def test_a_group_that_is_lost_at_the_iam_is_lost_at_the_hub(site: Site) -> None:
    browser, _ = await site.login("operator")
    before = site.iam.directory._accounts["operator"].groups
    site.iam.directory.change("operator", groups=("/aiinfn",))
    await asyncio.sleep(1.1)  # auth_refresh_age
    await browser.http.get(f"{site.hub.url}/token")
    site.iam.directory.change("operator", groups=before)
    user = await site.user("operator")
    assert user.groups == ("/aiinfn",)
    assert user.admin is False


async def test_who_is_logged_out_reads_why_on_the_login_page(site: Site) -> None:
    """And a token of theirs is no way around it: `auth_refresh_strict`."""
    browser, _ = await site.login("pi")
    headers = {"X-XSRFToken": browser.http.cookies["_xsrf"]}
    made = await browser.http.post(f"{site.hub.url}/api/users/pi/tokens", headers=headers, json={})
    site.iam.broken["/userinfo"] = Answer(401)
    site.iam.broken["/token"] = Answer(400, {"error": "invalid_grant", "error_description": "User needs to sign AUP"})
    await asyncio.sleep(1.1)  # auth_refresh_age
    try:
        page = await browser.http.get(f"{site.hub.url}/token")
        bearer = {"Authorization": f"token {made.json()['token']}"}
        by_token = await httpx.AsyncClient().get(f"{site.hub.url}/api/user", headers=bearer)
    finally:
        site.iam.broken.clear()
    assert page.url.path == "/hub/login"
    assert browser.http.cookies["aiinfn-standing"] == "aup"
    assert "acceptable use policy" in page.text
    assert 'id="insecure-login-warning"' in page.text, "JupyterHub's own, which its script looks for"
    assert "next=%2Fhub%2Ftoken" in page.text, "the button leads back to where they wanted to go"
    assert by_token.status_code == 403


async def test_a_nonce_is_sent_and_the_challenge_is_s256(site: Site) -> None:
    async with httpx.AsyncClient() as http:
        sent = (await http.get(f"{site.hub.url}/oauth_login")).headers["location"]
    query = httpx.URL(sent).params
    assert sent.startswith(f"{site.iam.issuer}authorize?")
    assert query["code_challenge_method"] == "S256"
    assert query["nonce"]
    assert "offline_access" in query["scope"]


async def test_an_id_token_of_another_login_is_refused(site: Site) -> None:
    """The browser comes back with somebody else's code: PKCE and nonce are bound to its cookie."""
    browser = Browser(site.iam, http=httpx.AsyncClient(timeout=20))
    sent = (await browser.http.get(f"{site.hub.url}/oauth_login")).headers["location"]
    foreign = httpx.URL(sent).copy_set_param("nonce", "another")
    page = await browser.http.get(foreign)
    back = await browser.submit(page, "scientist", "scientist")
    answer = await browser.http.get(back.headers["location"])
    assert answer.status_code == 401
    assert "belongs to another login" in answer.text


async def test_the_login_page_says_that_the_iam_does_not_answer(site: Site) -> None:
    site.iam.broken["/token"] = Answer(503)
    try:
        _, page = await site.login("pi")
    finally:
        site.iam.broken.clear()
    assert page.status_code == 503
    assert "answers 503" in page.text
    assert "Try again in a few minutes" in page.text


async def test_what_the_iam_says_is_escaped(site: Site) -> None:
    async with httpx.AsyncClient() as http:
        page = await http.get(f"{site.hub.url}/oauth_callback?error=x&error_description=<script>alert(1)</script>")
    assert page.status_code == 400
    assert "<script>alert" not in page.text


async def test_auth_state_is_encrypted_and_nothing_secret_is_logged(site: Site) -> None:
    await site.login("scientist")
    await site.login("outsider")
    async with httpx.AsyncClient() as http:
        await http.get(f"{site.hub.url}/oauth_callback?code=eyJstolen&state=eyJmade-up")
    database = b"".join(path.read_bytes() for path in site.hub.folder.glob("hub.sqlite*"))
    assert not JWT.search(database.decode("latin-1"))
    log = site.hub.log.read_text()
    assert "User logged in: scientist" in log
    assert not JWT.search(log)
    for secret in (CLIENT_SECRET, "eyJstolen", "refresh_token", "code_verifier"):
        assert secret not in log
    assert site.hub.folder.joinpath("aiinfn-bindings.sqlite").stat().st_mode & 0o077 == 0


async def test_a_token_that_the_hub_does_not_know_is_named(site: Site) -> None:
    hub = HubApi(f"{site.hub.url}/api", "not-a-token")
    with pytest.raises(RemoteFailed, match="read:users:groups"):
        await hub.user("scientist")
    await hub.close()


async def test_our_service_alone_asks_about_people_and_tokens(site: Site) -> None:
    reader, ours = (HubApi(f"{site.hub.url}/api", token) for token in (site.hub.token, site.hub.ours))
    jobs = TokenJobs(jobs=[TokenJob("run-1", "nobody", "cms-ml", "uid")], all=True)
    try:
        for asked in (reader.standings(), reader.acts([]), reader.uid("operator"), reader.job_tokens(jobs)):
            with pytest.raises(RemoteFailed, match="custom:aiinfn:people"):
                await asked
        assert (await ours.job_tokens(jobs))["run-1"].code == "not-found"
        with pytest.raises(NotFound):
            await ours.uid("nobody")
    finally:
        await reader.close()
        await ours.close()
    async with httpx.AsyncClient(headers={"Authorization": f"token {site.hub.ours}"}) as http:
        answer = await http.post(f"{site.hub.url}/aiinfn/job-tokens", content=b"{")
    assert (answer.status_code, "cannot be used" in answer.text) == (400, True)
