"""Deleting pods: grace, kill, what is left."""

from __future__ import annotations

import asyncio
import time

import pytest
from support.nodeagent import NAMESPACE, Cluster, alive, phase, pod, python, until_dead

from aiinfn_hub.kube.client import PODS

POLITE = (
    "import os, signal, sys, time\n"
    "signal.signal(signal.SIGTERM, lambda *_: (os.write(1, b'asked'), sys.exit(0)))\n"
    "print('up', flush=True); time.sleep(60)"
)
STUBBORN = (
    "import os, signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "print(os.getpid(), flush=True); time.sleep(60)"
)


@pytest.mark.asyncio
async def test_a_deleted_pod_gets_sigterm_and_is_gone_when_its_process_is(cluster: Cluster) -> None:
    await cluster.create(pod("p", *python(POLITE), terminationGracePeriodSeconds=30))
    await cluster.says("p", "up")
    log = cluster.log_file(await cluster.get("p"))
    with log.open() as reader:
        begun = time.monotonic()
        await cluster.delete("p")
        assert time.monotonic() - begun < 5
        assert "asked" in reader.read()


@pytest.mark.asyncio
async def test_one_that_does_not_listen_is_killed_after_its_grace(cluster: Cluster) -> None:
    await cluster.create(pod("p", *python(STUBBORN), terminationGracePeriodSeconds=1))
    pid = int(await cluster.says("p", "\n"))
    begun = time.monotonic()
    await cluster.delete("p")
    assert 0.9 < time.monotonic() - begun < 5
    assert not alive(pid)


@pytest.mark.asyncio
async def test_while_it_ends_the_pod_is_still_there_and_says_so(cluster: Cluster) -> None:
    await cluster.create(pod("p", *python(STUBBORN), terminationGracePeriodSeconds=1))
    await cluster.says("p", "\n")
    await cluster.client.delete(PODS, "p", NAMESPACE)
    found = await cluster.get("p")
    assert found["metadata"]["deletionTimestamp"]
    assert found["status"]["phase"] == "Running"
    await cluster.until_gone("p")


@pytest.mark.asyncio
async def test_without_grace_the_object_is_gone_first_and_the_process_at_once(cluster: Cluster) -> None:
    await cluster.create(pod("p", *python(STUBBORN), terminationGracePeriodSeconds=60))
    pid = int(await cluster.says("p", "\n"))
    await cluster.delete("p", grace_s=0)
    await until_dead(pid)


@pytest.mark.asyncio
async def test_a_second_deletion_without_grace_ends_the_patience_of_the_first(cluster: Cluster) -> None:
    await cluster.create(pod("p", *python(STUBBORN), terminationGracePeriodSeconds=60))
    pid = int(await cluster.says("p", "\n"))
    await cluster.client.delete(PODS, "p", NAMESPACE)
    await asyncio.sleep(0.1)
    assert alive(pid)
    await cluster.delete("p", grace_s=0)
    await until_dead(pid)


@pytest.mark.asyncio
async def test_a_pod_that_waits_for_a_secret_can_be_deleted(cluster: Cluster) -> None:
    env = [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "never", "key": "k"}}}]
    await cluster.create(pod("p", "true", container={"env": env}))
    await cluster.until("p", lambda p: "never" in str(p["status"]))
    await cluster.delete("p")


@pytest.mark.asyncio
async def test_a_finished_pod_can_be_deleted(cluster: Cluster) -> None:
    await cluster.create(pod("p", "true"))
    await cluster.until("p", phase("Succeeded"))
    await cluster.delete("p")


@pytest.mark.asyncio
async def test_finalizers_keep_the_object_but_not_the_process(cluster: Cluster) -> None:
    body = pod("p", *python(STUBBORN), metadata={"finalizers": ["example.org/hold"]}, terminationGracePeriodSeconds=1)
    await cluster.create(body)
    pid = int(await cluster.says("p", "\n"))
    await cluster.client.delete(PODS, "p", NAMESPACE)
    await until_dead(pid)
    found = await cluster.until("p", phase("Failed"))
    assert found["metadata"]["finalizers"] == ["example.org/hold"]
    await cluster.client.patch(PODS, "p", {"metadata": {"finalizers": None}}, NAMESPACE)
    await cluster.until_gone("p")


@pytest.mark.asyncio
async def test_nothing_of_a_deleted_pod_stays_on_disk_but_its_claims(cluster: Cluster) -> None:
    volumes = [
        {"name": "home", "persistentVolumeClaim": {"claimName": "homes"}},
        {"name": "scratch", "emptyDir": {}},
    ]
    mounts = [{"name": "home", "mountPath": "/home/jovyan"}, {"name": "scratch", "mountPath": "/scratch"}]
    code = ("sh", "-c", "echo kept > /home/jovyan/result; echo lost > /scratch/x")
    await cluster.create(pod("p", *code, volumes=volumes, container={"volumeMounts": mounts}))
    folder = cluster.folder(await cluster.until("p", phase("Succeeded")))
    assert folder.exists()
    await cluster.delete("p")
    async with asyncio.timeout(5):
        while folder.exists():
            await asyncio.sleep(0.01)
    assert (cluster.root / "volumes" / NAMESPACE / "homes" / "result").read_text() == "kept\n"


@pytest.mark.asyncio
async def test_a_new_pod_of_the_same_name_is_another_pod(cluster: Cluster) -> None:
    for number in range(2):
        await cluster.create(pod("p", "echo", str(number)))
        await cluster.until("p", phase("Succeeded"))
        assert await cluster.log("p") == f"{number}\n"
        await cluster.delete("p")
