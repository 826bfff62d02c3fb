"""The real kubectl: get, describe, logs, delete, apply and their relatives."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import yaml
from support.kubeapi import RunningApi, pod

from aiinfn_hub.kube.client import EVENTS, NODES, PODS, KubeClient

KUBECTL = shutil.which("kubectl", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
pytestmark = [pytest.mark.asyncio, pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")]

Kubectl = Callable[..., Awaitable[str]]


@pytest.fixture
def kubectl(api: RunningApi, tmp_path: Path) -> Kubectl:
    """`await kubectl("get", "pods")`: what it prints; `fails=True` expects it to fail and returns what it says."""

    async def run(*arguments: str, stdin: str = "", fails: bool = False) -> str:
        assert KUBECTL is not None
        process = await asyncio.create_subprocess_exec(
            KUBECTL, "--kubeconfig", str(api.kubeconfig), "--cache-dir", str(tmp_path / "cache"), *arguments,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(30):
            output, _ = await process.communicate(stdin.encode())
        assert (process.returncode != 0) is fails, output.decode()
        return output.decode()

    return run


async def test_get_prints_the_usual_columns(kubectl: Kubectl, client: KubeClient) -> None:
    await client.create(PODS, pod("a"), "default")
    await client.create(PODS, pod("b", nodeName="n1"), "default")
    lines = [line.split() for line in (await kubectl("get", "pods", "-o", "wide")).splitlines()]
    assert lines[0][:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert lines[1][:4] == ["a", "0/1", "Pending", "0"]
    assert lines[2][6] == "n1"
    assert (await kubectl("get", "pods", "-o", "name")).split() == ["pod/a", "pod/b"]
    assert (await kubectl("get", "pods", "-l", "x=y")).strip() == "No resources found in default namespace."
    assert (await kubectl("get", "pod", "b", "-o", "jsonpath={.spec.nodeName}")) == "n1"
    assert "kube-system" in await kubectl("get", "ns")
    assert "default" in await kubectl("get", "pods", "-A")


async def test_get_and_describe_a_node(kubectl: Kubectl, client: KubeClient) -> None:
    node = {
        "metadata": {"name": "gpu-1", "labels": {"nvidia.com/gpu.product": "Tesla-T4"}},
        "status": {
            "capacity": {"cpu": "8", "nvidia.com/gpu": "2"},
            "allocatable": {"cpu": "8", "nvidia.com/gpu": "2"},
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "fine"}],
        },
    }
    await client.create(NODES, node)
    needs = {"limits": {"cpu": "1", "nvidia.com/gpu": 1}}
    body = pod("a", nodeName="gpu-1", containers=[{"name": "main", "image": "i", "resources": needs}])
    await client.create(PODS, body, "default")
    assert (await kubectl("get", "nodes")).splitlines()[1].split()[:2] == ["gpu-1", "Ready"]
    told = await kubectl("describe", "node", "gpu-1")
    assert "nvidia.com/gpu.product=Tesla-T4" in told
    assert ["nvidia.com/gpu", "1", "1"] in [line.split() for line in told.splitlines()]


async def test_describe_shows_a_pod_with_its_events(kubectl: Kubectl, client: KubeClient) -> None:
    made = await client.create(PODS, pod("a"), "default")
    event = {
        "metadata": {"generateName": "a."},
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "a",
            "namespace": "default",
            "uid": made["metadata"]["uid"],
        },
        "type": "Warning",
        "reason": "FailedScheduling",
        "message": "0/4 nodes are available: 4 Insufficient nvidia.com/gpu.",
        "source": {"component": "default-scheduler"},
        "firstTimestamp": made["metadata"]["creationTimestamp"],
        "lastTimestamp": made["metadata"]["creationTimestamp"],
        "eventTime": None,
        "count": 1,
    }
    await client.create(EVENTS, event, "default")
    told = await kubectl("describe", "pod", "a")
    assert "Image:" in told
    assert "0/4 nodes are available: 4 Insufficient nvidia.com/gpu." in told
    assert "FailedScheduling" in await kubectl("get", "events")
    assert "FailedScheduling" in await kubectl("events", "--for", "pod/a")


async def test_logs_are_printed_and_followed(api: RunningApi, kubectl: Kubectl, client: KubeClient) -> None:
    made = await client.create(PODS, pod("a", nodeName="n"), "default")
    folder = api.logs_root / made["metadata"]["uid"] / "logs"
    folder.mkdir(parents=True)
    (folder / "main.log").write_text("one\ntwo\n")
    assert await kubectl("logs", "a") == "one\ntwo\n"
    assert await kubectl("logs", "a", "--tail", "1") == "two\n"
    following = asyncio.create_task(kubectl("logs", "-f", "a"))
    await asyncio.sleep(0.3)
    with (folder / "main.log").open("a") as file:
        file.write("three\n")
    status = {"phase": "Succeeded", "containerStatuses": [{"name": "main", "state": {"terminated": {"exitCode": 0}}}]}
    await client.patch(PODS, "a", {"status": status}, "default", subresource="status")
    assert await following == "one\ntwo\nthree\n"


async def test_apply_creates_changes_and_takes_away(kubectl: Kubectl, client: KubeClient) -> None:
    body = pod("a")
    body["metadata"]["labels"] = {"x": "1", "gone": "soon"}
    body["spec"]["containers"][0]["env"] = [{"name": "A", "value": "1"}]
    text = yaml.safe_dump(body)
    assert await kubectl("apply", "-f", "-", stdin=text) == "pod/a created\n"
    assert await kubectl("apply", "-f", "-", stdin=text) == "pod/a unchanged\n"
    body["metadata"]["labels"] = {"x": "2"}
    body["spec"]["containers"][0]["image"] = "busybox:2"
    assert await kubectl("apply", "-f", "-", stdin=yaml.safe_dump(body)) == "pod/a configured\n"
    found = await client.get(PODS, "a", "default")
    assert found["metadata"]["labels"] == {"x": "2"}
    assert found["spec"]["containers"][0]["image"] == "busybox:2"
    assert found["spec"]["containers"][0]["env"] == [{"name": "A", "value": "1"}]
    body["spec"]["containers"][0]["command"] = ["sh"]
    assert "Forbidden: pod updates may not change fields" in await kubectl(
        "apply", "-f", "-", stdin=yaml.safe_dump(body), fails=True
    )


async def test_apply_of_several_kinds_and_a_definition_in_one_file(kubectl: Kubectl) -> None:
    documents = [
        {
            "apiVersion": "apiextensions.k8s.io/v1",
            "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.x.io"},
            "spec": {
                "group": "x.io",
                "scope": "Namespaced",
                "names": {"kind": "Widget", "plural": "widgets", "shortNames": ["wd"]},
                "versions": [{"name": "v1", "served": True, "storage": True}],
            },
        },
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "team"}},
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m", "namespace": "team"}, "data": {"a": "b"}},
    ]
    told = await kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all(documents))
    assert told.splitlines() == [
        "customresourcedefinition.apiextensions.k8s.io/widgets.x.io created",
        "namespace/team created",
        "configmap/m created",
    ]
    widget = {"apiVersion": "x.io/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"a": [1, 2]}}
    assert await kubectl("apply", "-f", "-", stdin=yaml.safe_dump(widget)) == "widget.x.io/w created\n"
    widget["spec"] = {"a": [3]}
    assert await kubectl("apply", "-f", "-", stdin=yaml.safe_dump(widget)) == "widget.x.io/w configured\n"
    assert json.loads(await kubectl("get", "wd", "w", "-o", "json"))["spec"] == {"a": [3]}
    assert "condition met" in await kubectl("wait", "--for=condition=established", "crd/widgets.x.io")
    assert await kubectl("delete", "ns", "team", "--timeout=10s") == 'namespace "team" deleted\n'


async def test_delete_waits_until_it_is_gone(kubectl: Kubectl, client: KubeClient) -> None:
    await client.create(PODS, pod("a", nodeName="n"), "default")

    async def agent() -> None:
        while "deletionTimestamp" not in (await client.get(PODS, "a", "default"))["metadata"]:
            await asyncio.sleep(0.05)
        await client.delete(PODS, "a", "default", grace_s=0)

    ending = asyncio.create_task(agent())
    assert 'pod "a" deleted' in await kubectl("delete", "pod", "a", "--timeout=10s")
    await ending
    assert 'pods "a" not found' in await kubectl("get", "pod", "a", fails=True)
    assert 'pods "a" not found' in await kubectl("delete", "pod", "a", fails=True)


async def test_the_smaller_commands(kubectl: Kubectl, client: KubeClient) -> None:
    await client.create(NODES, {"metadata": {"name": "n1"}})
    await client.create(PODS, pod("a"), "default")
    await kubectl("label", "pod", "a", "team=red")
    await kubectl("annotate", "pod", "a", "note=hello")
    await kubectl("cordon", "n1")
    await kubectl("taint", "node", "n1", "x=y:NoSchedule")
    assert (await client.get(PODS, "a", "default"))["metadata"]["labels"] == {"team": "red"}
    node = await client.get(NODES, "n1")
    assert node["spec"]["unschedulable"] is True
    assert node["spec"]["taints"][0]["key"] == "x"
    # `kubectl create configmap` and its like send protobuf, which is not read; `-f` sends JSON.
    assert "accepted media types include: application/json" in await kubectl("create", "configmap", "m", fails=True)
    made = await kubectl("create", "job", "j", "--image", "busybox", "--dry-run=client", "-o", "yaml", "--", "true")
    await kubectl("create", "-f", "-", stdin=made)
    assert (await kubectl("get", "job", "j")).splitlines()[1].split()[:3] == ["j", "Running", "0/1"]
    await kubectl(
        "create",
        "-f",
        "-",
        stdin=yaml.safe_dump(
            {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "hunter2"}}
        ),
    )
    assert "hunter2" not in await kubectl("describe", "secret", "s")
    await kubectl("patch", "pod", "a", "-p", '{"metadata":{"labels":{"team":null}}}')
    assert "labels" not in (await client.get(PODS, "a", "default"))["metadata"]
    assert "pods" in await kubectl("api-resources", "--api-group=")
    await client.create(PODS, pod("b", nodeName="n1"), "default")
    draining = asyncio.create_task(kubectl("drain", "n1", "--force", "--timeout=10s"))
    while "deletionTimestamp" not in (await client.get(PODS, "b", "default"))["metadata"]:
        await asyncio.sleep(0.05)
    await client.delete(PODS, "b", "default", grace_s=0)
    assert "node/n1 drained" in await draining
    await kubectl("delete", "all", "--all")
    assert (await kubectl("get", "pods")).startswith("No resources found")


async def test_get_watch_prints_rows_as_they_come(api: RunningApi, client: KubeClient, tmp_path: Path) -> None:
    assert KUBECTL is not None
    process = await asyncio.create_subprocess_exec(
        KUBECTL, "--kubeconfig", str(api.kubeconfig), "--cache-dir", str(tmp_path / "cache"), "get", "pods", "--watch",
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    await client.create(PODS, pod("a"), "default")
    async with asyncio.timeout(20):
        assert (await process.stdout.readline()).split()[:2] == [b"NAME", b"READY"]
        assert (await process.stdout.readline()).split()[:3] == [b"a", b"0/1", b"Pending"]
        await client.patch(PODS, "a", {"status": {"phase": "Running"}}, "default", subresource="status")
        assert (await process.stdout.readline()).split()[:3] == [b"a", b"0/1", b"Running"]
    process.terminate()
    await process.wait()


async def test_server_side_apply(kubectl: Kubectl, client: KubeClient) -> None:
    text = yaml.safe_dump(pod("a"))
    assert await kubectl("apply", "--server-side", "-f", "-", stdin=text) == "pod/a serverside-applied\n"
    assert (await client.get(PODS, "a", "default"))["spec"]["restartPolicy"] == "Always"
