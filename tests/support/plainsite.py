"""The hub of `plainhub`, with a service that gives offers and an API server on which no kubelet answers."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.hubfakes import write_platform
from support.kubeapi import running_api
from support.offerservice import KEY, OfferService, offer_service
from support.plainhub import PlainHub, plain_hub
from support.sessionqueue import session_queue

from aiinfn_hub.errors import NotFound
from aiinfn_hub.kube.client import NAMESPACES, Kind, KubeClient
from aiinfn_hub.local.controllers.admission import admit

HASTY = [f"hasty{number}" for number in range(30)]
GROUPS: dict[str, Any] = {
    "/aiinfn": {"users": ["mrossi", "nobody", "leaver", "third", "both", *HASTY]},
    "/aiinfn/lhcb": {"users": ["mrossi", "leaver", "third", "both", *HASTY]},
    "/aiinfn/cms": {"users": ["both"]},
    "/aiinfn/fpga": {"users": ["both"]},
}


@dataclass
class Site:
    """The hub, and what is behind it."""

    hub: PlainHub
    service: OfferService
    kubeconfig: Path

    @asynccontextmanager
    async def kubernetes(self) -> AsyncIterator[KubeClient]:
        """A client of the cluster."""
        client = await KubeClient.connect(self.kubeconfig)
        try:
            yield client
        finally:
            await client.close()

    def active(self, name: str) -> bool:
        """Whether the hub has a server of this person, pending or running."""
        with self.hub.api as api:
            return bool(api.get(f"/users/{name}").json()["servers"])


@contextmanager
def plain_site(folder: Path, *, slices: int | None = None) -> Iterator[Site]:
    """Run it all; service and API server have a thread of their own, beside the loops of the tests.

    With a number of slices sessions go through a queue that has no more.
    """
    ready, over = threading.Event(), threading.Event()
    box: list[OfferService] = []

    async def serve() -> None:
        admission = admit if slices is not None else None
        async with offer_service() as service, running_api(folder, admission) as api, AsyncExitStack() as stack:
            client = await KubeClient.connect(api.kubeconfig)
            stack.push_async_callback(client.close)
            await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "aiinfn"}})
            if slices is not None:
                await stack.enter_async_context(session_queue(client, slices))
            box.append(service)
            ready.set()
            await asyncio.to_thread(over.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert ready.wait(20)
        platform_file, kubeconfig = write_platform(folder / "platform.yaml"), folder / "kubeconfig"
        with plain_hub(
            folder, platform_file=platform_file, service_url=box[0].url, key=KEY, groups=GROUPS, kubeconfig=kubeconfig
        ) as hub:
            yield Site(hub, box[0], kubeconfig)
    finally:
        over.set()
        thread.join()


async def eventually(client: KubeClient, kind: Kind, name: str, *, there: bool) -> None:
    """Wait until an object is there, or is gone."""
    async with asyncio.timeout(15):
        while await _exists(client, kind, name) is not there:
            await asyncio.sleep(0.05)


async def _exists(client: KubeClient, kind: Kind, name: str) -> bool:
    try:
        await client.get(kind, name, "aiinfn")
    except NotFound:
        return False
    return True
