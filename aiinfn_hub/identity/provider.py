"""The only place that speaks to the IAM: discovery, tokens, userinfo, and the check of an ID token.

What its errors mean: `Unavailable` says nothing about the person, the IAM does not work; `NotAuthenticated` is the
IAM's own word that the tokens are no longer good; `RemoteFailed` is a mistake in how the client is set up.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import time
from collections.abc import AsyncIterator, Callable, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import quote_plus, urlencode, urlsplit

import msgspec
from tornado.httpclient import AsyncHTTPClient, HTTPClientError, HTTPRequest, HTTPResponse

from aiinfn_hub.errors import InvalidInput, RemoteFailed, Unavailable
from aiinfn_hub.identity.iam_errors import refused
from aiinfn_hub.identity.tokens import Verifier

T = TypeVar("T")
EXCHANGE = "urn:ietf:params:oauth:grant-type:token-exchange"
ACCESS_TOKEN = "urn:ietf:params:oauth:token-type:access_token"  # noqa: S105  a name
AGAIN = "Try again in a few minutes; sessions that run are not touched."
#: Seconds to wait before the second and the third try of a request that changes nothing.
PAUSES = (0.2, 1.0)
MAX_AGE_S = 3600.0
#: Requests at the same time, as many as tornado's client runs. More would wait inside of it, with their time-out
#: running: when the tokens of many people expire together, that would look like an outage.
AT_ONCE = 10
#: Seconds that a request waits for its turn: while the IAM hangs, a login must not wait behind everybody's refresh.
TURN_S = 20.0


class Endpoints(msgspec.Struct, frozen=True, kw_only=True):
    """What the IAM publishes about itself."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    userinfo_endpoint: str
    jwks_uri: str
    revocation_endpoint: str = ""


class Tokens(msgspec.Struct, frozen=True, kw_only=True):
    """A reply of the token endpoint. `scope` is what was granted, which may be less than was asked for."""

    access_token: str
    expires_in: float = 0.0
    refresh_token: str = ""
    id_token: str = ""
    scope: str = ""


@dataclass(frozen=True, kw_only=True)
class Client:
    """What the IAM knows us as; at the token endpoint it is shown by HTTP Basic, or in the fields of the form."""

    id: str
    secret: str = field(repr=False)
    basic_auth: bool = True


class IamProvider:
    """The IAM as one client of it sees it.

    Args:
        issuer: exactly as the IAM writes it; INDIGO IAM's ends with a slash.
        http: tornado's client; JupyterHub's authenticators bring one.
        options: of each request, such as a proxy.
        skew_s: by how much the clocks may differ.
        pauses: between tries.
        turn_s: how long a request waits for others to end.

    Raises:
        InvalidInput: the issuer is no https address (plain http is for loopback only).
    """

    def __init__(
        self,
        issuer: str,
        *,
        client: Client,
        http: AsyncHTTPClient,
        options: Mapping[str, Any] | None = None,
        skew_s: float = 60.0,
        pauses: Sequence[float] = PAUSES,
        turn_s: float = TURN_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        _check_address(issuer)
        self._issuer = issuer
        self._client = client
        self._http = http
        self._options = dict(options or {})
        self._pauses = pauses
        self._turn_s = turn_s
        self._clock = clock
        self._endpoints: tuple[float, Endpoints] | None = None
        self._discovering: asyncio.Task[tuple[float, Endpoints]] | None = None
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._verifier = Verifier(issuer, client.id, self._keys, skew_s=skew_s, clock=clock)

    async def endpoints(self) -> Endpoints:
        """Where the IAM's endpoints are; asked once an hour, and an old answer is better than none.

        Raises:
            Unavailable: it has never answered.
            RemoteFailed: what answers is not this issuer.
        """
        if self._endpoints is None or self._clock() - self._endpoints[0] >= MAX_AGE_S:
            if self._discovering is None or self._discovering.done():
                # One question, however many wait for the answer; who stops waiting does not end it for the others.
                self._discovering = asyncio.create_task(self._discover(self._endpoints))
            self._endpoints = await asyncio.shield(self._discovering)
        return self._endpoints[1]

    async def _discover(self, known: tuple[float, Endpoints] | None) -> tuple[float, Endpoints]:
        url = self._issuer.rstrip("/") + "/.well-known/openid-configuration"
        try:
            found = _decoded(await self._get(url), Endpoints)
        except Unavailable:
            if known is None:
                raise
            return known
        if found.issuer != self._issuer:
            raise RemoteFailed(
                f"{self._issuer} calls itself {found.issuer!r}.", hint="Write the issuer in the settings exactly so."
            )
        used = (found.authorization_endpoint, found.token_endpoint, found.userinfo_endpoint, found.jwks_uri)
        for address in (*used, *filter(None, [found.revocation_endpoint])):
            _check_address(address)
        return self._clock(), found

    async def redeem(self, code: str, *, redirect_uri: str, verifier: str) -> Tokens:
        """The tokens for an authorization code.

        Raises:
            NotAuthenticated: the code is not good, or not any more.
        """
        form = {"grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri}
        return await self._token(form | {"code_verifier": verifier})

    async def refresh(self, refresh_token: str, scope: str = "") -> Tokens:
        """New tokens; the earlier access tokens of this login stop working at the IAM. A `scope` narrows them.

        Raises:
            NotAuthenticated: the login is over; `details["reason"]` is aup, inactive, expired or ended.
        """
        form = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return await self._token(form | ({"scope": scope} if scope else {}))

    async def exchange(self, access_token: str, *, scope: str, audience: str) -> Tokens:
        """A token for these uses only, from a live one of the same person (RFC 8693); it has no refresh token.

        Raises:
            NotAuthenticated: the live one is not.
            RemoteFailed: this client may not: an administrator of the IAM enables it.
        """
        form = {"grant_type": EXCHANGE, "subject_token": access_token, "subject_token_type": ACCESS_TOKEN}
        return await self._token(form | {"scope": scope} | ({"audience": audience} if audience else {}))

    async def revoke(self, token: str) -> None:
        """End a token before its time (RFC 7009), where the IAM has an endpoint for it."""
        endpoint = (await self.endpoints()).revocation_endpoint
        if endpoint:
            await self._post(endpoint, {"token": token})

    async def userinfo(self, access_token: str) -> dict[str, Any]:
        """What the IAM says now of whom the token is about.

        Raises:
            NotAuthenticated: the token is no longer good.
        """
        endpoint = (await self.endpoints()).userinfo_endpoint
        body = await self._get(endpoint, {"Authorization": f"Bearer {access_token}"})
        return _decoded(body, dict[str, Any])

    async def verify(self, id_token: str, *, nonce: str | None = None) -> dict[str, Any]:
        """The claims of an ID token of this issuer for this client.

        Raises:
            NotAuthenticated: it is not, or is too old, or belongs to another login.
        """
        return await self._verifier.claims(id_token, nonce=nonce)

    async def check_access(
        self, token: str, *, sub: str, audiences: Collection[str] = (), exact: bool = False
    ) -> dict[str, Any] | None:
        """The claims of an access token that we were given; see `Verifier.access_claims`."""
        return await self._verifier.access_claims(token, sub=sub, audiences=audiences, exact=exact)

    async def _keys(self) -> dict[str, Any]:
        return _decoded(await self._get((await self.endpoints()).jwks_uri), dict[str, Any])

    async def _token(self, form: dict[str, str]) -> Tokens:
        return _decoded(await self._post((await self.endpoints()).token_endpoint, form), Tokens)

    async def _post(self, endpoint: str, form: dict[str, str]) -> bytes:
        client = self._client
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if client.basic_auth:
            # RFC 6749, 2.3.1: both parts are form-encoded first, or a secret with a colon breaks.
            pair = f"{quote_plus(client.id)}:{quote_plus(client.secret)}".encode()
            headers["Authorization"] = f"Basic {base64.b64encode(pair).decode()}"
        else:
            form = form | {"client_id": client.id, "client_secret": client.secret}
        # Sent once: a code works only once, and a refresh ends other tokens.
        response = await self._fetch(endpoint, headers, urlencode(form).encode())
        if response.code != 200:
            raise refused(response)
        return response.body

    async def _get(self, url: str, headers: Mapping[str, str] | None = None) -> bytes:
        for pause in (*self._pauses, None):
            try:
                response = await self._fetch(url, headers or {})
                break
            except Unavailable:
                if pause is None:
                    raise
                await asyncio.sleep(pause)
        if response.code != 200:
            raise refused(response)
        return response.body

    async def _fetch(self, url: str, headers: Mapping[str, str], body: bytes | None = None) -> HTTPResponse:
        """Any answer but one that says that the IAM has no time or does not work."""
        host = urlsplit(url).netloc
        try:
            # Discovery and keys are for all who wait, and asked once: they do not queue behind them.
            async with self._turn() if headers else nullcontext():
                options = {"connect_timeout": 5.0, "request_timeout": 10.0, "follow_redirects": False} | self._options
                sent = {"Accept": "application/json", **headers}
                method = "GET" if body is None else "POST"
                request = HTTPRequest(url, method=method, headers=sent, body=body, **options)
                response = await self._http.fetch(request, raise_error=False)
        except (OSError, HTTPClientError) as error:
            raise Unavailable(f"The login provider {host} does not answer.", hint=AGAIN) from error
        if response.code == 429 or response.code >= 500:
            what = "does not answer" if response.code == 599 else f"answers {response.code}"
            raise Unavailable(f"The login provider {host} {what}.", hint=AGAIN)
        return response

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        async with asyncio.timeout(self._turn_s):  # TimeoutError is an OSError: the IAM does not answer
            await self._slots.acquire()
        try:
            yield
        finally:
            self._slots.release()


def challenge_of(verifier: str) -> str:
    """The S256 challenge of a PKCE verifier (RFC 7636, 4.2)."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def _decoded(body: bytes, kind: type[T]) -> T:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise RemoteFailed("The login provider's answer cannot be read.", hint="Is the issuer right?") from error


def _check_address(url: str) -> None:
    parts = urlsplit(url)
    loopback = parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise InvalidInput(
            f"{url!r} is no address of a login provider.", hint="It begins with https://; http:// is for loopback only."
        )
