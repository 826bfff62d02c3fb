"""What survives an agent: kill -9 and a new one lose no pod, and nothing runs for pods that are gone."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support import agent_process
from support.kubeapi import running_api
from support.nodeagent import (
    NAMESPACE,
    NODE,
    Cluster,
    agent_on,
    alive,
    phase,
    pod,
    python,
    restarts,
    state,
    until_dead,
)

from aiinfn_hub.kube.client import NAMESPACES, PODS, KubeClient
from aiinfn_hub.local.agent import NodeAgent

#: Says its number and ends with 5 as soon as the file is there.
UNTIL_FILE = """import os, time
print(os.getpid(), flush=True)
while not os.path.exists('/data/end'):
    time.sleep(0.01)
os._exit(5)
"""
DATA = {
    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    "container": {"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
}


@pytest_asyncio.fixture
async def bare(tmp_path: Path) -> AsyncIterator[Cluster]:
    """An API without an agent; what the test leaves running is ended."""
    async with running_api(tmp_path) as api:
        client = await KubeClient.connect(api.kubeconfig)
        await client.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
        yield Cluster(api, client, NodeAgent(client, [NODE], tmp_path), tmp_path)
        async with agent_on(client, tmp_path):
            await asyncio.sleep(0.3)  # takes over what runs, and ends it
        await client.close()


def end_file(cluster: Cluster) -> Path:
    return cluster.root / "volumes" / NAMESPACE / "data" / "end"


@pytest.mark.asyncio
async def test_a_pod_survives_the_kill_of_its_agent_and_is_taken_over(bare: Cluster) -> None:
    command = [sys.executable, str(Path(agent_process.__file__)), str(bare.api.kubeconfig), str(bare.root)]
    first = subprocess.Popen(command)
    try:
        await bare.create(pod("p", *python(UNTIL_FILE), **DATA))
        pid = int(await bare.says("p", "\n"))
        before = await bare.until("p", phase("Running"))
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()
    assert alive(pid)
    async with agent_on(bare.client, bare.root):
        await asyncio.sleep(0.3)
        after = await bare.get("p")
        assert alive(pid)
        assert after["status"]["podIP"] == before["status"]["podIP"]
        assert after["status"]["containerStatuses"] == before["status"]["containerStatuses"]
        assert after["status"]["startTime"] == before["status"]["startTime"]
        end_file(bare).touch()
        found = await bare.until("p", phase("Failed"))
    assert state(found)["terminated"]["exitCode"] == 5
    assert restarts(found) == 0


@pytest.mark.asyncio
async def test_an_end_that_no_agent_saw_is_reported_by_the_next_one(bare: Cluster) -> None:
    async with agent_on(bare.client, bare.root, stop=False):
        await bare.create(pod("p", *python(UNTIL_FILE), **DATA))
        pid = int(await bare.says("p", "\n"))
        await bare.until("p", phase("Running"))
    end_file(bare).touch()
    await until_dead(pid)
    async with agent_on(bare.client, bare.root):
        found = await bare.until("p", phase("Failed"))
    assert state(found)["terminated"]["exitCode"] == 5


@pytest.mark.asyncio
async def test_a_pod_that_was_deleted_meanwhile_is_ended_with_its_grace(bare: Cluster) -> None:
    async with agent_on(bare.client, bare.root, stop=False):
        await bare.create(pod("p", *python(UNTIL_FILE), **DATA))
        pid = int(await bare.says("p", "\n"))
        await bare.until("p", phase("Running"))
    await bare.client.delete(PODS, "p", NAMESPACE)
    assert alive(pid)
    async with agent_on(bare.client, bare.root):
        await bare.until_gone("p")
    assert not alive(pid)


@pytest.mark.asyncio
async def test_processes_of_a_pod_that_vanished_meanwhile_are_killed_and_its_folder_removed(bare: Cluster) -> None:
    async with agent_on(bare.client, bare.root, stop=False):
        await bare.create(pod("p", *python(UNTIL_FILE), **DATA))
        pid = int(await bare.says("p", "\n"))
        folder = bare.folder(await bare.until("p", phase("Running")))
    await bare.client.delete(PODS, "p", NAMESPACE, grace_s=0)
    async with agent_on(bare.client, bare.root):
        await until_dead(pid)
        async with asyncio.timeout(5):
            while folder.exists():
                await asyncio.sleep(0.01)


@pytest.mark.asyncio
async def test_a_restart_goes_on_counting_after_the_takeover(bare: Cluster) -> None:
    code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
    async with agent_on(bare.client, bare.root, stop=False):
        await bare.create(pod("p", *python(code), restartPolicy="Always"))
        first = int(await bare.says("p", "\n"))
        await bare.until("p", phase("Running"))
        os.kill(first, signal.SIGKILL)
        await bare.until("p", lambda p: restarts(p) == 1)
    async with agent_on(bare.client, bare.root):
        await asyncio.sleep(0.3)
        found = await bare.get("p")
        assert restarts(found) == 1
        assert found["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 137
        assert "running" in state(found)


@pytest.mark.asyncio
async def test_a_process_that_got_the_number_of_an_earlier_one_is_not_touched(bare: Cluster) -> None:
    async with agent_on(bare.client, bare.root, stop=False):
        await bare.create(pod("p", *python(UNTIL_FILE), **DATA))
        pid = int(await bare.says("p", "\n"))
        folder = bare.folder(await bare.until("p", phase("Running"))) / "containers" / "main" / "0"
    # As after a reboot: the files say that these numbers are a pod's, and they are somebody else's.
    innocent = subprocess.Popen(["sleep", "60"], start_new_session=True)
    try:
        shim = int((Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()[1])
        os.kill(shim, signal.SIGKILL)
        await until_dead(pid)
        text = (folder / "state.json").read_text()
        text = text.replace(f'"shim": {shim}', f'"shim": {innocent.pid}')
        (folder / "state.json").write_text(text.replace(f'"child": {pid}', f'"child": {innocent.pid}'))
        async with agent_on(bare.client, bare.root):
            found = await bare.until("p", phase("Failed"))
            assert state(found)["terminated"]["reason"] == "ContainerStatusUnknown"
            await bare.delete("p")
        assert innocent.poll() is None
    finally:
        innocent.kill()
        innocent.wait()


@pytest.mark.asyncio
async def test_an_agent_without_its_folder_starts_what_should_run(bare: Cluster) -> None:
    async with agent_on(bare.client, bare.root, stop=False):
        await bare.create(pod("p", *python(UNTIL_FILE), **DATA))
        pid = int(await bare.says("p", "\n"))
        found = await bare.until("p", phase("Running"))
    os.killpg(pid, signal.SIGKILL)
    await until_dead(pid)
    await asyncio.to_thread(shutil.rmtree, bare.folder(found))
    end_file(bare).touch()
    async with agent_on(bare.client, bare.root):
        found = await bare.until("p", phase("Failed"))
    assert state(found)["terminated"]["exitCode"] == 5
