"""What the service reads at the hub: who is in which group, and what their servers were started with."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from aiinfn_hub.errors import NotFound, RemoteFailed, Unavailable


class HubServer(msgspec.Struct, frozen=True, kw_only=True):
    """A server of a user that runs, starts or stops. `user_options` are what it was started with."""

    name: str
    ready: bool = False
    pending: str | None = None
    user_options: dict[str, Any] = {}
    started: datetime | None = None


class HubUser(msgspec.Struct, frozen=True, kw_only=True):
    """A user of the hub; `groups` as they were at the last login or refresh."""

    name: str
    groups: tuple[str, ...]
    admin: bool = False
    servers: dict[str, HubServer] = {}


class HubApi:
    """A reader of the hub's REST API, with the service's own token.

    Args:
        base_url: of the API, as in "http://127.0.0.1:8081/hub/api".
        token: with the scopes read:users:name, read:users:groups, read:servers.
        max_age_s: how long an answer is used again; a lost group is seen that much later.
    """

    def __init__(
        self,
        base_url: str,
        token: str,
        *,
        max_age_s: float = 10.0,
        http: httpx.AsyncClient | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"token {token}"}
        self._http = http or httpx.AsyncClient(timeout=5.0)
        self._max_age_s = max_age_s
        self._clock = clock
        self._users: dict[str, tuple[float, HubUser]] = {}

    async def user(self, name: str, *, fresh: bool = False) -> HubUser:
        """The user of that name; `fresh` asks the hub whatever is remembered.

        Raises:
            NotFound: the hub knows no such user.
            Unavailable: the hub does not answer.
            RemoteFailed: it refuses our token, or answers what we cannot read.
        """
        now = self._clock()
        known = self._users.get(name)
        if known is not None and not fresh and now - known[0] < self._max_age_s:
            return known[1]
        user = _decode(await self._get(f"/users/{quote(name, safe='')}", name), name)
        self._users = {key: entry for key, entry in self._users.items() if now - entry[0] < self._max_age_s}
        self._users[name] = (now, user)
        return user

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _get(self, path: str, name: str) -> bytes:
        try:
            response = await self._http.get(self._base_url + path, headers=self._headers)
        except httpx.TransportError as error:
            raise Unavailable("JupyterHub does not answer.", hint="Try again in a moment.") from error
        if response.status_code == 404:
            raise NotFound(f"JupyterHub knows no user {name!r}.")
        if response.status_code >= 500:
            raise Unavailable(f"JupyterHub answers {response.status_code}.", hint="Try again in a moment.")
        if response.status_code != 200:
            raise RemoteFailed(
                f"JupyterHub answers {response.status_code} to the service.",
                hint="Its token needs the scopes read:users:name, read:users:groups and read:servers.",
            )
        return response.content


def _decode(body: bytes, name: str) -> HubUser:
    """Without the scope for groups the hub leaves them out in silence, which is not an empty list."""
    try:
        return msgspec.json.decode(body, type=HubUser)
    except msgspec.MsgspecError as error:
        raise RemoteFailed(
            f"What JupyterHub says of {name!r} cannot be used: {error}.",
            hint="The service's token needs the scopes read:users:name, read:users:groups and read:servers.",
        ) from error
