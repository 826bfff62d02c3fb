"""The reader of the hub, against a small hub over HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from aiohttp import web
from support.iam import Clock

from aiinfn_hub.errors import NotFound, RemoteFailed, Unavailable
from aiinfn_hub.identity.hubapi import HubApi

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
