"""ConfigMaps and Secrets that a pod names, as the kubelet speaks of them when they are missing."""

from __future__ import annotations

import base64
import binascii
from typing import Protocol

from aiinfn_hub.errors import InvalidInput, NotFound
from aiinfn_hub.kube.client import CONFIGMAPS, SECRETS, SERVICE_ACCOUNTS, KubeClient, Object

Data = dict[str, bytes]


class Source(Protocol):
    """Where the contents of a namespace's ConfigMaps and Secrets come from."""

    async def secret(self, name: str) -> Data:
        """Its keys. Raises NotFound, in the kubelet's words."""

    async def config_map(self, name: str) -> Data:
        """Its keys. Raises NotFound, in the kubelet's words."""


class VolumeSource(Source, Protocol):
    """Where what is in volumes comes from."""

    async def token(self, account: str, request: Object) -> str:
        """A token of a ServiceAccount. Raises NotFound if there is no account, or the API issues none."""


class References:
    """A `VolumeSource` that asks the API each time: what a container starts with is what is there then."""

    def __init__(self, client: KubeClient, namespace: str) -> None:
        self._client = client
        self._namespace = namespace

    async def secret(self, name: str) -> Data:
        """Its keys, decoded."""
        try:
            found = await self._client.get(SECRETS, name, self._namespace)
        except NotFound as error:
            raise NotFound(f'secret "{name}" not found') from error
        return {key: _decoded(value, name) for key, value in (found.get("data") or {}).items()}

    async def token(self, account: str, request: Object) -> str:
        """A new token; it is not renewed, so a pod keeps its rights for as long as the request says."""
        manifest = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": request}
        made = await self._client.create(SERVICE_ACCOUNTS, manifest, self._namespace, name=account, subresource="token")
        return str(made["status"]["token"])

    async def config_map(self, name: str) -> Data:
        """Its keys, text and binary ones."""
        try:
            found = await self._client.get(CONFIGMAPS, name, self._namespace)
        except NotFound as error:
            raise NotFound(f'configmap "{name}" not found') from error
        text = {key: value.encode() for key, value in (found.get("data") or {}).items()}
        return text | {key: _decoded(value, name) for key, value in (found.get("binaryData") or {}).items()}


def _decoded(value: str, name: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except binascii.Error as error:
        raise InvalidInput(f"{name!r} holds a value that is not base64.") from error
