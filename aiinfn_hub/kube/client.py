"""One adapter to the Kubernetes API: plain dicts in and out, our errors, nothing deserialised into generated classes.

`kubernetes_asyncio` brings what is hard (kubeconfig, in-cluster tokens and their renewal, TLS, exec plug-ins); its
typed models are bypassed, because decoding them costs ten times the request (embedded-and-cluster.md).
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

import aiohttp
import msgspec
import yaml
from kubernetes_asyncio.client import ApiClient, Configuration
from kubernetes_asyncio.config import ConfigException, load_incluster_config, load_kube_config

from aiinfn_hub.errors import Unavailable
from aiinfn_hub.kube.failures import error_of
from aiinfn_hub.kube.kinds import (
    CLUSTER_QUEUES,
    CONFIGMAPS,
    EVENTS,
    JOBS,
    LEASES,
    LOCAL_QUEUES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    PRIORITY_CLASSES,
    RESOURCE_FLAVORS,
    SECRETS,
    SERVICE_ACCOUNTS,
    SERVICES,
    WORKLOAD_PRIORITY_CLASSES,
    WORKLOADS,
    Kind,
)
from aiinfn_hub.kube.wire import decode_event, decode_page

__all__ = [
    "CLUSTER_QUEUES",
    "CONFIGMAPS",
    "EVENTS",
    "JOBS",
    "LEASES",
    "LOCAL_QUEUES",
    "NAMESPACES",
    "NODES",
    "PERSISTENT_VOLUMES",
    "PERSISTENT_VOLUME_CLAIMS",
    "PODS",
    "PRIORITY_CLASSES",
    "RESOURCE_FLAVORS",
    "SECRETS",
    "SERVICES",
    "SERVICE_ACCOUNTS",
    "WORKLOADS",
    "WORKLOAD_PRIORITY_CLASSES",
    "Kind",
    "KubeClient",
    "Object",
]

#: A Kubernetes object as decoded JSON.
Object = dict[str, Any]
Objects = list[Object]
Texts = list[bytes]
T = TypeVar("T")

#: Seconds for one request; writes behind slow webhooks take up to ten.
REQUEST_S = 30.0
#: Seconds after which the server ends a watch, and after which we take a silent connection for dead.
WATCH_S, WATCH_SILENCE_S = 20, 30.0

_PATCH_TYPES = {
    "merge": "application/merge-patch+json",
    "strategic": "application/strategic-merge-patch+json",
    "json": "application/json-patch+json",
}


class KubeClient:
    """CRUD, list, watch and logs of any `Kind`.

    Every method raises: NotFound (404), Conflict (409), Expired (410), Forbidden (403), NotAuthenticated (401),
    InvalidInput (400, 422), TooLarge (413), Unavailable (no connection, no answer in time, 429, 5xx), with `details`
    {"reason", "status"} as the API's Status said them.
    """

    def __init__(self, api: ApiClient, *, request_s: float = REQUEST_S) -> None:
        self._api = api
        self._request_s = request_s

    @classmethod
    async def connect(cls, kubeconfig: Path | None = None, *, request_s: float = REQUEST_S) -> KubeClient:
        """A client from a kubeconfig; without one from `$KUBECONFIG`, else from the pod's own service account.

        Raises:
            Unavailable: there is no usable configuration.
        """
        configuration = Configuration()
        file = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG", "")
        try:
            if file:
                await load_kube_config(config_file=file, client_configuration=configuration)
            else:
                load_incluster_config(client_configuration=configuration)  # type: ignore[no-untyped-call]  # not annotated there
        # The loader trusts a file's shape: the last two are what a file of another shape raises in it.
        except (ConfigException, OSError, yaml.YAMLError, TypeError, ValueError) as error:
            raise Unavailable(
                f"No way to the Kubernetes API: {error}.",
                hint="Name a kubeconfig file, set KUBECONFIG, or run in a pod with a service account.",
            ) from error
        return cls(ApiClient(configuration), request_s=request_s)

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def version(self) -> str:
        """The API server's, as "v1.36.2"."""
        return str((await self._json("GET", "/version"))["gitVersion"])

    async def get(self, kind: Kind, name: str, namespace: str | None = None) -> Object:
        """One object."""
        return await self._json("GET", kind.path(namespace, name))

    async def list(
        self, kind: Kind, namespace: str | None = None, *, labels: str = "", fields: str = "", limit: int = 500
    ) -> tuple[Objects, str]:
        """All objects, and the resource version from which to watch; `limit` is the size of a page.

        With 0 they come at once from the API server's memory, maybe a moment old; others may be read from etcd.
        """
        texts, version = await self.list_raw(kind, namespace, labels=labels, fields=fields, limit=limit)
        return [msgspec.json.decode(text) for text in texts], version

    async def list_raw(
        self, kind: Kind, namespace: str | None = None, *, labels: str = "", fields: str = "", limit: int = 500
    ) -> tuple[Texts, str]:
        """As `list`, each object as its JSON text, for a decoder of the caller's."""
        pages = [page async for page in self.pages(kind, namespace, labels=labels, fields=fields, limit=limit)]
        return [text for texts, _ in pages for text in texts], pages[-1][1]

    async def pages(
        self, kind: Kind, namespace: str | None = None, *, labels: str = "", fields: str = "", limit: int = 500
    ) -> AsyncGenerator[tuple[Texts, str], None]:
        """As `list_raw`, page by page, for lists that are too long to be held as text; every page has the version."""
        query = {"labelSelector": labels, "fieldSelector": fields}
        query |= {"limit": str(limit)} if limit else {"resourceVersion": "0"}
        while True:
            page = await self._request("GET", kind.path(namespace), decode_page, query=query)
            yield [bytes(item) for item in page.items or ()], page.metadata.resource_version
            if not page.metadata.continue_:
                return
            query["continue"] = page.metadata.continue_

    async def create(
        self, kind: Kind, obj: Object, namespace: str | None = None, *, name: str = "", subresource: str = ""
    ) -> Object:
        """Create an object; with `name` and `subresource` a binding or an eviction of that object."""
        namespace = namespace or obj.get("metadata", {}).get("namespace")
        return await self._json("POST", kind.path(namespace, name, subresource), body=obj)

    async def replace(self, kind: Kind, obj: Object, *, subresource: str = "") -> Object:
        """Replace an object; with its resourceVersion set, only if nobody changed it meanwhile (else Conflict)."""
        meta = obj["metadata"]
        return await self._json("PUT", kind.path(meta.get("namespace"), meta["name"], subresource), body=obj)

    async def patch(
        self,
        kind: Kind,
        name: str,
        patch: Object | Sequence[Object],
        namespace: str | None = None,
        *,
        strategy: Literal["merge", "strategic", "json"] = "merge",
        subresource: str = "",
    ) -> Object:
        """Change part of an object; a resourceVersion in the patch makes it conditional."""
        path = kind.path(namespace, name, subresource)
        return await self._json("PATCH", path, body=patch, content_type=_PATCH_TYPES[strategy])

    async def delete(
        self,
        kind: Kind,
        name: str,
        namespace: str | None = None,
        *,
        propagation: Literal["Background", "Foreground", "Orphan"] = "Background",
        grace_s: int | None = None,
        uid: str = "",
    ) -> Object:
        """Delete an object; with `uid` only that one and not a successor of the same name (else Conflict)."""
        options: Object = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": propagation}
        if grace_s is not None:
            options["gracePeriodSeconds"] = grace_s
        if uid:
            options["preconditions"] = {"uid": uid}
        return await self._json("DELETE", kind.path(namespace, name), body=options)

    async def watch(
        self, kind: Kind, namespace: str | None = None, *, labels: str = "", fields: str = "", resource_version: str
    ) -> AsyncGenerator[tuple[str, bytes], None]:
        """Changes since `resource_version`: type (ADDED, MODIFIED, DELETED, BOOKMARK) and the object's JSON text.

        Ends when the server ends it (after `WATCH_S`); start again from the last resourceVersion seen.

        Raises:
            Expired: that version is forgotten; list again.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(WATCH_S),
            "resourceVersion": resource_version,
            "labelSelector": labels,
            "fieldSelector": fields,
        }
        patience = aiohttp.ClientTimeout(sock_connect=self._request_s, sock_read=WATCH_SILENCE_S)
        async with self._response("GET", kind.path(namespace), query=query, patience=patience) as response:
            # kubernetes_asyncio gives its session a buffer of 2 MiB: larger than any object can be.
            async for line in response.content:
                if not line.strip():
                    continue
                event = decode_event(line)
                if event.type == "ERROR":
                    status = msgspec.json.decode(event.object)
                    raise error_of(int(status.get("code", 500)), bytes(event.object), f"watching {kind.plural}")
                yield event.type, bytes(event.object)

    async def logs(
        self, name: str, namespace: str, *, container: str = "", tail: int | None = None, follow: bool = False
    ) -> AsyncGenerator[bytes, None]:
        """A container's output in pieces as they come; `tail` is the number of last lines to begin with."""
        query = {"container": container, "follow": "true" if follow else ""}
        query |= {} if tail is None else {"tailLines": str(tail)}
        patience = aiohttp.ClientTimeout(sock_connect=self._request_s, sock_read=None if follow else self._request_s)
        async with self._response("GET", PODS.path(namespace, name, "log"), query, patience=patience) as response:
            async for chunk in response.content.iter_any():
                yield chunk

    async def _json(
        self, method: str, path: str, *, body: Any = None, content_type: str = "application/json"
    ) -> Object:
        decode: Callable[[bytes], Object] = msgspec.json.decode
        return await self._request(method, path, decode, body=body, content_type=content_type)

    async def _request(
        self,
        method: str,
        path: str,
        decode: Callable[[bytes], T],
        *,
        query: dict[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
    ) -> T:
        patience = aiohttp.ClientTimeout(total=self._request_s)
        async with self._response(method, path, query, body, content_type, patience) as response:
            return decode(await response.read())

    @asynccontextmanager
    async def _response(
        self,
        method: str,
        path: str,
        query: dict[str, str] | None = None,
        body: Any = None,
        content_type: str = "application/json",
        patience: aiohttp.ClientTimeout | None = None,
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        """A good answer, open for reading. Foreign errors, also those while reading, leave as ours."""
        try:
            response = await self._api.call_api(
                path,
                method,
                query_params=[(key, value) for key, value in (query or {}).items() if value],
                header_params={"Accept": "application/json", "Content-Type": content_type},
                body=body,
                auth_settings=["BearerToken"],
                _preload_content=False,
                _request_timeout=patience,
            )
            async with response:
                if response.status >= 400:
                    raise error_of(response.status, await response.read(), f"{method} {path}")
                yield response
        except (TimeoutError, aiohttp.ClientError, ConnectionError, msgspec.DecodeError) as error:
            raise Unavailable(
                f"The Kubernetes API does not answer {method} {path}: {error or type(error).__name__}.",
                hint="It is tried again; if it lasts, look at the API server.",
                details={"reason": type(error).__name__, "status": 0},
            ) from error
