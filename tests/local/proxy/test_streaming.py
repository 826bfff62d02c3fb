"""The proxy passes on what it gets when it gets it: the reason for having the one on Node.

A stream that is silent for a minute, the bar of the platform, takes a minute to show: AIINFN_SLOW=1 runs that one too.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from support.proxied import MEGABYTE, Proxied, running_proxy

NO_LIMIT = aiohttp.ClientTimeout(total=None)


@pytest_asyncio.fixture
async def proxied(proxy_cache: Path) -> AsyncIterator[Proxied]:
    async with running_proxy(proxy_cache) as found:
        yield found


@pytest.mark.asyncio
async def test_the_first_event_arrives_at_once_and_the_next_one_when_it_is_sent(proxied: Proxied) -> None:
    async with aiohttp.ClientSession() as session:
        begun = time.monotonic()
        async with session.get(f"{proxied.url}/user/ada/events?count=2&pause=1.5") as response:
            assert response.headers["Content-Type"] == "text/event-stream"
            assert await response.content.readline() == b"data: 0\n"
            assert time.monotonic() - begun < 1
            await response.content.readline()
            assert await response.content.readline() == b"data: 1\n"
            assert time.monotonic() - begun > 1.4


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "silence",
    [
        3,
        pytest.param(
            61,
            marks=pytest.mark.skipif(not os.environ.get("AIINFN_SLOW"), reason="takes a minute: AIINFN_SLOW=1"),
        ),
    ],
)
async def test_a_stream_outlives_a_silence(proxied: Proxied, silence: int) -> None:
    async with (
        aiohttp.ClientSession(timeout=NO_LIMIT) as session,
        session.get(f"{proxied.url}/user/ada/slow?silence={silence}") as response,
    ):
        assert await response.content.readany() == b"first"
        assert await response.content.read() == b"last"


@pytest.mark.asyncio
async def test_a_download_of_200_megabytes_arrives_whole(proxied: Proxied) -> None:
    size = 0
    async with (
        aiohttp.ClientSession(timeout=NO_LIMIT) as session,
        session.get(f"{proxied.url}/user/ada/large?megabytes=200") as response,
    ):
        assert response.status == 200
        async for chunk in response.content.iter_any():
            size += len(chunk)
    assert size == 200 * len(MEGABYTE)


@pytest.mark.asyncio
async def test_an_upload_is_passed_on_as_it_comes(proxied: Proxied) -> None:
    async def parts() -> AsyncIterator[bytes]:
        for _ in range(50):
            yield MEGABYTE

    async with (
        aiohttp.ClientSession(timeout=NO_LIMIT) as session,
        session.post(f"{proxied.url}/user/ada/upload", data=parts()) as response,
    ):
        assert (await response.json())["size"] == 50 * len(MEGABYTE)


@pytest.mark.asyncio
async def test_a_websocket_carries_text_and_bytes_both_ways(proxied: Proxied) -> None:
    async with aiohttp.ClientSession() as session, session.ws_connect(f"{proxied.url}/user/ada/socket") as socket:
        await socket.send_str("hello")
        assert await socket.receive_str() == "HELLO"
        await socket.send_bytes(MEGABYTE)
        assert await socket.receive_bytes() == MEGABYTE


@pytest.mark.asyncio
async def test_a_reader_that_leaves_ends_the_stream_behind_the_proxy(proxied: Proxied) -> None:
    async with aiohttp.ClientSession() as session:
        response = await session.get(f"{proxied.url}/user/ada/events?count=1000&pause=0.01")
        await response.content.readline()
        response.close()
    async with aiohttp.ClientSession() as session, session.get(f"{proxied.url}/user/ada/events?count=1") as again:
        assert again.status == 200


@pytest.mark.asyncio
async def test_routes_need_the_token(proxied: Proxied) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{proxied.api_url}/api/routes") as response:
        assert response.status == 403


@pytest.mark.asyncio
async def test_what_has_no_route_is_not_found(proxied: Proxied) -> None:
    async with aiohttp.ClientSession() as session, session.get(f"{proxied.url}/user/bob/") as response:
        assert response.status == 404


@pytest.mark.asyncio
async def test_it_ends_when_it_is_told_to(proxied: Proxied) -> None:
    begun = time.monotonic()
    proxied.process.terminate()
    async with asyncio.timeout(5):
        await proxied.process.wait()
    assert time.monotonic() - begun < 5
