"""The end of an agent: every process ends in time, and the pods say why."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest
from support.nodeagent import (
    NODE,
    Cluster,
    agent_on,
    alive,
    phase,
    pod,
    python,
    running_cluster,
    state,
    waiting_for,
)

from aiinfn_hub.kube.client import NODES
from aiinfn_hub.local.agent import NodeAgent, wording

STUBBORN = (
    "import os, signal, subprocess, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "child = subprocess.Popen(['sleep', '600'], start_new_session=True)\n"
    "print(os.getpid(), child.pid, flush=True); time.sleep(600)"
)


@pytest.mark.asyncio
async def test_stop_ends_every_process_in_time_and_reports_the_pods(cluster: Cluster) -> None:
    await cluster.create(pod("polite", "sleep", "600", terminationGracePeriodSeconds=30))
    await cluster.create(pod("stubborn", *python(STUBBORN), terminationGracePeriodSeconds=600, restartPolicy="Always"))
    pids = [int(word) for word in (await cluster.says("stubborn", "\n")).split()]
    await cluster.until("polite", phase("Running"))
    begun = time.monotonic()
    await cluster.agent.stop()
    assert time.monotonic() - begun < 8
    assert not any(map(alive, pids))
    for name, code in (("polite", 143), ("stubborn", 137)):
        found = await cluster.get(name)
        status = found["status"]
        assert (status["phase"], status["reason"], status["message"]) == ("Failed", "Terminated", wording.SHUTDOWN)
        assert state(found)["terminated"]["exitCode"] == code
        disrupted = next(c for c in status["conditions"] if c["type"] == "DisruptionTarget")
        assert (disrupted["status"], disrupted["reason"]) == ("True", "TerminationByKubelet")


@pytest.mark.asyncio
async def test_stopped_nodes_are_not_ready_and_are_again_at_the_next_start(cluster: Cluster) -> None:
    async def ready() -> tuple[str, str]:
        node = await cluster.client.get(NODES, "n1")
        return next((c["status"], c["message"]) for c in node["status"]["conditions"] if c["type"] == "Ready")

    await cluster.create(pod("p", "true"))
    await cluster.until("p", phase("Succeeded"))
    assert (await ready())[0] == "True"
    await cluster.agent.stop()
    assert await ready() == ("False", "node is shutting down")
    async with agent_on(cluster.client, cluster.root):
        await cluster.create(pod("q", "true"))
        await cluster.until("q", phase("Succeeded"))
        assert (await ready())[0] == "True"


@pytest.mark.asyncio
async def test_pods_that_were_stopped_are_not_started_again_by_the_next_agent(cluster: Cluster) -> None:
    await cluster.create(pod("p", "sleep", "600", restartPolicy="Always"))
    await cluster.until("p", phase("Running"))
    await cluster.agent.stop()
    async with agent_on(cluster.client, cluster.root):
        await cluster.create(pod("q", "true"))
        await cluster.until("q", phase("Succeeded"))
        assert (await cluster.get("p"))["status"]["phase"] == "Failed"
        await cluster.delete("p")


@pytest.mark.asyncio
async def test_a_pod_that_waits_is_stopped_too(cluster: Cluster) -> None:
    env = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "never", "key": "k"}}}]
    await cluster.create(pod("p", "true", container={"env": env}))
    await cluster.until("p", waiting_for("CreateContainerConfigError"))
    await cluster.agent.stop()
    assert (await cluster.get("p"))["status"]["phase"] == "Failed"


@pytest.mark.asyncio
async def test_one_that_was_being_deleted_with_a_long_grace_does_not_hold_the_stop_up(cluster: Cluster) -> None:
    await cluster.create(pod("p", *python(STUBBORN), terminationGracePeriodSeconds=600))
    pids = [int(word) for word in (await cluster.says("p", "\n")).split()]
    deleting = asyncio.create_task(cluster.delete("p"))
    await asyncio.sleep(0.2)
    begun = time.monotonic()
    await cluster.agent.stop()
    assert time.monotonic() - begun < 8
    assert not any(map(alive, pids))
    await deleting


@pytest.mark.asyncio
async def test_without_an_api_the_processes_end_all_the_same(cluster: Cluster) -> None:
    await cluster.create(pod("p", *python(STUBBORN), terminationGracePeriodSeconds=600))
    pids = [int(word) for word in (await cluster.says("p", "\n")).split()]
    await cluster.api.server.stop()
    begun = time.monotonic()
    await cluster.agent.stop()
    assert time.monotonic() - begun < 8
    assert not any(map(alive, pids))


@pytest.mark.asyncio
async def test_many_pods_end_together(tmp_path: Path) -> None:
    async with running_cluster(tmp_path, nodes=(NODE,)) as cluster:
        for number in range(12):
            await cluster.create(pod(f"p{number}", "sleep", "600", terminationGracePeriodSeconds=30))
        for number in range(12):
            await cluster.until(f"p{number}", phase("Running"))
        begun = time.monotonic()
        await cluster.agent.stop()
        assert time.monotonic() - begun < 5


@pytest.mark.asyncio
async def test_stop_twice_or_before_the_start_does_nothing(cluster: Cluster, tmp_path: Path) -> None:
    await NodeAgent(cluster.client, [NODE], tmp_path).stop()
    await cluster.agent.stop()
    await cluster.agent.stop()
