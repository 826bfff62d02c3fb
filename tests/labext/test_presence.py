"""What a session says of itself: from Jupyter's own models, in a real server, and before it ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from support.fakeservice import FakeService
from support.jupyter import JUPYTER_TOKEN, JupyterServer

from aiinfn_hub.contract.life import SessionLife, SessionUse
from aiinfn_hub.contract.notices import Notice
from aiinfn_labext.client import ServiceClient
from aiinfn_labext.presence import Presence, Seen, kernels, terminals, use

STAMP = "2026-11-30T12:00:00.000000Z"
AT = 1796040000.0


@pytest.mark.parametrize(
    ("state", "busy"),
    [("busy", True), ("idle", False), ("starting", False), ("restarting", False), ("dead", False)],
)
def test_a_kernel(state: str, busy: bool) -> None:
    (found,) = kernels([{"execution_state": state, "last_activity": STAMP}])
    assert found == Seen(busy, AT)


def test_a_terminal() -> None:
    assert terminals([{"name": "1", "last_activity": STAMP}]) == [Seen(False, AT)]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        pytest.param([], SessionUse(0, 500.0, 0.1), id="nothing was ever started"),
        pytest.param([Seen(False, 900.0), Seen(False, 700.0)], SessionUse(0, 100.0, 0.1), id="the last one counts"),
        pytest.param([Seen(True, 100.0), Seen(True, 100.0)], SessionUse(2, 500.0, 0.1), id="two run"),
        pytest.param([Seen(False, 1200.0)], SessionUse(0, 0.0, 0.1), id="a clock that jumped"),
    ],
)
def test_a_report(found: list[Seen], said: SessionUse) -> None:
    assert use(found, since=500.0, now=1000.0, cpu_cores=0.1) == said


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FakeService, JupyterServer]]:
    service = FakeService(tmp_path_factory.mktemp("service"))
    server = JupyterServer(tmp_path_factory.mktemp("jupyter"), service.environ)
    yield service, server
    server.stop()
    service.stop()


def until(true: Any, what: str) -> None:
    deadline = time.monotonic() + 20
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def post(server: JupyterServer, path: str, body: bytes = b"{}") -> httpx.Response:
    headers = {"Authorization": f"token {JUPYTER_TOKEN}"}
    return httpx.post(f"{server.url}aiinfn/api/{path}", headers=headers, content=body, timeout=10)


def test_a_server_reports_and_a_person_may_say_to_be_here(place: tuple[FakeService, JupyterServer]) -> None:
    service, server = place
    until(lambda: service.uses, "a server tells at its start")
    time.sleep(1.1)  # else it would be quiet for less than a second anyway
    before = len(service.uses)
    kernel = httpx.post(f"{server.url}api/kernels", headers={"Authorization": f"token {JUPYTER_TOKEN}"}, timeout=30)
    assert kernel.status_code == 201
    assert post(server, "keep").json()["ends"] == service.life.ends
    said = service.uses[-1]
    assert len(service.uses) == before + 1
    assert said.quiet_s < 1
    assert said.cpu_cores is not None, "the processor is measured"


def test_more_time(place: tuple[FakeService, JupyterServer]) -> None:
    service, server = place
    ends = service.life.ends
    assert ends is not None
    answer = post(server, "extend", msgspec.json.encode({"ends": ends}))
    assert (answer.status_code, answer.json()["ends"]) == (200, ends + 3600)
    again = post(server, "extend", msgspec.json.encode({"ends": ends + 3600}))
    assert again.status_code == 429
    assert again.json()["error"]["message"] == "Nothing is left."
    assert post(server, "extend", b'{"until": 5}').status_code == 400


def test_without_the_token_nobody_acts(place: tuple[FakeService, JupyterServer]) -> None:
    _, server = place
    assert httpx.post(f"{server.url}aiinfn/api/keep").status_code == 403


class Ending(ServiceClient):
    """A service that says that the session ends."""

    def __init__(self, due: float) -> None:
        super().__init__(environ={})
        self.due = due

    def notices(self) -> list[Notice]:
        about = {"level": "error", "title": "", "text": "", "since": 0.0}
        return [Notice(id="a", due=self.due, server="", **about), Notice(id="b", due=self.due, **about)]  # type: ignore[arg-type]  # ty


def program(home: Path, text: str, mode: int = 0o755) -> None:
    path = home / ".aiinfn" / "before-stop"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


@pytest.mark.asyncio
async def test_what_a_person_leaves_to_do_is_done_a_minute_before_the_end(tmp_path: Path) -> None:
    now = [1000.0]
    with ThreadPoolExecutor(1) as threads:
        presence = Presence(Ending(2000.0), list, threads, home=tmp_path, clock=lambda: now[0])
        assert await presence.before_end() == 30, "nothing is left to do"
        program(tmp_path, "#!/bin/sh\necho $AIINFN_STOPS_AT in $PWD\n")
        assert await presence.before_end() == 30
        now[0] = 1930.0
        assert await presence.before_end() == 10, "in time, not at the next report"
        now[0] = 1941.0
        for _ in range(3):
            await presence.before_end()
        log = tmp_path / ".aiinfn" / "before-stop.log"
        async with asyncio.timeout(10):
            while not log.read_text():
                await asyncio.sleep(0.02)
        assert log.read_text() == f"2000 in {tmp_path}\n", "once"


@pytest.mark.asyncio
@pytest.mark.parametrize(("text", "mode"), [("#!/bin/sh\n", 0o644), ("#!/no/such/program\n", 0o755)])
async def test_what_cannot_be_started_is_left(tmp_path: Path, text: str, mode: int) -> None:
    program(tmp_path, text, mode)
    with ThreadPoolExecutor(1) as threads:
        presence = Presence(Ending(5.0), list, threads, home=tmp_path, clock=lambda: 5.0)
        assert await presence.before_end() == 30


@pytest.mark.asyncio
async def test_without_a_service_nothing_is_told() -> None:
    with ThreadPoolExecutor(1) as threads:
        presence = Presence(ServiceClient(environ={}), list, threads, home=Path("/none"))
        async with asyncio.timeout(5):
            await presence.run()
    assert presence.life is None


def test_life_on_the_wire() -> None:
    life = SessionLife("NVIDIA T4", 1.0, None)
    assert msgspec.json.decode(msgspec.json.encode(life), type=SessionLife) == life
