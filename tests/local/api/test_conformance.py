"""What the server answers with, held against the published schemas: every default is a real field of the right type."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from support.kubeapi import RunningApi, pod

from aiinfn_hub.errors import Conflict, Unavailable
from aiinfn_hub.kube.client import (
    CONFIGMAPS,
    JOBS,
    LEASES,
    NAMESPACES,
    NODES,
    PERSISTENT_VOLUME_CLAIMS,
    PODS,
    PRIORITY_CLASSES,
    SECRETS,
    SERVICES,
    Kind,
    KubeClient,
)

FULL_POD = pod(
    "a",
    containers=[
        {
            "name": "main",
            "image": "i",
            "command": ["sh"],
            "env": [
                {"name": "A", "value": "1"},
                {"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            ],
            "ports": [{"containerPort": 8888, "name": "http"}],
            "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi", "nvidia.com/gpu": 1}},
            "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "x"}],
            "readinessProbe": {"httpGet": {"port": 8888}},
            "livenessProbe": {"exec": {"command": ["true"]}},
            "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        }
    ],
    initContainers=[{"name": "init", "image": "i:1"}],
    volumes=[
        {"name": "v", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "s", "secret": {"secretName": "s"}},
        {"name": "c", "configMap": {"name": "c"}},
        {"name": "h", "persistentVolumeClaim": {"claimName": "h"}},
        {"name": "d"},
    ],
    tolerations=[{"key": "nvidia.com/gpu", "operator": "Exists"}],
    schedulingGates=[{"name": "kueue.x-k8s.io/admission"}],
    securityContext={"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}},
    activeDeadlineSeconds=60,
)
TEMPLATE = {"spec": {**FULL_POD["spec"], "restartPolicy": "Never", "schedulingGates": []}}
CLAIM = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
OBJECTS: list[tuple[Kind, dict[str, Any]]] = [
    (PODS, FULL_POD),
    (PODS, pod("b")),
    (JOBS, {"metadata": {"name": "a"}, "spec": {"template": TEMPLATE}}),
    (JOBS, {"metadata": {"name": "b"}, "spec": {"template": TEMPLATE, "completionMode": "Indexed", "completions": 3}}),
    (SERVICES, {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 80}], "selector": {"a": "b"}}}),
    (SECRETS, {"metadata": {"name": "a"}, "stringData": {"a": "b"}}),
    (CONFIGMAPS, {"metadata": {"name": "a"}, "data": {"a": "b"}}),
    (PERSISTENT_VOLUME_CLAIMS, {"metadata": {"name": "a"}, "spec": CLAIM}),
    (NAMESPACES, {"metadata": {"name": "team"}}),
    (NODES, {"metadata": {"name": "n"}, "status": {"capacity": {"cpu": "4"}}}),
    (LEASES, {"metadata": {"name": "a"}, "spec": {"holderIdentity": "x", "leaseDurationSeconds": 15}}),
    (PRIORITY_CLASSES, {"metadata": {"name": "a"}, "value": 5}),
]


@pytest.mark.asyncio
@pytest.mark.parametrize(("kind", "body"), OBJECTS, ids=[f"{k.kind} {b['metadata']['name']}" for k, b in OBJECTS])
async def test_every_answer_fits_the_published_schema(client: KubeClient, kind: Kind, body: dict[str, Any]) -> None:
    made = await client.create(kind, body, "default" if kind.namespaced else None)
    kubernetes_validate.validate(made, "1.36", strict=True)


@pytest.mark.asyncio
@pytest.mark.parametrize(("kind", "body"), OBJECTS, ids=[f"{k.kind} {b['metadata']['name']}" for k, b in OBJECTS])
async def test_an_object_that_is_written_back_as_it_was_read_is_unchanged(
    client: KubeClient, kind: Kind, body: dict[str, Any]
) -> None:
    made = await client.create(kind, body, "default" if kind.namespaced else None)
    assert await client.replace(kind, made) == made
    if kind in {PODS, JOBS, NODES, NAMESPACES, SERVICES, PERSISTENT_VOLUME_CLAIMS}:
        assert await client.replace(kind, made, subresource="status") == made


@pytest.mark.asyncio
async def test_a_created_pod_can_be_created_again_elsewhere(client: KubeClient) -> None:
    """What `kubectl get -o yaml | kubectl apply` does, without what belongs to the first."""
    made = await client.create(PODS, FULL_POD, "default")
    copy = {**made, "metadata": {"name": "copy"}}
    again = await client.create(PODS, copy, "default")
    assert again["spec"] == made["spec"]


@pytest.mark.asyncio
async def test_counting_together_with_versions_loses_no_count(client: KubeClient) -> None:
    """Eight writers, one counter: who is told 409 reads again."""
    await client.create(CONFIGMAPS, {"metadata": {"name": "c"}, "data": {"n": "0"}}, "default")
    refused = 0

    async def count() -> None:
        nonlocal refused
        for _ in range(10):
            while True:
                now = await client.get(CONFIGMAPS, "c", "default")
                now["data"]["n"] = str(int(now["data"]["n"]) + 1)
                try:
                    await client.replace(CONFIGMAPS, now)
                    break
                except Conflict:
                    refused += 1

    await asyncio.gather(*(count() for _ in range(8)))
    assert (await client.get(CONFIGMAPS, "c", "default"))["data"]["n"] == "80"
    assert refused > 0


@pytest.mark.asyncio
async def test_only_one_of_many_creators_wins(client: KubeClient) -> None:
    async def create(number: int) -> bool:
        try:
            await client.create(LEASES, {"metadata": {"name": "l"}, "spec": {"holderIdentity": str(number)}}, "default")
        except Conflict:
            return False
        return True

    assert sum(await asyncio.gather(*(create(number) for number in range(20)))) == 1


SERVER = """
import asyncio, json, sys
from pathlib import Path
from aiinfn_hub.local.api import ApiServer

async def main():
    folder = Path(sys.argv[1])
    server = ApiServer(folder, "the-token", logs_root=folder)
    await server.start(port=int(sys.argv[2]))
    print(json.dumps(server.kubeconfig()), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


def start(folder: Path, port: int) -> tuple[subprocess.Popen[str], str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER, str(folder), str(port)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    return process, process.stdout.readline()


@pytest.mark.asyncio
async def test_clients_go_on_after_kill_9_of_the_server(tmp_path: Path) -> None:
    """The same kubeconfig, the same objects, and a watch that goes on where it was."""
    process, config = start(tmp_path / "objects", 0)
    (tmp_path / "kubeconfig").write_text(config)
    port = int(json.loads(config)["clusters"][0]["cluster"]["server"].rpartition(":")[2])
    client = await KubeClient.connect(tmp_path / "kubeconfig")
    try:
        made = [await client.create(CONFIGMAPS, {"metadata": {"name": f"m{n}"}}, "default") for n in range(20)]
        process.send_signal(signal.SIGKILL)
        process.wait()
        with pytest.raises(Unavailable):
            await client.get(CONFIGMAPS, "m0", "default")
        process, _ = start(tmp_path / "objects", port)
        items, version = await client.list(CONFIGMAPS, "default")
        assert sorted(i["metadata"]["uid"] for i in items) == sorted(i["metadata"]["uid"] for i in made)
        assert version == made[-1]["metadata"]["resourceVersion"]
        stream = client.watch(CONFIGMAPS, "default", resource_version=version)
        follower = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.1)
        await client.delete(CONFIGMAPS, "m3", "default")
        verb, body = await follower
        assert (verb, json.loads(body)["metadata"]["name"]) == ("DELETED", "m3")
        await stream.aclose()
    finally:
        await client.close()
        process.kill()
        process.wait()


@pytest.mark.asyncio
async def test_the_class_for_everybody_is_used_where_none_is_named(client: KubeClient) -> None:
    body = {"metadata": {"name": "usual"}, "value": 7, "globalDefault": True, "preemptionPolicy": "Never"}
    await client.create(PRIORITY_CLASSES, body)
    made = await client.create(PODS, pod("a"), "default")
    spec = made["spec"]
    assert (spec["priority"], spec["priorityClassName"], spec["preemptionPolicy"]) == (7, "usual", "Never")
    critical = await client.create(PODS, pod("b", priorityClassName="system-node-critical"), "default")
    assert critical["spec"]["priority"] == 2_000_001_000


@pytest.mark.asyncio
async def test_answers_to_one_object_and_to_a_list_are_the_same_text(api: RunningApi, client: KubeClient) -> None:
    await client.create(PODS, FULL_POD, "default")
    one = await api.call("GET", "/api/v1/namespaces/default/pods/a")
    many = await api.call("GET", "/api/v1/namespaces/default/pods")
    assert one.text.removeprefix('{"apiVersion":"v1","kind":"Pod",') in many.text
    assert [item | {"apiVersion": "v1", "kind": "Pod"} for item in many.json["items"]] == [one.json]
