"""Two hundred jobs while a seeded hand kills and freezes what carries them: each ends in a state that is true.

`AIINFN_FAULT_SEED` repeats a run: it is the hand's, not that of the machine's scheduler, so the same faults come in the
same order, and not at the same instruction.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from support.demo import RunningDemo, Visitor, running_demo

from aiinfn_hub.kube.client import JOBS, PODS, KubeClient
from aiinfn_hub.local.home import free_ports
from aiinfn_hub.pods import names

pytestmark = [pytest.mark.faults, pytest.mark.asyncio, pytest.mark.timeout(1500)]

JOBS_IN_ALL = int(os.environ.get("AIINFN_FAULT_JOBS", "200"))
SEED = int(os.environ.get("AIINFN_FAULT_SEED", "20261201"))
AT_ONCE, STEPS = 6, 12
#: Seconds of a service's life before it is killed again: the demo gives up a program that dies four times as it starts.
GROWN_UP_S = 6.0
#: What the hand does, and how often of a hundred times.
FAULTS = {
    "kill a runner": 35,
    "evict a job": 25,
    "kill the service": 20,
    "freeze the service": 14,
    "kill the platform": 6,
}
WORK = """\
import os, time
from aiinfn_labext import offload
with open({log!r}, "a") as file:
    file.write(f"{{offload.attempt}} {{os.environ['POD_UID']}}\\n")
for step in range({steps}):
    print(f"step {{step}} of attempt {{offload.attempt}}", flush=True)
    time.sleep(0.1)
total = {number}
"""


@dataclass
class World:
    """A demo that may be another process in a moment, and what was done to it."""

    home: Path
    port: int
    stack: ExitStack
    random: random.Random
    demo: RunningDemo = field(init=False)
    token: str = ""
    done: Counter[str] = field(default_factory=Counter)
    killed: set[str] = field(default_factory=set)
    """The uids of the pods whose runner was killed."""
    up: asyncio.Event = field(default_factory=asyncio.Event)

    def start(self) -> None:
        self.demo = self.stack.enter_context(running_demo(self.home, port=self.port))
        self.up.set()

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        """An answer of the service, however long it takes: the same request is the same request."""
        deadline = time.monotonic() + 120
        while True:
            await self.up.wait()
            with suppress(httpx.TransportError):
                async with httpx.AsyncClient(headers={"Authorization": f"token {self.token}"}, timeout=20) as http:
                    answer = await http.request(method, f"{self.demo.info['service_url']}/api/{path}", **options)
                if answer.status_code < 500:
                    return answer
            assert time.monotonic() < deadline, f"{method} {path} is not answered"
            await asyncio.sleep(0.2)

    async def fault(self, kind: str, going: list[str]) -> None:
        """Do it; not everything can be done at every moment."""
        services = self.demo.children("service run")
        if kind == "kill a runner":
            self._kill_a_runner()
        elif kind == "evict a job" and going:
            answer = await self.ask("POST", f"jobs/{self.random.choice(going)}/evict")
            self.done[kind] += answer.status_code == 200
        elif kind == "kill the service" and services and _age_s(services[0]) > GROWN_UP_S:
            os.kill(services[0], signal.SIGKILL)
            self.done[kind] += 1
        elif kind == "freeze the service" and services:
            os.kill(services[0], signal.SIGSTOP)
            await asyncio.sleep(self.random.uniform(0.5, 4))
            with suppress(ProcessLookupError):
                os.kill(services[0], signal.SIGCONT)
            self.done[kind] += 1
        elif kind == "kill the platform":
            # API, controllers, queue and node agent in one; hub, service and the jobs' processes are left alone.
            self.up.clear()
            self.demo.process.kill()
            self.demo.process.wait()
            await asyncio.to_thread(self.start)
            self.done[kind] += 1

    def _kill_a_runner(self) -> None:
        runners = self.demo.children("boot.py")
        if not runners:
            return
        victim = self.random.choice(runners)
        with suppress(OSError):
            environment = Path(f"/proc/{victim}/environ").read_bytes().split(b"\0")
            uid = next((line[8:].decode() for line in environment if line.startswith(b"POD_UID=")), "")
            if uid:
                self.killed.add(uid)  # before: it may be told of at once
                os.kill(victim, signal.SIGKILL)
                self.done["kill a runner"] += 1


def _age_s(pid: int) -> float:
    with suppress(psutil.NoSuchProcess):
        return time.time() - psutil.Process(pid).create_time()
    return 0.0


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with ExitStack() as stack:
        found = World(tmp_path / "home", free_ports(1)[0], stack, random.Random(SEED))
        found.start()
        yield found


async def log_in(world: World) -> None:
    visitor = Visitor(world.demo, "scientist")
    await visitor.login()
    answer = await visitor.api("POST", "/users/scientist/tokens", json={"note": "faults"})
    assert answer.status_code in (200, 201), answer.text
    world.token = answer.json()["token"]


async def test_every_job_ends_in_a_true_state_whatever_is_killed(world: World, tmp_path: Path) -> None:
    await log_in(world)
    logs = tmp_path / "executions"
    logs.mkdir()
    ids: dict[int, str] = {}
    going: dict[int, str] = {}

    async def one(number: int) -> dict[str, Any]:
        source = WORK.format(log=str(logs / str(number)), steps=STEPS, number=number)
        resources = {"cpu_millis": 500, "memory_bytes": 2**29, "gpu": "none", "time_s": 600}
        body = {"name": f"work-{number}", "source": source, "outputs": ["total"], "resources": resources}
        answer = await world.ask("POST", "jobs", json=body, headers={"Idempotency-Key": f"work-{number}"})
        assert answer.status_code in (200, 201), answer.text
        ids[number] = going[number] = answer.json()["id"]
        deadline = time.monotonic() + 300
        while (job := (await world.ask("GET", f"jobs/{ids[number]}")).json())["state"] not in (
            "succeeded", "failed", "cancelled", "lost",
        ):  # fmt: skip
            assert time.monotonic() < deadline, job
            await asyncio.sleep(0.5)
        del going[number]
        return dict(job)

    limit = asyncio.Semaphore(AT_ONCE)

    async def limited(number: int) -> dict[str, Any]:
        async with limit:
            return await one(number)

    async def hand() -> None:
        while True:
            await asyncio.sleep(world.random.uniform(0.5, 2.5))
            kind = world.random.choices([*FAULTS], [*FAULTS.values()])[0]
            await world.fault(kind, sorted(going.values()))

    at_work = asyncio.create_task(hand())
    ended = asyncio.gather(*map(limited, range(JOBS_IN_ALL)))
    await asyncio.wait({at_work, ended}, return_when=asyncio.FIRST_COMPLETED)
    if at_work.done():
        at_work.result()
    at_work.cancel()
    jobs = await ended
    print(f"seed {SEED}: {dict(world.done)}; {Counter(job['state'] for job in jobs)}")
    assert sum(job["state"] == "failed" for job in jobs) <= world.done["kill a runner"], "each had a reason"
    assert all(world.done[kind] for kind in FAULTS) or JOBS_IN_ALL < 100, world.done
    for number, job in enumerate(jobs):
        await _is_true(world, job, number, logs / str(number))
    await _left_behind(world)


async def _is_true(world: World, job: dict[str, Any], number: int, log: Path) -> None:
    """What is said of it is what was seen of it."""
    lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
    attempts = [int(attempt) for attempt, _ in lines]
    assert len(set(attempts)) == len(attempts), f"attempt {attempts} ran twice: {job}"
    assert max(attempts, default=0) <= job["attempt"], f"{attempts} are more than are recorded: {job}"
    page = (await world.ask("GET", f"jobs/{job['id']}/frames")).json()
    text = "".join(frame.get("text", "") for frame in page["frames"])
    said = Counter(line for line in text.splitlines() if line.startswith("step"))
    assert set(said.values()) <= {1}, f"said twice: {said} of {job}"
    if job["state"] == "succeeded":
        value = await world.ask("GET", f"jobs/{job['id']}/outputs/total")
        assert value.content == str(number).encode()
        last = [f"step {step} of attempt {max(attempts)}" for step in range(STEPS)]
        assert [line for line in text.splitlines() if line in last] == last, f"{job} has lost output: {text}"
    else:
        assert job["state"] == "failed", job
        assert {uid for _, uid in lines} & world.killed or not lines, f"nobody has killed it: {job} {lines}"
        assert "killed" in job["verdict"], job


async def _left_behind(world: World) -> None:
    """No process, no Job that goes on, no pod that runs, no piece of a checkpoint."""
    client = await KubeClient.connect(world.demo.info["kubeconfig"])
    try:
        deadline = time.monotonic() + 60
        while True:
            jobs = [
                one for one in (await client.list(JOBS, "aiinfn"))[0] if not one.get("status", {}).get("conditions")
            ]
            pods = (await client.list(PODS, "aiinfn", labels=f"{names.KIND}={names.JOB}"))[0]
            running = [one["metadata"]["name"] for one in pods if one["status"].get("phase") in ("Pending", "Running")]
            processes = world.demo.children("boot.py")
            if not (jobs or running or processes):
                break
            assert time.monotonic() < deadline, (jobs, running, processes)
            await asyncio.sleep(0.5)
    finally:
        await client.close()
    kept = world.home.glob("**/.checkpoints/*/*/*")
    assert list(kept) == []
