"""The part of JupyterHub's REST API that the service asks, as a real HTTP server with tokens of our choice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from aiinfn_hub.identity.roles import SCOPES

SERVICE_TOKEN = "service-token"
ACCESS = "access:services!service=aiinfn"


@dataclass
class FakeHub:
    """`users` by name, `tokens` by value; both may change while it runs."""

    url: str = ""
    users: dict[str, dict[str, Any]] = field(default_factory=dict)
    tokens: dict[str, dict[str, Any]] = field(default_factory=dict)
    down: bool = False
    #: What a start is answered, by user: status and message; 201 without.
    answers: dict[str, tuple[int, str]] = field(default_factory=dict)
    #: Paths of the starts that were asked for.
    starts: list[str] = field(default_factory=list)
    #: Who does not stand well, as the hub says it.
    standings: dict[str, dict[str, Any]] = field(default_factory=dict)
    #: Servers that were stopped, as (owner, server).
    stops: list[tuple[str, str]] = field(default_factory=list)
    #: Servers that somebody else may use, as (owner, server).
    shared: set[tuple[str, str]] = field(default_factory=set)
    #: Acts that the service has not stored yet.
    acts: list[dict[str, Any]] = field(default_factory=list)
    #: What was asked about the tokens of jobs, and which jobs are told to have none, by run.
    asked: list[dict[str, Any]] = field(default_factory=list)
    lacking: dict[str, dict[str, str]] = field(default_factory=dict)

    def add(
        self, name: str, *groups: str, admin: bool = False, scopes: tuple[str, ...] = (ACCESS, *SCOPES), **servers: Any
    ) -> str:
        """A user with these groups and servers (name -> user_options); returns a token of hers.

        Given no scopes, it carries the rights of PIs and operators, should she have them.
        """
        models = {
            server: {"name": server, "ready": True, "pending": None, "user_options": options, "url": f"/user/{name}/"}
            for server, options in servers.items()
        }
        self.users[name] = {"name": name, "kind": "user", "groups": list(groups), "admin": admin, "servers": models}
        token = f"token-of-{name}"
        self.tokens[token] = {"name": name, "kind": "user", "scopes": list(scopes)}
        return token

    def _token(self, request: web.Request) -> str:
        return request.headers.get("Authorization", "").removeprefix("token ").removeprefix("Bearer ")

    async def who(self, request: web.Request) -> web.Response:
        model = self.tokens.get(self._token(request))
        return web.json_response(model) if model else web.json_response({"message": "no"}, status=403)

    async def user(self, request: web.Request) -> web.Response:
        if self._token(request) != SERVICE_TOKEN:
            return web.json_response({"message": "no"}, status=403)
        model = self.users.get(request.match_info["name"])
        return web.json_response(model) if model else web.json_response({"message": "no"}, status=404)

    async def active(self, request: web.Request) -> web.Response:
        if self._token(request) != SERVICE_TOKEN:
            return web.json_response({"message": "no"}, status=403)
        assert request.query["state"] == "active"
        found = [user for user in self.users.values() if user["servers"]]
        offset, limit = int(request.query["offset"]), int(request.query["limit"])
        return web.json_response(found[offset : offset + limit])

    async def stand(self, request: web.Request) -> web.Response:
        if self._token(request) != SERVICE_TOKEN:
            return web.json_response({"message": "no"}, status=403)
        return web.json_response(self.standings)

    async def stop(self, request: web.Request) -> web.Response:
        if self._token(request) != SERVICE_TOKEN:
            return web.json_response({"message": "no"}, status=403)
        self.stops.append((request.match_info["name"], request.match_info.get("server", "")))
        return web.Response(status=202)

    async def shares(self, request: web.Request) -> web.Response:
        if self._token(request) != SERVICE_TOKEN:
            return web.json_response({"message": "no"}, status=403)
        owner, server = request.match_info["name"], request.match_info["server"]
        if server not in self.users.get(owner, {}).get("servers", {}):
            return web.json_response({"message": "no"}, status=404)
        items = [{"user": {"name": "guest"}}] if (owner, server) in self.shared else []
        return web.json_response({"items": items, "_pagination": {}})

    async def audit(self, request: web.Request) -> web.Response:
        if self._token(request) != SERVICE_TOKEN:
            return web.json_response({"message": "no"}, status=403)
        stored = (await request.json())["stored"]
        self.acts = [act for act in self.acts if act["id"] not in stored]
        return web.json_response({"acts": self.acts[:2]})

    async def job_tokens(self, request: web.Request) -> web.Response:
        if self._token(request) != SERVICE_TOKEN:
            return web.json_response({"message": "no"}, status=403)
        self.asked.append(await request.json())
        return web.json_response(self.lacking)

    async def start(self, request: web.Request) -> web.Response:
        if self._token(request) != SERVICE_TOKEN:
            return web.json_response({"message": "no"}, status=403)
        assert not await request.read(), "the options are those of the last start"
        self.starts.append(request.raw_path.removeprefix("/hub/api"))
        status, message = self.answers.get(request.match_info["name"], (201, ""))
        return web.json_response({"status": status, "message": message}, status=status)


@web.middleware
async def _outage(request: web.Request, handler: Any) -> web.StreamResponse:
    if request.app["hub"].down:
        return web.Response(status=503)
    response: web.StreamResponse = await handler(request)
    return response


@asynccontextmanager
async def running_hub() -> AsyncIterator[FakeHub]:
    """A fake hub on a free port of loopback."""
    hub = FakeHub()
    app = web.Application(middlewares=[_outage])
    app["hub"] = hub
    app.add_routes([web.get("/hub/api/user", hub.who), web.get("/hub/api/users/{name}", hub.user)])
    app.add_routes([web.post("/hub/aiinfn/audit", hub.audit), web.get("/hub/aiinfn/standings", hub.stand)])
    app.add_routes([web.get("/hub/api/users", hub.active), web.post("/hub/aiinfn/job-tokens", hub.job_tokens)])
    app.add_routes([web.delete(f"/hub/api/users/{{name}}/{end}", hub.stop) for end in ("server", "servers/{server}")])
    app.add_routes([web.get("/hub/api/shares/{name}/{server:.*}", hub.shares)])
    app.add_routes([web.post(f"/hub/api/users/{{name}}/{end}", hub.start) for end in ("server", "servers/{server}")])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    hub.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hub/api"
    try:
        yield hub
    finally:
        await runner.cleanup()
