"""Probes decide whether a container is ready, and whether it is started again."""

from __future__ import annotations

import pytest
from support.nodeagent import NAMESPACE, Cluster, phase, pod, python, restarts, state

from aiinfn_hub.kube.client import PODS

SERVER = (
    "import http.server, os, sys\n"
    "class H(http.server.BaseHTTPRequestHandler):\n"
    " def do_GET(self):\n"
    "  good = os.path.exists('/data/good') and self.path == '/ready' and self.headers.get('X-Probe') == 'yes'\n"
    "  self.send_response(200 if good else 503); self.end_headers()\n"
    " def log_message(self, *a): pass\n"
    "http.server.HTTPServer(('0.0.0.0', 8080), H).serve_forever()"
)
QUICK = {"periodSeconds": 1, "timeoutSeconds": 1}
DATA = {
    "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    "mounts": [{"name": "data", "mountPath": "/data"}],
}


def serving(name: str, **probes: object) -> dict:
    container = {"volumeMounts": DATA["mounts"], "ports": [{"name": "web", "containerPort": 8080}], **probes}
    return pod(name, "python3", "-c", SERVER, container=container, volumes=DATA["volumes"])


def is_ready(found: dict) -> bool:
    return bool((found["status"].get("containerStatuses") or [{}])[0].get("ready"))


@pytest.mark.asyncio
async def test_http_readiness_makes_the_pod_ready_and_unready(cluster: Cluster) -> None:
    action = {"path": "/ready", "port": "web", "httpHeaders": [{"name": "X-Probe", "value": "yes"}]}
    await cluster.create(serving("p", readinessProbe={"httpGet": action, "failureThreshold": 1, **QUICK}))
    found = await cluster.until("p", phase("Running"))
    assert not is_ready(found)
    good = cluster.root / "volumes" / NAMESPACE / "data" / "good"
    good.touch()
    await cluster.until("p", is_ready)
    good.unlink()
    found = await cluster.until("p", lambda p: not is_ready(p))
    ready = next(c for c in found["status"]["conditions"] if c["type"] == "Ready")
    assert ready["message"] == "containers with unready status: [main]"
    assert ("Unhealthy", "Readiness probe failed: HTTP probe failed with statuscode: 503") in await cluster.events("p")


@pytest.mark.asyncio
async def test_a_port_that_answers_is_ready(cluster: Cluster) -> None:
    await cluster.create(serving("p", readinessProbe={"tcpSocket": {"port": 8080}, **QUICK}))
    await cluster.until("p", is_ready)


@pytest.mark.asyncio
async def test_a_command_runs_in_the_containers_environment(cluster: Cluster) -> None:
    probe = {"exec": {"command": ["sh", "-c", "test -e /data/good && test $COLOUR = red"]}, **QUICK}
    container = {
        "volumeMounts": DATA["mounts"],
        "env": [{"name": "COLOUR", "value": "red"}],
        "readinessProbe": probe,
    }
    await cluster.create(pod("p", "sleep", "60", container=container, volumes=DATA["volumes"]))
    await cluster.until("p", phase("Running"))
    (cluster.root / "volumes" / NAMESPACE / "data" / "good").touch()
    await cluster.until("p", is_ready)


@pytest.mark.asyncio
async def test_a_container_that_is_not_alive_is_started_again(cluster: Cluster) -> None:
    code = "import time, os; open('/data/good', 'w'); print('up', flush=True); time.sleep(60)"
    probe = {"exec": {"command": ["rm", "/data/good"]}, "failureThreshold": 1, **QUICK}
    container = {"volumeMounts": DATA["mounts"], "livenessProbe": probe}
    body = pod("p", *python(code), container=container, volumes=DATA["volumes"], restartPolicy="Always")
    await cluster.create(body)
    await cluster.until("p", lambda p: restarts(p) >= 1)
    reasons = await cluster.events("p")
    assert ("Killing", "Container main failed liveness probe, will be restarted") in reasons


@pytest.mark.asyncio
async def test_startup_comes_before_the_other_probes(cluster: Cluster) -> None:
    startup = {"exec": {"command": ["test", "-e", "/data/good"]}, "failureThreshold": 30, **QUICK}
    liveness = {"exec": {"command": ["test", "-e", "/data/good"]}, "failureThreshold": 1, **QUICK}
    container = {"volumeMounts": DATA["mounts"], "startupProbe": startup, "livenessProbe": liveness}
    await cluster.create(pod("p", "sleep", "60", container=container, volumes=DATA["volumes"]))
    found = await cluster.until("p", phase("Running"))
    assert not found["status"]["containerStatuses"][0]["started"]
    (cluster.root / "volumes" / NAMESPACE / "data" / "good").touch()
    found = await cluster.until("p", lambda p: p["status"]["containerStatuses"][0]["started"])
    assert is_ready(found)


@pytest.mark.asyncio
async def test_one_that_never_comes_up_ends(cluster: Cluster) -> None:
    startup = {"tcpSocket": {"port": 9}, "failureThreshold": 1, **QUICK}
    await cluster.create(pod("p", "sleep", "60", container={"startupProbe": startup}))
    found = await cluster.until("p", phase("Failed"))
    assert state(found)["terminated"]["exitCode"] == 143


@pytest.mark.asyncio
async def test_probes_end_with_the_pod(cluster: Cluster) -> None:
    await cluster.create(serving("p", livenessProbe={"tcpSocket": {"port": 8080}, "failureThreshold": 9, **QUICK}))
    await cluster.until("p", phase("Running"))
    await cluster.client.delete(PODS, "p", NAMESPACE)
    await cluster.until_gone("p")
