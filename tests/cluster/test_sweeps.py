"""A sweep on the real Kueue: points are let in as there is room, one of them is evicted, and nothing waits for it."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from support.demo import RunningDemo, Visitor
from support.people_at_work import ask, job, session, stop

from aiinfn_hub.kube.client import JOBS, KubeClient

pytestmark = [pytest.mark.asyncio, pytest.mark.timeout(400)]

SWEEP = """%%offload fit --sweep n=0:5 --at-once 2 --cpu 1 --mem 4Gi --time 10m --out total
import time
if n == 1:
    print(f"attempt {offload.attempt}", flush=True)
    while offload.attempt == 1:
        time.sleep(0.1)
if n == 3:
    raise SystemExit(3)
offload.metric(square=n * n)
total = n
"""


async def sweep(visitor: Visitor) -> list[dict[str, Any]]:
    return list((await ask(visitor, "sweeps/fit"))["jobs"])


async def test_points_take_turns_and_one_that_is_evicted_comes_back(demo: RunningDemo) -> None:
    scientist, kernel = await session(demo, "scientist")
    await kernel.run("from aiinfn_labext import offload")
    await kernel.run(SWEEP)
    await job(scientist, "fit-1", "running")
    # While the second point goes on, the others take turns beside it.
    await job(scientist, "fit-4", "succeeded")
    states = [point["state"] for point in await sweep(scientist)]
    assert states == ["succeeded", "running", "succeeded", "failed", "succeeded"]
    client = await KubeClient.connect(demo.info["kubeconfig"])
    try:
        made = [one["metadata"]["name"] for one in (await client.list(JOBS, "aiinfn"))[0]]
    finally:
        await client.close()
    assert len(made) == 5
    await kernel.run("%offload evict fit-1 --test")
    evicted = await job(scientist, "fit-1", "evicted", "queued", "running", "succeeded")
    assert evicted["attempt"] <= 2
    assert (await job(scientist, "fit-1", "succeeded"))["attempt"] == 2
    await kernel.run("%offload get fit")
    assert (await kernel.run("print(total)")).text == "[0, 1, 2, None, 4]\n"
    (shown,) = (await kernel.run("%offload table fit")).outputs
    assert "4 succeeded, 1 failed" in shown["text/plain"]
    assert "fit-4  4  succeeded  16" in shown["text/plain"]
    await kernel.run("%offload retry fit --failed")
    deadline = time.monotonic() + 60
    while (await sweep(scientist))[3]["state"] != "failed":
        assert time.monotonic() < deadline
        await asyncio.sleep(0.5)
    found = (await scientist.http.get(f"{demo.info['service_url']}/api/jobs?name=fit-3")).json()["jobs"]
    assert [one["state"] for one in found] == ["failed", "failed"], "once more, in the same place of the table"
    await stop(scientist)
