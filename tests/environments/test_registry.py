"""Registries over HTTP: what a tag means now, and where a name that somebody typed does not lead us."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from support.registry import Registry, running_registry

from aiinfn_hub.environments.registry import Found, Registries
from aiinfn_hub.errors import AiinfnError, InvalidInput, NotFound, RemoteFailed, Unavailable

pytestmark = pytest.mark.asyncio
LOGIN = "cm9ib3Q6c2VjcmV0"


@pytest_asyncio.fixture
async def registry() -> AsyncIterator[Registry]:
    async with running_registry() as running:
        yield running


@pytest_asyncio.fixture
async def registries(registry: Registry) -> AsyncIterator[Registries]:
    """As an operator has them who names this registry, which is on loopback and without TLS."""
    found = Registries(private=[registry.host], plain=[registry.host])
    yield found
    await found.close()


async def test_a_tag_is_the_digest_that_it_means_now(registry: Registry, registries: Registries) -> None:
    first = registry.push("infn/pytorch", "2.9", layers=(100, 2000))
    ref = f"{registry.host}/infn/pytorch:2.9"
    assert await registries.find(ref) == Found(f"{ref}@{first}", 2100)
    second = registry.push("infn/pytorch", "2.9", layers=(5,))
    assert first != second
    assert (await registries.find(ref)).ref == f"{ref}@{second}"


async def test_a_digest_is_what_it_is(registry: Registry, registries: Registries) -> None:
    known = registry.push("infn/pytorch", "2.9", layers=(7,))
    ref = f"{registry.host}/infn/pytorch@{known}"
    assert await registries.find(ref) == Found(ref, 7)
    assert registry.asked == [f"infn/pytorch:{known}"]


async def test_of_an_image_for_many_processors_ours_is_counted(registry: Registry, registries: Registries) -> None:
    known = registry.push("infn/many", "1", layers=(30, 12), platforms=("linux/arm64", "linux/amd64"))
    found = await registries.find(f"{registry.host}/infn/many:1")
    assert found == Found(f"{registry.host}/infn/many:1@{known}", 42)


async def test_an_image_for_other_processors_is_refused(registry: Registry, registries: Registries) -> None:
    registry.push("infn/arm", "1", platforms=("linux/arm64", "windows/amd64"))
    with pytest.raises(InvalidInput, match="processors of our nodes") as refused:
        await registries.find(f"{registry.host}/infn/arm:1")
    assert refused.value.hint == "Build it for linux/amd64."


async def test_a_registry_that_wants_a_token_is_given_one_for_reading(
    registry: Registry, registries: Registries
) -> None:
    registry.private = True
    registry.push("infn/pytorch", "2.9", layers=(7,), platforms=("linux/amd64",))
    assert (await registries.find(f"{registry.host}/infn/pytorch:2.9")).size == 7
    assert registry.scopes == ["repository:infn/pytorch:pull"], "once, and not for what the registry says"


@pytest.mark.parametrize(
    ("status", "headers", "kind", "says"),
    [
        pytest.param(404, {}, NotFound, "has no infn/x:1.", id="there is none"),
        pytest.param(401, {}, NotFound, "without a login", id="it wants a login"),
        pytest.param(401, {"WWW-Authenticate": 'Basic realm="x"'}, NotFound, "without a login", id="or a password"),
        pytest.param(403, {}, NotFound, "without a login", id="it shows it to others"),
        pytest.param(307, {"Location": "http://169.254.169.254/"}, RemoteFailed, "elsewhere", id="a redirect"),
        pytest.param(429, {}, Unavailable, "answers 429", id="too many questions"),
        pytest.param(503, {}, Unavailable, "answers 503", id="it is down"),
        pytest.param(418, {}, RemoteFailed, "answers 418", id="something else"),
    ],
)
async def test_what_else_a_registry_says(
    registry: Registry,
    registries: Registries,
    status: int,
    headers: dict[str, str],
    kind: type[AiinfnError],
    says: str,
) -> None:
    registry.status, registry.headers = status, headers
    with pytest.raises(kind) as refused:
        await registries.find(f"{registry.host}/infn/x:1")
    assert says in refused.value.message


@pytest.mark.parametrize(
    "realm",
    [
        "http://169.254.169.254/latest/meta-data",
        "https://evil.example/token",
        "file:///etc/passwd",
        "http://127.0.0.1:1@evil.example/",
        "",
    ],
)
async def test_nobody_sends_us_elsewhere_for_a_token(registry: Registry, registries: Registries, realm: str) -> None:
    registry.private, registry.realm = True, realm or "/token"
    registry.push("infn/x", "1")
    with pytest.raises(RemoteFailed, match="not on the list") as refused:
        await registries.find(f"{registry.host}/infn/x:1")
    assert "token_hosts" in refused.value.hint


async def test_a_host_that_an_operator_names_may_give_tokens(registry: Registry) -> None:
    async with running_registry() as other:
        registry.private, registry.realm = True, f"http://{other.host}/token"
        registry.push("infn/x", "1", layers=(1,))
        hosts = [registry.host, other.host]
        registries = Registries(token_hosts=[other.host], private=hosts, plain=hosts)
        try:
            assert (await registries.find(f"{registry.host}/infn/x:1")).size == 1
        finally:
            await registries.close()


@pytest.mark.parametrize("basic", [False, True], ids=["by a token", "at once"])
async def test_a_login_opens_what_is_private(registry: Registry, basic: bool) -> None:
    registry.login, registry.private, registry.basic = LOGIN, not basic, basic
    known = registry.push("infn/secret", "1", layers=(9,), platforms=("linux/amd64",))
    ref = f"{registry.host}/infn/secret:1"
    registries = Registries(private=[registry.host], plain=[registry.host], logins={registry.host: LOGIN})
    try:
        assert await registries.find(ref) == Found(f"{ref}@{known}", 9)
    finally:
        await registries.close()


async def test_a_login_that_is_refused_is_said_and_not_shown(registry: Registry) -> None:
    registry.login, registry.private = "b3RoZXI6b3RoZXI=", True
    registry.push("infn/secret", "1")
    registries = Registries(private=[registry.host], plain=[registry.host], logins={registry.host: LOGIN})
    try:
        with pytest.raises(NotFound, match="with our login") as refused:
            await registries.find(f"{registry.host}/infn/secret:1")
    finally:
        await registries.close()
    assert LOGIN not in repr(refused.value.__dict__)


async def test_a_login_goes_to_nobody_else(registry: Registry) -> None:
    async with running_registry() as other:
        hosts = [registry.host, other.host]
        other.login, other.private = LOGIN, True
        other.push("infn/x", "1")
        registries = Registries(private=hosts, plain=hosts, logins={registry.host: LOGIN})
        try:
            with pytest.raises(NotFound, match="without a login"):
                await registries.find(f"{other.host}/infn/x:1")
        finally:
            await registries.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "169.254.169.254", "192.168.7.7"])
async def test_a_private_address_is_not_asked(host: str) -> None:
    registries = Registries(plain=[f"{host}:5000"])
    try:
        with pytest.raises(RemoteFailed, match="private network"):
            await registries.find(f"{host}:5000/infn/x:1")
    finally:
        await registries.close()


async def test_a_name_of_a_private_address_is_not_asked_either(registry: Registry) -> None:
    """The name is judged by the address that is connected to."""
    port = registry.host.rpartition(":")[2]
    registries = Registries(plain=[f"localhost:{port}"])
    try:
        with pytest.raises(RemoteFailed, match="private network"):
            await registries.find(f"localhost:{port}/infn/x:1")
    finally:
        await registries.close()
    assert registry.asked == []


async def test_a_registry_that_lies_is_found_out(registry: Registry, registries: Registries) -> None:
    known = registry.push("infn/x", "1")
    registry.lies = True
    with pytest.raises(RemoteFailed, match="something else"):
        await registries.find(f"{registry.host}/infn/x@{known}")


async def test_a_registry_that_is_not_there() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{taken.getsockname()[1]}"
        registries = Registries(private=[host], plain=[host])
        try:
            with pytest.raises(Unavailable, match="does not answer"):
                await registries.find(f"{host}/infn/x:1")
        finally:
            await registries.close()


async def test_what_is_no_manifest(registry: Registry, registries: Registries) -> None:
    registry.manifests["infn/x", "1"] = ("application/vnd.oci.image.index.v1+json", b"<html>")
    with pytest.raises(RemoteFailed, match="cannot read"):
        await registries.find(f"{registry.host}/infn/x:1")


async def test_more_than_a_manifest_is_not_read(registry: Registry, registries: Registries) -> None:
    body = b" " * (5 * 1024 * 1024)
    registry.manifests["infn/x", "1"] = ("application/vnd.oci.image.index.v1+json", body)
    with pytest.raises(RemoteFailed, match="more than a manifest"):
        await registries.find(f"{registry.host}/infn/x:1")
