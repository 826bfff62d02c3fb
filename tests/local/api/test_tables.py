"""What `kubectl get` prints, cell by cell."""

from __future__ import annotations

from typing import Any

import pytest
from support.kubeapi import RunningApi, pod

from aiinfn_hub.local.api.columns import COLUMNS, duration
from aiinfn_hub.local.api.kinds import Resources
from aiinfn_hub.local.api.pod_columns import pod_ready, pod_restarts, pod_status
from aiinfn_hub.local.api.tables import printer

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z
BORN = "2025-12-31T23:58:20Z"
TABLE = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1,application/json"}


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-5, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (119, "119s"),
        (120, "2m"),
        (125, "2m5s"),
        (599, "9m59s"),
        (600, "10m"),
        (659, "10m"),
        (10799, "179m"),
        (10800, "3h"),
        (3 * 3600 + 60, "3h1m"),
        (8 * 3600 + 60, "8h"),
        (47 * 3600, "47h"),
        (48 * 3600, "2d"),
        (49 * 3600, "2d1h"),
        (8 * 86400 + 3600, "8d"),
        (729 * 86400, "729d"),
        (730 * 86400, "2y"),
        (735 * 86400, "2y5d"),
        (8 * 365 * 86400 + 86400, "8y"),
    ],
)
def test_spans_are_written_as_kubectl_writes_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def container(name: str = "main", *, ready: bool = False, restarts: int = 0, **state: Any) -> dict[str, Any]:
    return {"name": name, "ready": ready, "restartCount": restarts, "state": state}


def pod_with(phase: str = "Pending", *, init: int = 0, deleted: bool = False, **status: Any) -> dict[str, Any]:
    made = pod("a")
    made["status"] = {"phase": phase, **status}
    if init:
        made["spec"]["initContainers"] = [{"name": f"i{n}"} for n in range(init)]
    if deleted:
        made["metadata"]["deletionTimestamp"] = BORN
    return made


RUNNING = {"running": {"startedAt": BORN}}


@pytest.mark.parametrize(
    ("subject", "status"),
    [
        pytest.param(pod_with(), "Pending", id="the phase"),
        pytest.param(pod_with("Failed", reason="Evicted"), "Evicted", id="a reason beats the phase"),
        pytest.param(
            pod_with(conditions=[{"type": "PodScheduled", "reason": "SchedulingGated"}]), "SchedulingGated", id="gated"
        ),
        pytest.param(
            pod_with(containerStatuses=[container(waiting={"reason": "ImagePullBackOff"})]),
            "ImagePullBackOff",
            id="waiting",
        ),
        pytest.param(
            pod_with("Failed", containerStatuses=[container(terminated={"exitCode": 3, "reason": "Error"})]),
            "Error",
            id="ended",
        ),
        pytest.param(
            pod_with("Failed", containerStatuses=[container(terminated={"exitCode": 3})]),
            "ExitCode:3",
            id="ended without reason",
        ),
        pytest.param(
            pod_with("Failed", containerStatuses=[container(terminated={"exitCode": 137, "signal": 9})]),
            "Signal:9",
            id="killed",
        ),
        pytest.param(
            pod_with("Running", containerStatuses=[container(ready=True, **RUNNING)]), "Running", id="running"
        ),
        pytest.param(
            pod_with(
                "Running",
                containerStatuses=[
                    container("a", terminated={"exitCode": 0, "reason": "Completed"}),
                    container("b", ready=True, **RUNNING),
                ],
            ),
            "Running",
            id="one of two is done",
        ),
        pytest.param(
            pod_with(
                init=2, initContainerStatuses=[container("i0", terminated={"exitCode": 0}), container("i1", **RUNNING)]
            ),
            "Init:1/2",
            id="initialising",
        ),
        pytest.param(
            pod_with(init=1, initContainerStatuses=[container("i0", terminated={"exitCode": 1, "reason": "Error"})]),
            "Init:Error",
            id="an init container failed",
        ),
        pytest.param(
            pod_with(init=1, initContainerStatuses=[container("i0", waiting={"reason": "CrashLoopBackOff"})]),
            "Init:CrashLoopBackOff",
            id="an init container waits",
        ),
        pytest.param(
            pod_with("Running", deleted=True, containerStatuses=[container(ready=True, **RUNNING)]),
            "Terminating",
            id="leaving",
        ),
        pytest.param(pod_with("Succeeded", deleted=True), "Succeeded", id="leaving, but over"),
        pytest.param(pod_with("Running", deleted=True, reason="NodeLost"), "Unknown", id="on a lost node"),
    ],
)
def test_the_status_of_a_pod(subject: dict[str, Any], status: str) -> None:
    assert pod_status(subject) == status


def test_ready_containers_and_restarts() -> None:
    statuses = [container(ready=True, restarts=2), container("b", restarts=1)]
    statuses[0]["lastState"] = {"terminated": {"finishedAt": BORN}}
    subject = pod_with("Running", containerStatuses=statuses)
    assert pod_ready(subject) == "1/1"
    assert pod_restarts(subject, lambda _stamp: "2m") == "3 (2m ago)"
    assert pod_restarts(pod_with(), lambda _stamp: "2m") == "0"


def row(group: str, plural: str, obj: dict[str, Any]) -> dict[str, Any]:
    """The cells that are printed without `-o wide`, by column."""
    obj = {**obj, "metadata": {"name": "x", "creationTimestamp": BORN, **obj.get("metadata", {})}}
    columns = COLUMNS[group, plural]
    return {column.name: column.cell(obj, NOW) for column in columns if not column.priority}


def conditions(**statuses: str) -> dict[str, Any]:
    return {"conditions": [{"type": kind, "status": value} for kind, value in statuses.items()]}


@pytest.mark.parametrize(
    ("group", "plural", "obj", "cells"),
    [
        pytest.param(
            "",
            "nodes",
            {
                "metadata": {"labels": {"node-role.kubernetes.io/gpu": ""}},
                "spec": {"unschedulable": True},
                "status": {**conditions(Ready="True"), "nodeInfo": {"kubeletVersion": "v1"}},
            },
            {"Name": "x", "Status": "Ready,SchedulingDisabled", "Roles": "gpu", "Age": "100s", "Version": "v1"},
            id="a node that is cordoned",
        ),
        pytest.param("", "nodes", {}, {"Status": "Unknown", "Roles": "<none>"}, id="a node that says nothing"),
        pytest.param("", "nodes", {"status": conditions(Ready="False")}, {"Status": "NotReady"}, id="not ready"),
        pytest.param(
            "batch",
            "jobs",
            {
                "spec": {"completions": 3},
                "status": {
                    **conditions(Complete="True"),
                    "succeeded": 3,
                    "startTime": "2025-12-31T23:59:00Z",
                    "completionTime": "2025-12-31T23:59:30Z",
                },
            },
            {"Name": "x", "Status": "Complete", "Completions": "3/3", "Duration": "30s", "Age": "100s"},
            id="a job that is done",
        ),
        pytest.param(
            "batch",
            "jobs",
            {"spec": {"parallelism": 2}, "status": {"startTime": "2025-12-31T23:59:00Z"}},
            {"Status": "Running", "Completions": "0/1 of 2", "Duration": "60s"},
            id="a work queue at work",
        ),
        pytest.param(
            "batch", "jobs", {"spec": {"completions": 1}, "status": conditions(Suspended="True")},
            {"Status": "Suspended", "Duration": ""}, id="a job that waits",
        ),
        pytest.param(
            "batch", "jobs", {"spec": {"completions": 1}, "status": conditions(Failed="True")}, {"Status": "Failed"},
            id="a job that failed",
        ),
        pytest.param(
            "",
            "events",
            {"type": "Warning", "reason": "Failed", "message": " no \n", "involvedObject": {"kind": "Pod", "name": "a"},
             "lastTimestamp": "2025-12-31T23:59:50Z"},
            {"Last Seen": "10s", "Type": "Warning", "Reason": "Failed", "Object": "pod/a", "Message": "no"},
            id="an event",
        ),
        pytest.param("", "secrets", {"type": "Opaque", "data": {"a": ""}}, {"Type": "Opaque", "Data": 1}, id="secret"),
        pytest.param("", "configmaps", {}, {"Data": 0}, id="an empty map"),
        pytest.param(
            "",
            "persistentvolumeclaims",
            {"spec": {"storageClassName": "nfs"}, "status": {"phase": "Bound", "accessModes": ["ReadWriteMany"],
             "capacity": {"storage": "1Gi"}}},
            {"Status": "Bound", "Capacity": "1Gi", "Access Modes": "RWX", "StorageClass": "nfs"},
            id="a claim",
        ),
        pytest.param(
            "", "services", {"spec": {"type": "ClusterIP", "clusterIP": "10.96.0.1", "ports": [{"port": 80}]}},
            {"Type": "ClusterIP", "Cluster-IP": "10.96.0.1", "External-IP": "<none>", "Port(s)": "80/TCP"},
            id="service",
        ),
        pytest.param(
            "kueue.x-k8s.io",
            "workloads",
            {
                "spec": {"queueName": "q"},
                "status": {"admission": {"clusterQueue": "cq"}, **conditions(Admitted="True")},
            },
            {"Queue": "q", "Reserved in": "cq", "Admitted": "True", "Finished": "", "Age": "100s"},
            id="a workload",
        ),
        pytest.param(
            "scheduling.k8s.io", "priorityclasses", {"value": 5}, {"Value": 5, "Global-Default": False}, id="a priority"
        ),
    ],
)  # fmt: skip
def test_rows(group: str, plural: str, obj: dict[str, Any], cells: dict[str, Any]) -> None:
    printed = row(group, plural, obj)
    assert {name: printed[name] for name in cells} == cells


def test_every_builtin_kind_can_be_printed() -> None:
    obj = {"metadata": {"name": "x", "creationTimestamp": BORN}, "spec": {"containers": []}}
    for resource in Resources():
        found = printer(resource)
        assert len(found.cells(obj, NOW)) == len(found.definitions())


@pytest.mark.asyncio
async def test_a_table_carries_what_was_asked_for(api: RunningApi) -> None:
    path = "/api/v1/namespaces/default/pods"
    await api.call("POST", path, pod("a"))
    table = (await api.call("GET", path, headers=TABLE)).json
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [c["name"] for c in table["columnDefinitions"]][:5] == ["Name", "Ready", "Status", "Restarts", "Age"]
    assert table["rows"][0]["cells"][:4] == ["a", "0/1", "Pending", "0"]
    assert table["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    whole = (await api.call("GET", f"{path}?includeObject=Object", headers=TABLE)).json
    assert whole["rows"][0]["object"]["spec"]["containers"][0]["image"] == "busybox:1"
    bare = (await api.call("GET", f"{path}/a?includeObject=None", headers=TABLE)).json
    assert "object" not in bare["rows"][0]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    "accept", ["", "*/*", "application/json", "application/vnd.kubernetes.protobuf,application/json", "x;y;z"]
)
async def test_other_wishes_get_the_objects(api: RunningApi, accept: str) -> None:
    answer = await api.call("GET", "/api/v1/namespaces", headers={"Accept": accept})
    assert answer.json["kind"] == "NamespaceList"
