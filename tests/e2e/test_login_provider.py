"""The login provider is silent, takes a group away, or refuses, while a JupyterLab runs: on the embedded platform.

The switches are those of the demo's IAM. JupyterHub asks it again at every start of a session.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
import pytest_asyncio
from support.demo import Kernel, RunningDemo, Visitor, running_demo
from support.people_at_work import SESSION, said, session, stop, switch

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(300)]
GROUPS = ["/aiinfn", "/aiinfn/lhcb-flashsim"]


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    with running_demo(tmp_path_factory.mktemp("demo") / "home") as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scientist(demo: RunningDemo) -> tuple[Visitor, Kernel]:
    """Somebody whose session runs through everything."""
    return await session(demo, "scientist")


@asynccontextmanager
async def switched(demo: RunningDemo, switches: dict[str, Any], back: dict[str, Any]) -> AsyncIterator[None]:
    """Something is wrong at the IAM until the end of the block."""
    await switch(demo, **switches)
    try:
        yield
    finally:
        await switch(demo, **back)


async def works(kernel: Kernel) -> None:
    assert (await kernel.run("print(6 * 7)")).text == "42\n", "the session has not noticed"


async def home(visitor: Visitor) -> httpx.Response:
    return await visitor.http.get(f"{visitor.hub}/hub/home")


async def test_while_it_is_silent_sessions_go_on_and_new_ones_start(
    demo: RunningDemo, scientist: tuple[Visitor, Kernel]
) -> None:
    visitor, kernel = scientist
    async with switched(demo, {"silent": "unavailable"}, {"silent": ""}):
        answer = await visitor.spawn(SESSION, "second")
        assert answer.status_code == 200, said(answer)
        await visitor.ready("second", timeout_s=90)
        assert "The login provider has not answered since" in said(await home(visitor))
        await works(kernel)
    await stop(visitor, "second")
    answer = await visitor.spawn(SESSION, "second")
    await visitor.ready("second", timeout_s=90)
    assert "has not answered" not in said(await home(visitor)), "it has been heard again"
    await stop(visitor, "second")


async def test_a_group_that_is_lost_opens_nothing_new(demo: RunningDemo, scientist: tuple[Visitor, Kernel]) -> None:
    visitor, kernel = scientist
    lost = {"account": "scientist", "groups": ["/aiinfn"]}
    async with switched(demo, lost, lost | {"groups": GROUPS}):
        refused = await visitor.spawn(SESSION, "second")
        assert "/aiinfn/lhcb-flashsim" in said(refused), "the group that is missing"
        [notice] = await until_told(visitor, "This session ends at {due}.")
        assert "/aiinfn/lhcb-flashsim" in notice["text"]
        assert notice["due"] - notice["since"] == 900.0
        assert notice["server"] == ""
        await works(kernel)
    await _until_it_starts(visitor)
    await stop(visitor, "second")
    await until_told(visitor)
    await works(kernel)


async def until_told(visitor: Visitor, *titles: str) -> list[dict[str, Any]]:
    """Wait until the person's own server, which JupyterLab asks, has these notices and no other."""
    deadline = time.monotonic() + 60
    while True:
        answer = await visitor.http.get(f"{visitor.hub}/user/scientist/aiinfn/api/notices")
        found: list[dict[str, Any]] = answer.json().get("notices", [])
        if [one["title"] for one in found] == list(titles):
            return found
        assert time.monotonic() < deadline, answer.text
        await asyncio.sleep(0.5)


async def test_a_suspended_account_starts_nothing_and_reads_why(
    demo: RunningDemo, scientist: tuple[Visitor, Kernel]
) -> None:
    """The rights go at once, the session with them; the login with JupyterHub's next question, which
    `test_authenticator_hub.py` shows."""
    visitor, _ = scientist
    suspended = {"account": "scientist", "active": False}
    async with switched(demo, suspended, suspended | {"active": True}):
        refused = await visitor.spawn(SESSION, "second")
        assert "is in no activity" in said(refused)
        assert "The login provider says that this account is not active." in said(await home(visitor))
        operator = Visitor(demo, "operator")
        await operator.login()
        deadline = time.monotonic() + 60
        while (await operator.api("GET", "/users/scientist")).json()["servers"]:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.5)
        audit = f"{demo.info['panel_url']}api/audit?person=scientist&what=stopped"
        while not (acts := (await operator.http.get(audit)).json()["acts"]):
            assert time.monotonic() < deadline
            await asyncio.sleep(0.5)
        assert [act["why"] for act in acts] == ["The login provider says that this account is not active."]
    await _until_it_starts(visitor)


async def _until_it_starts(visitor: Visitor) -> None:
    """The rights are back as soon as they are asked for."""
    deadline = time.monotonic() + 60
    while (answer := await visitor.spawn(SESSION, "second")).url.path.endswith("/spawn/scientist/second"):
        assert time.monotonic() < deadline, said(answer)
    await visitor.ready("second", timeout_s=90)
