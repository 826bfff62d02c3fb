"""Real jobs on the embedded cluster: its queue, its controllers, its node agent, and the real runner in a process."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from support.nodeagent import agent_on
from support.offload import platform, request
from support.offload_service import NAMESPACE, World, cluster_api, room, sqlite

from aiinfn_hub.contract.jobs import FINAL, FramePage, JobState, JobView
from aiinfn_hub.contract.sweeps import SweepRequest, SweepView
from aiinfn_hub.kube.client import PODS, KubeClient
from aiinfn_hub.local import seed
from aiinfn_hub.local.controllers import JobController, QueueController, Scheduler
from aiinfn_hub.local.nodes import load_nodes

S = JobState
pytestmark = pytest.mark.asyncio


@asynccontextmanager
async def cluster(folder: Path) -> AsyncIterator[KubeClient]:
    """All of the embedded platform but the hub."""
    nodes = load_nodes()
    async with cluster_api(folder) as client:
        await seed.apply(client, platform(), nodes)
        controllers = [Scheduler(client), JobController(client), QueueController(client)]
        tasks = [asyncio.create_task(controller.run()) for controller in controllers]
        async with agent_on(client, folder, nodes=tuple(nodes)):
            yield client
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@asynccontextmanager
async def everything(folder: Path) -> AsyncIterator[World]:
    database = sqlite(folder)
    async with cluster(folder) as client, room(folder, database, client) as service:
        yield service
    database.close()


async def ended(service: World, view: JobView, seconds: float = 30) -> tuple[JobView, str]:
    """The job at its end, and all that it said."""
    found = await service.until(view.id, S.SUCCEEDED, S.FAILED, S.CANCELLED, S.LOST, seconds=seconds)
    page: FramePage = await service.frames(view.id)
    lines = [frame.get("text") or "".join(frame.get("traceback", [])) for frame in page.frames]
    return found, "".join(lines)


async def first_words(service: World, view: JobView) -> str:
    """What the job says first."""
    async with asyncio.timeout(20):
        while True:
            page = await service.frames(view.id, wait=5)
            assert not page.job.final, page
            if page.frames:
                return str(page.frames[0]["text"])


async def test_a_cell_runs_and_its_value_comes_back(tmp_path: Path) -> None:
    async with everything(tmp_path) as service:
        x = await service.send(b"[1, 2, 3]")
        wanted = request(
            source="print('sum of', x)\ntotal = sum(x) * 7", inputs={"x": x}, outputs=["total", "nothing"], time_s=60
        )
        view, said = await ended(service, await service.submit(wanted))
        assert (view.state, view.exit_code) == (S.SUCCEEDED, 0), said
        assert said.startswith("sum of [1, 2, 3]\n")
        assert (await service.call("GET", "/jobs/fit/outputs/total")).content == b"42"
        assert "did not assign" in view.outputs["nothing"].summary


async def test_an_exception_comes_back_with_its_traceback(tmp_path: Path) -> None:
    async with everything(tmp_path) as service:
        view, said = await ended(service, await service.submit(request(source="1 / 0")))
        assert (view.state, view.exit_code) == (S.FAILED, 70)
        assert view.verdict == "ZeroDivisionError: division by zero"
        assert '<offload fit>", line 1' in said


async def test_a_gpu_slice_is_given_by_the_queue(tmp_path: Path) -> None:
    async with everything(tmp_path) as service:
        view, said = await ended(service, await service.submit(request(source="print('on it')", gpu="1g.5gb")))
        assert (view.state, view.flavour) == (S.SUCCEEDED, "a100-40-1g.5gb"), said


async def test_a_running_job_is_cancelled(tmp_path: Path) -> None:
    async with everything(tmp_path) as service:
        view = await service.submit(request(source="print('started', flush=True)\nimport time; time.sleep(60)"))
        await first_words(service, view)
        await service.call("POST", f"/jobs/{view.id}/cancel")
        found, _ = await ended(service, view)
        assert found.state is S.CANCELLED


async def test_a_killed_process_ends_the_job_with_a_verdict(tmp_path: Path) -> None:
    async with everything(tmp_path) as service:
        view = await service.submit(request(source="import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)"))
        os.kill(int(await first_words(service, view)), signal.SIGKILL)
        found, _ = await ended(service, view)
        assert (found.state, found.exit_code) == (S.FAILED, 137)
        assert "killed from outside" in found.verdict


async def test_a_service_that_is_restarted_in_the_middle_loses_nothing(tmp_path: Path) -> None:
    database = sqlite(tmp_path)
    source = "import time\nfor n in range(30):\n    print(n, flush=True)\n    time.sleep(0.1)\ntotal = 7"
    async with cluster(tmp_path) as client:
        async with room(tmp_path, database, client) as before:
            view = await before.submit(request(source=source, outputs=["total"]))
            await first_words(before, view)
            port = int(before.runs_url.rpartition(":")[2])
        await asyncio.sleep(0.5)
        async with room(tmp_path, database, client, run_port=port) as after:
            found, said = await ended(after, view)
            assert found.state is S.SUCCEEDED, said
            assert said.split() == [str(n) for n in range(30)]
            pods, _ = await client.list(PODS, NAMESPACE)
            assert len(pods) == 1
    database.close()


KEEPS = """
import os, time
from aiinfn_labext import offload
step = int(open("step").read()) if os.path.exists("step") else 0
print(f"attempt {offload.attempt} from {step}", flush=True)
while step < 40:
    step += 1
    with open("step", "w") as file:
        file.write(str(step))
    if step % 5 == 0:
        offload.checkpoint("step")
    if offload.attempt == 1:
        time.sleep(0.1)
total = step
"""


async def test_a_rehearsed_eviction_goes_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    async with everything(tmp_path) as service:
        view = await service.submit(request(source=KEEPS, outputs=["total"]))
        assert await first_words(service, view) == "attempt 1 from 0\n"
        async with asyncio.timeout(20):
            while (await service.job(view.id)).checkpointed_at is None:
                await asyncio.sleep(0.05)
        assert (await service.call("POST", f"/jobs/{view.id}/evict")).status_code == 200
        evicted = await service.until(view.id, S.EVICTED, S.QUEUED, seconds=20)
        assert "you rehearsed that" in evicted.reason + (await service.call("GET", "/jobs/fit/why")).text
        found, said = await ended(service, view)
        assert (found.state, found.attempt) == (S.SUCCEEDED, 2), said
        words = said.split("attempt 2 from ")
        assert int(words[1].split()[0]) >= 5, said
        assert (await service.call("GET", "/jobs/fit/outputs/total")).content == b"40"


async def test_a_job_that_is_to_stop_ends_with_its_eviction(tmp_path: Path) -> None:
    async with everything(tmp_path) as service:
        view = await service.submit(request(source=KEEPS, on_evict="stop"))
        await first_words(service, view)
        await service.until(view.id, S.RUNNING, seconds=20)
        assert (await service.call("POST", f"/jobs/{view.id}/evict")).status_code == 200
        found, said = await ended(service, view)
        assert found.state is S.CANCELLED, said
        assert "It ends there, as --on-evict stop says." in found.reason
        assert not (await service.client.list(PODS, NAMESPACE))[0]


async def test_a_sweep_runs_two_at_a_time_and_is_one_table(tmp_path: Path) -> None:
    source = (
        "import time\nfrom aiinfn_labext import offload\noffload.metric(loss=lr * 2)\ntime.sleep(0.5)\ntotal = lr\n"
    )
    asked = SweepRequest(request(source=source, outputs=["total"]), [{"lr": number / 4} for number in range(5)], 2)
    async with everything(tmp_path) as service:
        answer = await service.call("POST", "/sweeps", content=msgspec.json.encode(asked))
        assert answer.status_code == 201, answer.text
        most = 0
        async with asyncio.timeout(60):
            while not (view := await _sweep(service)).final:
                under_way = [job for job in view.jobs if job.state not in FINAL and job.state is not S.STAGING]
                most = max(most, len(under_way))
                await asyncio.sleep(0.05)
        assert most == 2
        assert [(row["lr"], row["state"], row["loss"]) for row in view.table()] == [
            (number / 4, "succeeded", number / 2) for number in range(5)
        ]
        assert (await service.call("GET", "/jobs/fit-3/outputs/total")).content == b"0.75"


async def _sweep(service: World) -> SweepView:
    return msgspec.json.decode((await service.call("GET", "/sweeps/fit")).content, type=SweepView)
