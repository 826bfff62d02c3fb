"""Who gets in: the token, our own names, no web pages, JSON only."""

from __future__ import annotations

import asyncio
import ssl
import stat
from pathlib import Path

import aiohttp
import pytest
from support.kubeapi import RunningApi, running_api

from aiinfn_hub.errors import Unavailable
from aiinfn_hub.local.api import ApiServer

pytestmark = pytest.mark.asyncio

PATH = "/api/v1/namespaces"


@pytest.mark.parametrize(
    "authorization",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer wrong",
        "Basic {token}",
        "{token}",
        "bearer {token}",
        "Bearer {token}x",
        "Bearer tökén",
    ],
)
async def test_without_the_token_nothing_is_told(api: RunningApi, authorization: str) -> None:
    headers = {"Authorization": authorization.format(token=api.token)}
    for path in (PATH, "/version", "/healthz", "/nowhere", "/openapi/v3"):
        answer = await api.call("GET", path, headers=headers)
        assert (answer.status, answer.json["message"], answer.json["reason"]) == (401, "Unauthorized", "Unauthorized")


async def test_with_the_token_one_is_in(api: RunningApi) -> None:
    assert (await api.call("GET", PATH)).status == 200


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "localhost:1", "127.0.0.1.evil.example:{port}", ""])
async def test_another_name_for_this_machine_is_refused(api: RunningApi, host: str) -> None:
    port = api.url.rpartition(":")[2]
    answer = await api.call("GET", PATH, headers={"Host": host.format(port=port)})
    assert (answer.status, answer.json["reason"]) == (403, "Forbidden")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "LOCALHOST", "[::1]"])
async def test_our_own_names_are_served(api: RunningApi, host: str) -> None:
    port = api.url.rpartition(":")[2]
    assert (await api.call("GET", PATH, headers={"Host": f"{host}:{port}"})).status == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:8000", ""])
async def test_web_pages_are_refused_even_with_the_token(api: RunningApi, origin: str) -> None:
    assert (await api.call("GET", PATH, headers={"Origin": origin})).status == 403


@pytest.mark.parametrize(
    "content_type",
    ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", "application/yaml", "application/jsonp"],
)
async def test_bodies_are_json_only(api: RunningApi, content_type: str) -> None:
    answer = await api.call("POST", PATH, '{"metadata": {"name": "x"}}', content_type=content_type)
    assert (answer.status, answer.json["reason"]) == (415, "UnsupportedMediaType")
    assert (await api.call("GET", f"{PATH}/x")).status == 404


async def test_a_body_of_no_type_is_refused(api: RunningApi) -> None:
    async with (
        aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=api.tls), skip_auto_headers=["Content-Type"]
        ) as session,
        session.post(
            api.url + PATH, data=b'{"metadata": {"name": "x"}}', headers={"Authorization": f"Bearer {api.token}"}
        ) as r,
    ):
        assert r.status == 415


async def test_answers_are_not_cached_or_guessed_at(api: RunningApi) -> None:
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=api.tls)) as session,
        session.get(api.url + PATH, headers={"Authorization": f"Bearer {api.token}"}) as response,
    ):
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "no-cache" in response.headers["Cache-Control"]
        assert "Access-Control-Allow-Origin" not in response.headers


async def test_it_speaks_tls_with_a_certificate_that_only_its_own_clients_trust(api: RunningApi) -> None:
    assert api.url.startswith("https://127.0.0.1:")
    with pytest.raises(aiohttp.ClientConnectorCertificateError):
        async with aiohttp.ClientSession() as session, session.get(api.url):
            pass


async def test_files_with_secrets_are_for_their_owner_only(tmp_path: Path) -> None:
    async with running_api(tmp_path, persistent=True) as api:
        await api.call("POST", PATH, {"metadata": {"name": "x"}})
        files = [*(tmp_path / "objects").iterdir(), api.kubeconfig]
        assert {path.name for path in files} >= {"objects.sqlite", "objects.sqlite-wal", "server.pem", "kubeconfig"}
        assert {oct(stat.S_IMODE(path.stat().st_mode)) for path in files} == {"0o600"}
        assert stat.S_IMODE((tmp_path / "objects").stat().st_mode) == 0o700


async def test_the_certificate_stays_over_restarts(tmp_path: Path) -> None:
    async with running_api(tmp_path, persistent=True) as api:
        first = api.server.certificate
    (tmp_path / "objects" / "server.pem").chmod(0o600)
    async with running_api(tmp_path, persistent=True) as api:
        assert api.server.certificate == first
    (tmp_path / "objects" / "server.pem").write_text("broken")
    async with running_api(tmp_path, persistent=True) as api:
        assert api.server.certificate != first
        assert (await api.call("GET", PATH)).status == 200


async def test_a_port_that_is_taken_is_said(api: RunningApi, tmp_path: Path) -> None:
    port = int(api.url.rpartition(":")[2])
    other = ApiServer(None, "t", logs_root=tmp_path)
    with pytest.raises(Unavailable, match=f"cannot listen on 127.0.0.1:{port}"):
        await other.start(port=port)
    await other.stop()


async def test_an_unexpected_error_is_logged_and_says_nothing(
    api: RunningApi, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_args: object, **_kwargs: object) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(api.server.objects, "create", fail)
    answer = await api.call("POST", PATH, {"metadata": {"name": "x"}})
    assert (answer.status, answer.json["reason"]) == (500, "InternalError")
    assert "secret" not in answer.text
    assert "ZeroDivisionError: a secret detail" in caplog.text


async def test_a_plain_http_client_gets_nothing(api: RunningApi) -> None:
    port = int(api.url.rpartition(":")[2])
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAuthorization: Bearer {api.token}\r\n\r\n".encode())
    await writer.drain()
    try:
        assert b"200" not in await reader.read(100)
    except (ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()
