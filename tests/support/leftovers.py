"""Nothing of one demo is left on a cluster for the next."""

from __future__ import annotations

import asyncio
from contextlib import suppress

from support.controlplane.cluster import Cluster

from aiinfn_hub.errors import NotFound
from aiinfn_hub.kube.client import JOBS, NODES, PODS, SECRETS, KubeClient

NAMESPACE = "aiinfn"


def clear(cluster: Cluster) -> None:
    """Delete jobs (they would wait for the demo's nodes for ever), pods, Secrets and nodes."""
    asyncio.run(_clear(cluster))


async def _clear(cluster: Cluster) -> None:
    client = await KubeClient.connect(cluster.kubeconfig)
    try:
        for kind in (JOBS, PODS, SECRETS):
            for thing in (await client.list(kind, NAMESPACE))[0]:
                grace = 0 if kind is PODS else None
                with suppress(NotFound):  # what the job owned goes with it
                    await client.delete(kind, thing["metadata"]["name"], NAMESPACE, grace_s=grace)
        async with asyncio.timeout(60):
            while (await client.list(PODS, NAMESPACE))[0]:
                await asyncio.sleep(0.2)
        for node in (await client.list(NODES))[0]:
            await client.delete(NODES, node["metadata"]["name"])
    finally:
        await client.close()
