"""Slim records: what is kept of an object, and what it costs."""

from __future__ import annotations

import json
import tracemalloc
from typing import Any

import msgspec
import pytest
from support.kubefake import a_node, raw

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.kube import amounts, shapes, slim
from aiinfn_hub.kube.amounts import amount, pod_requests
from aiinfn_hub.kube.moments import rfc3339, rfc3339_micro, unix
from aiinfn_hub.kube.slim import Condition, Pod, Taint, decode_node, decode_pod, decode_workload

T = "2027-01-15T08:00:0{}Z"
T0 = 1_800_000_000.0


def kubespawner_pod(number: int = 0) -> dict[str, Any]:
    """A session's pod, about as large as real ones are."""
    resources = {"cpu": "4", "memory": "16Gi", "nvidia.com/gpu": "1"}
    mounts = [{"name": f"volume-{n}", "mountPath": f"/data/{n}", "readOnly": n % 2 == 0} for n in range(12)]
    container = {
        "name": "notebook",
        "image": "ghcr.io/org/image@sha256:" + "0" * 64,
        "resources": {"requests": resources, "limits": resources},
        "env": [{"name": f"VARIABLE_{n}", "value": f"value {n} of pod {number}" * 3} for n in range(30)],
        "volumeMounts": mounts,
    }
    ended = {"type": "PodReadyToStartContainers", "status": "True", "lastTransitionTime": T.format(2)}
    labels = {
        "app.kubernetes.io/component": "singleuser-server",
        "app.kubernetes.io/managed-by": "kubespawner",
        "hub.jupyter.org/username": f"person-{number}",
        "hub.jupyter.org/servername": "",
        "aiinfn.infn.it/kind": "session",
        "aiinfn.infn.it/activity": "cms-ml",
        "aiinfn.infn.it/flavour": "a100-40",
        "aiinfn.infn.it/person": f"person-{number}",
        "kueue.x-k8s.io/queue-name": "cms-ml-interactive",
        "kueue.x-k8s.io/managed": "true",
    }
    annotations = {
        "aiinfn.infn.it/person-name": f"person {number}",
        "kueue.x-k8s.io/workload": f"pod-{number}-abcde",
        "kubectl.kubernetes.io/last-applied-configuration": "x" * 4000,
    }
    return {
        "metadata": {
            "uid": f"0000-{number}",
            "name": f"jupyter-person-{number}",
            "namespace": "aiinfn",
            "resourceVersion": str(1000 + number),
            "creationTimestamp": T.format(0),
            "labels": labels,
            "annotations": annotations,
            "managedFields": [{"manager": "x", "fieldsV1": {f"f:{n}": {} for n in range(100)}}],
        },
        "spec": {"nodeName": "gpu-1", "containers": [container], "volumes": mounts},
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "startTime": T.format(1),
            "conditions": [
                {"type": "PodScheduled", "status": "True", "lastTransitionTime": T.format(1)},
                {"type": "Ready", "status": "True", "lastTransitionTime": T.format(3)},
                ended,
                {"type": "Initialized", "status": "True", "lastTransitionTime": T.format(2)},
                {"type": "ContainersReady", "status": "True", "lastTransitionTime": T.format(3)},
            ],
            "containerStatuses": [{"name": "notebook", "state": {"running": {"startedAt": T.format(2)}}}],
        },
    }


def test_a_pod_becomes_flat() -> None:
    pod = decode_pod(raw(kubespawner_pod()))
    assert (pod.uid, pod.name, pod.namespace, pod.rv) == ("0000-0", "jupyter-person-0", "aiinfn", "1000")
    assert (pod.node, pod.phase, pod.ip, pod.ready) == ("gpu-1", "Running", "10.0.0.1", True)
    assert pod.requests == {"cpu": 4000, "memory": 16 * 2**30, "nvidia.com/gpu": 1}
    assert (pod.created, pod.scheduled, pod.started, pod.ran_from, pod.finished) == (T0, T0 + 1, T0 + 1, T0 + 2, None)
    assert pod.labels["aiinfn.infn.it/flavour"] == "a100-40"
    assert set(pod.annotations) == {"aiinfn.infn.it/person-name", "kueue.x-k8s.io/workload"}
    assert pod.conditions["Ready"] == Condition("True")


def test_a_thousand_kept_pods_cost_less_than_two_kibibytes_each() -> None:
    texts = [raw(kubespawner_pod(number)) for number in range(1000)]
    assert len(texts[0]) > 9000
    decode_pod(texts[0])
    tracemalloc.start()
    try:
        kept = {pod.uid: pod for pod in map(decode_pod, texts)}
        # Of these lines alone: a thread that an earlier test left may take some too.
        own = [tracemalloc.Filter(True, file) for file in (slim.__file__, amounts.__file__, shapes.__file__, __file__)]
        taken = sum(one.size for one in tracemalloc.take_snapshot().filter_traces(own).statistics("filename"))
    finally:
        tracemalloc.stop()
    assert len(kept) == 1000
    assert 200 < taken / 1000 <= 2048


def ended(code: int, reason: str = "", at: int = 5) -> dict[str, Any]:
    return {"terminated": {"exitCode": code, "reason": reason, "startedAt": T.format(2), "finishedAt": T.format(at)}}


@pytest.mark.parametrize(
    ("statuses", "outcome"),
    [
        pytest.param([], (None, ""), id="nothing has run"),
        pytest.param([{"state": ended(0, "Completed")}], (0, "Completed"), id="it ended well"),
        pytest.param([{"state": ended(137, "OOMKilled")}], (137, "OOMKilled"), id="it was killed"),
        pytest.param(
            [{"state": ended(0)}, {"state": ended(3, "Error")}], (3, "Error"), id="the one that failed is told"
        ),
        pytest.param([{"state": {"running": {}}}], (None, ""), id="it runs"),
        pytest.param([{"state": None}], (None, ""), id="null"),
    ],
)
def test_how_a_pod_ended(statuses: list[Any], outcome: tuple[int | None, str]) -> None:
    pod = decode_pod(raw(kubespawner_pod() | {"status": {"phase": "Failed", "containerStatuses": statuses}}))
    assert (pod.exit_code, pod.exit_reason) == outcome


def test_the_end_is_that_of_the_last_container_and_the_start_that_of_the_first_run() -> None:
    restarted = {"state": ended(1, at=9), "lastState": {"terminated": {"exitCode": 1, "startedAt": T.format(1)}}}
    pod = decode_pod(raw(kubespawner_pod() | {"status": {"containerStatuses": [{"state": ended(0)}, restarted]}}))
    assert (pod.ran_from, pod.finished) == (T0 + 1, T0 + 9)


def test_a_container_that_cannot_start_says_why() -> None:
    waiting = {"state": {"waiting": {"reason": "ImagePullBackOff", "message": "..."}}}
    pod = decode_pod(raw(kubespawner_pod() | {"status": {"containerStatuses": [waiting]}}))
    assert pod.waiting == "ImagePullBackOff"


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'{"metadata": {"uid": "u", "name": "p"}}', id="almost nothing"),
        pytest.param(b'{"metadata": {"uid": "u", "labels": null}, "spec": {}, "status": {}}', id="empty parts"),
        pytest.param(b'{"metadata": {"uid": "u"}, "spec": {"containers": null}, "status": null}', id="nulls"),
        pytest.param(b'{"metadata": {"uid": "u"}, "spec": {"containers": [{"name": "c"}]}}', id="no resources"),
    ],
)
def test_what_is_not_there_is_not_needed(text: bytes) -> None:
    pod = decode_pod(text)
    assert (pod.uid, pod.requests, pod.phase, pod.node) == ("u", {}, "Pending", "")


def test_the_controller_is_the_owner() -> None:
    owners = [{"kind": "A", "uid": "1"}, {"kind": "Job", "uid": "2", "controller": True}]
    pod = decode_pod(raw({"metadata": {"uid": "u", "ownerReferences": owners}}))
    assert (pod.owner_kind, pod.owner_uid) == ("Job", "2")


@pytest.mark.parametrize(
    ("resource", "text", "value"),
    [
        ("cpu", "4", 4000),
        ("cpu", "500m", 500),
        ("cpu", 0.5, 500),
        ("cpu", "2e1", 20000),
        ("memory", "16Gi", 16 * 2**30),
        ("memory", 1024, 1024),
        ("cpu", "1k", 1_000_000),
        ("cpu", "1Ki", 1_024_000),
        ("memory", "1e9", 10**9),
        ("memory", "128974848000m", 128974848),
        ("nvidia.com/gpu", "8", 8),
        ("pods", "110", 110),
        ("ephemeral-storage", "1k", 1000),
    ],
)
def test_amounts(resource: str, text: Any, value: int) -> None:
    assert amount(resource, text) == value


@pytest.mark.parametrize("text", ["", "many", "1x", "--1"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(InvalidInput):
        amount("memory", text)


def requests(spec: dict[str, Any]) -> dict[str, int]:
    return pod_requests(msgspec.json.decode(json.dumps(spec), type=shapes.PodSpec))


def asking(cpu: str, **fields: Any) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": {"cpu": cpu}}} | fields


@pytest.mark.parametrize(
    ("spec", "cpu"),
    [
        pytest.param({"containers": [asking("1"), asking("2")]}, 3000, id="containers add up"),
        pytest.param({"containers": [asking("1")], "initContainers": [asking("4"), asking("2")]}, 4000, id="init"),
        pytest.param({"containers": [asking("3")], "initContainers": [asking("1")]}, 3000, id="a small init container"),
        pytest.param(
            {"containers": [asking("1")], "initContainers": [asking("2", restartPolicy="Always")]}, 3000, id="sidecar"
        ),
        pytest.param(
            {"containers": [asking("1")], "initContainers": [asking("1", restartPolicy="Always"), asking("4")]},
            5000,
            id="an init container runs beside the sidecars before it",
        ),
        pytest.param({"containers": [asking("1")], "overhead": {"cpu": "250m"}}, 1250, id="overhead"),
        pytest.param({"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}}}]}, 2000, id="a limit alone"),
        pytest.param(
            {"containers": [{"name": "c", "resources": {"limits": {"cpu": "2"}, "requests": {"cpu": "1"}}}]},
            1000,
            id="a request under its limit",
        ),
    ],
)
def test_what_a_pod_asks_for(spec: dict[str, Any], cpu: int) -> None:
    assert requests(spec)["cpu"] == cpu


GIB = 2**30
DISK = {"containers": [{"resources": {"requests": {"ephemeral-storage": "10Gi"}}}]}
MADE = {"ephemeral": {"volumeClaimTemplate": {"spec": {"resources": {"requests": {"storage": "100Gi"}}}}}}


@pytest.mark.parametrize(
    ("spec", "gib"),
    [
        pytest.param({}, 0, id="nothing"),
        pytest.param(DISK, 10, id="what it reserves of the node's disk"),
        pytest.param({"volumes": [{"emptyDir": {"sizeLimit": "50Gi"}}]}, 50, id="a scratch folder"),
        pytest.param(DISK | {"volumes": [{"emptyDir": {"sizeLimit": "4Gi"}}]}, 10, id="a folder within it"),
        pytest.param(DISK | {"volumes": [{"emptyDir": {"sizeLimit": "50Gi"}}]}, 50, id="a folder beyond it"),
        pytest.param({"volumes": [{"emptyDir": {"sizeLimit": "4Gi", "medium": "Memory"}}]}, 0, id="memory"),
        pytest.param({"volumes": [{"emptyDir": {}}, {"emptyDir": None}]}, 0, id="no limit is no number"),
        pytest.param(DISK | {"volumes": [MADE]}, 110, id="a volume that is made for it"),
        pytest.param({"volumes": [{"ephemeral": {"volumeClaimTemplate": {"spec": {}}}}, {"ephemeral": {}}]}, 0, id="-"),
        pytest.param({"volumes": [{"persistentVolumeClaim": {"claimName": "homes"}}]}, 0, id="homes are shared"),
    ],
)
def test_storage_that_is_a_pods_own(spec: dict[str, Any], gib: int) -> None:
    found = {"metadata": {"uid": "u", "name": "p", "namespace": "n"}, "spec": spec}
    assert decode_pod(raw(found)).storage == gib * GIB


def test_a_node_becomes_flat() -> None:
    taint = {"key": "site", "effect": "NoSchedule", "value": "x"}
    node = decode_node(raw(a_node("n1", labels={"gpu": "a100"}, taints=[taint], unschedulable=True, gpu=2)))
    assert (node.name, node.ready, node.unschedulable, node.since) == ("n1", True, True, 1767225600.0)
    assert node.taints == (Taint("site", "x", "NoSchedule"),)
    assert node.allocatable["nvidia.com/gpu"] == 2
    assert node.labels["gpu"] == "a100"


def test_a_node_that_says_nothing_is_not_ready_and_has_nothing() -> None:
    node = decode_node(b'{"metadata": {"uid": "u", "name": "n"}}')
    assert (node.ready, node.allocatable, node.taints) == (False, {}, ())


def test_a_workload_becomes_flat() -> None:
    podset = {"name": "main", "flavors": {"nvidia.com/gpu": "a100", "cpu": "any"}}
    found = {
        "metadata": {
            "uid": "w",
            "name": "job-fit-1",
            "namespace": "aiinfn",
            "ownerReferences": [{"kind": "Job", "uid": "j", "name": "fit", "controller": True}],
        },
        "spec": {"queueName": "cms-ml-batch", "priority": 100, "active": True},
        "status": {
            "conditions": [{"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": "1 more"}],
            "admission": {"clusterQueue": "batch", "podSetAssignments": [podset]},
        },
    }
    workload = decode_workload(raw(found))
    assert (workload.owner_kind, workload.owner_uid, workload.owner_name) == ("Job", "j", "fit")
    assert (workload.queue, workload.cluster_queue, workload.priority) == ("cms-ml-batch", "batch", 100)
    assert workload.conditions["QuotaReserved"] == Condition("False", "Pending", "1 more")
    assert workload.flavors == {"nvidia.com/gpu": "a100", "cpu": "any"}
    assert workload.admitted is None


@pytest.mark.parametrize(("status", "admitted"), [("True", T0), ("False", None)])
def test_when_a_workload_was_let_in_is_kept(status: str, admitted: float | None) -> None:
    condition = {"type": "Admitted", "status": status, "lastTransitionTime": rfc3339(T0)}
    found = {"metadata": {"uid": "w", "name": "w", "namespace": "aiinfn"}, "status": {"conditions": [condition]}}
    assert decode_workload(raw(found)).admitted == admitted


@pytest.mark.parametrize(
    ("conditions", "released"),
    [
        pytest.param({}, None, id="it waits"),
        pytest.param({"Admitted": ("True", T0)}, None, id="it holds"),
        pytest.param({"Admitted": ("True", T0), "Finished": ("True", T0 + 9)}, T0 + 9, id="it is over"),
        pytest.param({"Admitted": ("True", T0), "Evicted": ("True", T0 + 5)}, None, id="it is being evicted"),
        pytest.param({"Admitted": ("False", T0 + 6), "Evicted": ("True", T0 + 5)}, T0 + 6, id="it was evicted"),
        pytest.param({"Admitted": ("False", T0 + 5)}, None, id="it was not let in"),
        pytest.param({"Admitted": ("True", T0 + 7), "Evicted": ("True", T0 + 5)}, None, id="and let in again"),
        pytest.param({"Admitted": ("True", T0 + 7), "Evicted": ("False", T0 + 7)}, None, id="and Kueue says so"),
    ],
)
def test_when_a_workload_gave_its_place_back(conditions: dict[str, tuple[str, float]], released: float | None) -> None:
    listed = [
        {"type": name, "status": status, "lastTransitionTime": rfc3339(at)} for name, (status, at) in conditions.items()
    ]
    found = {"metadata": {"uid": "w", "name": "w", "namespace": "aiinfn"}, "status": {"conditions": listed}}
    assert decode_workload(raw(found)).released == released


def test_records_do_not_change() -> None:
    pod = Pod(uid="u", name="p", namespace="n")
    with pytest.raises(AttributeError):
        pod.phase = "Failed"  # type: ignore[misc]


def test_times_are_written_as_they_are_read() -> None:
    assert rfc3339(T0 + 0.9) == "2027-01-15T08:00:00Z"
    assert unix(rfc3339(T0)) == T0
    assert unix(rfc3339_micro(T0 + 0.25)) == T0 + 0.25
    with pytest.raises(InvalidInput):
        unix("yesterday")
