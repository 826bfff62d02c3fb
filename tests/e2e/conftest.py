"""The journeys are walked on the real control plane first, and then on the embedded platform.

One demo for all tests of this folder; those that break it start their own.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from support.controlplane.cluster import Cluster
from support.demo import RunningDemo, running_demo

from aiinfn_hub.kube.client import JOBS, PODS, KubeClient

PLACES = [pytest.param("real", marks=pytest.mark.cluster), "embedded"]
NAMESPACE = "aiinfn"


@pytest.fixture(scope="session", params=PLACES)
def demo(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """A running demo with fixed passwords."""
    arguments, cluster = place(request)
    with running_demo(tmp_path_factory.mktemp("demo") / "home", *arguments) as running:
        yield running
    clear(cluster)


@pytest.fixture(params=PLACES)
def arguments(request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """What a test says to `aiinfn demo` for the place where it runs; what it leaves on a cluster goes at the end."""
    found, cluster = place(request)
    clear(cluster)
    yield found
    clear(cluster)


def place(request: pytest.FixtureRequest) -> tuple[list[str], Cluster | None]:
    if request.param == "embedded":
        return [], None
    cluster: Cluster = request.getfixturevalue("cluster")
    return ["--kubeconfig", str(cluster.kubeconfig)], cluster


def clear(cluster: Cluster | None) -> None:
    """Nothing of one demo is left for the next: jobs of a demo that ended would wait for its nodes for ever."""
    if cluster is not None:
        asyncio.run(_clear(cluster))


async def _clear(cluster: Cluster) -> None:
    client = await KubeClient.connect(cluster.kubeconfig)
    try:
        for kind in (JOBS, PODS):
            for thing in (await client.list(kind, NAMESPACE))[0]:
                grace = 0 if kind is PODS else None
                await client.delete(kind, thing["metadata"]["name"], NAMESPACE, grace_s=grace)
        async with asyncio.timeout(60):
            while (await client.list(PODS, NAMESPACE))[0]:
                await asyncio.sleep(0.2)
    finally:
        await client.close()
