"""Who gives way to whom, on the real Kueue: a job to a session, a session to nobody; and what the person is told."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from support.demo import RunningDemo, Visitor
from support.people_at_work import A30, ask, job, long, records, session, stop
from support.testimony import disagreements, heard

from aiinfn_hub.kube.client import PODS, WORKLOADS, KubeClient

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(400)]


async def test_a_job_gives_a_borrowed_accelerator_to_a_session_and_goes_on_at_its_place(demo: RunningDemo) -> None:
    scientist, kernel = await session(demo, "scientist")
    await kernel.run(long("first", "--gpu a30", seconds=12))
    before = await job(scientist, "first", "running")
    assert before["attempt"] == 1
    await asyncio.sleep(1.1)  # Kueue orders by whole seconds: of two jobs of the same second, their uids decide
    await kernel.run(long("second", "--gpu a30", seconds=1))
    assert (await job(scientist, "second", "queued"))["attempt"] == 1

    pi, _ = await session(demo, "pi", flavour="a30", memory="4Gi")
    evicted = await job(scientist, "first", "evicted", "queued")
    why = await ask(scientist, "jobs/first/why")
    assert "an interactive session needed its place" in evicted["reason"] + why["sentence"]
    assert "pi" not in why["sentence"].split(), "who took it is nobody's business"
    assert "Place 1 of 2" in (await _why_waiting(scientist, "first")), await _ages(demo)
    assert "Place 2 of 2" in (await _why_waiting(scientist, "second")), await _ages(demo)

    await stop(pi)
    resumed = await job(scientist, "first", "running", "succeeded")
    assert resumed["attempt"] == 2
    await job(scientist, "first", "succeeded")
    second = await job(scientist, "second", "succeeded")
    assert second["attempt"] == 1
    mine = await _closed(scientist, before["id"])
    (next_one,) = await _closed(scientist, second["id"])
    assert next_one["held_from"] >= max(record["held_to"] for record in mine) - 1, "nobody overtook it"
    assert len(mine) == 2, "both attempts held the accelerator, and both are charged"
    assert len({record["pod_uid"] for record in mine}) == 2
    for record in [*mine, next_one]:
        await heard(demo, record["pod_uid"], {"kueue began", "kueue ended"})
    await stop(scientist)
    for visitor in (pi, scientist):
        [own] = [record for record in await records(visitor) if record["kind"] == "session"]
        await heard(demo, own["pod_uid"], {"kueue began", "kueue ended", "session-started", "session-stopped"})
    assert await disagreements(demo) == [], "Kueue, hub and pods say the same of all of it"


KEEPS = """%%offload keeps --cpu 1 --mem 4Gi --time 10m --out total
import os, time
step = int(open("step").read()) if os.path.exists("step") else 0
print(f"attempt {offload.attempt} from {step}", flush=True)
while step < 30:
    step += 1
    with open("step", "w") as file:
        file.write(str(step))
    if step % 5 == 0:
        offload.checkpoint("step")
    if offload.attempt == 1:
        time.sleep(0.3)
total = step
"""


async def test_a_rehearsed_eviction_goes_through_kueue_and_on_from_the_last_checkpoint(demo: RunningDemo) -> None:
    scientist, kernel = await session(demo, "scientist")
    await kernel.run("from aiinfn_labext import offload")
    await kernel.run(KEEPS)
    deadline = time.monotonic() + 60
    while (found := await job(scientist, "keeps", "running"))["checkpointed_at"] is None:
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.1)
    await kernel.run("%offload extend keeps 10m")
    await kernel.run("%offload evict keeps --test")
    evicted = await job(scientist, "keeps", "evicted", "queued")
    assert "you rehearsed that" in evicted["reason"] + (await ask(scientist, "jobs/keeps/why"))["sentence"]
    done = await job(scientist, "keeps", "succeeded")
    assert (done["attempt"], done["resources"]["time_s"]) == (2, 1200)
    page = await ask(scientist, "jobs/keeps/frames")
    said = "".join(frame.get("text", "") for frame in page["frames"])
    assert int(said.split("attempt 2 from ")[1].split()[0]) >= 5, said
    assert len(await _closed(scientist, done["id"])) == 2, "both attempts are charged"
    await stop(scientist)


async def _ages(demo: RunningDemo) -> list[tuple[str, str, str]]:
    """Creation time, uid and name of each Workload: what Kueue's order is made from."""
    client = await KubeClient.connect(demo.info["kubeconfig"])
    try:
        found = [one["metadata"] for one in (await client.list(WORKLOADS, "aiinfn"))[0]]
    finally:
        await client.close()
    return sorted((one["creationTimestamp"], one["uid"], one["name"]) for one in found)


async def _closed(visitor: Visitor, run: str) -> list[dict[str, Any]]:
    """The records of a run, once all are closed."""
    deadline = time.monotonic() + 60
    while True:
        mine = [record for record in await records(visitor) if record["run_id"] == run]
        if mine and all(record["held_to"] for record in mine):
            return mine
        assert time.monotonic() < deadline, mine
        await asyncio.sleep(0.2)


async def _why_waiting(visitor: Visitor, name: str) -> str:
    await job(visitor, name, "queued", "evicted")
    deadline = time.monotonic() + 30
    while "Place" not in (sentence := (await ask(visitor, f"jobs/{name}/why"))["sentence"]):
        assert time.monotonic() < deadline, sentence
        await asyncio.sleep(0.2)
    return str(sentence)


async def test_a_session_never_gives_way_to_a_session(demo: RunningDemo) -> None:
    pi, kernel = await session(demo, "pi", flavour="a30", memory="4Gi")
    await kernel.run("answer = 42")
    operator = Visitor(demo, "operator")
    await operator.login()
    answer = await operator.spawn(A30)
    client = await KubeClient.connect(demo.info["kubeconfig"])
    try:
        pods, _ = await client.list(PODS, "aiinfn", labels="aiinfn.infn.it/flavour=a30")
        waiting = next(pod for pod in pods if pod["metadata"]["name"].endswith("operator"))
        workload = await _settled(client, waiting["metadata"]["uid"])
        conditions = {condition["type"]: condition for condition in workload["status"]["conditions"]}
        assert conditions["QuotaReserved"]["status"] == "False"
        assert "insufficient unused quota" in conditions["QuotaReserved"]["message"]
        assert "preemption" not in conditions["QuotaReserved"]["message"]
    finally:
        await client.close()
    assert answer.status_code == 200, answer.text
    assert (await kernel.run("print(answer)")).text == "42\n", "the session of the first one has not noticed"
    await stop(pi)
    await operator.ready(timeout_s=90)
    await stop(operator)


async def _settled(client: KubeClient, uid: str) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while True:
        found, _ = await client.list(WORKLOADS, "aiinfn", labels=f"kueue.x-k8s.io/job-uid={uid}")
        if found and any(c["type"] == "QuotaReserved" for c in found[0].get("status", {}).get("conditions", ())):
            return found[0]
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.2)
