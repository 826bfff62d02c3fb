"""Pods: defaults, rules at creation, what an update may change, binding, eviction."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from support.kubeapi import pod

from aiinfn_hub.kube.client import PODS, Kind, KubeClient
from aiinfn_hub.local.api.pod_defaults import default_pod, qos_class
from aiinfn_hub.local.api.pod_rules import pod_problems

GATE = "kueue.x-k8s.io/admission"


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


def test_a_good_pod_has_no_problems() -> None:
    spec = needs({"cpu": "1", "nvidia.com/mig-1g.5gb": 1}, {"cpu": "1", "memory": "1Gi", "nvidia.com/mig-1g.5gb": 1})
    assert pod_problems(defaulted(**spec, schedulingGates=[{"name": GATE}])) == []


@pytest.mark.asyncio
async def test_eviction_is_a_deletion_with_grace(client: KubeClient) -> None:
    await client.create(PODS, pod("a", nodeName="n"), "default")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "a"}}
    await client.create(PODS, eviction, "default", name="a", subresource="eviction")
    assert (await client.get(PODS, "a", "default"))["metadata"]["deletionGracePeriodSeconds"] == 30


def test_kinds_of_the_client_and_of_the_server_are_the_same_type() -> None:
    assert Kind("", "v1", "Pod", "pods") == PODS
