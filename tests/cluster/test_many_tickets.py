"""A hundred sessions that wait, on the real API server and Kueue: the hub has forgotten all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from support.controlplane.cluster import Cluster, until
from support.hubfakes import write_platform
from support.plainhub import PlainHub, plain_hub
from support.sessionqueue import hold, make_queue

from aiinfn_hub.hub.session_objects import is_ticket
from aiinfn_hub.kube.client import NAMESPACES, PODS, KubeClient

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(300)]
PEOPLE = [f"hasty{number}" for number in range(100)]
#: Of the hub of these tests; JupyterHub refuses one start more with 429.
LIMIT = 5


@pytest_asyncio.fixture
async def kubernetes(own_cluster: Cluster) -> AsyncIterator[KubeClient]:
    """A cluster where somebody has the only slice."""
    client = await KubeClient.connect(own_cluster.kubeconfig)
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "aiinfn"}})
    await make_queue(client, slices=1)
    await hold(client)
    yield client
    await client.close()


@pytest.fixture
def hub(own_cluster: Cluster, kubernetes: KubeClient, tmp_path: Path) -> Iterator[PlainHub]:
    """A hub on it, once the queue is there; without a service."""
    folder = tmp_path / "hub"
    folder.mkdir()
    members = {"users": [*PEOPLE, "both"]}
    groups: dict[str, Any] = {"/aiinfn": members, "/aiinfn/lhcb": members}
    where: dict[str, Any] = {"service_url": "", "key": "of-nobody", "kubeconfig": own_cluster.kubeconfig}
    with plain_hub(folder, platform_file=write_platform(folder / "platform.yaml"), groups=groups, **where) as running:
        yield running


async def test_a_hundred_tickets_take_no_place_among_the_starts(hub: PlainHub, kubernetes: KubeClient) -> None:
    def ask(name: str) -> httpx.Response:
        with hub.api as api:
            api.post(f"/users/{name}")
            return api.post(f"/users/{name}/server", json={"user_options": {"flavour": "a100-1g.5gb"}})

    with ThreadPoolExecutor(LIMIT - 1) as pool:
        answers = await asyncio.to_thread(lambda: list(pool.map(ask, PEOPLE)))
    assert {answer.status_code for answer in answers} == {202}, [answer.text for answer in answers][:3]

    async def waiting() -> bool:
        pods = (await kubernetes.list(PODS, "aiinfn"))[0]
        return len([pod for pod in pods if is_ticket(pod)]) == len(PEOPLE)

    await until(waiting, "a ticket for each")
    with hub.api as api:
        assert api.get("/users", params={"state": "active"}).json() == []
        api.post("/users/both")
        started = api.post("/users/both/server", json={"user_options": {"flavour": "cpu"}})
        assert started.status_code in (201, 202), started.text
        assert not started.content, "what the queue lets in is no ticket"
        assert [user["name"] for user in api.get("/users", params={"state": "active"}).json()] == ["both"]
