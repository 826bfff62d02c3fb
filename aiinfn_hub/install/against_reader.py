"""Fetches what `against` compares with. It only reads, and keeps nothing of a Secret but that it is there."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.errors import Forbidden, NotFound
from aiinfn_hub.install.against import Cluster, Remark, compare
from aiinfn_hub.install.against_sites import compare_sites
from aiinfn_hub.kube.client import NAMESPACES, NODES, PERSISTENT_VOLUME_CLAIMS, SECRETS, KubeClient
from aiinfn_hub.kube.slim import Node, decode_node

T = TypeVar("T")


async def compare_all(kubeconfig: Path | None, platforms: list[Platform]) -> list[list[Remark]]:
    """The remarks on each platform.

    Raises:
        Unavailable: the cluster does not answer.
        NotAuthenticated: it does not know the credentials.
    """
    client = await KubeClient.connect(kubeconfig)
    try:
        found = []
        for platform in platforms:
            cluster = await read(client, platform)
            found.append([*compare(platform, cluster), *compare_sites(platform, cluster)])
        return found
    finally:
        await client.close()


async def read(client: KubeClient, platform: Platform) -> Cluster:
    """What the cluster has; what it does not let us see is told in `unread`.

    Raises:
        AiinfnError: as `KubeClient` says, but for what is forbidden.
    """
    unread: list[str] = []

    async def allowed(what: str, reading: Awaitable[T]) -> T | None:
        try:
            return await reading
        except Forbidden:
            unread.append(f"the cluster does not let you {what}")
            return None

    nodes, namespaces, claims, secrets = await asyncio.gather(
        allowed("list nodes", _nodes(client)),
        allowed("list namespaces", _namespaces(client)),
        allowed(f"list persistentvolumeclaims in {platform.namespace}", _claims(client, platform.namespace)),
        allowed(f"get secrets in {platform.namespace}", _secrets(client, platform)),
    )
    return Cluster(nodes=nodes, namespaces=namespaces, claims=claims, secrets=secrets, unread=tuple(sorted(unread)))


async def _nodes(client: KubeClient) -> list[Node]:
    return [decode_node(text) for text in (await client.list_raw(NODES))[0]]


async def _namespaces(client: KubeClient) -> list[str]:
    return [one["metadata"]["name"] for one in (await client.list(NAMESPACES))[0]]


async def _claims(client: KubeClient, namespace: str) -> dict[str, str]:
    found, _ = await client.list(PERSISTENT_VOLUME_CLAIMS, namespace)
    return {one["metadata"]["name"]: str(one.get("status", {}).get("phase", "Pending")) for one in found}


async def _secrets(client: KubeClient, platform: Platform) -> list[str]:
    """By name: a list would bring what is in all of them."""
    found = []
    for name in sorted({volume.secret for volume in platform.volumes if volume.secret}):
        try:
            await client.get(SECRETS, name, platform.namespace)
        except NotFound:
            continue
        found.append(name)
    return found
