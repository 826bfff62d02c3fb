"""The audit of the service: the hub's acts and its own, for operators only."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from support.service import RunningService, running_service

from aiinfn_hub.errors import RemoteFailed, Unavailable
from aiinfn_hub.identity.audit import Act

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[RunningService]:
    async with running_service(tmp_path) as running:
        yield running


async def shown(service: RunningService, **query: Any) -> list[dict[str, Any]]:
    token = service.hub.add("olga", "/aiinfn", "/aiinfn/admins")
    async with service.person(token) as http:
        answer = await http.get("/api/audit", params=query)
    assert answer.status_code == 200, answer.text
    return list(answer.json()["acts"])


def given(service: RunningService, *acts: Act) -> None:
    service.hub.acts += [msgspec.to_builtins(act) for act in acts]


async def test_the_hubs_acts_are_fetched_and_then_forgotten_there(service: RunningService) -> None:
    acts = [Act(what="login", actor=f"p{number}", at=float(number)) for number in range(5)]
    given(service, *acts)
    await service.service.audit.fetch()
    assert service.hub.acts == []
    assert [act["actor"] for act in await shown(service)] == ["p4", "p3", "p2", "p1", "p0"]


async def test_the_services_absence_delays_them_and_loses_none(tmp_path: Path) -> None:
    """Killed between storing and telling the hub so, it gets them again; each is kept once."""
    async with running_service(tmp_path) as service:
        given(service, act := Act(what="login", actor="ada"))
        await service.service.audit.fetch()
        given(service, act)
        await service.service.audit.fetch()
        assert len(await shown(service)) == 1


async def test_while_the_hub_is_away_it_is_asked_again(
    service: RunningService, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service.service.audit, "_every_s", 0.01)
    service.hub.down = True
    with pytest.raises(Unavailable):
        await service.service.audit.fetch()
    task = asyncio.create_task(service.service.audit.run())
    await asyncio.sleep(0.1)
    given(service, Act(what="login", actor="ada"))
    service.hub.down = False
    async with asyncio.timeout(5):
        while not await shown(service):
            await asyncio.sleep(0.02)
    task.cancel()


async def test_a_hub_that_refuses_names_the_scope(service: RunningService) -> None:
    service.service.hub._headers = {"Authorization": "token another"}
    with pytest.raises(RemoteFailed, match="custom:aiinfn:people"):
        await service.service.audit.fetch()


async def test_the_services_own_acts_are_in_it(service: RunningService) -> None:
    await service.service.audit.note(Act(what="admin", actor="olga", about="ada", why="because"))
    assert [act["why"] for act in await shown(service, person="ada")] == ["because"]
    assert await shown(service, what="login") == []


@pytest.mark.parametrize("path", ["/api/audit", "/audit"])
async def test_nobody_else_may_read_it(service: RunningService, path: str) -> None:
    for token in (service.hub.add("ada", "/aiinfn", "/aiinfn/lhcb-flashsim/pi"), "unknown", ""):
        async with service.person(token) as http:
            assert (await http.get(path)).status_code in (302, 401, 403)


async def test_the_page_of_operators(service: RunningService) -> None:
    await service.service.audit.note(Act(what="login-refused", actor="<script>", why="<b>no</b>", done=False))
    await service.service.audit.note(
        Act(what="rights", about="ada", why="The IAM says so.", facts={"gained": ["/a", "/b"], "admin": False})
    )
    token = service.hub.add("olga", "/aiinfn", "/aiinfn/admins")
    async with service.person(token) as http:
        page = (await http.get("/audit")).text
        assert "&lt;script&gt;" in page
        assert "<b>no</b>" not in page
        assert "/a, /b" in page
        assert "Nothing is known of bob." in (await http.get("/audit", params={"person": "bob"})).text
        assert "&lt;script&gt;" not in (await http.get("/audit", params={"person": "ada"})).text
        refused = await http.get("/audit", params={"before": "x"})
        assert refused.status_code == 400
        assert "is no time" in refused.text
        for number in range(101):
            await service.service.audit.note(Act(what="login", actor="eve", at=float(number)))
        first = await http.get("/audit", params={"person": "eve"})
        assert "older" in first.text
        older = await http.get("/audit", params={"person": "eve", "before": "1.0"})
        assert older.text.count("<tr>") == 2
