"""The real kubectl: get, describe, apply, delete, wait and their relatives, as our pages tell people to use them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.places import Place

from aiinfn_hub.kube.client import NODES, PODS

KUBECTL = shutil.which("kubectl", path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}")
pytestmark = [pytest.mark.asyncio, pytest.mark.skipif(KUBECTL is None, reason="kubectl is not installed")]

Kubectl = Callable[..., Awaitable[str]]


@pytest.fixture
def kubectl(place: Place, tmp_path: Path) -> Kubectl:
    """`await kubectl("get", "pods")`: what it prints; `fails=True` expects it to fail and returns what it says."""

    async def run(*arguments: str, stdin: str = "", fails: bool = False) -> str:
        assert KUBECTL is not None
        process = await asyncio.create_subprocess_exec(
            KUBECTL, "--kubeconfig", str(place.kubeconfig), "--cache-dir", str(tmp_path / "cache"),
            "--namespace", place.namespace, *arguments,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        async with asyncio.timeout(60):
            output, _ = await process.communicate(stdin.encode())
        assert (process.returncode != 0) is fails, output.decode()
        return output.decode()

    return run


def pod(name: str, **spec: Any) -> dict[str, Any]:
    """A pod that no node takes."""
    main = {"name": "main", "image": "busybox:1", "command": ["sleep", "100"]}
    common = {"automountServiceAccountToken": False, "nodeSelector": {"nowhere": "true"}, "containers": [main]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": common | spec}


def here(place: Place, name: str, *command: str, **spec: Any) -> dict[str, Any]:
    """A pod for the place's own node."""
    main = {"name": "main", "image": "busybox:1", "command": list(command)}
    common = {"nodeSelector": {"test": place.unique}, "containers": [main], "terminationGracePeriodSeconds": 1}
    return pod(name, **(common | spec))


async def test_get_prints_the_usual_columns(place: Place, kubectl: Kubectl) -> None:
    await place.create(PODS, pod("a"))
    await place.create(PODS, pod("b", nodeName="n1"))
    lines = [line.split() for line in (await kubectl("get", "pods", "-o", "wide")).splitlines()]
    assert lines[0][:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert lines[1][:4] == ["a", "0/1", "Pending", "0"]
    assert lines[2][6] == "n1"
    assert (await kubectl("get", "pods", "-o", "name")).split() == ["pod/a", "pod/b"]
    none = await kubectl("get", "pods", "-l", "x=y")
    assert none.strip() == f"No resources found in {place.namespace} namespace."
    assert (await kubectl("get", "pod", "b", "-o", "jsonpath={.spec.nodeName}")) == "n1"
    assert "kube-system" in await kubectl("get", "ns")
    assert place.namespace in await kubectl("get", "pods", "-A")


async def test_a_node_is_shown_with_what_is_on_it(place: Place, kubectl: Kubectl) -> None:
    needs = {"limits": {"cpu": "1", "nvidia.com/gpu": 1}}
    body = here(place, "a", "sleep", "100")
    body["spec"]["containers"][0]["resources"] = needs
    await place.create(PODS, body)
    await place.until(PODS, "a", lambda found: found["status"]["phase"] == "Running", "running")
    assert (await kubectl("get", "node", place.node.name)).splitlines()[1].split()[:2] == [place.node.name, "Ready"]
    told = await kubectl("describe", "node", place.node.name)
    assert f"test={place.unique}" in told
    assert ["nvidia.com/gpu", "1", "1"] in [line.split() for line in told.splitlines()]


async def test_describe_shows_a_pod_with_its_events(place: Place, kubectl: Kubectl) -> None:
    await place.create(PODS, pod("a"))
    await place.until(PODS, "a", lambda found: found["status"].get("conditions"), "looked at")
    message = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector."
    async with asyncio.timeout(20):  # the event follows the condition
        while message not in (told := await kubectl("describe", "pod", "a")):
            pass
    assert "Image:" in told
    assert "FailedScheduling" in await kubectl("get", "events")
    assert "FailedScheduling" in await kubectl("events", "--for", "pod/a")


async def test_apply_creates_changes_and_takes_away(place: Place, kubectl: Kubectl) -> None:
    body = pod("a")
    body["metadata"]["labels"] = {"x": "1", "gone": "soon"}
    body["spec"]["containers"][0]["env"] = [{"name": "A", "value": "1"}]
    text = yaml.safe_dump(body)
    assert await kubectl("apply", "-f", "-", stdin=text) == "pod/a created\n"
    assert await kubectl("apply", "-f", "-", stdin=text) == "pod/a unchanged\n"
    body["metadata"]["labels"] = {"x": "2"}
    body["spec"]["containers"][0]["image"] = "busybox:2"
    assert await kubectl("apply", "-f", "-", stdin=yaml.safe_dump(body)) == "pod/a configured\n"
    found = await place.get(PODS, "a")
    assert found["metadata"]["labels"] == {"x": "2"}
    assert found["spec"]["containers"][0]["image"] == "busybox:2"
    assert found["spec"]["containers"][0]["env"] == [{"name": "A", "value": "1"}]
    body["spec"]["containers"][0]["command"] = ["sh"]
    assert "Forbidden: pod updates may not change fields" in await kubectl(
        "apply", "-f", "-", stdin=yaml.safe_dump(body), fails=True
    )


async def test_a_definition_is_applied_and_used(place: Place, kubectl: Kubectl) -> None:
    group = f"{place.unique}.example.com"
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    definition = {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": "Widget", "plural": "widgets", "shortNames": ["wd"]},
            "versions": [{"name": "v1", "served": True, "storage": True, "schema": schema}],
        },
    }
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"a": "b"}}
    told = await kubectl("apply", "-f", "-", stdin=yaml.safe_dump_all([definition, settings]))
    assert told.splitlines() == [
        f"customresourcedefinition.apiextensions.k8s.io/widgets.{group} created",
        "configmap/m created",
    ]
    assert "condition met" in await kubectl("wait", "--for=condition=established", f"crd/widgets.{group}")
    widget = {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"a": [1, 2]}}
    assert await kubectl("apply", "-f", "-", stdin=yaml.safe_dump(widget)) == f"widget.{group}/w created\n"
    widget["spec"] = {"a": [3]}
    assert await kubectl("apply", "-f", "-", stdin=yaml.safe_dump(widget)) == f"widget.{group}/w configured\n"
    assert json.loads(await kubectl("get", f"widgets.{group}", "w", "-o", "json"))["spec"] == {"a": [3]}
    assert "deleted" in await kubectl("delete", "crd", f"widgets.{group}", "--timeout=30s")
    assert "the server doesn't have a resource type" in await kubectl("get", f"widgets.{group}", fails=True)


async def test_delete_waits_until_it_is_gone(place: Place, kubectl: Kubectl) -> None:
    await place.create(PODS, here(place, "a", "sleep", "100"))
    assert "condition met" in await kubectl("wait", "--for=condition=Ready", "pod/a", "--timeout=30s")
    assert 'pod "a" deleted' in await kubectl("delete", "pod", "a", "--timeout=30s")
    assert 'pods "a" not found' in await kubectl("get", "pod", "a", fails=True)
    assert 'pods "a" not found' in await kubectl("delete", "pod", "a", fails=True)


async def test_an_operator_s_commands(place: Place, kubectl: Kubectl) -> None:
    node = place.node.name
    await place.create(PODS, here(place, "a", "sleep", "100"))
    await place.until(PODS, "a", lambda found: found["status"]["phase"] == "Running", "running")
    await kubectl("label", "pod", "a", "team=red")
    await kubectl("annotate", "pod", "a", "note=hello")
    assert (await place.get(PODS, "a"))["metadata"]["labels"] == {"team": "red"}
    await kubectl("patch", "pod", "a", "-p", '{"metadata":{"labels":{"team":null}}}')
    assert "labels" not in (await place.get(PODS, "a"))["metadata"]
    assert await kubectl("taint", "node", node, "example.com/x=y:NoSchedule") == f"node/{node} tainted\n"
    assert f"node/{node} drained" in await kubectl("drain", node, "--force", "--timeout=30s")
    await place.until_gone(PODS, "a")
    found = await place.get(NODES, node)
    assert found["spec"]["unschedulable"] is True
    assert ("example.com/x", "y") in [(taint["key"], taint.get("value")) for taint in found["spec"]["taints"]]
    assert await kubectl("uncordon", node) == f"node/{node} uncordoned\n"


async def test_the_smaller_commands(place: Place, kubectl: Kubectl) -> None:
    made = await kubectl("create", "job", "j", "--image", "busybox", "--dry-run=client", "-o", "yaml", "--", "true")
    await kubectl("create", "-f", "-", stdin=made.replace("spec:\n", "spec:\n  suspend: true\n", 1))
    assert (await kubectl("get", "job", "j")).splitlines()[1].split()[:3] == ["j", "Suspended", "0/1"]
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": "hunter2"}}
    await kubectl("create", "-f", "-", stdin=yaml.safe_dump(secret))
    assert "hunter2" not in await kubectl("describe", "secret", "s")
    assert "pods" in await kubectl("api-resources", "--api-group=")
    assert "batch/v1" in await kubectl("api-versions")
    await place.create(PODS, pod("b"))
    await kubectl("delete", "pods,jobs", "--all")
    assert (await kubectl("get", "pods,jobs")).startswith("No resources found")


async def test_get_watch_prints_rows_as_they_come(place: Place, tmp_path: Path) -> None:
    assert KUBECTL is not None
    process = await asyncio.create_subprocess_exec(
        KUBECTL, "--kubeconfig", str(place.kubeconfig), "--cache-dir", str(tmp_path / "cache"),
        "--namespace", place.namespace, "get", "pods", "--watch",
        stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    await place.create(PODS, pod("a"))
    async with asyncio.timeout(30):
        assert (await process.stdout.readline()).split()[:2] == [b"NAME", b"READY"]
        assert (await process.stdout.readline()).split()[:3] == [b"a", b"0/1", b"Pending"]
        await place.client.patch(
            PODS, "a", {"metadata": {"annotations": {"a": "b"}}, "status": {"reason": "Odd"}}, place.namespace,
            subresource="status",
        )  # fmt: skip
        while (row := (await process.stdout.readline()).split()[:3]) == [b"a", b"0/1", b"Pending"]:
            pass
        assert row == [b"a", b"0/1", b"Odd"]
    process.terminate()
    await process.wait()


async def test_server_side_apply(place: Place, kubectl: Kubectl) -> None:
    text = yaml.safe_dump(pod("a"))
    assert await kubectl("apply", "--server-side", "-f", "-", stdin=text) == "pod/a serverside-applied\n"
    assert (await place.get(PODS, "a"))["spec"]["restartPolicy"] == "Always"
