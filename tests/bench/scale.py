"""`make bench ARGS=scale`: the service on a crowded cluster, with a real API server, Kueue and nodes that KWOK plays.

Target figures and "(h)" are of the reference on accounting and metrics: they were measured or set there for a quiet
machine with two cores. CPU is what the kernel charged; clock times are those of this machine with all that it does.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from bench import peers
from bench.crowd import Crowd, Size, flavours, node_name, populate
from bench.figures import Figure, Sheet, beside, load, p, save
from bench.service import ServiceProcess, database_url, probing, quiet
from bench.spawners import ACTIVITY, kubeconfig_of_spawners, plain_manifest
from support.controlplane.cluster import Cluster, running_cluster
from support.fakehub import FakeHub, running_hub

from aiinfn_hub.kube.client import PODS, KubeClient
from aiinfn_hub.service.metrics import KEEP_S
from aiinfn_hub.store.engine import Database

OPERATORS = 50
SCRAPES = 4
#: Starts, and stops, of sessions each second while there is churn; each of both is two changes. The rest are small.
STARTS, TOUCHES = 2, 12
_MS = 1000


class Bench(Sheet):
    """One run of it."""

    def __init__(self, size: Size, folder: Path, *, requests: int, churn_s: float) -> None:
        super().__init__()
        self.size = size
        self.folder = folder
        self.requests = requests
        self.churn_s = churn_s

    async def run(self, cluster: Cluster) -> None:
        """Everything, in order."""
        database = Database(database_url(self.folder))
        await asyncio.to_thread(database.migrate)
        client = await KubeClient.connect(cluster.kubeconfig)
        async with running_hub() as hub, aiohttp.ClientSession() as http:
            people(hub)
            service = ServiceProcess(self.folder, cluster.kubeconfig, hub.url, http)
            try:
                with kubeconfig_of_spawners(cluster.kubeconfig):
                    crowd = await self.crowd(cluster, client, database, service)
                await self.cold_start(service, "first start, empty ledger")
                await asyncio.to_thread(service.stop)
                await self.cold_start(service, "restart")
                await self.answers(service, "quiet")
                await self.scrapes(service)
                await self.news(service, client)
                async with churn(client, crowd) as changed:
                    await self.under_churn(service, changed)
                self.say("memory at the end", service.memory(), "MiB", f"at most {service.memory('VmHWM'):.0f}")
            finally:
                await asyncio.to_thread(service.stop)
                await client.close()
                database.close()
        found, pods = await peers.lists(cluster.kubeconfig)
        for figure in [*found, *peers.naive_exposition(pods)]:
            self.say(figure.name, figure.value, figure.unit, figure.beside)

    async def crowd(self, cluster: Cluster, client: KubeClient, database: Database, service: ServiceProcess) -> Crowd:
        """Populate the cluster; before that, see what the service takes with nothing to look at."""
        service.start()
        await service.listens()
        await quiet(service)
        self.empty_mib, self.empty_cpu_s = service.memory(), service.cpu_s
        self.say("memory on an empty cluster", self.empty_mib, "MiB")
        await asyncio.to_thread(service.stop)
        crowd = await populate(cluster, client, database, self.folder, self.size)
        for name, seconds in crowd.seconds.items():
            self.say(f"populating: {name}", seconds, "s")
        return crowd

    async def cold_start(self, service: ServiceProcess, name: str) -> None:
        """From the start of the process to an offer in which nothing is unknown, and to the end of the work after."""
        service.start()
        await service.listens()
        self.say(f"{name}: it answers after", service.age, "s", f"CPU {service.cpu_s:.1f} s, mostly imports")
        async with probing(service) as took:
            while not await service.ready():
                await asyncio.sleep(0.02)
            self.say(f"{name}: health 200 after", service.age, "s", "target: list < 10")
            while any(flavour.get("unknown_since") for flavour in (await service.offer("p0"))["flavours"]):
                await asyncio.sleep(0.02)
            self.say(f"{name}: first offer after", service.age, "s")
            spent = await quiet(service)
        self.say(
            f"{name}: CPU until it is quiet", spent, "CPU s", f"of these {self.empty_cpu_s:.1f} with nothing there"
        )
        self.say(f"{name}: longest wait for /api/health", max(took) * _MS, "ms", "off the event loop: tens")
        self.say(f"{name}: p95 of that", p(took, 95) * _MS, "ms", f"{len(took)} requests")
        rss = service.memory()
        a_pod = (rss - self.empty_mib) * 1024 / (self.size.pods + self.size.tickets)
        self.say(f"{name}: memory", rss, "MiB", f"at most {service.memory('VmHWM'):.0f}; {a_pod:.1f} KiB more a pod")

    async def answers(self, service: ServiceProcess, when: str) -> None:
        """Offers, one after the other, for some people."""
        before, took, ages = service.cpu_s, [], []
        for number in range(self.requests):
            began = time.monotonic()
            offer = await service.offer(f"p{number % OPERATORS}")
            took.append(time.monotonic() - began)
            ages.append(time.time() - offer["at"])
            if when != "quiet":
                await asyncio.sleep(0.05)
        cpu = (service.cpu_s - before) / self.requests * _MS
        self.say(f"offer, {when}: p50", p(took, 50) * _MS, "ms", f"CPU {cpu:.1f} ms each")
        self.say(f"offer, {when}: p95", p(took, 95) * _MS, "ms", "target <= 20")
        self.say(f"offer, {when}: age that it states", statistics.median(ages), "s", f"at most {max(ages):.1f}")

    async def scrapes(self, service: ServiceProcess) -> None:
        """`/metrics`, some times."""
        text, before, began = await service.scrape(), service.cpu_s, time.monotonic()
        for _ in range(SCRAPES):
            await asyncio.sleep(KEEP_S)  # a text is kept so long; what is measured is the making of one
            text = await service.scrape()
        took = ((time.monotonic() - began) / SCRAPES - KEEP_S) * _MS
        cpu = (service.cpu_s - before) / SCRAPES * _MS
        series = sum(not line.startswith(b"#") for line in text.splitlines())
        self.say("scrape", cpu, "CPU ms", f"target <= 100; {took:.0f} ms by the clock")
        self.say("scrape: size", len(text) / 1024, "KiB", f"target <= 3072; {series} series of at most 5000")

    async def news(self, service: ServiceProcess, client: KubeClient) -> None:
        """From the API's answer to a new pod on a node to an offer that knows of it."""
        flavour, took = flavours()[0], []

        async def free() -> int:
            offer = await service.offer("p0")
            return next(int(one["free"]) for one in offer["flavours"] if one["flavour"] == flavour.name)

        for number in range(5):
            known = await free()
            pod = plain_manifest(f"news-{number}", {flavour.resource: "1"})
            pod["spec"]["nodeName"] = node_name(0)
            await client.create(PODS, pod, "others-0")
            began = time.monotonic()
            while await free() == known and time.monotonic() < began + 10:
                await asyncio.sleep(0.005)
            took.append(time.monotonic() - began)
        self.say("offer: knows of a new pod after", statistics.median(took), "s", f"at most {max(took):.2f}")

    async def under_churn(self, service: ServiceProcess, changed: list[int]) -> None:
        """While sessions come and go."""
        await asyncio.sleep(1)
        cpu, began, count = service.cpu_s, time.monotonic(), len(changed)
        async with probing(service) as took:
            await asyncio.sleep(self.churn_s)
        elapsed = time.monotonic() - began
        share, rate = (service.cpu_s - cpu) / elapsed, (len(changed) - count) / elapsed
        probes = len(took) / elapsed
        self.say("churn: CPU", share * 100, "% of a core", f"{rate:.0f} writes, {probes:.0f} requests a second")
        self.say("churn: longest wait for /api/health", max(took) * _MS, "ms", f"p95 {p(took, 95) * _MS:.0f}")
        await self.answers(service, "churn")


def people(hub: FakeHub) -> None:
    """Those who ask."""
    for number in range(OPERATORS):
        hub.add(f"p{number}", "/aiinfn", f"/aiinfn/{ACTIVITY}")


@asynccontextmanager
async def churn(client: KubeClient, crowd: Crowd) -> AsyncIterator[list[int]]:
    """Sessions that start, stop, and change a little, about 20 changes a second; one entry for each write."""
    done: list[int] = []
    turn = itertools.cycle(crowd.running)

    async def touch() -> None:
        note = {"metadata": {"annotations": {"hub.jupyter.org/churn": str(len(done))}}}
        await client.patch(PODS, next(turn), note, "aiinfn")
        done.append(1)

    async def come_and_go(number: int) -> None:
        pod = plain_manifest(f"churn-{number}", {flavours()[0].resource: "1"})
        pod["spec"]["nodeName"] = node_name(0)
        await client.create(PODS, pod, "others-0")
        done.append(1)
        await asyncio.sleep(3)
        await client.delete(PODS, f"churn-{number}", "others-0", grace_s=0)
        done.append(1)

    async def forever() -> None:
        async with asyncio.TaskGroup() as group:
            for second in itertools.count():
                for number in range(STARTS):
                    group.create_task(come_and_go(second * STARTS + number))
                for _ in range(TOUCHES):
                    group.create_task(touch())
                    await asyncio.sleep(1 / TOUCHES)

    async with beside(forever()):
        yield done


def measure(folder: Path, size: Size, **more: Any) -> list[Figure]:
    """On a cluster of its own in this folder."""
    bench = Bench(size, folder, **more)
    (folder / "cluster").mkdir()
    with running_cluster(folder / "cluster", with_kueue=False, with_kwok=True) as cluster:
        asyncio.run(bench.run(cluster))
    return bench.figures


def main(arguments: Sequence[str], folder: Path) -> None:
    """For the command line."""
    parser = argparse.ArgumentParser(prog="bench scale", description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--pods", type=int, default=10_000)
    parser.add_argument("--workloads", type=int, default=5000)
    parser.add_argument("--requests", type=int, default=200, help="offers that are asked for")
    parser.add_argument("--churn", type=float, default=60, metavar="SECONDS")
    parser.add_argument("--json", default="", metavar="FILE")
    wanted = parser.parse_args(arguments)
    print(load(), flush=True)
    size = Size(wanted.nodes, wanted.pods, wanted.workloads)
    save(wanted.json, measure(folder, size, requests=wanted.requests, churn_s=wanted.churn))
    print(load(), flush=True)
