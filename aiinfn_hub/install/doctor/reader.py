"""Fetches what the checks look at. It only reads."""

from __future__ import annotations

import asyncio
import time

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.errors import AiinfnError, Forbidden, NotAuthenticated, NotFound
from aiinfn_hub.install.doctor.facts import KUEUE_NAMESPACE, SOURCES, VERSION, Facts, Part, Source, Unread
from aiinfn_hub.kube.client import KubeClient

#: Seconds for one request: a webhook that is down makes the API server wait for ten, and a person waits for us.
PATIENCE_S = 15.0


async def read(client: KubeClient, platform: Platform | None, file: str = "platform.yaml") -> Facts:
    """One look at the cluster; parts that cannot be read say why.

    Raises:
        Unavailable: the API server does not answer at all.
        NotAuthenticated: it does not know the credentials.
    """
    version: Part
    try:
        version = ({"gitVersion": await client.version()},)
    except Forbidden as error:
        version = Unread("forbidden", error.message)
    blank = Facts(now=time.time(), parts={}, platform=platform, file=file)
    namespaces = {"ours": blank.namespace, "kueue": KUEUE_NAMESPACE}
    found = await asyncio.gather(*(_part(client, one, namespaces.get(one.where)) for one in SOURCES.values()))
    parts: dict[str, Part] = {VERSION: version, **dict(zip(SOURCES, found, strict=True))}
    return Facts(now=blank.now, parts=parts, platform=platform, file=file)


async def _part(client: KubeClient, source: Source, namespace: str | None) -> Part:
    try:
        if source.name:
            return (await client.get(source.kind, source.name, namespace),)
        return (await client.list(source.kind, namespace))[0]
    except NotFound:
        # One object that is missing is a fact; a collection is always there if the API is.
        return () if source.name else Unread("absent")
    except (Forbidden, NotAuthenticated) as error:
        return Unread("forbidden", error.message)
    except AiinfnError as error:
        return Unread("failed", error.message)
