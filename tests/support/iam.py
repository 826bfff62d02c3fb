"""An IAM on loopback for tests, a browser for it, and ways to make it fail."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cache
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urljoin, urlsplit

import httpx
from aiohttp import web
from joserfc.jwk import RSAKey

from aiinfn_hub.local.iam import Client, IamServer, demo_accounts
from aiinfn_hub.local.iam.files import write_private
from aiinfn_hub.local.iam.grants import Lifetimes, challenge_of

CLIENT_ID = "aiinfn-hub"
#: Another client that may exchange tokens, as jobs need one; "plain" is one that may not.
JOBS_CLIENT = "aiinfn-jobs"
CLIENT_SECRET = "not a secret, a test"
CALLBACK = "http://127.0.0.1:8000/hub/oauth_callback"
SCOPE = "openid profile email offline_access wlcg.groups"
FIELD = re.compile(r'<input[^>]*name="(?P<name>[^"]+)"[^>]*value="(?P<value>[^"]*)"')
ACTION = re.compile(r'<form[^>]*action="(?P<action>[^"]*)"')


class Clock:
    """Unix seconds that a test moves."""

    def __init__(self, now: float = 1_790_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@dataclass
class Answer:
    """What a broken endpoint says instead; a status of 0 drops the connection."""

    status: int
    body: Any = ""
    times: int = 10**6


class BreakableIam(IamServer):
    """The embedded IAM; an endpoint can answer something `broken`, or nothing until its `slow` event is set.

    `seen` counts requests by path.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.broken: dict[str, Answer] = {}
        self.slow: dict[str, asyncio.Event] = {}
        self.seen: dict[str, int] = {}

    def _application(self) -> web.Application:
        application = super()._application()
        application.middlewares.insert(0, self._breaks)
        return application

    @web.middleware
    async def _breaks(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.seen[request.path] = self.seen.get(request.path, 0) + 1
        if request.path in self.slow:
            await self.slow[request.path].wait()
        answer = self.broken.get(request.path)
        if answer is None or answer.times == 0:
            return await handler(request)
        answer.times -= 1
        if answer.status == 0:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        if isinstance(answer.body, dict):
            return web.json_response(answer.body, status=answer.status)
        return web.Response(text=answer.body, status=answer.status)


@cache
def signing_key() -> dict[str, Any]:
    """One key for all tests: making one takes as long as ten logins."""
    parameters: Any = {"kid": "test", "use": "sig", "alg": "RS256"}
    return dict(RSAKey.generate_key(2048, parameters, private=True).as_dict(private=True))


def an_iam(state_dir: Path, **changes: Any) -> BreakableIam:
    """An IAM with the demo's accounts and fixed passwords; not started."""
    accounts = demo_accounts(fixed_passwords=True)
    if not (state_dir / "keys.json").exists():
        write_private(state_dir / "keys.json", json.dumps({"keys": [signing_key()]}))
    callbacks = frozenset(changes.pop("redirect_uris", [CALLBACK]))
    secret = changes.pop("client_secret", CLIENT_SECRET)
    clients = [
        Client(id=CLIENT_ID, secret=secret, redirect_uris=callbacks, exchange=True),
        Client(id=JOBS_CLIENT, secret=CLIENT_SECRET, exchange=True),
        Client(id="plain", secret=CLIENT_SECRET),
    ]
    return BreakableIam(accounts, **({"clients": clients, "state_dir": state_dir, "password_cost": 2} | changes))


@asynccontextmanager
async def running_iam(
    state_dir: Path, *, port: int = 0, clock: Clock | None = None, lifetimes: Lifetimes | None = None, **changes: Any
) -> AsyncIterator[BreakableIam]:
    """The same, listening."""
    more = {"clock": clock} if clock else {}
    iam = an_iam(state_dir, lifetimes=lifetimes, **more, **changes)
    await iam.start("127.0.0.1", port)
    try:
        yield iam
    finally:
        await iam.stop()


@dataclass
class Browser:
    """Somebody in front of the IAM's login page."""

    iam: IamServer
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(32))
    http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=10))

    def request(self, **changes: str) -> dict[str, str]:
        """The parameters of an authorization request; an empty one is left out."""
        query = {
            "client_id": CLIENT_ID,
            "redirect_uri": CALLBACK,
            "response_type": "code",
            "scope": SCOPE,
            "state": "a state",
            "nonce": "a nonce",
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
        }
        return {key: value for key, value in (query | changes).items() if value}

    async def open(self, **changes: str) -> httpx.Response:
        """Ask for authorization."""
        return await self.http.get(f"{self.iam.issuer}authorize?{urlencode(self.request(**changes))}")

    async def submit(self, page: httpx.Response, username: str, password: str, **changes: str) -> httpx.Response:
        """Fill in the form of the page and send it."""
        form = {m["name"]: unescape(m["value"]) for m in FIELD.finditer(page.text)}
        action = ACTION.search(page.text)
        assert action, page.text
        data = form | {"username": username, "password": password} | changes
        return await self.http.post(urljoin(str(page.url), unescape(action["action"])), data=data)

    async def code(self, username: str = "scientist", **changes: str) -> str:
        """Log in; the authorization code."""
        page = await self.open(**changes)
        if page.status_code == 200:
            page = await self.submit(page, username, username)
        return sent_back(page)["code"]

    async def tokens(self, username: str = "scientist", **changes: str) -> dict[str, Any]:
        """Log in; the reply of the token endpoint."""
        form = {"grant_type": "authorization_code", "code": await self.code(username, **changes)}
        response = await self.token(form | {"redirect_uri": CALLBACK, "code_verifier": self.verifier})
        assert response.status_code == 200, response.text
        return dict(response.json())

    async def token(
        self, form: Mapping[str, str], *, client: str = CLIENT_ID, secret: str = CLIENT_SECRET
    ) -> httpx.Response:
        """A request to the token endpoint, with client_secret_post."""
        client_fields = {"client_id": client, "client_secret": secret}
        return await self.http.post(f"{self.iam.issuer}token", data={**client_fields, **form})

    async def refresh(self, refresh_token: str, **more: str) -> httpx.Response:
        """Use a refresh token."""
        return await self.token({"grant_type": "refresh_token", "refresh_token": refresh_token, **more})

    async def userinfo(self, access_token: str) -> httpx.Response:
        """What the IAM says of whom the token is about."""
        return await self.http.get(f"{self.iam.issuer}userinfo", headers={"Authorization": f"Bearer {access_token}"})


def sent_back(response: httpx.Response) -> dict[str, str]:
    """The parameters with which the browser is sent back to the client."""
    assert response.status_code == 303, (response.status_code, response.text)
    assert response.headers["location"].startswith(CALLBACK)
    return {key: values[0] for key, values in parse_qs(urlsplit(response.headers["location"]).query).items()}
