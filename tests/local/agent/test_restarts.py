"""Containers that end and are started again, as `restartPolicy` says."""

from __future__ import annotations

import pytest
from support.nodeagent import Cluster, phase, pod, restarts, state, waiting_for

from aiinfn_hub.local.agent import wording

COUNT = ("sh", "-c", "echo x >> /count/n; test $(wc -l < /count/n) -ge 3")
COUNTER = {
    "volumes": [{"name": "count", "emptyDir": {}}],
    "container": {"volumeMounts": [{"name": "count", "mountPath": "/count"}]},
}


@pytest.mark.asyncio
async def test_on_failure_it_is_started_again_until_it_succeeds(cluster: Cluster) -> None:
    await cluster.create(pod("p", *COUNT, restartPolicy="OnFailure", **COUNTER))
    found = await cluster.until("p", phase("Succeeded"))
    (container,) = found["status"]["containerStatuses"]
    assert container["restartCount"] == 2
    assert container["lastState"]["terminated"]["exitCode"] == 1
    ids = {container["containerID"], container["lastState"]["terminated"]["containerID"]}
    assert len(ids) == 2


@pytest.mark.asyncio
async def test_one_that_fails_again_and_again_is_backed_off(cluster: Cluster) -> None:
    await cluster.create(pod("p", "sh", "-c", "exit 1", restartPolicy="OnFailure"))
    found = await cluster.until("p", waiting_for("CrashLoopBackOff"))
    meta = found["metadata"]
    title = f"p_aiinfn({meta['uid']})"
    message = state(found)["waiting"]["message"]
    assert message.endswith(f"restarting failed container=main pod={title}")
    assert found["status"]["phase"] == "Running"
    assert found["status"]["containerStatuses"][0]["lastState"]["terminated"]["exitCode"] == 1
    await cluster.until("p", lambda p: restarts(p) >= 2)
    assert ("BackOff", f"Back-off restarting failed container main in pod {title}") in await cluster.events("p")


@pytest.mark.asyncio
async def test_always_means_also_after_success(cluster: Cluster) -> None:
    await cluster.create(pod("p", "true", restartPolicy="Always"))
    found = await cluster.until("p", lambda p: restarts(p) >= 2)
    assert found["status"]["phase"] == "Running"


@pytest.mark.asyncio
async def test_never_means_never(cluster: Cluster) -> None:
    await cluster.create(pod("p", *COUNT, **COUNTER))
    found = await cluster.until("p", phase("Failed"))
    assert restarts(found) == 0


@pytest.mark.asyncio
async def test_an_init_container_is_tried_again_but_not_after_success(cluster: Cluster) -> None:
    init = {"name": "prepare", "image": "i", "command": list(COUNT), **COUNTER["container"]}
    body = pod("p", "true", restartPolicy="OnFailure", initContainers=[init], volumes=COUNTER["volumes"])
    await cluster.create(body)
    found = await cluster.until("p", phase("Succeeded"))
    assert found["status"]["initContainerStatuses"][0]["restartCount"] == 2


@pytest.mark.asyncio
async def test_a_pod_can_be_deleted_between_two_runs(cluster: Cluster) -> None:
    await cluster.create(pod("p", "false", restartPolicy="Always"))
    await cluster.until("p", waiting_for("CrashLoopBackOff"))
    await cluster.delete("p")


@pytest.mark.asyncio
async def test_the_log_is_that_of_the_present_run_and_the_one_before_is_kept(cluster: Cluster) -> None:
    code = ("sh", "-c", "echo run $(wc -l < /count/n); echo x >> /count/n; test $(wc -l < /count/n) -ge 2")
    touch = {"name": "touch", "image": "i", "command": ["touch", "/count/n"], **COUNTER["container"]}
    await cluster.create(pod("p", *code, restartPolicy="OnFailure", initContainers=[touch], **COUNTER))
    found = await cluster.until("p", phase("Succeeded"))
    assert await cluster.log("p") == "run 1\n"
    assert cluster.log_file(found, "main.previous").read_text() == "run 0\n"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(10, "10s"), (20, "20s"), (60, "1m0s"), (80, "1m20s"), (160, "2m40s"), (300, "5m0s"), (0.3, "0.3s")],
)
def test_pauses_are_written_as_go_writes_them(seconds: float, text: str) -> None:
    assert wording.go_duration(seconds) == text
