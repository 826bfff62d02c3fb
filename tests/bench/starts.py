"""`make bench ARGS=starts`: sessions started by our spawner and by plain KubeSpawner, on the same real API server.

Both make the same pod, but for what is ours: the token in a Secret, and the gate that waits for it. KWOK runs the pods
the moment they are bound, so that what is measured is the spawner and the API server. The two take turns (peer, ours,
ours, peer), so that whatever else the machine does falls on both.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from bench.figures import Figure, load, save
from bench.spawners import kubeconfig_of_spawners, spawner
from kubespawner import KubeSpawner
from support.controlplane.cluster import Cluster, running_cluster
from support.hubfakes import TOKEN
from support.offload import platform
from support.queues import cluster_queue, flavor, local_queue, priority_class

from aiinfn_hub.hub.spawner import AiinfnSpawner
from aiinfn_hub.kube.client import (
    CLUSTER_QUEUES,
    LOCAL_QUEUES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PERSISTENT_VOLUMES,
    PODS,
    RESOURCE_FLAVORS,
    WORKLOAD_PRIORITY_CLASSES,
    KubeClient,
    Object,
)
from aiinfn_hub.pods import names
from aiinfn_hub.sessions.pod import session_traits

NODES_AT_HAND = 20
#: Seconds that a start may wait for Kueue, which lets in 8 or 9 a second.
PATIENCE_S = 300.0
_MS = 1000


@dataclass
class Tally:
    """What some starts took."""

    starts: int = 0
    seconds: float = 0.0
    cpu_s: float = 0.0
    calls: int = 0

    def __iadd__(self, other: Tally) -> Self:
        self.starts += other.starts
        self.seconds += other.seconds
        self.cpu_s += other.cpu_s
        self.calls += other.calls
        return self

    @property
    def rate(self) -> float:
        """Starts a second."""
        return self.starts / self.seconds


async def ours(folder: Path, name: str, *, queued: bool) -> KubeSpawner:
    """As the hub makes it."""
    return spawner(folder, name, queued=queued, queue_patience=PATIENCE_S)


async def plain(folder: Path, name: str, *, queued: bool) -> KubeSpawner:
    """KubeSpawner, told by its traits to make the same pod; the token is in its environment, as KubeSpawner has it."""
    pattern = spawner(folder, name, queued=queued)
    await pattern.load_user_options()
    assert pattern._spec is not None
    decided = session_traits(
        pattern.platform, pattern.person, "", pattern._spec, pattern._configured, pod=pattern.pod_name
    )
    own: KubeSpawner = KubeSpawner(
        user=pattern.user,
        hub=pattern.hub,
        orm_spawner=pattern.orm_spawner,
        api_token=TOKEN,
        oauth_client_id=pattern.oauth_client_id,
        namespace=pattern.namespace,
        k8s_api_request_timeout=pattern.k8s_api_request_timeout,
        k8s_api_request_retry_timeout=pattern.k8s_api_request_retry_timeout,
        start_timeout=pattern.start_timeout,
    )
    for trait in decided:
        setattr(own, trait, getattr(pattern, trait))
    own.extra_pod_config = {"enableServiceLinks": False}
    return own


Maker = Callable[..., Any]


class Bench:
    """One run of it."""

    def __init__(self, folder: Path, *, starts: int, at_once: int) -> None:
        self.folder = folder
        self.starts = starts
        self.at_once = at_once
        self.figures: list[Figure] = []

    async def run(self, cluster: Cluster) -> None:
        """Both spawners, without the queue and with it."""
        assert cluster.ours.audit is not None
        self.audit = cluster.ours.audit
        client = await KubeClient.connect(cluster.kubeconfig)
        try:
            await furnish(client)
            for queued in (False, True):
                async with reflectors():
                    await self.compare(client, queued=queued)
        finally:
            await client.close()

    async def compare(self, client: KubeClient, *, queued: bool) -> None:
        """Peer, ours, ours, peer: half of the starts each time."""
        tallies = {"plain": Tally(), "ours": Tally()}
        half = max(1, self.starts // 2)
        for warm in (plain, ours):
            await self.start_all(client, warm, min(2, half), queued=queued)
        for name, maker in (("plain", plain), ("ours", ours), ("ours", ours), ("plain", plain)):
            tallies[name] += await self.start_all(client, maker, half, queued=queued)
        self.tell("through the queue" if queued else "without a queue", tallies["ours"], tallies["plain"])

    async def start_all(self, client: KubeClient, maker: Maker, count: int, *, queued: bool) -> Tally:
        """Start them, `at_once` at a time; the pods are gone when it returns."""
        spawners = iter([await maker(self.folder, f"u{number}", queued=queued) for number in range(count)])
        asked = self.audit.stat().st_size

        async def work() -> None:
            for one in spawners:
                await one.start()

        began, cpu = time.monotonic(), time.process_time()
        await asyncio.gather(*(work() for _ in range(self.at_once)))
        tally = Tally(count, time.monotonic() - began, time.process_time() - cpu)
        tally.calls = calls(self.audit, asked)
        await clear(client)
        return tally

    def tell(self, what: str, mine: Tally, peer: Tally) -> None:
        """The rows of one comparison."""
        ratio = "plain KubeSpawner {:.2f}, ratio {:.2f}".format
        cpu, peer_cpu = (tally.cpu_s / tally.starts * _MS for tally in (mine, peer))
        asked, peer_asked = (tally.calls / tally.starts for tally in (mine, peer))
        for figure in (
            Figure(f"{what}: starts", mine.rate, "a second", ratio(peer.rate, mine.rate / peer.rate)),
            Figure(f"{what}: CPU of a start", cpu, "ms", ratio(peer_cpu, cpu / peer_cpu)),
            Figure(f"{what}: calls of a start", asked, "", ratio(peer_asked, asked / peer_asked)),
        ):
            self.figures.append(figure)
            print(figure, flush=True)


@asynccontextmanager
async def reflectors() -> AsyncIterator[None]:
    """The watches of all spawners, which they share, end with this."""
    try:
        yield
    finally:
        for kind in (AiinfnSpawner, KubeSpawner):
            await kind._stop_all_reflectors()


def calls(audit: Path, since: int) -> int:
    """Requests of the spawners in the audit log from this byte on, without those of the watches that they share."""
    with audit.open("rb") as log:
        log.seek(since)
        lines = [json.loads(line) for line in log.read().splitlines() if line.endswith(b"}")]
    theirs = [line for line in lines if "python" in line.get("userAgent", "").lower()]
    shared = [line for line in theirs if line["verb"] == "watch" or line["objectRef"]["resource"] == "events"]
    return len(theirs) - len(shared)


async def furnish(client: KubeClient) -> None:
    """Nodes with plenty, the namespace, its claims, and a queue that holds nobody up."""
    amounts = {"cpu": "512", "memory": "4Ti", "pods": "500"}
    for number in range(NODES_AT_HAND):
        meta = {"name": f"node-{number}", "annotations": {"kwok.x-k8s.io/node": "fake"}}
        status = {"allocatable": amounts, "capacity": amounts}
        await client.create(NODES, {"apiVersion": "v1", "kind": "Node", "metadata": meta, "status": status})
    namespace = platform().namespace
    await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    for claim in sorted({volume.claim for volume in platform().volumes if volume.claim}):
        for kind, thing in _storage(claim, namespace):
            await client.create(kind, thing)
    await client.create(RESOURCE_FLAVORS, flavor("any"))
    queue = cluster_queue(names.INTERACTIVE, {"cpu": "10000", "memory": "10Ti"}, flavor="any")
    await client.create(CLUSTER_QUEUES, queue)
    await client.create(WORKLOAD_PRIORITY_CLASSES, priority_class(names.INTERACTIVE, 10000))
    for activity in platform().activities:
        local = local_queue(names.interactive_queue(activity.name), names.INTERACTIVE)
        local["metadata"]["namespace"] = namespace
        await client.create(LOCAL_QUEUES, local)


def _storage(claim: str, namespace: str) -> list[tuple[Any, Object]]:
    modes, amount = ["ReadWriteMany"], {"storage": "100Gi"}
    common = {"accessModes": modes, "storageClassName": ""}
    reference = {"name": claim, "namespace": namespace}
    volume = common | {"capacity": amount, "hostPath": {"path": "/nowhere"}, "claimRef": reference}
    wanted = common | {"resources": {"requests": amount}, "volumeName": claim}
    return [
        (PERSISTENT_VOLUMES, _object("PersistentVolume", {"name": claim}, volume)),
        (PERSISTENT_VOLUME_CLAIMS, _object("PersistentVolumeClaim", reference, wanted)),
    ]


def _object(kind: str, meta: Object, spec: Object) -> Object:
    return {"apiVersion": "v1", "kind": kind, "metadata": meta, "spec": spec}


async def clear(client: KubeClient) -> None:
    """Until no pod of the sessions is left."""
    namespace = platform().namespace
    while pods := (await client.list(PODS, namespace))[0]:
        living = [pod["metadata"]["name"] for pod in pods if "deletionTimestamp" not in pod["metadata"]]
        await asyncio.gather(*(client.delete(PODS, name, namespace, grace_s=0) for name in living))
        await asyncio.sleep(0.3)


def measure(folder: Path, **more: Any) -> list[Figure]:
    """On a cluster of its own in this folder."""
    bench = Bench(folder, **more)
    (folder / "cluster").mkdir()
    running = running_cluster(folder / "cluster", audit=True, with_kwok=True)
    with running as cluster, kubeconfig_of_spawners(cluster.kubeconfig):
        asyncio.run(bench.run(cluster))
    return bench.figures


def main(arguments: Sequence[str], folder: Path) -> None:
    """For the command line."""
    parser = argparse.ArgumentParser(prog="bench starts", description=__doc__)
    parser.add_argument("--starts", type=int, default=200)
    parser.add_argument("--at-once", type=int, default=20)
    parser.add_argument("--json", default="", metavar="FILE")
    wanted = parser.parse_args(arguments)
    print(load(), flush=True)
    save(wanted.json, measure(folder, starts=wanted.starts, at_once=wanted.at_once))
    print(load(), flush=True)
