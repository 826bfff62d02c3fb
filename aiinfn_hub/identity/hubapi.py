"""What the service asks the hub: who is in which group, what servers run, and to start one whose turn has come."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from aiinfn_hub.errors import Conflict, Forbidden, NotFound, RemoteFailed, Unavailable
from aiinfn_hub.identity.audit import Act

#: Users on one page of JupyterHub's list: it makes a page without a pause, about a millisecond for each.
PAGE = 50
#: Seconds for the answer to a start: the hub itself waits (slow_spawn_timeout, 10 s) to be able to say how it went.
START_S = 30.0
#: What JupyterHub 6 says, with status 400, of a server that need not be started; and with 403 of a token's scopes.
_RUNS = re.compile(r"is already running$|is pending \w+$")
T = TypeVar("T")
_SCOPES = "not authorized with current scopes"


class _Refused(msgspec.Struct):
    message: str = ""


class _Shares(msgspec.Struct):
    items: list[dict[str, Any]]


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


class HubStanding(msgspec.Struct, frozen=True, kw_only=True):
    """How somebody who does not stand well stands with the login provider, as the hub has seen it (Unix seconds)."""

    reason: str
    since: float
    until: float | None = None
    over: bool = False
    sentence: str = ""
    next_step: str = ""


class PosixUser(msgspec.Struct, frozen=True):
    """The POSIX user of somebody; None where people have none of their own."""

    uid: int | None


class TokenJob(msgspec.Struct, frozen=True):
    """A job that asked for a token of the IAM: its run, its owner, who pays, and the uid of its Job."""

    run: str
    person: str
    activity: str
    uid: str


class TokenJobs(msgspec.Struct, frozen=True, kw_only=True):
    """Jobs that are to have tokens. With `all` these are all that are not over: the tokens of others end."""

    jobs: list[TokenJob]
    all: bool = False


class Lack(msgspec.Struct, frozen=True):
    """Why a job has no good token: code, message and hint of an error of ours."""

    code: str
    message: str
    hint: str = ""


class HubApi:
    """The hub's REST API, with the service's own token.

    Args:
        base_url: of the API, as in "http://127.0.0.1:8081/hub/api".
        token: with the scopes read:users:name, read:users:groups, read:servers, start:servers.
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
        self._http = http or httpx.AsyncClient()
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
        user = _decoded(await self._get(f"/users/{quote(name, safe='')}", name), HubUser)
        self._users = {key: entry for key, entry in self._users.items() if now - entry[0] < self._max_age_s}
        self._users[name] = (now, user)
        return user

    async def uid(self, name: str) -> int | None:
        """The POSIX user of that name, as `GET /hub/aiinfn/posix` says.

        Raises:
            NotFound: the hub knows no such user.
            Forbidden: the person has to log in again first, to get one.
            Unavailable: the hub does not answer.
            RemoteFailed: it refuses our token, or answers what we cannot read.
        """
        response = await self._ask("GET", f"/aiinfn/posix?person={quote(name, safe='')}")
        if response.status_code == 409:
            raise Forbidden(f"{name} has no user number yet.", hint="Log out of JupyterHub and in again.")
        return _decoded(_good(response, name), PosixUser).uid

    async def start(self, name: str, server: str) -> None:
        """Start a server with the options of its last start; good as well if it runs or starts already.

        Raises:
            NotFound: there is no such user.
            Forbidden: the user may not start it: logged out for good, or the groups are lost.
            Conflict: not in its state of now, for instance because an option cannot be used any more.
            Unavailable: the hub does not answer, or has too much to do.
            RemoteFailed: it refuses our token.
        """
        response = await self._ask("POST", _server(name, server), timeout_s=START_S)
        message = _message(response)
        if response.status_code in (201, 202) or _RUNS.search(message):
            return
        if response.status_code == 404:
            raise NotFound(f"JupyterHub knows no user {name!r}.")
        if response.status_code == 403 and _SCOPES in message:
            raise RemoteFailed(
                "JupyterHub does not let the service start servers.", hint="Its token needs start:servers."
            )
        kind = {403: Forbidden, 429: Unavailable}.get(response.status_code, Conflict)
        raise kind(f"JupyterHub does not start {name}/{server}: {message}")

    async def active(self) -> list[HubUser]:
        """Everybody with a server that runs, starts or stops.

        Raises:
            Unavailable: the hub does not answer.
            RemoteFailed: it refuses our token, or answers what we cannot read.
        """
        found: list[HubUser] = []
        while page := _decoded(await self._get(f"/users?state=active&limit={PAGE}&offset={len(found)}"), list[HubUser]):
            found += page
        return found

    async def standings(self) -> dict[str, HubStanding]:
        """Those who do not stand well with the login provider, by name; errors as of `active`."""
        return _decoded(await self._get("/aiinfn/standings"), dict[str, HubStanding])

    async def stop(self, name: str, server: str) -> None:
        """Stop a server; good as well if it is not there any more, or stops already.

        Raises:
            Unavailable: the hub does not answer, or cannot do it now.
            RemoteFailed: it refuses our token.
        """
        response = await self._ask("DELETE", _server(name, server), timeout_s=START_S)
        if response.status_code in (401, 403):
            raise RemoteFailed("JupyterHub does not let the service stop servers.", hint="It needs delete:servers.")
        if response.status_code not in (202, 204, 400, 404):  # 400: it starts or stops just now
            raise Unavailable(f"JupyterHub does not stop {name}/{server}: {_message(response)}")

    async def is_shared(self, name: str, server: str) -> bool:
        """Whether somebody beside its owner may use a server that runs; asked each time.

        Raises:
            Unavailable: the hub does not answer.
            RemoteFailed: it refuses our token, or answers what we cannot read.
        """
        path = f"/shares/{quote(name, safe='')}/{quote(server, safe='')}"
        response = await self._ask("GET", path)
        if response.status_code == 404:  # no such server: nobody else has it either
            return False
        if response.status_code != 200:
            raise RemoteFailed(
                f"JupyterHub answers {response.status_code} about shares.", hint="The service needs read:shares."
            )
        return bool(_decoded(response.content, _Shares).items)

    async def acts(self, stored: Sequence[str]) -> list[Act]:
        """The acts of the hub that the audit has not got yet; those with these ids it has, and the hub forgets them.

        Raises:
            Unavailable: the hub does not answer.
            RemoteFailed: it refuses our token, or answers what we cannot read.
        """
        response = await self._ask("POST", "/aiinfn/audit", content=msgspec.json.encode({"stored": stored}))
        if response.status_code != 200:
            raise RemoteFailed(
                f"JupyterHub answers {response.status_code} to the audit.",
                hint="The service's token needs the scope custom:aiinfn:people.",
            )
        return _decoded(response.content, dict[str, list[Act]]).get("acts", [])

    async def job_tokens(self, jobs: TokenJobs) -> dict[str, Lack]:
        """Have the hub see to the tokens of jobs; which ones have no good one, by run.

        Raises:
            Unavailable: the hub does not answer.
            RemoteFailed: it refuses our token, or answers what we cannot read.
        """
        body = msgspec.json.encode(jobs)
        response = await self._ask("POST", "/aiinfn/job-tokens", timeout_s=START_S, content=body)
        return _decoded(_good(response, ""), dict[str, Lack])

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _get(self, path: str, name: str = "") -> bytes:
        return _good(await self._ask("GET", path), name)

    async def _ask(
        self, method: str, path: str, *, timeout_s: float = 5.0, content: bytes | None = None
    ) -> httpx.Response:
        # Our own handlers are beside JupyterHub's API.
        url = self._base_url.removesuffix("/api") + path if path.startswith("/aiinfn/") else self._base_url + path
        try:
            response = await self._http.request(method, url, headers=self._headers, timeout=timeout_s, content=content)
        except httpx.TransportError as error:
            raise Unavailable("JupyterHub does not answer.", hint="Try again in a moment.") from error
        if response.status_code >= 500:
            raise Unavailable(f"JupyterHub answers {response.status_code}.", hint="Try again in a moment.")
        return response


def _good(response: httpx.Response, name: str) -> bytes:
    """What it answers about the user of that name."""
    if response.status_code == 404:
        raise NotFound(f"JupyterHub knows no user {name!r}.")
    if response.status_code != 200:
        raise RemoteFailed(
            f"JupyterHub answers {response.status_code} to the service.",
            hint="Its token needs read:users:name, read:users:groups, read:servers and custom:aiinfn:people.",
        )
    return response.content


def _message(response: httpx.Response) -> str:
    """What a refusal of the hub says."""
    try:
        return msgspec.json.decode(response.content, type=_Refused).message
    except msgspec.MsgspecError:
        return f"it answers {response.status_code}"


def _server(name: str, server: str) -> str:
    return f"/users/{quote(name, safe='')}/" + (f"servers/{quote(server, safe='')}" if server else "server")


def _decoded(body: bytes, kind: type[T]) -> T:
    """Without the scope for groups the hub leaves them out in silence, which is not an empty list."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise RemoteFailed(
            f"What JupyterHub says cannot be used: {error}.",
            hint="The service's token needs the scopes read:users:name, read:users:groups and read:servers.",
        ) from error
