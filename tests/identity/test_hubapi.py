"""The reader of the hub, against a small hub over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from support.iam import Clock

from aiinfn_hub.errors import Conflict, Forbidden, NotFound, RemoteFailed, Unavailable
from aiinfn_hub.identity.hubapi import HubApi, Lack, TokenJob, TokenJobs

pytestmark = pytest.mark.asyncio
SERVER = {
    "name": "",
    "full_name": "ada/",
    "ready": True,
    "pending": None,
    "started": "2026-09-01T10:00:00.000000Z",
    "stopped": False,
    "user_options": {"flavour": "t4", "activity": "cms"},
    "url": "/user/ada/",
}


class Hub:
    """What JupyterHub answers to a service; `status` and `model` can be changed."""

    def __init__(self) -> None:
        self.status = 200
        self.model: Any = {"kind": "user", "name": "ada", "groups": ["/a"], "admin": False, "servers": {"": SERVER}}
        self.asked: list[str] = []
        self.url = ""

    async def answer(self, request: web.Request) -> web.Response:
        assert request.headers["Authorization"] == "token t"
        self.asked.append(request.raw_path)
        return web.json_response(self.model, status=self.status)


@pytest_asyncio.fixture
async def hub() -> AsyncIterator[Hub]:
    hub, application = Hub(), web.Application()
    application.router.add_get("/hub/api/users/{name}", hub.answer)
    application.router.add_get("/hub/api/shares/{rest:.*}", hub.answer)
    application.router.add_route("*", "/hub/aiinfn/{rest:.*}", hub.answer)
    application.router.add_post("/hub/api/users/{name}/{rest:.*}", hub.answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    hub.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hub/api"
    yield hub
    await runner.cleanup()


@pytest_asyncio.fixture
async def api(hub: Hub) -> AsyncIterator[HubApi]:
    api = HubApi(hub.url + "/", "t", clock=(clock := Clock()))
    api.test_clock = clock  # type: ignore[attr-defined]
    yield api
    await api.close()


async def test_a_user_with_groups_and_servers(api: HubApi) -> None:
    user = await api.user("ada")
    assert user.groups == ("/a",)
    assert user.admin is False
    server = user.servers[""]
    assert server.ready
    assert server.pending is None
    assert server.user_options == {"flavour": "t4", "activity": "cms"}
    assert server.started is not None
    assert server.started.isoformat() == "2026-09-01T10:00:00+00:00"


async def test_an_answer_is_used_for_a_while(api: HubApi, hub: Hub) -> None:
    await api.user("ada")
    hub.model = hub.model | {"groups": []}
    assert (await api.user("ada")).groups == ("/a",)
    assert (await api.user("ada", fresh=True)).groups == ()
    assert len(hub.asked) == 2
    api.test_clock.now += 11  # type: ignore[attr-defined]
    hub.model = hub.model | {"groups": ["/b"]}
    assert (await api.user("ada")).groups == ("/b",)


async def test_a_name_cannot_become_another_path(api: HubApi, hub: Hub) -> None:
    await api.user("../groups?x=#y")
    assert hub.asked == ["/hub/api/users/..%2Fgroups%3Fx%3D%23y"]


@pytest.mark.parametrize(
    ("status", "model", "error", "words"),
    [
        pytest.param(404, {}, NotFound, "ada", id="an unknown user"),
        pytest.param(500, {}, Unavailable, "500", id="a hub that fails"),
        pytest.param(403, {}, RemoteFailed, "403", id="a token without the scope"),
        pytest.param(200, {"name": "ada"}, RemoteFailed, "groups", id="groups left out are not an empty list"),
        pytest.param(200, [], RemoteFailed, "cannot be used", id="something else"),
    ],
)
async def test_what_can_go_wrong(
    api: HubApi, hub: Hub, status: int, model: Any, error: type[Exception], words: str
) -> None:
    hub.status, hub.model = status, model
    with pytest.raises(error, match=words):
        await api.user("ada")


async def test_a_failure_is_not_remembered(api: HubApi, hub: Hub) -> None:
    hub.status = 503
    with pytest.raises(Unavailable):
        await api.user("ada")
    hub.status = 200
    assert (await api.user("ada")).name == "ada"


async def test_a_hub_that_is_not_there() -> None:
    api = HubApi("http://127.0.0.1:9/hub/api", "t")
    with pytest.raises(Unavailable, match="does not answer"):
        await api.user("ada")
    await api.close()


# Shares


@pytest.mark.parametrize(
    ("status", "model", "shared"),
    [
        (200, {"items": [], "_pagination": {}}, False),
        (200, {"items": [{"user": {"name": "bob"}, "scopes": []}]}, True),
        (404, {"message": "no such server"}, False),
    ],
)
async def test_whether_a_server_is_shared(hub: Hub, api: HubApi, status: int, model: Any, shared: bool) -> None:
    hub.status, hub.model = status, model
    assert await api.is_shared("a/b", "x y") is shared
    assert hub.asked == ["/hub/api/shares/a%2Fb/x%20y"]


@pytest.mark.parametrize(("status", "model"), [(403, {}), (200, {"items": 3}), (200, [])])
async def test_an_answer_about_shares_that_says_nothing_is_no_no(
    hub: Hub, api: HubApi, status: int, model: Any
) -> None:
    hub.status, hub.model = status, model
    with pytest.raises(RemoteFailed):
        await api.is_shared("ada", "")


# Starting a server


@pytest.mark.parametrize(
    ("server", "path"),
    [
        ("", "/hub/api/users/ada%2Fx/server"),
        ("lab", "/hub/api/users/ada%2Fx/servers/lab"),
        ("a/b?", "/hub/api/users/ada%2Fx/servers/a%2Fb%3F"),
    ],
)
async def test_a_server_is_started_by_its_name(api: HubApi, hub: Hub, server: str, path: str) -> None:
    hub.status = 201
    await api.start("ada/x", server)
    assert hub.asked == [path]


@pytest.mark.parametrize(
    ("status", "message"),
    [
        pytest.param(202, "", id="it starts"),
        pytest.param(202, "Your session is in the queue: ...", id="it is parked again"),
        pytest.param(400, "ada:lab is already running", id="it runs"),
        pytest.param(400, "ada is pending check", id="the hub has just come back"),
    ],
)
async def test_a_server_that_need_not_be_started_is_no_error(api: HubApi, hub: Hub, status: int, message: str) -> None:
    hub.status, hub.model = status, {"status": status, "message": message}
    await api.start("ada", "")


@pytest.mark.parametrize(
    ("status", "message", "error"),
    [
        pytest.param(404, "Not Found", NotFound, id="an unknown user"),
        pytest.param(403, "auth has expired for ada, login again", Forbidden, id="a person who is gone"),
        pytest.param(
            403,
            "Action is not authorized with current scopes; requires any of [start:servers]",
            RemoteFailed,
            id="our own token lacks the scope, which is nobody's fault who waits",
        ),
        pytest.param(429, "Too many users trying to log in right now.", Unavailable, id="a hub that is busy"),
        pytest.param(400, "Accelerator: There is no 'v100' for sessions.", Conflict, id="an option of last year"),
        pytest.param(409, "The registry has no such image.", Conflict, id="a start that failed"),
        pytest.param(503, "", Unavailable, id="a hub that fails"),
    ],
)
async def test_a_start_that_is_refused(
    api: HubApi, hub: Hub, status: int, message: str, error: type[Exception]
) -> None:
    hub.status, hub.model = status, {"status": status, "message": message}
    with pytest.raises(error) as refused:
        await api.start("ada", "")
    assert type(refused.value) is error


async def test_an_answer_that_is_no_json_is_a_refusal_too(api: HubApi, hub: Hub) -> None:
    hub.status, hub.model = 418, ["tea"]
    with pytest.raises(Conflict, match="it answers 418"):
        await api.start("ada", "")


async def test_a_hub_that_is_away_is_said_to_be_at_a_start_too() -> None:
    api = HubApi("http://127.0.0.1:9/hub/api", "t")
    with pytest.raises(Unavailable):
        await api.start("ada", "")
    await api.close()


@pytest.mark.parametrize("uid", [200_000, None])
async def test_the_posix_user_of_somebody(api: HubApi, hub: Hub, uid: int | None) -> None:
    hub.model = {"uid": uid}
    assert await api.uid("ada lovelace/x") == uid
    assert hub.asked == ["/hub/aiinfn/posix?person=ada%20lovelace%2Fx"]


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (404, NotFound, "knows no user 'ada'"),
        (409, Forbidden, "has no user number yet"),
        (403, RemoteFailed, "custom:aiinfn:people"),
        (503, Unavailable, "answers 503"),
    ],
)
async def test_a_posix_user_that_cannot_be_had(
    api: HubApi, hub: Hub, status: int, kind: type[Exception], words: str
) -> None:
    hub.status, hub.model = status, {"message": "no"}
    with pytest.raises(kind, match=words):
        await api.uid("ada")


async def test_what_the_hub_says_of_the_tokens_of_jobs(api: HubApi, hub: Hub) -> None:
    hub.model = {"run-1": {"code": "forbidden", "message": "The login is over.", "hint": "Log in again."}}
    lacking = await api.job_tokens(TokenJobs(jobs=[TokenJob("run-1", "ada", "cms", "uid")]))
    assert lacking == {"run-1": Lack("forbidden", "The login is over.", "Log in again.")}
    hub.status = 403
    with pytest.raises(RemoteFailed, match="custom:aiinfn:people"):
        await api.job_tokens(TokenJobs(jobs=[]))
