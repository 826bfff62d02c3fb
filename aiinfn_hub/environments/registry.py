"""The one way to registries: whether an image exists, and which one a tag means now.

The HTTP API of the OCI distribution specification 1.1 (`/v2/`), with the tokens of its predecessor. A name
that a person typed decides which host is asked, so that it leads nowhere else: redirects are not followed, tokens come
from the registry's own host or from one that the platform file names, and private addresses are refused unless it says
so, at the moment of the connection.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import socket
import urllib.request
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpcore
import msgspec

from aiinfn_hub.catalogue.references import DOCKER_HUB, Reference, parse_reference
from aiinfn_hub.errors import InvalidInput, NotFound, RemoteFailed, Unavailable

#: Seconds for one question with all its answers.
DEADLINE_S = 8.0
#: Bytes of a manifest or a token that are read; registries refuse larger manifests themselves (4 MiB).
MOST = 4 * 1024 * 1024
#: What our nodes are.
OS, ARCHITECTURE = "linux", "amd64"
#: Where Docker Hub's images and tokens really are.
_HUB, _HUB_TOKENS = "registry-1.docker.io", "auth.docker.io"
_KINDS = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)


@dataclass(frozen=True)
class Found:
    """An image: `ref` with the digest that its tag means now, and the bytes that a node fetches (compressed)."""

    ref: str
    size: int


class _Platform(msgspec.Struct):
    os: str = ""
    architecture: str = ""


class _Blob(msgspec.Struct):
    digest: str = ""
    size: int = 0
    platform: _Platform | None = None


class _Manifest(msgspec.Struct):
    manifests: list[_Blob] | None = None
    layers: list[_Blob] = []


class _Token(msgspec.Struct):
    token: str = ""
    access_token: str = ""


class Registries:
    """All registries; what needs a login that we do not have is said to need one.

    A login goes to its registry, and to the host of tokens that it names and the list allows, as with Docker.

    Args:
        logins: user and password of a registry, as HTTP's Basic has them.
        token_hosts: hosts that give out tokens for registries elsewhere.
        private: hosts that may have private addresses, as host or host:port.
        plain: hosts that are asked without TLS; for tests.
    """

    def __init__(
        self,
        *,
        token_hosts: Collection[str] = (),
        private: Collection[str] = (),
        plain: Collection[str] = (),
        logins: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        self._logins = logins
        self._token_hosts = {*token_hosts, _HUB_TOKENS}
        self._plain = frozenset(plain)
        backend = _Guarded({host.partition(":")[0] for host in private})
        self._http = httpcore.AsyncConnectionPool(network_backend=backend, max_connections=20)

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def find(self, ref: str) -> Found:
        """The image of a reference with its registry, by the digest that runs.

        Raises:
            NotFound: the registry has no such image, or shows none without a login.
            InvalidInput: it is not made for our nodes, or the reference is none.
            Unavailable: the registry does not answer in time.
            RemoteFailed: it answers what we cannot use, or leads where we do not go.
        """
        named = parse_reference(ref)
        reference = named.on_docker_hub()
        try:
            async with asyncio.timeout(DEADLINE_S):
                digest, size = await self._find(reference)
                return Found(str(replace(named, digest=digest)), size)
        except TimeoutError as error:
            raise Unavailable(f"{reference.registry} does not answer in time.", hint="Try again.") from error

    async def _find(self, reference: Reference) -> tuple[str, int]:
        asked = reference.digest or reference.tag or "latest"
        digest, manifest, opened = await self._manifest(reference, asked, {})
        if reference.digest and digest != reference.digest:
            raise RemoteFailed(f"{reference.registry} sends another image than {reference}.")
        if manifest.manifests is not None:
            ours = [one for one in manifest.manifests if _fits(one.platform)]
            if not ours:
                raise InvalidInput(
                    f"{reference} is not made for the processors of our nodes.",
                    hint=f"Build it for {OS}/{ARCHITECTURE}.",
                )
            _, manifest, _ = await self._manifest(reference, ours[0].digest, opened)
        return digest, sum(layer.size for layer in manifest.layers)

    async def _manifest(
        self, reference: Reference, what: str, opened: dict[str, str]
    ) -> tuple[str, _Manifest, dict[str, str]]:
        """Digest and content of a manifest by tag or digest, and the header that opened it."""
        host = _HUB if reference.registry == DOCKER_HUB else reference.registry
        url = f"{self._scheme(host)}://{host}/v2/{reference.repository}/manifests/{what}"
        headers = {"Accept": ", ".join(_KINDS)}
        status, answered, body = await self._get(url, headers | opened)
        if status == 401 and not opened:
            opened = await self._opened(host, reference, answered)
            status, answered, body = await self._get(url, headers | opened)
        if status in (401, 403, 404):
            known = "with our login" if reference.registry in self._logins else "without a login"
            more = "" if status == 404 else f" {known}"
            raise NotFound(
                f"{reference.registry} has no {reference.repository}:{what}{more}.", hint="Check its name and tag."
            )
        if status != 200:
            raise _refused(reference.registry, status)
        digest = "sha256:" + hashlib.sha256(body).hexdigest()
        if what.startswith("sha256:") and what != digest:
            raise RemoteFailed(f"{reference.registry} sends something else than {what}.")
        try:
            return digest, msgspec.json.decode(body, type=_Manifest), opened
        except msgspec.MsgspecError as error:
            raise RemoteFailed(f"{reference.registry} sends a manifest that we cannot read.") from error

    async def _opened(self, host: str, reference: Reference, answered: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
        """The header that opens the repository for reading, with our login or for nobody in particular; or none."""
        challenge = next((v.decode("latin-1") for k, v in answered if k.lower() == b"www-authenticate"), "")
        scheme, _, rest = challenge.partition(" ")
        login = self._logins.get(reference.registry, "")
        basic = {"Authorization": f"Basic {login}"} if login else {}
        if scheme.lower() != "bearer":
            return basic if scheme.lower() == "basic" else {}
        known = urllib.request.parse_keqv_list(urllib.request.parse_http_list(rest))
        realm = urlsplit(known.get("realm", ""))
        wanted = realm.netloc.lower()
        if wanted not in {host, *self._token_hosts} or realm.scheme != self._scheme(wanted):
            raise RemoteFailed(
                f"{host} sends us to {wanted or 'nowhere'} for a token, which is not on the list.",
                hint="An operator can name that host in image_policy.token_hosts.",
            )
        query = {"scope": f"repository:{reference.repository}:pull"}
        query |= {"service": known["service"]} if known.get("service") else {}
        status, _, body = await self._get(f"{realm.scheme}://{wanted}{realm.path}?{urlencode(query)}", basic)
        if status != 200:
            return {}
        try:
            found = msgspec.json.decode(body, type=_Token)
        except msgspec.MsgspecError as error:
            raise RemoteFailed(f"{wanted} gives a token that we cannot read.") from error
        return {"Authorization": f"Bearer {found.token or found.access_token}"}

    async def _get(self, url: str, headers: dict[str, str]) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
        host = urlsplit(url).netloc
        try:
            async with self._http.stream("GET", url, headers=list(headers.items())) as answer:
                body = bytearray()
                async for chunk in answer.aiter_stream():
                    body += chunk
                    if len(body) > MOST:
                        raise RemoteFailed(f"{host} sends more than a manifest.")
                return answer.status, list(answer.headers), bytes(body)
        except (OSError, *_FAILURES) as error:
            # Not its words: they may have an address in them.
            raise Unavailable(f"{host} does not answer.", hint="Try again.") from error

    def _scheme(self, host: str) -> str:
        return "http" if host in self._plain else "https"


_FAILURES = (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, httpcore.UnsupportedProtocol)


def _fits(platform: _Platform | None) -> bool:
    return platform is not None and (platform.os, platform.architecture) == (OS, ARCHITECTURE)


def _refused(registry: str, status: int) -> RemoteFailed | Unavailable:
    if 300 <= status < 400:
        return RemoteFailed(f"{registry} sends us elsewhere, where we do not go.")
    if status == 429 or status >= 500:
        return Unavailable(f"{registry} answers {status}.", hint="Try again in a minute.")
    return RemoteFailed(f"{registry} answers {status}.")


class _Guarded(httpcore.AsyncNetworkBackend):
    """Connects to public addresses only, but for the hosts that may be private.

    The name is looked up here, and the address that was judged is the one that is connected to: a name that means
    another address a moment later (DNS rebinding) leads nowhere.
    """

    def __init__(self, private: Collection[str]) -> None:
        self._private = frozenset(private)
        self._backend = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  httpcore's signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        """As the backend below, to an address that may be connected to."""
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(one[4][0]) for one in found]
        if host not in self._private and not all(ipaddress.ip_address(one).is_global for one in addresses):
            raise RemoteFailed(
                f"{host} is a host of a private network.",
                hint="An operator can name it in image_policy.private_hosts.",
            )
        return await self._backend.connect_tcp(addresses[0], port, timeout, local_address, socket_options)

    async def sleep(self, seconds: float) -> None:
        """Between tries."""
        await self._backend.sleep(seconds)
