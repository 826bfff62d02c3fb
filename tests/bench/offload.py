"""Jobs through the service, beside the cheapest thing that does the same; one process with service, runner and client.

    make bench ARGS=offload

submissions    so many jobs over HTTP, some at once, until each is in the queue  |  as many bare suspended Jobs,
               straight to the same API server (the real one; nothing admits them)
values         bytes in and out as blobs  |  the same bytes through a bare file server of the same framework
list           a page of the list, and one of a name and state, with so many finished jobs of one person in SQLite
output         lines from a runner's channel until the owner has read them  |  appended to a file
memory         of this process, at the end
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import os
import resource
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa
from bench.figures import Figure, Sheet, p, save
from support.controlplane.cluster import running_cluster
from support.offload import new_run, order, platform, request
from support.offload_service import NAMESPACE, World, room, sqlite
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler, stream_request_body

from aiinfn_hub.contract.jobs import JobState
from aiinfn_hub.contract.run.channel import HttpChannel
from aiinfn_hub.kube.client import JOBS, NAMESPACES, KubeClient
from aiinfn_hub.offload import runs
from aiinfn_hub.offload.manifest import job_manifest
from aiinfn_hub.store import tables

AT_ONCE = 16
_MS = 1000


@stream_request_body
class _File(RequestHandler):
    """Keeps one file, and nothing else."""

    def initialize(self, folder: Path) -> None:
        self.path = folder / "file"

    def prepare(self) -> None:
        connection: Any = self.request.connection
        connection.set_max_body_size(2**30)
        if self.request.method == "PUT":
            self.file = self.path.open("wb")

    def data_received(self, chunk: bytes) -> None:
        self.file.write(chunk)

    def put(self) -> None:
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()

    async def get(self) -> None:
        with self.path.open("rb") as file:
            while piece := file.read(256 * 1024):
                self.write(piece)
                await self.flush()


class Bench(Sheet):
    """One run of it."""

    def __init__(self, folder: Path, wanted: argparse.Namespace) -> None:
        super().__init__()
        self.folder = folder
        self.wanted = wanted

    async def run(self, kubeconfig: Path) -> None:
        """Everything, in order."""
        client = await KubeClient.connect(kubeconfig)
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        database = sqlite(self.folder)
        try:
            async with room(self.folder, database, client, sweep_s=600) as service:
                await self.output(service)
                await self.submissions(service, client)
                await self.values(service)
                await self.list(service)
        finally:
            await client.close()
            database.close()
        self.say(
            "memory", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, "MiB", "client and service together"
        )

    async def submissions(self, service: World, client: KubeClient) -> None:
        """Ours and bare ones in turns, so that both meet the same machine."""
        ours = bare = 0.0
        step = max(1, self.wanted.jobs // 5)
        for start in range(0, self.wanted.jobs, step):
            numbers = range(start, start + step)
            bare += await timed(numbers, lambda number: client.create(JOBS, bare_job(number)))
            # One person may have 500 that are not over.
            ours += await timed(numbers, lambda number: service.submit(request(), who=("alice", "bob")[number % 2]))
        beside = f"bare {self.wanted.jobs / bare:.0f}; ratio {bare / ours:.2f}"
        self.say("submissions", self.wanted.jobs / ours, "a second", beside)

    async def values(self, service: World) -> None:
        """In and out; the bytes are no zeros, which disks and sockets know."""
        pieces = [os.urandom(40 * 2**20) for _ in range(self.wanted.megabytes // 40)]
        server = HTTPServer(Application([("/", _File, {"folder": self.folder})]))
        socket, port = bind_unused_port()
        server.add_socket(socket)
        took = {"ours": 0.0, "bare": 0.0}
        async with httpx.AsyncClient(timeout=120, trust_env=False) as http:
            for piece in pieces:
                url, name = f"http://127.0.0.1:{port}/", hashlib.sha256(piece).hexdigest()
                began = time.monotonic()
                await http.put(url, content=piece)
                assert (await http.get(url)).content == piece
                took["bare"] += time.monotonic() - began
                began = time.monotonic()
                await service.call("PUT", f"/blobs/{name}", content=piece)
                assert (await service.call("GET", f"/blobs/{name}")).content == piece
                took["ours"] += time.monotonic() - began
        server.stop()
        beside = f"bare {took['bare']:.2f} s; ratio {took['ours'] / took['bare']:.2f}"
        self.say(f"{40 * len(pieces)} MiB in and out", took["ours"], "s", beside)

    async def output(self, service: World) -> None:
        """Lines as a runner sends them, and read by the owner at the end."""
        view, token = await service.running(request("output"))
        text = "".join(f"line {number:06} of a job that says a lot\n" for number in range(1500))
        count = 100

        def say() -> float:
            channel = HttpChannel(service.runs_url, view.id)
            channel._token = token
            began = time.monotonic()
            for seq in range(1, count + 1):
                channel.frames([{"output_type": "stream", "name": "stdout", "text": text, "seq": seq}], {})
            return time.monotonic() - began

        took = await asyncio.to_thread(say)
        began = time.monotonic()
        page = await service.frames(view.id)
        read_s = time.monotonic() - began
        ended = {"state": "succeeded", "exit_code": 0}
        assert (await service.runner("POST", view.id, "result", token, json=ended)).status_code == 200
        assert page.job.frames
        size = count * len(text) / 2**20
        began = time.monotonic()
        with (self.folder / "log").open("a") as file:
            for _ in range(count):
                file.write(text)
                file.flush()
        plain = time.monotonic() - began
        self.say("output", size / took, "MiB a second", f"appended to a file: {size / plain:.0f}")
        self.say("output: the first page", read_s * _MS, "ms", f"{len(page.frames)} frames")

    async def list(self, service: World) -> None:
        """Pages of a long list."""
        await service.database.write(_finished, self.wanted.finished)
        for name, params in {
            f"list of {self.wanted.finished}": {"limit": "50"},
            "one name and state": {"limit": "50", "name": "fit-7", "state": "failed"},
            "500 of them": {"limit": "500"},
        }.items():
            took = []
            for _ in range(40):
                began = time.monotonic()
                answer = await service.call("GET", "/jobs", who="bob", params=params)
                took.append((time.monotonic() - began) * _MS)
            found = answer.json()["jobs"]
            assert found, "an empty page is no measure"
            self.say(f"{name}, p95", p(took, 95), "ms", f"{len(found)} jobs, {len(answer.content) // 1024} KiB")


async def timed(numbers: Sequence[int], act: Callable[[int], Awaitable[Any]]) -> float:
    """Seconds for all of them, so many at once."""
    limit = asyncio.Semaphore(AT_ONCE)

    async def one(number: int) -> None:
        async with limit:
            await act(number)

    began = time.monotonic()
    await asyncio.gather(*map(one, numbers))
    return time.monotonic() - began


def bare_job(number: int) -> dict[str, Any]:
    """The Job of a run of ours, alone: nothing else is made for it."""
    made = job_manifest(platform(), order())
    made["metadata"]["name"] = f"bare-{number}"
    return made


def _finished(connection: sa.Connection, count: int) -> None:
    """Jobs of a hundred names; of each, every other one has failed."""
    table, now = tables.run, time.time()
    for number in range(count):
        wanted = request(f"fit-{number % 100}", source=f"x = {number}\n" * 40)
        run, _ = runs.create(connection, new_run(wanted, owner="bob", idempotency_key=str(number)), now=now + number)
        state = JobState.FAILED if number // 100 % 2 else JobState.SUCCEEDED
        ended = {"state": state.value, "placed_at": now + number, "finished_at": now + number + 60}
        connection.execute(table.update().where(table.c.id == run.id).values(ended))


def measure(folder: Path, wanted: argparse.Namespace) -> list[Figure]:
    """On a control plane of its own in this folder."""
    bench = Bench(folder, wanted)
    (folder / "cluster").mkdir()
    with running_cluster(folder / "cluster", with_kueue=False) as cluster:
        asyncio.run(bench.run(cluster.kubeconfig))
    return bench.figures


def main(arguments: Sequence[str], folder: Path) -> None:
    """For the command line."""
    parser = argparse.ArgumentParser(prog="bench offload", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000)
    parser.add_argument("--megabytes", type=int, default=200)
    parser.add_argument("--finished", type=int, default=10_000)
    parser.add_argument("--json", default="", metavar="FILE")
    wanted = parser.parse_args(arguments)
    save(wanted.json, measure(folder, wanted))
