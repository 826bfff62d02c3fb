"""What goes wrong at an IAM, at the turn of a switch: for demonstrations, and for the tests of what then happens.

`POST /switches` with one JSON object, and the bearer token that `switches.token` in the IAM's folder holds:

    {"silent": "unavailable"}                           every other request is answered with 503
    {"account": "scientist", "aup_signed": false}       the next refresh fails until the policy is signed at a login
    {"account": "scientist", "denied_scopes": ["x"]}    tokens come without this scope, and nobody is told
    {"account": "scientist", "end": "revoked"}          refresh and access tokens of all logins are gone
    {"exchange": false}                                 no client may exchange tokens, as where nobody has enabled it
    {"keys": "rotate"}                                  a new key signs; "withdraw" publishes no other one any more
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from pathlib import Path
from typing import Any, Literal

import msgspec
from aiohttp import web

from aiinfn_hub.errors import InvalidInput, NotAuthenticated, QuotaExceeded, Unavailable
from aiinfn_hub.local.iam.accounts import Directory
from aiinfn_hub.local.iam.clients import Clients
from aiinfn_hub.local.iam.files import read_private, write_private
from aiinfn_hub.local.iam.grants import Grants
from aiinfn_hub.local.iam.keys import SigningKeys

PATH = "/switches"
Silence = Literal["", "unavailable", "busy", "dropped", "slow"]


class Turn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to switch; what is not named stays.

    `silent` is for all requests: 503, 429, a dropped connection, an answer after `slow_s` seconds. All others, `keys`
    and `exchange` aside, are about `account`.
    """

    silent: Silence | None = None
    keys: Literal["rotate", "withdraw"] | None = None
    exchange: bool | None = None
    account: str = ""
    active: bool | None = None
    aup_signed: bool | None = None
    groups: tuple[str, ...] | None = None
    denied_scopes: tuple[str, ...] | None = None
    username: str | None = None
    end: Literal["revoked", "expired", "removed"] | None = None


class Switches:
    """The switches of one IAM.

    Args:
        folder: where the token is kept.
        slow_s: seconds that a slow answer takes; longer than a client waits.
    """

    def __init__(
        self,
        folder: Path,
        *,
        directory: Directory,
        grants: Grants,
        clients: Clients,
        keys: SigningKeys,
        slow_s: float = 15.0,
    ) -> None:
        self.silent: Silence = ""
        self.slow_s = slow_s
        self._directory = directory
        self._grants = grants
        self._clients = clients
        self._keys = keys
        self._token = read_private(folder / "switches.token") or secrets.token_urlsafe(24)
        write_private(folder / "switches.token", self._token)

    def routes(self) -> list[web.RouteDef]:
        """What the application serves."""
        return [web.post(PATH, self.post)]

    async def post(self, http: web.Request) -> web.Response:
        """POST: turn one or more."""
        given = http.headers.get("Authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            raise NotAuthenticated("The switches need the token of the file switches.token.")
        try:
            turn = msgspec.json.decode(await http.read(), type=Turn)
        except msgspec.MsgspecError as error:
            raise InvalidInput(f"There is no such switch: {error}.") from error
        self.turn(turn)
        return web.json_response({})

    def turn(self, turn: Turn) -> None:
        """Do it.

        Raises:
            NotFound: there is no such account.
            InvalidInput: something about an account, and none is named.
        """
        if turn.silent is not None:
            self.silent = turn.silent
        if turn.exchange is not None:
            self._clients.exchanging = turn.exchange
        if turn.keys is not None:
            self._keys.rotate(withdraw=turn.keys == "withdraw")
        fields = ("active", "aup_signed", "groups", "denied_scopes", "username")
        changes: dict[str, Any] = {name: value for name in fields if (value := getattr(turn, name)) is not None}
        if not turn.account:
            if changes or turn.end:
                raise InvalidInput("Whose account?", hint='Name it: {"account": "scientist", ...}.')
            return
        account = self._directory.change(turn.account, **changes)
        if turn.end is not None:
            self._grants.end_all(account.sub, access=turn.end != "expired")
        if turn.end == "removed":
            self._directory.remove(account.username)

    async def passes(self, http: web.Request) -> None:
        """Let a request through, or not.

        Raises:
            AiinfnError: the answer while it is silent.
        """
        match self.silent if http.path != PATH else "":
            case "unavailable":
                raise Unavailable("The IAM is being maintained.", details={"error": "temporarily_unavailable"})
            case "busy":
                raise QuotaExceeded("The IAM has too much to do.", details={"error": "temporarily_unavailable"})
            case "slow":
                await asyncio.sleep(self.slow_s)
            case "dropped":
                if http.transport is not None:
                    http.transport.abort()
                raise Unavailable("Nobody reads this.")
