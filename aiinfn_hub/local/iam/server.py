"""The embedded IAM: one aiohttp application on loopback."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from aiohttp import web

from aiinfn_hub.errors import AiinfnError, Conflict, Forbidden
from aiinfn_hub.local.iam.accounts import Account, Directory
from aiinfn_hub.local.iam.claims import SCOPES
from aiinfn_hub.local.iam.clients import Client, Clients
from aiinfn_hub.local.iam.endpoints import EXCHANGE, Endpoints
from aiinfn_hub.local.iam.grants import Grants, Lifetimes
from aiinfn_hub.local.iam.keys import ALGORITHM, SigningKeys
from aiinfn_hub.local.iam.login import Login
from aiinfn_hub.local.iam.switches import Switches

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class IamServer:
    """An OpenID provider for the demo and the tests.

    Args:
        accounts: who can log in.
        clients: those that are registered.
        state_dir: where signing keys and refresh tokens are kept, so that a restart keeps logins.
        lifetimes: of codes, tokens and sessions.
        password_cost: of hashing, as scrypt's n.
        clock: Unix seconds.

    Raises:
        InvalidInput: the state in `state_dir` cannot be read.
    """

    def __init__(
        self,
        accounts: Sequence[Account],
        *,
        clients: Sequence[Client],
        state_dir: Path,
        lifetimes: Lifetimes | None = None,
        password_cost: int = 2**14,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.directory = Directory(accounts, cost=password_cost, clock=clock)
        self.keys = SigningKeys(state_dir / "keys.json")
        self._lifetimes = lifetimes or Lifetimes()
        self._grants = Grants(state_dir / "grants.json", self._lifetimes, clock)
        self._clients = Clients(clients)
        self.switches = Switches(
            state_dir, directory=self.directory, grants=self._grants, clients=self._clients, keys=self.keys
        )
        self._clock = clock
        self._runner: web.AppRunner | None = None
        self.issuer = ""

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen, and return the issuer; it ends with a slash.

        Raises:
            Conflict: the port is in use.
        """
        runner = web.AppRunner(self._application(), access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, host, port)
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise Conflict(f"The IAM cannot listen on {host}:{port}: {error.strerror}.") from error
        self._runner = runner
        self.issuer = f"http://{host}:{runner.addresses[0][1]}/"
        return self.issuer

    async def stop(self) -> None:
        """Close the port; keys and refresh tokens stay in their files."""
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def _application(self) -> web.Application:
        """All routes. The issuer is known only when the port is, so the endpoints are asked for it late."""
        application = web.Application(middlewares=[self._answered], client_max_size=64 * 1024)
        given: dict[str, Any] = {"directory": self.directory, "grants": self._grants, "clients": self._clients}
        login = Login(**given, session_s=self._lifetimes.session, clock=self._clock)
        endpoints = Endpoints(
            lambda: self.issuer, **given, keys=self.keys, lifetimes=self._lifetimes, clock=self._clock
        )
        application.add_routes([web.get("/.well-known/openid-configuration", self._discovery)])
        application.add_routes([*login.routes(), *endpoints.routes(), *self.switches.routes()])
        return application

    async def _discovery(self, _http: web.Request) -> web.Response:
        issuer = self.issuer
        return web.json_response(
            {
                "issuer": issuer,
                "authorization_endpoint": f"{issuer}authorize",
                "token_endpoint": f"{issuer}token",
                "userinfo_endpoint": f"{issuer}userinfo",
                "jwks_uri": f"{issuer}jwk",
                "introspection_endpoint": f"{issuer}introspect",
                "revocation_endpoint": f"{issuer}revoke",
                "end_session_endpoint": f"{issuer}authorize/logout",
                "scopes_supported": list(SCOPES),
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token", EXCHANGE],
                "code_challenge_methods_supported": ["S256"],
                "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
                "id_token_signing_alg_values_supported": [ALGORITHM],
                "subject_types_supported": ["public"],
            }
        )

    @web.middleware
    async def _answered(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse foreign hosts (DNS rebinding), and word our errors as OAuth does."""
        try:
            if request.host != urlsplit(self.issuer).netloc:
                raise Forbidden("This is not the address of the IAM.", hint=f"Use {self.issuer}.")
            await self.switches.passes(request)
            return await handler(request)
        except AiinfnError as error:
            body = {"error": error.details.get("error", error.code), "error_description": str(error)}
            headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
            return web.json_response(body, status=error.status, headers=headers)
