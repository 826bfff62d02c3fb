"""All controllers with the real node agent: what the demo is made of, without a hub."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from support.kubeapi import running_api
from support.kubefake import a_job, a_pod, eventually, running
from support.queues import QUEUE, condition, two_queues

from aiinfn_hub.kube.client import JOBS, NODES, PODS, KubeClient
from aiinfn_hub.local.agent import NodeAgent
from aiinfn_hub.local.controllers import JobController, NodeController, QueueController, Scheduler
from aiinfn_hub.local.controllers.admission import admit
from aiinfn_hub.local.nodes import NodeSpec

pytestmark = pytest.mark.asyncio

GPU_NODE = NodeSpec(
    name="gpu-1", capacity={"cpu": "16", "memory": "64Gi", "nvidia.com/gpu": "1"}, labels={"gpu": "a100"}
)


@asynccontextmanager
async def platform(folder: Path) -> AsyncIterator[KubeClient]:
    root = folder / "nodes"
    async with running_api(folder, admit) as api:
        client = await KubeClient.connect(api.kubeconfig)
        agent = NodeAgent(client, [GPU_NODE], root)
        controllers = (Scheduler(client), JobController(client, backoff_s=0.1), QueueController(client))
        try:
            await two_queues(client, 1)
            async with running(
                *(controller.run() for controller in controllers), NodeController(client).run(), agent.run()
            ):
                try:
                    yield client
                finally:
                    await agent.stop()
        finally:
            await client.close()


def shell(obj: dict[str, Any], command: str) -> dict[str, Any]:
    spec = obj["spec"]["template"]["spec"] if obj["kind"] == "Job" else obj["spec"]
    spec["containers"][0]["command"] = ["/bin/sh", "-c", command]
    spec["terminationGracePeriodSeconds"] = 1
    return obj


async def job_condition(client: KubeClient, name: str, kind: str) -> dict[str, Any]:
    found = (await client.get(JOBS, name, "default"))["status"].get("conditions", ())
    return next((c for c in found if c["type"] == kind and c["status"] == "True"), {})


async def phase(client: KubeClient, name: str, wanted: str) -> bool:
    return (await client.get(PODS, name, "default"))["status"].get("phase") == wanted


async def test_a_session_evicts_a_job_which_runs_again_afterwards(tmp_path: Path) -> None:
    async with platform(tmp_path) as client:
        marker = tmp_path / "session is over"
        job = a_job("fit", labels={QUEUE: "jobs"}, pod={"gpu": 1}, backoffLimit=0)
        waits = f"trap 'exit 143' TERM; until [ -e '{marker}' ]; do sleep 0.05; done"
        await client.create(JOBS, shell(job, waits))
        await eventually(lambda: _ready(client, "fit"), 20)
        session = a_pod("s", gpu=1, meta={"namespace": "default", "labels": {QUEUE: "sessions"}})
        await client.create(PODS, shell(session, "sleep 600"))
        await eventually(lambda: phase(client, "s", "Running"), 20)
        assert (await condition(client, "fit", "Evicted"))["reason"] == "Preempted"
        marker.touch()
        await client.delete(PODS, "s", "default")
        await eventually(lambda: job_condition(client, "fit", "Complete"), 20)
        assert "failed" not in (await client.get(JOBS, "fit", "default"))["status"]


async def _ready(client: KubeClient, name: str) -> bool:
    return (await client.get(JOBS, name, "default"))["status"].get("ready", 0) == 1


async def test_each_index_sees_its_own_number_and_exit_codes_decide(tmp_path: Path) -> None:
    rules = [{"action": "FailJob", "onExitCodes": {"operator": "In", "values": [70]}}]
    async with platform(tmp_path) as client:
        command = f"echo $JOB_COMPLETION_INDEX > '{tmp_path}'/index-$JOB_COMPLETION_INDEX"
        grid = a_job("grid", completions=3, parallelism=3, completionMode="Indexed")
        await client.create(JOBS, shell(grid, command))
        await client.create(JOBS, shell(a_job("bad", podFailurePolicy={"rules": rules}), "exit 70"))
        await eventually(lambda: job_condition(client, "grid", "Complete"), 20)
        assert sorted(path.read_text().strip() for path in tmp_path.glob("index-*")) == ["0", "1", "2"]
        failed = await eventually(lambda: job_condition(client, "bad", "Failed"), 20)
        assert "failed with exit code 70 matching FailJob rule at index 0" in failed["message"]


async def test_the_node_is_ready_and_without_our_taints(tmp_path: Path) -> None:
    async with platform(tmp_path) as client:
        node = await eventually(lambda: _node(client))
        assert not node["spec"].get("taints")
    assert node["metadata"]["labels"]["gpu"] == "a100"


async def _node(client: KubeClient) -> dict[str, Any]:
    found, _ = await client.list(NODES)
    return found[0] if found else {}
