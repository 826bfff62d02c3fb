"""Place and reason as people read them, against what Kueue itself says: its visibility API and its conditions."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from support.demo import Kernel, RunningDemo, Visitor
from support.people_at_work import A30, ask, job, long, session, stop

from aiinfn_hub.kube.client import CLUSTER_QUEUES, JOBS, WORKLOAD_PRIORITY_CLASSES, WORKLOADS, KubeClient
from aiinfn_hub.kube.kinds import Kind

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(400)]
PENDING = Kind("visibility.kueue.x-k8s.io", "v1beta2", "PendingWorkloadsSummary", "localqueues")
BATCH, INTERACTIVE = "lhcb-flashsim-batch", "lhcb-flashsim-interactive"
Object = dict[str, Any]


@pytest_asyncio.fixture
async def admin(demo: RunningDemo) -> AsyncIterator[KubeClient]:
    client = await KubeClient.connect(demo.info["kubeconfig"])
    try:
        yield client
    finally:
        await client.close()


async def places(admin: KubeClient, queue: str) -> dict[str, int]:
    """Who waits in a LocalQueue, by the uid of the pod or Job, and the place that Kueue gives (from 0)."""
    workloads, _ = await admin.list(WORKLOADS, "aiinfn")
    owners = {w["metadata"]["name"]: w["metadata"]["ownerReferences"][0]["uid"] for w in workloads}
    summary = await admin._json("GET", PENDING.path("aiinfn", queue, "pendingworkloads"))
    return {owners[item["metadata"]["name"]]: item["positionInLocalQueue"] for item in summary["items"]}


async def why(visitor: Visitor, name: str, *words: str) -> str:
    """Why a job waits, once the sentence has all of the words."""
    deadline = time.monotonic() + 90
    while True:
        sentence = str((await ask(visitor, f"jobs/{name}/why"))["sentence"])
        if all(word in sentence for word in words):
            return sentence
        assert time.monotonic() < deadline, sentence
        await asyncio.sleep(0.3)


async def ticket(visitor: Visitor, *words: str) -> Object:
    """The person's ticket, once its reason has all of the words."""
    deadline = time.monotonic() + 90
    while True:
        found = (await ask(visitor, "tickets"))["tickets"]
        if found and all(word in found[0]["reason"] for word in words):
            return dict(found[0])
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.3)


async def give_back(visitor: Visitor, uid: str) -> None:
    headers = {"X-XSRFToken": visitor.xsrf("/hub/"), "Referer": f"{visitor.hub}/hub/home"}
    path = f"{visitor.hub}/hub/aiinfn/tickets/{visitor.name}/"
    assert (await visitor.http.delete(path, params={"uid": uid}, headers=headers)).status_code == 204


async def waiting(demo: RunningDemo, name: str) -> Visitor:
    """Somebody who has asked for the only A30."""
    visitor = Visitor(demo, name)
    await visitor.login()
    await visitor.spawn(A30)
    return visitor


async def held_by_sessions(admin: KubeClient, demo: RunningDemo, holder: Visitor) -> None:
    pi = await waiting(demo, "pi")
    found = await ticket(pi, "Every GPU of this kind is taken")
    assert (await places(admin, INTERACTIVE))[found["uid"]] + 1 == found["place"] == found["of"] == 1
    await give_back(pi, found["uid"])
    assert holder.name != pi.name


async def borrowed(admin: KubeClient, scientist: Visitor, kernel: Kernel) -> None:
    for name in ("ahead", "behind"):
        await kernel.run(long(name, "--gpu a30"))
        await job(scientist, name, "queued")
        await asyncio.sleep(1.1)  # Kueue orders by whole seconds
    await why(scientist, "ahead", "1 more must become free", f"Place 1 of 2 in {BATCH}")
    # Of several that ask for the same, Kueue looks at the first one only; the others have no condition.
    await why(scientist, "behind", "It waits for its turn", f"Place 2 of 2 in {BATCH}")
    jobs, _ = await admin.list(JOBS, "aiinfn")
    named = {j["metadata"]["uid"]: j["metadata"]["labels"]["aiinfn.infn.it/run"] for j in jobs}
    runs = {(await ask(scientist, f"jobs/{name}"))["id"]: name for name in ("ahead", "behind")}
    kueues = {runs[named[uid]]: position for uid, position in (await places(admin, BATCH)).items()}
    assert kueues == {"ahead": 0, "behind": 1}


async def impossible(admin: KubeClient, scientist: Visitor, kernel: Kernel) -> None:
    async with without(admin, "rtx5000"):
        reply = await kernel.run(long("greedy", "--gpu rtx5000"))
        assert reply.status == "ok", reply.error
        sentence = await why(scientist, "greedy", "more nvidia.com/gpu than its queue can ever give")
        assert "Place" not in sentence, "whoever can never start has no place"
        await kernel.run("%offload cancel greedy")


@asynccontextmanager
async def without(admin: KubeClient, flavour: str) -> AsyncIterator[None]:
    """A queue that owns nothing of a flavour, as after a machine was taken away."""
    queue = await admin.get(CLUSTER_QUEUES, "interactive")
    groups = json.loads(json.dumps(queue["spec"]["resourceGroups"]))
    for place in (place for group in groups for place in group["flavors"] if place["name"] == flavour):
        for resource in place["resources"]:
            resource["nominalQuota"] = "0"
    await admin.patch(CLUSTER_QUEUES, "interactive", {"spec": {"resourceGroups": groups}})
    try:
        yield
    finally:
        spec = {"resourceGroups": queue["spec"]["resourceGroups"]}
        await admin.patch(CLUSTER_QUEUES, "interactive", {"spec": spec})


@asynccontextmanager
async def on_hold(admin: KubeClient, queue: str) -> AsyncIterator[None]:
    await admin.patch(CLUSTER_QUEUES, queue, {"spec": {"stopPolicy": "Hold"}})
    try:
        yield
    finally:
        await admin.patch(CLUSTER_QUEUES, queue, {"spec": {"stopPolicy": "None"}})


async def test_what_people_read_is_what_kueue_says(demo: RunningDemo, admin: KubeClient) -> None:
    scientist, kernel = await session(demo, "scientist", flavour="a30")
    await held_by_sessions(admin, demo, scientist)
    await borrowed(admin, scientist, kernel)
    await impossible(admin, scientist, kernel)
    async with on_hold(admin, "batch"):
        await kernel.run("%%offload held --cpu 1 --mem 512Mi --time 5m\nprint('x')\n")
        assert "on hold" in await why(scientist, "held", "on hold")
    await job(scientist, "held", "succeeded")
    for name in ("ahead", "behind"):
        await kernel.run(f"%offload cancel {name}")
    await stop(scientist)


async def test_a_missing_priority_class_is_silence_in_kueue_and_a_sentence_here(
    demo: RunningDemo, admin: KubeClient
) -> None:
    scientist, kernel = await session(demo, "scientist")
    lost = await admin.get(WORKLOAD_PRIORITY_CLASSES, "batch")
    await admin.delete(WORKLOAD_PRIORITY_CLASSES, "batch")
    try:
        await kernel.run("%%offload silent --cpu 1 --mem 512Mi --time 5m\nprint('x')\n")
        sentence = await why(scientist, "silent", "Kueue has not looked at it yet")
        assert "Place" not in sentence
        assert "operators" in (await ask(scientist, "jobs/silent/why"))["next_step"]
    finally:
        meta = {"name": "batch"}
        await admin.create(WORKLOAD_PRIORITY_CLASSES, {**lost, "metadata": meta})
    await job(scientist, "silent", "succeeded")
    await stop(scientist)
