"""The service as its own process on a cluster, started, asked and measured from outside."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
from bench import figures
from support.fakehub import SERVICE_TOKEN
from support.service import HUB_KEY, PREFIX, secret

from aiinfn_hub.catalogue import example_path
from aiinfn_hub.local.home import free_ports
from aiinfn_hub.local.supervise import die_with_parent

#: Seconds between two requests that look for holes in the event loop.
PROBE_S = 0.05


class ServiceProcess:
    """`aiinfn service run`, and the three questions that the benchmarks ask it."""

    def __init__(self, folder: Path, kubeconfig: Path, hub_url: str, http: aiohttp.ClientSession) -> None:
        self.folder = folder
        self.kubeconfig = kubeconfig
        self.hub_url = hub_url
        self.http = http
        self.started = 0.0

    def start(self) -> None:
        """Begin."""
        port, runs, metrics = free_ports(3)
        settings = {
            "platform_file": str(example_path()),
            "database_url_file": secret(self.folder / "database-url", database_url(self.folder)),
            "api_token_file": secret(self.folder / "token", SERVICE_TOKEN),
            "hub_key_file": secret(self.folder / "key", HUB_KEY),
            "hub_api_url": self.hub_url,
            "runs_url": f"http://127.0.0.1:{runs}",
            "blobs": str(self.folder / "blobs"),
            "port": port,
            "runs_port": runs,
            "metrics_port": metrics,
            "kubeconfig": str(self.kubeconfig),
        }
        path = self.folder / "service.json"
        path.write_text(json.dumps(settings))
        self.url = f"http://127.0.0.1:{port}{PREFIX}"
        self.metrics_url = f"http://127.0.0.1:{metrics}/metrics"
        command = [str(Path(sys.executable).with_name("aiinfn")), "service", "run", "--config", str(path)]
        self.started = time.monotonic()
        with (self.folder / "service.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=self.folder, preexec_fn=die_with_parent()  # noqa: PLW1509  prctl only
            )  # fmt: skip

    def stop(self) -> None:
        """End."""
        self.process.terminate()
        self.process.wait(60)

    @property
    def age(self) -> float:
        """Seconds since its start."""
        return time.monotonic() - self.started

    @property
    def cpu_s(self) -> float:
        """Seconds of CPU it has used."""
        return figures.cpu_s(self.process.pid)

    def memory(self, which: str = "VmRSS") -> float:
        """MiB."""
        return figures.memory(self.process.pid, which)

    async def ready(self) -> bool:
        """Whether it says that its caches are filled."""
        async with self.http.get(f"{self.url}/api/health") as answer:
            return answer.status == 200

    async def offer(self, person: str) -> dict[str, Any]:
        """What the hub asks for a spawn form."""
        headers = {"Authorization": f"Bearer {HUB_KEY}"}
        async with self.http.get(f"{self.url}/api/offer", params={"person": person}, headers=headers) as answer:
            assert answer.status == 200, await answer.text()
            return dict(await answer.json())

    async def scrape(self) -> bytes:
        """What Prometheus asks for."""
        async with self.http.get(self.metrics_url) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.read()

    async def metric(self, name: str) -> float:
        """A metric without labels."""
        text = (await self.scrape()).decode()
        return next(float(line.split()[-1]) for line in text.splitlines() if line.startswith(f"{name} "))

    async def listens(self) -> None:
        """Until it answers at all; the port was free a moment ago, so that somebody else may answer first."""
        while True:
            try:
                async with self.http.get(f"{self.url}/api/health") as answer:
                    if "nodes" in await answer.text():
                        return
            except aiohttp.ClientError:
                assert self.process.poll() is None, self.tail()
            await asyncio.sleep(0.05)

    def tail(self) -> str:
        """The end of its log."""
        return "\n".join((self.folder / "service.log").read_text().splitlines()[-30:])


def database_url(folder: Path) -> str:
    return f"sqlite:///{folder}/service.sqlite"


@asynccontextmanager
async def probing(service: ServiceProcess) -> AsyncIterator[list[float]]:
    """Asks for nothing of weight all the while; the seconds that each answer took are filled in."""
    took: list[float] = []

    async def probe() -> None:
        while True:
            began = time.monotonic()
            await service.ready()
            took.append(time.monotonic() - began)
            await asyncio.sleep(max(0.0, PROBE_S - took[-1]))

    async with figures.beside(probe()):
        yield took


async def quiet(service: ServiceProcess, *, seconds: float = 2.0, most: float = 0.3, timeout_s: float = 300) -> float:
    """Until it has used little CPU for some seconds; the CPU seconds it had used when that began.

    Args:
        most: share of one core that is little.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        before = service.cpu_s
        await asyncio.sleep(seconds)
        if service.cpu_s - before <= most * seconds or time.monotonic() > deadline:
            return before
