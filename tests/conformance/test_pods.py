"""What happens to a pod on a node, on the real control plane and on ours: what a kubelet reports and the API keeps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from support.asking import STRATEGIC, Ask, ask, at
from support.places import Place

from aiinfn_hub.kube.client import CONFIGMAPS, PODS, SECRETS

pytestmark = pytest.mark.asyncio

Object = dict[str, Any]


def pod(place: Place, name: str, script: str, main: Object | None = None, **spec: Any) -> Object:
    """A pod of the place's node that runs a shell script once."""
    container = {"name": "main", "image": "i:1", "command": ["sh", "-c", script], **(main or {})}
    common = {
        "automountServiceAccountToken": False,
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": 1,
        "nodeSelector": {"test": place.unique},
        "containers": [container],
    }
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": common | spec}


def in_phase(*phases: str) -> Callable[[Object], bool]:
    return lambda found: found["status"]["phase"] in phases


def conditions(found: Object) -> dict[str, str]:
    return {one["type"]: f"{one['status']} {one.get('reason', '')}".strip() for one in found["status"]["conditions"]}


def is_ready(found: Object) -> bool:
    return bool(found["status"].get("conditions")) and conditions(found).get("Ready") == "True"


def waits_for(reason: str) -> Callable[[Object], bool]:
    return lambda found: at(found, "status.containerStatuses.0.state.waiting.reason") == reason


async def after(place: Place, manifest: Object, condition: Callable[[Object], object]) -> Object:
    """The pod of this manifest, once the condition holds."""
    await place.create(PODS, manifest)
    return await place.until(PODS, manifest["metadata"]["name"], condition)


async def test_a_pod_is_bound_and_runs_to_its_end(place: Place) -> None:
    made = await place.create(PODS, pod(place, "a", "true"))
    assert made["status"]["phase"] == "Pending"
    ended = await place.until(PODS, "a", in_phase("Succeeded"))
    assert ended["spec"]["nodeName"] == place.node.name
    assert conditions(ended) == {
        "PodReadyToStartContainers": "False",
        "Initialized": "True PodCompleted",
        "Ready": "False PodCompleted",
        "ContainersReady": "False PodCompleted",
        "PodScheduled": "True",
    }
    assert at(ended, "status.containerStatuses.0.state.terminated.exitCode") == 0
    assert at(ended, "status.containerStatuses.0.state.terminated.reason") == "Completed"


ENDS = {
    "an exit code": ("exit 3", {}, 3, "Error"),
    "a signal": ("kill -TERM $$$$", {}, 143, "Error"),
    "a kill": ("kill -KILL $$$$", {}, 137, "Error"),
    "no program": ("", {"command": ["/no/such"]}, 128, "StartError"),
}


@pytest.mark.parametrize(("script", "main", "code", "reason"), ENDS.values(), ids=list(ENDS))
async def test_how_a_container_failed(place: Place, script: str, main: Object, code: int, reason: str) -> None:
    failed = await after(place, pod(place, "a", script, main), in_phase("Failed"))
    ended = at(failed, "status.containerStatuses.0.state.terminated")
    assert (ended["exitCode"], ended["reason"]) == (code, reason)
    assert conditions(failed)["Ready"] == "False PodFailed"


async def test_a_running_pod_has_all_that_clients_look_for(place: Place) -> None:
    probe = {"readinessProbe": {"exec": {"command": ["true"]}, "periodSeconds": 1}}
    found = await after(place, pod(place, "a", "sleep 100", probe), is_ready)
    status = found["status"]
    assert status["phase"] == "Running"
    assert status["podIPs"] == [{"ip": status["podIP"]}]
    assert status["hostIPs"] == [{"ip": status["hostIP"]}]
    (container,) = status["containerStatuses"]
    assert (container["name"], container["ready"], container["started"], container["restartCount"]) == (
        "main",
        True,
        True,
        0,
    )
    assert {"image", "imageID", "containerID"} <= set(container)
    assert set(container["state"]) == {"running"}
    assert set(conditions(found).values()) == {"True"}


async def test_a_container_is_started_again_where_the_pod_says_so(place: Place) -> None:
    manifest = pod(place, "a", "exit 1", restartPolicy="OnFailure")
    found = await after(place, manifest, lambda pod: (at(pod, "status.containerStatuses.0.restartCount") or 0) >= 2)
    assert at(found, "status.containerStatuses.0.lastState.terminated.exitCode") == 1
    assert found["status"]["phase"] in {"Running", "Pending"}


async def test_init_containers_come_first_and_can_fail_the_pod(place: Place) -> None:
    def first(*command: str) -> list[Object]:
        return [{"name": "first", "image": "i:1", "command": list(command)}]

    done = await after(place, pod(place, "ok", "true", initContainers=first("true")), in_phase("Succeeded"))
    assert at(done, "status.initContainerStatuses.0.state.terminated.reason") == "Completed"
    failed = await after(place, pod(place, "no", "true", initContainers=first("false")), in_phase("Failed"))
    assert at(failed, "status.initContainerStatuses.0.state.terminated.exitCode") == 1
    assert at(failed, "status.containerStatuses.0.state.waiting.reason") == "PodInitializing"
    assert conditions(failed)["Initialized"].startswith("False")


async def test_a_pod_ends_at_its_deadline(place: Place) -> None:
    failed = await after(place, pod(place, "a", "sleep 100", activeDeadlineSeconds=1), in_phase("Failed"))
    assert failed["status"]["reason"] == "DeadlineExceeded"
    assert failed["status"]["message"] == "Pod was active on the node longer than the specified deadline"


async def test_a_pod_waits_for_a_secret_that_it_names(place: Place) -> None:
    env = {"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "late", "key": "k"}}}]}
    manifest = pod(place, "a", 'test "$A" = value', env)
    found = await after(place, manifest, waits_for("CreateContainerConfigError"))
    assert at(found, "status.containerStatuses.0.state.waiting.message") == 'secret "late" not found'
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "late"}, "stringData": {"k": "value"}}
    await place.create(SECRETS, secret)
    await place.until(PODS, "a", in_phase("Succeeded"))


async def test_volumes_bring_what_the_api_holds(place: Place) -> None:
    settings = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}, "data": {"k": "v"}}
    await place.create(CONFIGMAPS, settings)
    volumes = [
        {"name": "m", "configMap": {"name": "m"}},
        {"name": "d", "downwardAPI": {"items": [{"path": "name", "fieldRef": {"fieldPath": "metadata.name"}}]}},
    ]
    mounts = {"volumeMounts": [{"name": "m", "mountPath": "/m"}, {"name": "d", "mountPath": "/d"}]}
    script = 'test "$(cat /m/k)" = v && test "$(cat /d/name)" = a'
    await after(place, pod(place, "a", script, mounts, volumes=volumes), in_phase("Succeeded"))


async def test_a_pod_gets_the_token_of_its_account_where_one_is_issued(place: Place) -> None:
    token = "/var/run/secrets/kubernetes.io/serviceaccount/token"
    script = f"test -s {token}" if place.name == "real" else f"test ! -e {token}"
    manifest = pod(place, "a", script, automountServiceAccountToken=None)
    await after(place, manifest, in_phase("Succeeded"))


async def test_a_deleted_pod_gets_its_grace_and_is_gone(place: Place) -> None:
    trap = "trap 'exit 0' TERM; while true; do sleep 0.1; done"
    await after(place, pod(place, "a", trap), in_phase("Running"))
    marked = await place.client.delete(PODS, "a", place.namespace, grace_s=20)
    assert marked["metadata"]["deletionGracePeriodSeconds"] == 20
    await place.until_gone(PODS, "a", 15)


async def test_a_finalizer_keeps_a_pod_that_has_ended(place: Place) -> None:
    manifest = pod(place, "a", "sleep 100")
    manifest["metadata"]["finalizers"] = ["example.com/held"]
    await after(place, manifest, in_phase("Running"))
    await place.client.delete(PODS, "a", place.namespace, grace_s=1)
    ended = await place.until(PODS, "a", in_phase("Failed", "Succeeded"), "ended")
    assert ended["metadata"]["deletionTimestamp"]
    await place.client.patch(PODS, "a", {"metadata": {"finalizers": None}}, place.namespace)
    await place.until_gone(PODS, "a")


async def test_what_a_kubelet_writes_is_kept_as_it_is(place: Place) -> None:
    """No warning, no field dropped: the status of a pod that nobody plays comes back as it was sent."""
    manifest = pod(place, "a", "true", nodeName=f"nobody-{place.unique}", nodeSelector={})
    await place.create(PODS, manifest)
    status = {
        "phase": "Running",
        "startTime": "2026-01-01T00:00:00Z",
        "podIP": "127.77.0.1",
        "podIPs": [{"ip": "127.77.0.1"}],
        "hostIP": "127.0.0.1",
        "hostIPs": [{"ip": "127.0.0.1"}],
        "containerStatuses": [
            {
                "name": "main",
                "image": "i:1",
                "imageID": "i:1",
                "containerID": "process://1",
                "ready": True,
                "started": True,
                "restartCount": 1,
                "state": {"running": {"startedAt": "2026-01-01T00:00:01Z"}},
                "lastState": {
                    "terminated": {
                        "exitCode": 137,
                        "reason": "OOMKilled",
                        "startedAt": "2026-01-01T00:00:00Z",
                        "finishedAt": "2026-01-01T00:00:01Z",
                    }
                },
            }
        ],
    }
    answer = await ask(place, Ask("PATCH pods/a/status", {"status": status}, kind=STRATEGIC))
    assert answer.status == 200, answer.text
    assert {key: answer.json["status"][key] for key in status} == status
