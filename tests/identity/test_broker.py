"""The broker against the embedded IAM: what a session's token opens, and what it never does."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from joserfc import jwt
from joserfc.jwk import RSAKey
from support.iam import CALLBACK, CLIENT_ID, CLIENT_SECRET, Answer, BreakableIam, Browser, running_iam, signing_key
from tornado.httpclient import AsyncHTTPClient

from aiinfn_hub.catalogue import TokenPolicy
from aiinfn_hub.errors import AiinfnError, NotAuthenticated, RemoteFailed, Unavailable
from aiinfn_hub.hub.user_model import kept
from aiinfn_hub.identity.broker import ASK_AGAIN_S, Broker, Issued
from aiinfn_hub.identity.provider import Client, IamProvider

pytestmark = pytest.mark.asyncio
STORAGE = "https://storage.example"
POLICY = TokenPolicy(audiences=(STORAGE,), scopes=("storage.read:/",))
SCOPE = "openid profile offline_access wlcg.groups storage.read:/"


@pytest_asyncio.fixture
async def iam(tmp_path: Path) -> AsyncIterator[BreakableIam]:
    async with running_iam(tmp_path) as server:
        yield server


def provider_of(iam: BreakableIam, client: str = CLIENT_ID) -> IamProvider:
    mine = Client(id=client, secret=CLIENT_SECRET)
    return IamProvider(iam.issuer, client=mine, http=AsyncHTTPClient(force_instance=True), pauses=())


async def login(provider: IamProvider, iam: BreakableIam, scope: str = SCOPE) -> dict[str, Any]:
    """The auth_state of somebody who has logged in."""
    browser = Browser(iam)
    code = await browser.code(scope=scope)
    tokens = await provider.redeem(code, redirect_uri=CALLBACK, verifier=browser.verifier)
    proof = await provider.verify(tokens.id_token)
    return {"sub": proof["sub"], **kept(tokens, time.time())}


def claims_of(issued: Issued) -> dict[str, Any]:
    return dict(jwt.decode(issued.text, RSAKey.import_key(signing_key()), algorithms=["RS256"]).claims)


async def test_an_exchanged_token_opens_what_was_asked_for_and_nothing_else(iam: BreakableIam) -> None:
    provider = provider_of(iam)
    issued = await Broker(provider).issue(POLICY, await login(provider, iam))
    assert issued is not None
    claims = claims_of(issued)
    assert claims["aud"] == STORAGE
    assert issued.about.scopes == ("storage.read:/",)
    assert issued.about.missing == ()
    assert "wlcg.groups" not in claims
    assert issued.about.expires_at == pytest.approx(time.time() + 3600, abs=5)
    assert issued.text not in repr(issued)


async def test_it_outlives_the_refresh_of_the_login(iam: BreakableIam) -> None:
    provider = provider_of(iam)
    state = await login(provider, iam, SCOPE)
    policy = TokenPolicy(audiences=(STORAGE,), scopes=("openid", "profile"))
    issued = await Broker(provider).issue(policy, state)
    assert issued is not None
    await provider.refresh(state["refresh_token"])
    with pytest.raises(NotAuthenticated):
        await provider.userinfo(state["access_token"])
    assert (await provider.userinfo(issued.text))["sub"] == state["sub"]
    await provider.revoke(issued.text)
    with pytest.raises(NotAuthenticated):
        await provider.userinfo(issued.text)


async def test_a_scope_that_is_not_granted_is_named(iam: BreakableIam) -> None:
    """The IAM leaves out what it does not know, and what a policy denies to the person, without a word."""
    provider = provider_of(iam)
    state = await login(provider, iam)
    iam.directory.change("scientist", denied_scopes=("storage.modify:/",))
    policy = TokenPolicy(scopes=("storage.read:/", "compute.create"))
    issued = await Broker(provider).issue(policy, state)
    assert issued is not None
    assert issued.about.missing == ("compute.create",)
    wide = await login(provider, iam, f"{SCOPE} storage.modify:/")
    issued = await Broker(provider).issue(TokenPolicy(scopes=("storage.read:/", "storage.modify:/")), wide)
    assert issued is not None
    assert issued.about.scopes == ("storage.read:/",)
    assert issued.about.missing == ("storage.modify:/",)


async def test_a_login_without_any_of_the_scopes_asks_for_no_token(iam: BreakableIam) -> None:
    provider = provider_of(iam)
    state = await login(provider, iam)
    asked = iam.seen["/token"]
    with pytest.raises(RemoteFailed, match=r"has none of compute\.create"):
        await Broker(provider).issue(TokenPolicy(scopes=("compute.create",)), state)
    assert iam.seen["/token"] == asked


def without_exchange(iam: BreakableIam) -> Answer:
    """As the token endpoint of an IAM whose administrator has not enabled the grant; of INDIGO IAM, with a 401."""
    return Answer(401, {"error": "invalid_client", "error_description": "Unauthorized grant type: token-exchange"})


async def test_a_client_that_may_not_exchange_gives_the_narrowed_login(iam: BreakableIam) -> None:
    provider = provider_of(iam)
    now = [time.time()]
    broker = Broker(provider, clock=lambda: now[0])
    state = await login(provider, iam)
    assert broker.narrow(SCOPE.split()) == ""
    iam.broken["/token"] = without_exchange(iam)
    assert await broker.issue(POLICY, state) is None, "the login's own token can still be renewed without us"
    del iam.broken["/token"]
    narrow = broker.narrow(SCOPE.split())
    assert narrow == "openid profile wlcg.groups storage.read:/"
    tokens = await provider.refresh(state["refresh_token"], narrow)
    state |= {key: value for key, value in kept(tokens, time.time()).items() if value}
    asked = iam.seen["/token"]
    issued = await broker.issue(POLICY, state)
    assert issued is not None
    assert issued.text == state["access_token"]
    assert "offline_access" not in issued.about.scopes
    assert iam.seen["/token"] == asked, "nobody asks again at once"
    now[0] += ASK_AGAIN_S + 1
    assert broker.exchanges, "somebody may have enabled it meanwhile"


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        pytest.param(Answer(503), Unavailable, id="silence is no refusal"),
        pytest.param(Answer(400, {"error": "invalid_grant"}), NotAuthenticated, id="the login's token is dead"),
        pytest.param(Answer(400, {"error": "invalid_scope"}), RemoteFailed, id="a scope that cannot be had"),
        pytest.param(Answer(403, {"error": "access_denied"}), RemoteFailed, id="this person may not"),
    ],
)
async def test_other_failures_do_not_turn_exchanges_off(
    iam: BreakableIam, answer: Answer, error: type[AiinfnError]
) -> None:
    provider = provider_of(iam)
    broker = Broker(provider)
    state = await login(provider, iam)
    iam.broken["/token"] = answer
    with pytest.raises(error):
        await broker.issue(POLICY, state)
    assert broker.exchanges


async def test_an_audience_that_was_ignored_is_not_accepted(iam: BreakableIam, monkeypatch: pytest.MonkeyPatch) -> None:
    """An IAM that does not know the parameter gives a token for everybody."""
    provider = provider_of(iam)
    state = await login(provider, iam)
    sign = iam.keys.sign
    monkeypatch.setattr(iam.keys, "sign", lambda claims: sign(claims | {"aud": "https://wlcg.cern.ch/jwt/v1/any"}))
    with pytest.raises(RemoteFailed, match="is for"):
        await Broker(provider).issue(POLICY, state)


@pytest.mark.parametrize("more", [{"refresh_token": "r"}, {"scope": "storage.read:/ offline_access"}])
async def test_a_token_that_could_be_renewed_without_us_is_not_given_out(
    iam: BreakableIam, more: dict[str, str]
) -> None:
    provider = provider_of(iam)
    state = await login(provider, iam)
    body = {"access_token": "opaque", "expires_in": 60, "scope": "storage.read:/"} | more
    iam.broken["/token"] = Answer(200, body)
    with pytest.raises(RemoteFailed, match="without us"):
        await Broker(provider).issue(POLICY, state)


@pytest.mark.parametrize(
    ("life_s", "left_s", "due"), [(3600, 601, False), (3600, 599, True), (20, 11, False), (20, 9, True)]
)
async def test_when_the_next_one_is_due(iam: BreakableIam, life_s: float, left_s: float, due: bool) -> None:
    provider = provider_of(iam)
    state = await login(provider, iam)
    iam.broken["/token"] = Answer(200, {"access_token": "opaque", "expires_in": life_s, "scope": "storage.read:/"})
    issued = await Broker(provider, clock=lambda: 0.0).issue(TokenPolicy(scopes=("storage.read:/",)), state)
    assert issued is not None
    assert issued.is_due(life_s - left_s) is due
