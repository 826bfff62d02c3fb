"""Pods: defaults, rules at creation, what an update may change, binding, eviction."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from support.kubeapi import RunningApi, pod

from aiinfn_hub.errors import Conflict, InvalidInput
from aiinfn_hub.kube.client import PODS, Kind, KubeClient
from aiinfn_hub.local.api.pod_defaults import default_pod, qos_class
from aiinfn_hub.local.api.pod_rules import pod_changes, pod_problems

GATE = "kueue.x-k8s.io/admission"
PODS_PATH = "/api/v1/namespaces/default/pods"


def defaulted(**spec: Any) -> dict[str, Any]:
    made = pod("a", **spec)
    default_pod(made)
    return made


def container(**fields: Any) -> dict[str, Any]:
    return {"containers": [{"name": "main", "image": "i:1", **fields}]}


def needs(requests: dict[str, Any] | None = None, limits: dict[str, Any] | None = None) -> dict[str, Any]:
    parts = {"requests": requests, "limits": limits}
    return container(resources={key: value for key, value in parts.items() if value is not None})


def test_defaults_are_filled_in_and_what_is_there_stays() -> None:
    spec = defaulted(
        containers=[
            {"name": "a", "image": "x/y", "ports": [{"containerPort": 1}], "readinessProbe": {"httpGet": {"port": 1}}},
            {"name": "b", "image": "x:5000/y:1", "imagePullPolicy": "Never", "resources": {"limits": {"cpu": 2}}},
            {
                "name": "c",
                "image": "x@sha256:00",
                "env": [{"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "f"}}}],
            },
        ],
        volumes=[{"name": "v"}, {"name": "s", "secret": {"secretName": "s"}}],
        restartPolicy="Never",
    )["spec"]
    first, second, third = spec["containers"]
    assert spec["restartPolicy"] == "Never"
    assert spec["terminationGracePeriodSeconds"] == 30
    assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
    assert [c["imagePullPolicy"] for c in spec["containers"]] == ["Always", "Never", "IfNotPresent"]
    assert first["ports"] == [{"containerPort": 1, "protocol": "TCP"}]
    assert first["readinessProbe"]["httpGet"] == {"port": 1, "scheme": "HTTP", "path": "/"}
    assert first["readinessProbe"]["failureThreshold"] == 3
    assert second["resources"] == {"limits": {"cpu": "2"}, "requests": {"cpu": "2"}}
    assert third["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert spec["volumes"] == [
        {"name": "v", "emptyDir": {}},
        {"name": "s", "secret": {"secretName": "s", "defaultMode": 420}},
    ]


def test_defaults_filled_in_twice_are_filled_in_once() -> None:
    once = defaulted(**needs(limits={"cpu": "0.5", "memory": "1024Mi"}))
    twice = copy.deepcopy(once)
    default_pod(twice)
    assert twice == once


@pytest.mark.parametrize(
    ("requests", "limits", "quality"),
    [
        (None, None, "BestEffort"),
        ({"nvidia.com/gpu": 1}, {"nvidia.com/gpu": 1}, "BestEffort"),
        ({"cpu": "1"}, None, "Burstable"),
        ({"cpu": "1", "memory": "1Gi"}, {"cpu": "1", "memory": "1Gi"}, "Guaranteed"),
        ({"cpu": "1", "memory": "1Gi"}, {"cpu": "1000m", "memory": "1024Mi"}, "Guaranteed"),
        ({"cpu": "1", "memory": "1Gi"}, {"cpu": "2", "memory": "1Gi"}, "Burstable"),
        ({"cpu": "1"}, {"cpu": "1"}, "Burstable"),
    ],
)
def test_quality_of_service(requests: Any, limits: Any, quality: str) -> None:
    assert qos_class(needs(requests, limits)) == quality


@pytest.mark.parametrize(
    ("spec", "problem"),
    [
        pytest.param({"containers": []}, "spec.containers: Required value", id="no containers"),
        pytest.param(container(name=""), "spec.containers[0].name: Required value", id="a container without name"),
        pytest.param(
            container(name="A"), 'spec.containers[0].name: Invalid value: "A": a lowercase RFC', id="a bad name"
        ),
        pytest.param(container(image=""), "spec.containers[0].image: Required value", id="no image"),
        pytest.param(
            {"containers": [{"name": "a", "image": "i"}, {"name": "a", "image": "i"}]},
            'spec.containers[1].name: Duplicate value: "a"',
            id="a name twice",
        ),
        pytest.param(
            {"initContainers": [{"name": "main", "image": "i"}]},
            'spec.containers[0].name: Duplicate value: "main"',
            id="an init container of the same name",
        ),
        pytest.param(
            container(volumeMounts=[{"name": "v", "mountPath": "/v"}]),
            'spec.containers[0].volumeMounts[0].name: Not found: "v"',
            id="a mount of no volume",
        ),
        pytest.param(
            {**container(volumeMounts=[{"name": "v"}]), "volumes": [{"name": "v"}]},
            "spec.containers[0].volumeMounts[0].mountPath: Required value",
            id="a mount without path",
        ),
        pytest.param(
            {
                **container(volumeMounts=[{"name": "v", "mountPath": "/v", "subPath": "a/../.."}]),
                "volumes": [{"name": "v"}],
            },
            "spec.containers[0].volumeMounts[0].subPath: Invalid value: \"a/../..\": must not contain '..'",
            id="a sub-path that climbs",
        ),
        pytest.param(
            {"volumes": [{"name": "v"}, {"name": "v"}]}, 'spec.volumes[1].name: Duplicate value: "v"', id="one twice"
        ),
        pytest.param(
            needs({"cpu": "2"}, {"cpu": "1"}),
            'spec.containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu limit of 1',
            id="requests above limits",
        ),
        pytest.param(
            needs({"nvidia.com/gpu": 1}),
            "spec.containers[0].resources.limits: Required value: Limit must be set for non overcommitable resources: "
            "nvidia.com/gpu",
            id="a GPU without limit",
        ),
        pytest.param(
            needs({"nvidia.com/gpu": 1}, {"nvidia.com/gpu": 2}),
            'spec.containers[0].resources.requests: Invalid value: "1": must be equal to nvidia.com/gpu limit of 2',
            id="a GPU whose request is not its limit",
        ),
        pytest.param(
            needs(limits={"nvidia.com/gpu": "0.5"}),
            'spec.containers[0].resources.limits[nvidia.com/gpu]: Invalid value: "500m": must be an integer',
            id="half a GPU",
        ),
        pytest.param(
            needs(limits={"cpu": "lots"}),
            'spec.containers[0].resources.limits[cpu]: Invalid value: "lots": quantities must match',
            id="no quantity",
        ),
        pytest.param(
            needs(limits={"gpu": "1"}),
            'spec.containers[0].resources.limits[gpu]: Invalid value: "gpu": must be a standard resource for',
            id="an unknown resource",
        ),
        pytest.param(
            needs(limits={"memory": "-1Gi"}),
            'spec.containers[0].resources.limits[memory]: Invalid value: "-1Gi": must be greater than or equal to 0',
            id="less than nothing",
        ),
        pytest.param(
            {"nodeSelector": {"a": "not valid"}}, 'spec.nodeSelector: Invalid value: "not valid": a valid', id="label"
        ),
        pytest.param(
            {"restartPolicy": "Sometimes"},
            'spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "OnFailure", "Never"',
            id="an unknown policy",
        ),
        pytest.param(
            {"nodeName": "n", "schedulingGates": [{"name": GATE}]},
            "spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared",
            id="bound and gated",
        ),
        pytest.param(
            {"activeDeadlineSeconds": 0}, "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1", id="zero"
        ),
        pytest.param(
            container(env=[{"name": "A", "value": "x", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]),
            'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when `value` is not empty',
            id="a variable with two sources",
        ),
    ],
)  # fmt: skip
def test_mistakes_in_a_pod_are_named(spec: dict[str, Any], problem: str) -> None:
    problems = list(pod_problems(defaulted(**spec)))
    assert str(problems[0]).startswith(problem)
    # A limit that is wrong is wrong again as the request that was made from it.
    assert len({p.message for p in problems}) == 1


def test_a_good_pod_has_no_problems() -> None:
    spec = needs({"cpu": "1", "nvidia.com/mig-1g.5gb": 1}, {"cpu": "1", "memory": "1Gi", "nvidia.com/mig-1g.5gb": 1})
    assert pod_problems(defaulted(**spec, schedulingGates=[{"name": GATE}])) == []


@pytest.mark.parametrize(
    ("before", "after", "allowed"),
    [
        pytest.param({}, container(image="i:2"), True, id="the image"),
        pytest.param({}, container(command=["x"]), False, id="not the command"),
        pytest.param({}, {"activeDeadlineSeconds": 5}, True, id="a deadline"),
        pytest.param({"activeDeadlineSeconds": 5}, {"activeDeadlineSeconds": 4}, True, id="a nearer deadline"),
        pytest.param({"activeDeadlineSeconds": 5}, {"activeDeadlineSeconds": 6}, False, id="not a later one"),
        pytest.param({"activeDeadlineSeconds": 5}, {}, False, id="nor none"),
        pytest.param({}, {"tolerations": [{"key": "a"}]}, True, id="one more toleration"),
        pytest.param({"tolerations": [{"key": "a"}]}, {}, False, id="not one less"),
        pytest.param({}, {"nodeName": "n"}, False, id="not the node: that is binding"),
        pytest.param({}, {"nodeSelector": {"a": "1"}}, False, id="not the selector"),
        pytest.param({}, {"schedulingGates": [{"name": GATE}]}, False, id="no new gate"),
        pytest.param({"schedulingGates": [{"name": GATE}]}, {}, True, id="a gate less"),
        pytest.param(
            {"schedulingGates": [{"name": GATE}]},
            {"nodeSelector": {"a": "1"}},
            True,
            id="a gated pod's place is narrowed",
        ),
        pytest.param(
            {"schedulingGates": [{"name": GATE}], "nodeSelector": {"a": "1"}},
            {"nodeSelector": {"a": "2"}},
            False,
            id="but not changed",
        ),
        pytest.param({"schedulingGates": [{"name": GATE}]}, {"priority": 5}, False, id="nor anything else of it"),
    ],
)
def test_what_an_update_of_a_pod_may_change(before: dict[str, Any], after: dict[str, Any], *, allowed: bool) -> None:
    problems = pod_changes(defaulted(**after), defaulted(**before))
    assert (problems == []) is allowed, problems


@pytest.mark.asyncio
async def test_a_refused_update_is_worded_like_the_real_one(api: RunningApi, client: KubeClient) -> None:
    await client.create(PODS, pod("a"), "default")
    answer = await api.call(
        "PATCH", f"{PODS_PATH}/a", {"spec": {"nodeName": "n"}}, content_type="application/merge-patch+json"
    )
    assert answer.status == 422
    assert answer.json["message"].startswith(
        'Pod "a" is invalid: spec: Forbidden: pod updates may not change fields other than `spec.containers[*].image`'
    )


@pytest.mark.asyncio
async def test_a_gated_pod_says_so_and_loses_its_gate(client: KubeClient) -> None:
    made = await client.create(PODS, pod("a", schedulingGates=[{"name": GATE}]), "default")
    condition = made["status"]["conditions"][0]
    assert (condition["type"], condition["status"], condition["reason"]) == ("PodScheduled", "False", "SchedulingGated")
    opened = await client.patch(
        PODS, "a", [{"op": "remove", "path": "/spec/schedulingGates"}], "default", strategy="json"
    )
    assert "schedulingGates" not in opened["spec"]


def binding(node: str, **meta: Any) -> dict[str, Any]:
    target = {"apiVersion": "v1", "kind": "Node", "name": node}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "a", **meta}, "target": target}


async def bind(client: KubeClient, node: str, **meta: Any) -> dict[str, Any]:
    return await client.create(PODS, binding(node, **meta), "default", name="a", subresource="binding")


@pytest.mark.asyncio
async def test_binding_gives_a_pod_to_a_node(client: KubeClient) -> None:
    made = await client.create(PODS, pod("a"), "default")
    answer = await bind(client, "n1", uid=made["metadata"]["uid"], annotations={"by": "me"})
    assert answer["status"] == "Success"
    found = await client.get(PODS, "a", "default")
    assert found["spec"]["nodeName"] == "n1"
    assert found["metadata"]["annotations"] == {"by": "me"}
    assert [(c["type"], c["status"]) for c in found["status"]["conditions"]] == [("PodScheduled", "True")]


@pytest.mark.asyncio
async def test_a_bound_pod_is_not_bound_again(client: KubeClient) -> None:
    await client.create(PODS, pod("a"), "default")
    await bind(client, "n1")
    with pytest.raises(
        Conflict, match='cannot be fulfilled on pods/binding "a": pod a is already assigned to node "n1"'
    ):
        await bind(client, "n2")


@pytest.mark.asyncio
async def test_gated_leaving_and_other_pods_are_not_bound(client: KubeClient) -> None:
    await client.create(PODS, pod("a", schedulingGates=[{"name": GATE}]), "default")
    with pytest.raises(Conflict, match=r"non-empty \.spec.schedulingGates"):
        await bind(client, "n")
    with pytest.raises(Conflict, match="UID in precondition"):
        await bind(client, "n", uid="other")
    await client.patch(PODS, "a", {"metadata": {"finalizers": ["x.io/wait"]}}, "default")
    await client.delete(PODS, "a", "default")
    with pytest.raises(Conflict, match="is being deleted"):
        await bind(client, "n")
    with pytest.raises(InvalidInput, match=r"target\.name: Required value"):
        await bind(client, "")


@pytest.mark.asyncio
async def test_eviction_is_a_deletion_with_grace(client: KubeClient) -> None:
    await client.create(PODS, pod("a", nodeName="n"), "default")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}}
    await client.create(PODS, eviction, "default", name="a", subresource="eviction")
    assert (await client.get(PODS, "a", "default"))["metadata"]["deletionGracePeriodSeconds"] == 30


@pytest.mark.asyncio
async def test_conditions_are_merged_by_type(client: KubeClient) -> None:
    await client.create(PODS, pod("a"), "default")
    for status in ("False", "True"):
        patch = {"status": {"conditions": [{"type": "Ready", "status": status}]}}
        await client.patch(PODS, "a", patch, "default", strategy="strategic", subresource="status")
    await client.patch(
        PODS, "a", {"status": {"conditions": [{"type": "Initialized", "status": "True"}]}}, "default",
        strategy="strategic", subresource="status",
    )  # fmt: skip
    found = await client.get(PODS, "a", "default")
    assert {c["type"]: c["status"] for c in found["status"]["conditions"]} == {"Ready": "True", "Initialized": "True"}


def test_kinds_of_the_client_and_of_the_server_are_the_same_type() -> None:
    assert Kind("", "v1", "Pod", "pods") == PODS
