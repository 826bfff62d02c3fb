"""Creating, reading, changing: metadata, versions, conflicts, the wording of errors."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from support.kubeapi import RunningApi, pod, running_api

from aiinfn_hub.errors import Forbidden, InvalidInput
from aiinfn_hub.kube.client import CONFIGMAPS, NAMESPACES, NODES, PODS, PRIORITY_CLASSES, SECRETS, KubeClient

pytestmark = pytest.mark.asyncio

PODS_PATH = "/api/v1/namespaces/default/pods"
MAPS_PATH = "/api/v1/namespaces/default/configmaps"


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


async def test_a_new_object_gets_what_only_the_server_knows(client: KubeClient) -> None:
    made = await client.create(CONFIGMAPS, config_map("a", x="1"), "default")
    meta = made["metadata"]
    assert (made["apiVersion"], made["kind"]) == ("v1", "ConfigMap")
    assert re.fullmatch(r"[0-9a-f-]{36}", meta["uid"])
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", meta["creationTimestamp"])
    assert int(meta["resourceVersion"]) > 0
    assert meta["namespace"] == "default"
    assert await client.get(CONFIGMAPS, "a", "default") == made


async def test_versions_grow_with_every_change_of_anything(client: KubeClient) -> None:
    first = await client.create(CONFIGMAPS, config_map("a"), "default")
    second = await client.create(SECRETS, {"metadata": {"name": "s"}}, "default")
    third = await client.patch(CONFIGMAPS, "a", {"data": {"x": "1"}}, "default")
    versions = [int(obj["metadata"]["resourceVersion"]) for obj in (first, second, third)]
    assert versions == sorted(set(versions))


async def test_an_update_cannot_move_an_object(client: KubeClient) -> None:
    made = await client.create(CONFIGMAPS, config_map("a"), "default")
    changed = await client.patch(
        CONFIGMAPS, "a", {"metadata": {"uid": made["metadata"]["uid"], "generateName": "x"}}, "default"
    )
    assert changed["metadata"].get("generateName") is None
    with pytest.raises(InvalidInput, match="does not match the name on the URL"):
        await client.patch(CONFIGMAPS, "a", {"metadata": {"name": "b"}}, "default")


async def test_generation_counts_changes_of_the_specification_only(client: KubeClient) -> None:
    await client.create(PODS, pod("a"), "default")
    await client.patch(PODS, "a", {"metadata": {"labels": {"x": "1"}}}, "default")
    await client.patch(PODS, "a", {"status": {"phase": "Running"}}, "default", subresource="status")
    assert (await client.get(PODS, "a", "default"))["metadata"]["generation"] == 1
    changed = await client.patch(PODS, "a", {"spec": {"activeDeadlineSeconds": 5}}, "default")
    assert changed["metadata"]["generation"] == 2


async def test_a_node_registers_with_its_status(client: KubeClient) -> None:
    made = await client.create(NODES, {"metadata": {"name": "n1"}, "status": {"allocatable": {"cpu": "4"}}})
    assert made["status"]["allocatable"] == {"cpu": "4"}


async def test_nulls_are_as_good_as_absent(client: KubeClient) -> None:
    body = {"metadata": {"name": "a", "creationTimestamp": None, "labels": {"x": None, "y": "1"}}, "data": None}
    made = await client.create(CONFIGMAPS, body, "default")
    assert made["metadata"]["labels"] == {"y": "1"}
    assert "data" not in made


async def test_admission_changes_and_refuses_what_is_created(tmp_path: Any) -> None:
    seen = []

    def admit(kind: Any, obj: dict[str, Any]) -> dict[str, Any]:
        seen.append((kind.plural, obj["metadata"]["name"]))
        if obj["metadata"]["name"] == "bad":
            raise InvalidInput('admission webhook "x" denied the request')
        assert kind != PODS or obj["spec"]["restartPolicy"] == "Always", "defaults come first"
        return {**obj, "metadata": {**obj["metadata"], "labels": {"admitted": "yes"}}}

    async with running_api(tmp_path, admission=admit) as api:
        client = await KubeClient.connect(api.kubeconfig)
        made = await client.create(PODS, pod("a"), "default")
        assert made["metadata"]["labels"] == {"admitted": "yes"}
        with pytest.raises(InvalidInput, match="denied the request"):
            await client.create(PODS, pod("bad"), "default")
        await client.patch(PODS, "a", {"metadata": {"labels": {"admitted": None}}}, "default")
        await client.close()
    assert [entry for entry in seen if entry[0] == "pods"] == [("pods", "a"), ("pods", "bad")]


async def test_server_side_apply_creates_and_then_merges(api: RunningApi) -> None:
    async def apply(body: Any) -> Any:
        path = f"{PODS_PATH}/a?fieldManager=me"
        return await api.call("PATCH", path, body, content_type="application/apply-patch+yaml")

    created = await apply(pod("a"))
    assert created.status == 201
    changed = await apply({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "labels": {"x": "1"}}})
    assert (changed.status, changed.json["metadata"]["labels"]) == (200, {"x": "1"})
    assert changed.json["spec"] == created.json["spec"]


async def test_secrets_never_come_back_in_an_error(api: RunningApi) -> None:
    secret = {"metadata": {"name": "s"}, "data": {"key": "hunter2 is no base64"}}
    answer = await api.call("POST", "/api/v1/namespaces/default/secrets", secret)
    assert answer.status == 400
    assert "hunter2" not in answer.text


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        ("{not json", "application/json", 400),
        ("[" * 100_000, "application/json", 400),
        ('{"metadata": {"name": "a"}, "x": ' + "[" * 600 + "]" * 600 + "}", "application/json", 400),
        (b"\xff\xfe".decode("latin1"), "application/json", 400),
        ('{"metadata": {"name": 5}}', "application/json", 400),
        ('{"metadata": []}', "application/json", 400),
        ('{"metadata": {"name": "a", "ownerReferences": [{}]}}', "application/json", 422),
    ],
)
async def test_nonsense_is_refused_in_words(api: RunningApi, body: str, content_type: str, status: int) -> None:
    answer = await api.call("POST", MAPS_PATH, body, content_type=content_type)
    assert answer.status == status
    assert answer.json["kind"] == "Status"


MERGE = "application/merge-patch+json"


@pytest.mark.parametrize(
    ("method", "path", "content_type"),
    [
        ("POST", f"{PODS_PATH}/a/binding", "application/json"),
        ("POST", f"{PODS_PATH}/a/eviction", "application/json"),
        ("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", "application/json"),
        ("DELETE", f"{PODS_PATH}/a", "application/json"),
        ("DELETE", PODS_PATH, "application/json"),
        ("PUT", f"{PODS_PATH}/a", "application/json"),
        ("PUT", f"{PODS_PATH}/a/status", "application/json"),
        ("PATCH", f"{PODS_PATH}/a", MERGE),
        ("PATCH", f"{PODS_PATH}/a", "application/strategic-merge-patch+json"),
        ("PATCH", f"{PODS_PATH}/a", "application/json-patch+json"),
        ("PATCH", f"{PODS_PATH}/b", "application/apply-patch+yaml"),
    ],
)
async def test_no_body_is_too_odd_for_an_answer(api: RunningApi, method: str, path: str, content_type: str) -> None:
    for body in ([], "x", 5, None, {"target": "n"}, {"target": {"name": 5}}, {"metadata": "x"}, {"deleteOptions": []}):
        await api.call("POST", PODS_PATH, pod("a"))
        answer = await api.call(method, path, json.dumps(body), content_type=content_type)
        # The real one takes a binding without a node for a mistake of its own.
        assert answer.status < 500 or answer.json["message"] == "target.name: Required value", body
        assert answer.json["kind"]


async def test_a_status_is_not_deleted(api: RunningApi, client: KubeClient) -> None:
    await client.create(PODS, pod("a"), "default")
    assert (await api.call("DELETE", f"{PODS_PATH}/a/status")).status == 405
    assert (await client.get(PODS, "a", "default"))["metadata"]["name"] == "a"


async def test_cluster_wide_kinds_are_in_no_namespace(api: RunningApi) -> None:
    assert (await api.call("GET", "/api/v1/namespaces/default/nodes")).status == 404
    assert (await api.call("GET", "/api/v1/pods/a")).status == 404


async def test_a_patch_of_a_namespace_keeps_what_holds_it(api: RunningApi, client: KubeClient) -> None:
    changed = await client.patch(NAMESPACES, "default", {"spec": None, "metadata": {"labels": {"a": "b"}}})
    assert changed["spec"] == {"finalizers": ["kubernetes"]}
    assert changed["metadata"]["labels"]["a"] == "b"


async def test_a_body_may_not_be_endless(api: RunningApi) -> None:
    answer = await api.call("POST", MAPS_PATH, config_map("a", x="y" * (4 * 1024 * 1024)))
    assert (answer.status, answer.json["reason"]) == (413, "RequestEntityTooLarge")
    answer = await api.call("POST", MAPS_PATH, config_map("a", x="y" * (1024 * 1024 + 1)))
    assert (answer.status, answer.json["reason"]) == (422, "Invalid")
    assert "Too long: may not be more than 1048576 bytes" in answer.json["message"]


async def test_custom_kinds_have_no_strategic_merge(api: RunningApi) -> None:
    path = "/apis/kueue.x-k8s.io/v1beta2/resourceflavors"
    await api.call("POST", path, {"metadata": {"name": "f"}, "spec": {}})
    answer = await api.call(
        "PATCH", f"{path}/f", {"spec": {"a": 1}}, content_type="application/strategic-merge-patch+json"
    )
    assert (answer.status, answer.json["reason"]) == (415, "UnsupportedMediaType")
    merged = await api.call("PATCH", f"{path}/f", {"spec": {"a": 1}}, content_type="application/merge-patch+json")
    assert merged.json["spec"] == {"a": 1}
    assert merged.json["metadata"]["generation"] == 2


async def test_the_status_of_a_custom_kind_is_written_alone(api: RunningApi) -> None:
    path = "/apis/kueue.x-k8s.io/v1beta2/clusterqueues"
    await api.call("POST", path, {"metadata": {"name": "q"}, "spec": {"a": 1}, "status": {"ignored": True}})
    patch = {"metadata": {"labels": {"x": "1"}}, "status": {"pendingWorkloads": 3}, "spec": {"a": 2}}
    answer = await api.call("PATCH", f"{path}/q/status", patch, content_type="application/merge-patch+json")
    assert answer.json["status"] == {"pendingWorkloads": 3}
    assert answer.json["spec"] == {"a": 1}
    assert "labels" not in answer.json["metadata"]
    assert answer.json["metadata"]["generation"] == 1


async def test_namespaces_start_active(client: KubeClient) -> None:
    made = await client.create(NAMESPACES, {"metadata": {"name": "team"}})
    assert made["status"] == {"phase": "Active"}
    assert made["metadata"]["labels"] == {"kubernetes.io/metadata.name": "team"}
    assert {"default", "kube-system"} <= {n["metadata"]["name"] for n in (await client.list(NAMESPACES))[0]}


async def test_a_priority_class_becomes_a_number(client: KubeClient) -> None:
    await client.create(PRIORITY_CLASSES, {"metadata": {"name": "batch"}, "value": -10})
    made = await client.create(PODS, pod("a", priorityClassName="batch"), "default")
    assert made["spec"]["priority"] == -10
    with pytest.raises(Forbidden, match='pods "b" is forbidden: no PriorityClass with name nope was found'):
        await client.create(PODS, pod("b", priorityClassName="nope"), "default")
    with pytest.raises(InvalidInput, match="may not be changed in an update"):
        await client.patch(PRIORITY_CLASSES, "batch", {"value": 5})


async def test_events_of_both_groups_are_the_same_events(api: RunningApi) -> None:
    new = {
        "metadata": {"name": "e"},
        "regarding": {"kind": "Pod", "name": "a", "namespace": "default"},
        "reason": "Queued",
        "note": "waiting for quota",
        "reportingController": "aiinfn",
        "eventTime": "2026-01-01T00:00:00.000000Z",
    }
    made = await api.call("POST", "/apis/events.k8s.io/v1/namespaces/default/events", new)
    assert (made.status, made.json["note"], made.json["apiVersion"]) == (201, "waiting for quota", "events.k8s.io/v1")
    core = await api.call("GET", "/api/v1/namespaces/default/events?fieldSelector=involvedObject.name=a")
    assert [event["message"] for event in core.json["items"]] == ["waiting for quota"]
    assert core.json["items"][0]["reportingComponent"] == "aiinfn"


async def test_older_versions_of_kueue_show_the_same_objects(api: RunningApi) -> None:
    await api.call("POST", "/apis/kueue.x-k8s.io/v1beta1/clusterqueues", {"metadata": {"name": "q"}, "spec": {}})
    found = await api.call("GET", "/apis/kueue.x-k8s.io/v1beta2/clusterqueues/q")
    assert found.json["apiVersion"] == "kueue.x-k8s.io/v1beta2"
    old = await api.call("GET", "/apis/kueue.x-k8s.io/v1beta1/clusterqueues")
    assert [item["apiVersion"] for item in old.json["items"]] == ["kueue.x-k8s.io/v1beta1"]
