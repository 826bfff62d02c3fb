"""The adapter against the embedded IAM over HTTP: discovery, tokens, and what each failure means."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.iam import CALLBACK, CLIENT_ID, CLIENT_SECRET, Answer, BreakableIam, Browser, Clock, running_iam
from tornado.httpclient import AsyncHTTPClient

from aiinfn_hub.errors import AiinfnError, InvalidInput, NotAuthenticated, RemoteFailed, Unavailable
from aiinfn_hub.identity.provider import AT_ONCE, Client, IamProvider, Tokens

pytestmark = pytest.mark.asyncio
DISCOVERY = "/.well-known/openid-configuration"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def iam(tmp_path: Path, clock: Clock) -> AsyncIterator[BreakableIam]:
    async with running_iam(tmp_path, clock=clock) as server:
        yield server


def made(iam: BreakableIam, clock: Clock, **changes: Any) -> IamProvider:
    given = {"client": Client(id=CLIENT_ID, secret=CLIENT_SECRET), "http": AsyncHTTPClient(force_instance=True)}
    issuer = changes.pop("issuer", iam.issuer)
    return IamProvider(issuer, **(given | {"pauses": (0.0, 0.0), "clock": clock} | changes))


@pytest_asyncio.fixture
async def provider(iam: BreakableIam, clock: Clock) -> IamProvider:
    return made(iam, clock)


async def login(provider: IamProvider, iam: BreakableIam, **changes: str) -> Tokens:
    browser = Browser(iam)
    code = await browser.code(**changes)
    return await provider.redeem(code, redirect_uri=CALLBACK, verifier=browser.verifier)


# --- discovery ------------------------------------------------------------------------------------------------------


async def test_discovery_is_asked_once_an_hour(provider: IamProvider, iam: BreakableIam, clock: Clock) -> None:
    for _ in range(3):
        assert (await provider.endpoints()).token_endpoint == f"{iam.issuer}token"
    assert iam.seen[DISCOVERY] == 1
    clock.now += 3601
    await provider.endpoints()
    assert iam.seen[DISCOVERY] == 2


async def test_many_who_come_at_once_share_one_discovery(provider: IamProvider, iam: BreakableIam) -> None:
    found = await asyncio.gather(*(provider.endpoints() for _ in range(50)))
    assert len(set(found)) == 1
    assert iam.seen[DISCOVERY] == 1


async def test_many_who_come_in_an_outage_wait_together(provider: IamProvider, iam: BreakableIam) -> None:
    iam.broken[DISCOVERY] = Answer(503)
    found = await asyncio.gather(*(provider.endpoints() for _ in range(50)), return_exceptions=True)
    assert {type(one) for one in found} == {Unavailable}
    assert iam.seen[DISCOVERY] == 3, "one question, and its two tries more"
    iam.broken.clear()
    assert (await provider.endpoints()).issuer == iam.issuer


async def test_no_more_requests_at_once_than_the_client_runs(provider: IamProvider, iam: BreakableIam) -> None:
    """A request that waits inside of tornado's client has its time-out running."""
    await provider.endpoints()
    iam.slow["/userinfo"] = asyncio.Event()
    asked = [asyncio.create_task(provider.userinfo("dead")) for _ in range(3 * AT_ONCE)]
    async with asyncio.timeout(10):
        while iam.seen.get("/userinfo", 0) < AT_ONCE:
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.1)
    assert iam.seen["/userinfo"] == AT_ONCE
    iam.slow.pop("/userinfo").set()
    found = await asyncio.gather(*asked, return_exceptions=True)
    assert {type(one) for one in found} == {NotAuthenticated}


async def test_while_it_hangs_nobody_waits_for_ever_behind_the_others(iam: BreakableIam, clock: Clock) -> None:
    provider = made(iam, clock, turn_s=0.1)
    await provider.endpoints()
    iam.slow["/userinfo"] = asyncio.Event()
    asked = [asyncio.create_task(provider.userinfo("dead")) for _ in range(AT_ONCE)]
    async with asyncio.timeout(10):
        while iam.seen.get("/userinfo", 0) < AT_ONCE:
            await asyncio.sleep(0.01)
    with pytest.raises(Unavailable, match="does not answer"):
        await provider.refresh("any")
    assert "/token" not in iam.seen, "it had no turn"
    iam.slow.pop("/userinfo").set()
    await asyncio.gather(*asked, return_exceptions=True)
    with pytest.raises(NotAuthenticated):
        await provider.refresh("any")


async def test_an_outage_is_tried_again_and_survived(provider: IamProvider, iam: BreakableIam, clock: Clock) -> None:
    iam.broken[DISCOVERY] = Answer(503, times=2)
    assert (await provider.endpoints()).issuer == iam.issuer
    assert iam.seen[DISCOVERY] == 3
    clock.now += 3601
    iam.broken[DISCOVERY] = Answer(503)
    assert (await provider.endpoints()).issuer == iam.issuer, "an old answer is better than none"


async def test_an_outage_from_the_start(provider: IamProvider, iam: BreakableIam) -> None:
    iam.broken[DISCOVERY] = Answer(502)
    with pytest.raises(Unavailable, match="answers 502"):
        await provider.endpoints()
    iam.broken.clear()
    assert (await provider.endpoints()).issuer == iam.issuer, "a failure is not remembered"


async def test_an_iam_that_is_not_there(iam: BreakableIam, clock: Clock) -> None:
    provider = made(iam, clock)
    await iam.stop()
    with pytest.raises(Unavailable, match="does not answer"):
        await provider.endpoints()


async def test_the_issuer_is_compared_to_the_letter(iam: BreakableIam, clock: Clock) -> None:
    """INDIGO IAM's ends with a slash; one without it is another issuer."""
    with pytest.raises(RemoteFailed, match="calls itself") as refused:
        await made(iam, clock, issuer=iam.issuer.rstrip("/")).endpoints()
    assert repr(iam.issuer) in refused.value.message


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(Answer(200, "<html>"), id="a page"),
        pytest.param(Answer(200, {"issuer": "x"}), id="half a document"),
        pytest.param(Answer(200, {"issuer": 7}), id="a wrong type"),
        pytest.param(Answer(404), id="nothing there"),
        pytest.param(Answer(302), id="a redirect"),
    ],
)
async def test_what_is_no_provider(provider: IamProvider, iam: BreakableIam, answer: Answer) -> None:
    iam.broken[DISCOVERY] = answer
    with pytest.raises(RemoteFailed):
        await provider.endpoints()


async def test_endpoints_without_tls_are_refused(provider: IamProvider, iam: BreakableIam) -> None:
    places = ("authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri")
    document = {"issuer": iam.issuer} | dict.fromkeys(places, f"{iam.issuer}x")
    iam.broken[DISCOVERY] = Answer(200, document | {"token_endpoint": "http://evil.example/token"})
    with pytest.raises(InvalidInput, match=r"evil\.example"):
        await provider.endpoints()


@pytest.mark.parametrize("issuer", ["", "iam.example", "http://iam.example/", "ftp://127.0.0.1/", "file:///etc"])
async def test_an_issuer_without_tls_is_refused(iam: BreakableIam, clock: Clock, issuer: str) -> None:
    with pytest.raises(InvalidInput, match="https"):
        made(iam, clock, issuer=issuer)


# --- tokens ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("basic_auth", [True, False], ids=["by Basic", "in the form"])
async def test_a_login_from_code_to_userinfo(iam: BreakableIam, clock: Clock, *, basic_auth: bool) -> None:
    provider = made(iam, clock, client=Client(id=CLIENT_ID, secret=CLIENT_SECRET, basic_auth=basic_auth))
    tokens = await login(provider, iam)
    assert tokens.expires_in == 3600
    claims = await provider.verify(tokens.id_token, nonce="a nonce")
    userinfo = await provider.userinfo(tokens.access_token)
    assert claims["sub"] == userinfo["sub"]
    assert userinfo["wlcg.groups"] == ["/aiinfn", "/aiinfn/lhcb-flashsim"]


@pytest.mark.parametrize("secret", ["with:colon", "with space", "ü%&+/="])
async def test_a_secret_of_any_letters(tmp_path: Path, clock: Clock, secret: str) -> None:
    async with running_iam(tmp_path / "other", clock=clock, client_secret=secret) as iam:
        for basic_auth in (True, False):
            provider = made(iam, clock, client=Client(id=CLIENT_ID, secret=secret, basic_auth=basic_auth))
            assert (await login(provider, iam)).access_token


async def test_a_refresh_gives_new_tokens_and_can_narrow_them(provider: IamProvider, iam: BreakableIam) -> None:
    first = await login(provider, iam)
    second = await provider.refresh(first.refresh_token)
    with pytest.raises(NotAuthenticated):
        await provider.userinfo(first.access_token)
    assert await provider.userinfo(second.access_token)
    assert (await provider.refresh(first.refresh_token, scope="openid")).scope == "openid"


FAILURES = [
    pytest.param(Answer(500), Unavailable, "", id="a server that fails says nothing about the person"),
    pytest.param(Answer(503, "<html>"), Unavailable, "", id="maintenance"),
    pytest.param(Answer(429), Unavailable, "", id="too many requests"),
    pytest.param(Answer(0), Unavailable, "", id="a connection that breaks"),
    pytest.param(Answer(400, {"error": "invalid_grant"}), NotAuthenticated, "ended", id="a grant that is over"),
    pytest.param(
        Answer(401, {"error": "invalid_grant", "error_description": "User needs to sign AUP"}),
        NotAuthenticated,
        "aup",
        id="an AUP to be signed",
    ),
    pytest.param(
        Answer(400, {"error": "invalid_grant", "error_description": "User x@y is not active."}),
        NotAuthenticated,
        "inactive",
        id="an account that is not active",
    ),
    pytest.param(Answer(401, {"error": "invalid_client"}), RemoteFailed, "", id="a wrong secret of ours"),
    pytest.param(Answer(400, {"error": "invalid_scope"}), RemoteFailed, "", id="a wrong scope of ours"),
    pytest.param(Answer(403, "no"), RemoteFailed, "", id="a wall before the IAM"),
    pytest.param(Answer(200, "{}"), RemoteFailed, "", id="an answer without a token"),
    pytest.param(Answer(200, "<html>"), RemoteFailed, "", id="a captive portal"),
]


@pytest.mark.parametrize(("answer", "kind", "reason"), FAILURES)
async def test_what_each_failure_of_the_token_endpoint_means(
    provider: IamProvider, iam: BreakableIam, answer: Answer, kind: type[AiinfnError], reason: str
) -> None:
    iam.broken["/token"] = answer
    with pytest.raises(kind) as raised:
        await provider.refresh("the-refresh-token")
    assert raised.value.details.get("reason", "") == reason
    assert "the-refresh-token" not in str(raised.value)
    assert CLIENT_SECRET not in str(raised.value)
    assert iam.seen["/token"] == 1, "a code works once, and a refresh ends other tokens: never sent twice"


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        pytest.param(Answer(401), NotAuthenticated, id="a dead token"),
        pytest.param(Answer(403), RemoteFailed, id="a token without the scope"),
        pytest.param(Answer(404), RemoteFailed, id="nothing there"),
        pytest.param(Answer(429), Unavailable, id="too many requests"),
        pytest.param(Answer(500), Unavailable, id="a server that fails"),
        pytest.param(Answer(200, "[]"), RemoteFailed, id="no claims"),
    ],
)
async def test_what_each_failure_of_userinfo_means(
    provider: IamProvider, iam: BreakableIam, answer: Answer, kind: type[AiinfnError]
) -> None:
    iam.broken["/userinfo"] = answer
    with pytest.raises(kind):
        await provider.userinfo("token")


async def test_a_redirect_never_takes_the_token_along(provider: IamProvider, iam: BreakableIam) -> None:
    iam.broken["/userinfo"] = Answer(307)
    with pytest.raises(RemoteFailed):
        await provider.userinfo("token")
    assert iam.seen["/userinfo"] == 1


async def test_the_client_does_not_show_its_secret() -> None:
    assert "hidden" not in repr(Client(id="x", secret="hidden"))
