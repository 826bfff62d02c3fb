"""Parts of the control plane die and come back: nothing is lost, doubled or orphaned, and people are told.

One cluster and one demo for all of it, with a session and a job that live through everything.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from support.controlplane.cluster import Cluster, running_cluster
from support.controlplane.processes import Program
from support.demo import Kernel, RunningDemo, Visitor, running_demo
from support.people_at_work import SESSION, ask, job, long, records, said, session, stop

from aiinfn_hub.kube.client import JOBS, NODES, PODS, KubeClient

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(600)]
#: How long the API server is silent; longer than a request waits, shorter than nodes are given up.
OUTAGE_S = 30
#: How long Kueue is away: longer than JupyterHub and the job wait for an answer to anything.
KUEUE_AWAY_S = 130


@dataclass
class World:
    """A platform at work: the session of a scientist, with a job that runs."""

    cluster: Cluster
    demo: RunningDemo
    scientist: Visitor
    kernel: Kernel

    async def unharmed(self) -> None:
        """Session and job have not noticed, and the ledger has one open record of each."""
        assert (await self.kernel.run("print(6 * 7)")).text == "42\n"
        assert (await job(self.scientist, "steady", "running"))["attempt"] == 1
        deadline = time.monotonic() + 60
        while True:
            mine = await records(self.scientist)
            assert len({record["pod_uid"] for record in mine}) == len(mine)
            if sorted(record["kind"] for record in mine if record["held_to"] is None) == ["job", "session"]:
                return
            assert time.monotonic() < deadline, mine
            await asyncio.sleep(0.5)

    async def form(self, visitor: Visitor) -> str:
        """What the spawn form says."""
        page = await visitor.http.get(f"{visitor.hub}/hub/spawn/{visitor.name}")
        return said(page)

    async def metric(self, name: str) -> dict[str, float]:
        """The values of a metric by its labels."""
        async with httpx.AsyncClient() as http:
            text = (await http.get(self.demo.info["metrics_url"])).text
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if line.startswith(name))
        return {labels: float(value) for labels, value in lines}

    async def free(self, flavour: str) -> int | None:
        """Units that the scientist is offered; None while that is unknown."""
        offered = (await ask(self.scientist, "offer"))["flavours"]
        found = next(one for one in offered if one["flavour"] == flavour)
        return None if found.get("unknown_since") else int(found["free"])


@pytest.fixture(scope="module")
def broken_cluster(controlplane: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("outages")) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(broken_cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    home: Path = tmp_path_factory.mktemp("demo") / "home"
    with running_demo(home, "--kubeconfig", str(broken_cluster.kubeconfig)) as demo:
        scientist, kernel = await session(demo, "scientist")
        await kernel.run(long("steady", seconds=3000))
        await job(scientist, "steady", "running")
        yield World(broken_cluster, demo, scientist, kernel)


async def fresh(visitor: Visitor, kernel: Kernel, name: str) -> None:
    """A new job goes all the way."""
    reply = await kernel.run(f"%%offload {name} --cpu 1 --mem 512Mi --time 5m\nprint('done')\n")
    assert reply.status == "ok", reply.error
    await job(visitor, name, "succeeded", seconds=120)


async def again(program: Program, seconds: float = 0) -> None:
    """Kill a program, wait, start it again."""
    program.kill()
    await asyncio.sleep(seconds)
    program.start()
    await asyncio.to_thread(program.wait)


@pytest.mark.parametrize("name", ["apiserver", "etcd", "manager", "scheduler"])
async def test_a_part_is_killed_and_comes_back(world: World, name: str) -> None:
    plane = world.cluster.ours
    lists = await world.metric("aiinfn_watch_restarts_total")
    await again(getattr(plane, name), 2)
    if name == "etcd":
        await asyncio.to_thread(plane.apiserver.wait)
    await fresh(world.scientist, world.kernel, f"after-{name}")
    await world.unharmed()
    if name == "apiserver":
        # What it remembered of changes died with it: every watch from before is answered with 410.
        assert sum((await world.metric("aiinfn_watch_restarts_total")).values()) > sum(lists.values())


async def test_every_watch_expires_while_the_hub_and_the_service_are_frozen(world: World) -> None:
    """As on a machine that slept: what they watched from is forgotten, by etcd too, and they list again."""
    client = await KubeClient.connect(world.cluster.kubeconfig)
    nodes, _ = await client.list(NODES, labels="nvidia.com/gpu.product=Tesla-T4")
    before = await world.free("t4")
    lists = await world.metric("aiinfn_watch_restarts_total")
    assert before
    assert nodes
    await client.create(PODS, holder("goes", nodes[0]))
    await until(lambda: world.free("t4"), before - 1)
    frozen = [*world.demo.children("service run"), *world.demo.children("jupyterhub -f")]
    signal_all(frozen, signal.SIGSTOP)
    try:
        await client.delete(PODS, "goes", "default", grace_s=0)
        for name in ("comes", "comes-too"):
            await client.create(PODS, holder(name, nodes[0]))
        await asyncio.to_thread(world.cluster.ours.forget)
        await again(world.cluster.ours.apiserver)
    finally:
        signal_all(frozen, signal.SIGCONT)
    try:
        await until(lambda: world.free("t4"), before - 2)

        async def listed_again() -> set[str]:
            # The text of a scrape is kept for some seconds.
            after = await world.metric("aiinfn_watch_restarts_total")
            return {kind for kind in lists if after[kind] > lists[kind]}

        await until(listed_again, set(lists))
        await fresh(world.scientist, world.kernel, "after-sleep")
        await world.unharmed()
    finally:
        for name in ("comes", "comes-too"):
            await client.delete(PODS, name, "default", grace_s=0)
        await client.close()


def holder(name: str, node: dict[str, Any]) -> dict[str, Any]:
    """Somebody else's pod that holds one GPU of the node."""
    resources = {"limits": {"nvidia.com/gpu": "1"}}
    spec = {"nodeName": node["metadata"]["name"], "containers": [{"name": "c", "image": "c", "resources": resources}]}
    meta = {"name": name, "namespace": "default"}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def signal_all(pids: list[int], number: signal.Signals) -> None:
    assert pids
    for pid in pids:
        os.kill(pid, number)


async def until(look: Callable[[], Awaitable[Any]], wanted: Any, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while (seen := await look()) != wanted:
        assert time.monotonic() < deadline, (seen, wanted)
        await asyncio.sleep(0.2)


async def test_while_the_api_is_silent_the_form_says_so_and_then_tells_the_truth_again(world: World) -> None:
    plane = world.cluster.ours
    pi = Visitor(world.demo, "pi")
    await pi.login()
    assert "unknown since" not in await world.form(pi)
    plane.apiserver.pause()
    try:
        silent = time.monotonic()
        kernel = asyncio.create_task(world.kernel.run("print('still here')"))
        assert (await kernel).text == "still here\n", "sessions do not need the API server"
        await asyncio.sleep(max(0.0, OUTAGE_S - (time.monotonic() - silent)))
    finally:
        plane.apiserver.resume()
    await fresh(world.scientist, world.kernel, "after-silence")
    deadline = time.monotonic() + 60
    while "unknown since" in (page := await world.form(pi)):
        assert time.monotonic() < deadline, page
        await asyncio.sleep(1)
    await world.unharmed()


async def test_while_the_api_is_down_nothing_is_shown_as_free(world: World) -> None:
    plane = world.cluster.ours
    pi = Visitor(world.demo, "pi")
    await pi.login()
    plane.apiserver.kill()
    try:
        deadline = time.monotonic() + 60
        while "unknown since" not in (page := await world.form(pi)):
            assert time.monotonic() < deadline, page
            await asyncio.sleep(0.5)
        assert not re.search(r"\d+ of \d+ free", page), page
    finally:
        plane.apiserver.start()
    await asyncio.to_thread(plane.apiserver.wait)
    await world.unharmed()


async def test_kueue_is_away_for_minutes_and_what_people_ask_for_happens_when_it_is_back(world: World) -> None:
    """Its webhooks refuse what is new, and its finalizer keeps the pod of what has ended."""
    kueue = world.cluster.ours.kueue
    assert kueue is not None
    pi, _ = await session(world.demo, "pi")
    operator = Visitor(world.demo, "operator")
    await operator.login()
    kueue.kill()
    away = time.monotonic()
    await world.kernel.run("%%offload patient --cpu 1 --mem 512Mi --time 5m\nprint('done')\n")
    waiting = await job(world.scientist, "patient", "staging")
    assert "Kueue" in waiting["reason"], waiting["reason"]
    await operator.spawn(SESSION)
    assert "queueing system does not answer" in await _refusal(operator)
    assert (await pi.api("DELETE", "/users/pi/server")).status_code == 202
    await asyncio.sleep(max(0.0, KUEUE_AWAY_S - (time.monotonic() - away)))
    assert (await job(world.scientist, "patient", "staging"))["state"] == "staging"
    # The pod is still there, but what ran in it is over: nobody pays for Kueue's absence.
    (ended,) = await records(pi)
    assert (ended["end_source"], ended["held_to"] - ended["held_from"] < KUEUE_AWAY_S / 2) == ("container", True)
    kueue.start()
    await asyncio.to_thread(kueue.wait)
    await job(world.scientist, "patient", "succeeded", seconds=180)
    for person in (pi, operator):
        await until(lambda who=person: _servers(who), {})  # type: ignore[misc]
        answer = await person.spawn(SESSION)
        assert answer.status_code == 200, said(answer)
        await person.ready(timeout_s=120)
        await stop(person)
    assert len(await records(pi)) == 2
    await world.unharmed()


async def _servers(visitor: Visitor) -> dict[str, Any]:
    """The person's servers that run, start or stop."""
    return dict((await visitor.api("GET", f"/users/{visitor.name}")).json()["servers"])


async def _refusal(visitor: Visitor) -> str:
    """What the page says of a start that failed."""
    deadline = time.monotonic() + 60
    while True:
        page = await visitor.http.get(f"{visitor.hub}/hub/spawn-pending/{visitor.name}")
        if page.status_code != 200 or "is starting" not in page.text:
            return said(page)
        assert time.monotonic() < deadline, said(page)
        await asyncio.sleep(0.5)


async def test_nothing_is_left_behind_when_all_is_over(world: World) -> None:
    await world.kernel.run("%offload cancel steady")
    await job(world.scientist, "steady", "cancelled")
    await stop(world.scientist)
    client = await KubeClient.connect(world.cluster.kubeconfig)
    try:
        deadline = time.monotonic() + 90
        while left := await _left(client):
            assert time.monotonic() < deadline, left
            await asyncio.sleep(0.5)
    finally:
        await client.close()
    deadline = time.monotonic() + 60
    while open_ones := [r for r in (await ask(world.scientist, "accounting/records"))["records"] if not r["held_to"]]:
        assert time.monotonic() < deadline, open_ones
        await asyncio.sleep(0.5)


async def _left(client: KubeClient) -> list[Any]:
    pods = [
        p["metadata"]["name"] for p in (await client.list(PODS, "aiinfn"))[0] if p["status"]["phase"] != "Succeeded"
    ]
    jobs = [j["metadata"]["name"] for j in (await client.list(JOBS, "aiinfn"))[0] if j["status"].get("active")]
    return pods + jobs
