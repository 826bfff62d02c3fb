"""The proxy of the embedded platform: found, installed once, and really streaming."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from aiohttp import ClientSession, web

from aiinfn_hub.errors import Unavailable
from aiinfn_hub.local.home import free_ports
from aiinfn_hub.local.proxy import launcher

BIG = 200 * 1024 * 1024
TOKEN = "test"


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return launcher.install(tmp_path_factory.mktemp("proxy"), lambda _: None)


def test_the_lock_names_hashes_and_no_host() -> None:
    lock = json.loads((launcher.HERE / "package-lock.json").read_text())
    packages = {name: entry for name, entry in lock["packages"].items() if name}
    assert all("resolved" not in entry for entry in packages.values())
    assert all(entry["integrity"].startswith("sha512-") for entry in packages.values())


def test_a_second_installation_fetches_nothing(command: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    cache = Path(command[1]).parents[4]
    monkeypatch.setattr(launcher, "_npm_ci", lambda *_: pytest.fail("fetched again"))
    assert launcher.install(cache, lambda _: pytest.fail("said something")) == command


def test_a_half_installation_is_not_taken_for_a_whole_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_node: Path, folder: Path) -> None:
        (folder / "node_modules").mkdir()
        raise Unavailable("no network")

    monkeypatch.setattr(launcher, "_npm_ci", broken)
    with pytest.raises(Unavailable):
        launcher.install(tmp_path, lambda _: None)
    assert [p for p in tmp_path.iterdir() if not p.name.startswith(".")] == []


def test_an_old_node_on_the_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "node"
    old.write_text("#!/bin/sh\necho v12.22.0\n")
    old.chmod(old.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    found = launcher.find_node()
    assert found != old
    assert launcher._major(found) >= launcher.MIN_NODE


def test_an_npm_that_fails_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launcher, "_npm", lambda _: ["sh", "-c", "echo E404 nothing there >&2; exit 1"])
    with pytest.raises(Unavailable, match="E404 nothing there"):
        launcher.install(tmp_path, lambda _: None)


async def events(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
    await response.prepare(request)
    for number in range(int(request.query.get("count", "3"))):
        await response.write(f"data: {number}\n\n".encode())
        await asyncio.sleep(float(request.query.get("pause", "1")))
    return response


async def big(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Length": str(BIG)})
    await response.prepare(request)
    for _ in range(BIG // (1024 * 1024)):
        await response.write(b"\0" * 1024 * 1024)
    return response


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str(message.data)
    return socket


@pytest.fixture
def proxy(command: list[str], tmp_path: Path) -> Iterator[tuple[str, int]]:
    public, api, target = free_ports(3)
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--ip", "127.0.0.1", "--port", str(public), "--api-ip", "127.0.0.1", "--api-port", str(api),
             "--default-target", f"http://127.0.0.1:{target}"],
            env={"CONFIGPROXY_AUTH_TOKEN": TOKEN, "PATH": os.environ["PATH"]}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{public}", target
    finally:
        process.terminate()
        process.wait(10)


@asynccontextmanager
async def backend(port: int) -> AsyncIterator[None]:
    app = web.Application()
    app.add_routes([web.get("/events", events), web.get("/big", big), web.get("/echo", echo)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield
    finally:
        await runner.cleanup()


async def up(url: str) -> None:
    async with httpx.AsyncClient() as http, asyncio.timeout(20):
        while True:
            try:
                if (await http.get(f"{url}/none")).status_code == 404:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.05)


@pytest.mark.asyncio
async def test_the_first_event_arrives_within_a_second_of_its_sending(proxy: tuple[str, int]) -> None:
    url, target = proxy
    async with backend(target), httpx.AsyncClient() as http:
        await up(url)
        started = time.monotonic()
        arrivals = []
        async with http.stream("GET", f"{url}/events?count=2&pause=1") as stream:
            async for line in stream.aiter_lines():
                if line.startswith("data"):
                    arrivals.append(time.monotonic() - started)  # noqa: PERF401  the moment matters
    assert len(arrivals) == 2
    assert arrivals[1] - arrivals[0] > 0.5, "they arrive one by one, not when the answer is complete"


@pytest.mark.asyncio
async def test_a_stream_is_alive_after_a_minute(proxy: tuple[str, int]) -> None:
    url, target = proxy
    async with backend(target), httpx.AsyncClient(timeout=30) as http:
        await up(url)
        started, seen = time.monotonic(), 0
        async with http.stream("GET", f"{url}/events?count=13&pause=5") as stream:
            async for line in stream.aiter_lines():
                seen += line.startswith("data")
    assert seen == 13
    assert time.monotonic() - started > 60


@pytest.mark.asyncio
async def test_a_download_of_200_mb_passes(proxy: tuple[str, int]) -> None:
    url, target = proxy
    async with backend(target), httpx.AsyncClient(timeout=60) as http:
        await up(url)
        size = 0
        async with http.stream("GET", f"{url}/big") as stream:
            assert stream.status_code == 200
            async for chunk in stream.aiter_bytes():
                size += len(chunk)
    assert size == BIG


@pytest.mark.asyncio
async def test_websockets_pass(proxy: tuple[str, int]) -> None:
    url, target = proxy
    async with backend(target), ClientSession() as http:
        await up(url)
        async with http.ws_connect(f"{url}/echo") as socket:
            await socket.send_str("hello")
            assert await socket.receive_str(timeout=10) == "hello"
