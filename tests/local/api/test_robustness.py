"""Whatever is sent, the server answers in its own words: no body makes it fail, and none makes a list fail later."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.kubeapi import pod

from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.local.api import patches
from aiinfn_hub.local.api.kinds import Resource, Resources
from aiinfn_hub.local.api.objects import Objects
from aiinfn_hub.local.api.store import Store, decode, encode
from aiinfn_hub.local.api.strategic import strategic
from aiinfn_hub.local.api.tables import printer

RESOURCES = Resources()
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**40), 2**40)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "a", "1", "True", "metadata", "$patch", "2026-01-01T00:00:00Z"])
)
KEYS = st.sampled_from(["", "name", "a", "type", "$patch", "status", "key", "terminated"])
JSON = st.recursive(
    SCALARS,
    lambda children: st.lists(children, max_size=2) | st.dictionaries(KEYS, children, max_size=3),
    max_leaves=5,
)
TEMPLATE = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "i"}]}}
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("", "pods"): {
        **pod(
            "a",
            containers=[
                {
                    "name": "main",
                    "image": "i:1",
                    "env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}],
                    "ports": [{"containerPort": 1}],
                    "resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "1"}},
                    "volumeMounts": [{"name": "v", "mountPath": "/v", "subPath": "x"}],
                    "readinessProbe": {"httpGet": {"port": 1}},
                }
            ],
            initContainers=[{"name": "init", "image": "i"}],
            volumes=[{"name": "v", "secret": {"secretName": "s"}}],
            tolerations=[{"key": "a"}],
            schedulingGates=[{"name": "a.io/b"}],
            nodeSelector={"a": "b"},
            overhead={"cpu": "1"},
            readinessGates=[],
        ),
        "metadata": {
            "name": "a",
            "labels": {"a": "b"},
            "annotations": {"a": "b"},
            "finalizers": ["a.io/b"],
            "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "u"}],
        },
    },
    ("batch", "jobs"): {"metadata": {"name": "a"}, "spec": {"template": TEMPLATE, "podFailurePolicy": {"rules": []}}},
    ("", "services"): {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 1}], "type": "ClusterIP"}},
    ("", "secrets"): {"metadata": {"name": "a"}, "data": {"a": "MQ=="}, "stringData": {"b": "c"}},
    ("", "configmaps"): {"metadata": {"name": "a"}, "data": {"a": "b"}, "binaryData": {}},
    ("", "namespaces"): {"metadata": {"name": "a"}, "spec": {}, "status": {}},
    ("", "nodes"): {
        "metadata": {"name": "a"},
        "spec": {"unschedulable": True, "taints": []},
        "status": {
            "conditions": [{"type": "Ready", "status": "True"}],
            "addresses": [{"type": "InternalIP", "address": "1"}],
        },
    },
    ("", "persistentvolumeclaims"): {
        "metadata": {"name": "a"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    },
    ("", "events"): {
        "metadata": {"name": "a"},
        "involvedObject": {"kind": "Pod", "name": "a"},
        "source": {"component": "c"},
        "series": {"lastObservedTime": "2026-01-01T00:00:00Z"},
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "message": "m",
    },
    ("coordination.k8s.io", "leases"): {"metadata": {"name": "a"}, "spec": {"holderIdentity": "a"}},
    ("scheduling.k8s.io", "priorityclasses"): {"metadata": {"name": "a"}, "value": 5, "globalDefault": False},
    ("apiextensions.k8s.io", "customresourcedefinitions"): {
        "metadata": {"name": "as.x.io"},
        "spec": {
            "group": "x.io",
            "scope": "Namespaced",
            "names": {"kind": "A", "plural": "as", "shortNames": ["b"]},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [{"name": "A", "type": "string", "jsonPath": ".spec.a"}],
                }
            ],
        },
    },
    ("kueue.x-k8s.io", "workloads"): {
        "metadata": {"name": "a"},
        "spec": {"queueName": "q"},
        "status": {"conditions": [{"type": "Admitted", "status": "True"}], "admission": {"clusterQueue": "q"}},
    },
}
STATUSES: dict[tuple[str, str], dict[str, Any]] = {
    ("", "pods"): {
        "phase": "Running",
        "reason": "R",
        "conditions": [{"type": "PodScheduled", "status": "True", "reason": "SchedulingGated"}],
        "containerStatuses": [
            {
                "name": "main",
                "ready": True,
                "restartCount": 1,
                "state": {"terminated": {"exitCode": 1, "reason": "Error"}, "waiting": {"reason": "x"}},
                "lastState": {"terminated": {"finishedAt": "2026-01-01T00:00:00Z"}},
            }
        ],
        "initContainerStatuses": [{"name": "init", "state": {"terminated": {"exitCode": 1}}}],
    },
    ("batch", "jobs"): {
        "conditions": [{"type": "Complete", "status": "True"}],
        "succeeded": 1,
        "startTime": "2026-01-01T00:00:00Z",
        "completionTime": "2026-01-01T00:00:00Z",
    },
    ("", "nodes"): BODIES["", "nodes"]["status"],
    ("", "persistentvolumeclaims"): {
        "phase": "Bound",
        "accessModes": ["ReadWriteOnce"],
        "capacity": {"storage": "1Gi"},
    },
    ("", "namespaces"): {"phase": "Active"},
    ("kueue.x-k8s.io", "workloads"): BODIES["kueue.x-k8s.io", "workloads"]["status"],
}


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The path of every value inside of a body."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, item in inner for place in places(item, (*path, key)))]


def replaced(body: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copied = copy.deepcopy(body)
    holder = copied
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return copied


@st.composite
def spoiled(draw: st.DrawFn, bodies: dict[tuple[str, str], dict[str, Any]]) -> tuple[Resource, Any]:
    """A body of some kind with something else at some place."""
    table = draw(st.sampled_from(sorted(bodies)))
    path = draw(st.sampled_from(places(bodies[table])))
    return RESOURCES.builtin(table), replaced(bodies[table], path, draw(JSON))


def fresh() -> Objects:
    objects = Objects(Store(), None, lambda: 1_767_225_600.0)
    objects.create(RESOURCES.builtin(("", "namespaces")), "", {"metadata": {"name": "default"}})
    return objects


def show(objects: Objects, resource: Resource) -> None:
    """What a `kubectl get` would do next."""
    for stored in objects.store.select(resource.table):
        encode(printer(resource).cells(stored.obj, 1_767_225_600.0))
        assert decode(stored.raw) == stored.obj


LAX = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])


@LAX
@given(spoiled(BODIES))
def test_no_body_makes_a_creation_fail(case: tuple[Resource, Any]) -> None:
    resource, body = case
    objects = fresh()
    try:
        objects.create(resource, "default" if resource.kind.namespaced else "", body)
    except AiinfnError:
        return
    show(objects, resource)


@LAX
@given(spoiled(STATUSES), st.sampled_from([patches.merge, strategic]))
def test_no_status_makes_a_list_fail(case: tuple[Resource, Any], apply: Any) -> None:
    resource, status = case
    namespace = "default" if resource.kind.namespaced else ""
    objects = fresh()
    made = objects.create(resource, namespace, copy.deepcopy(BODIES[resource.table]))
    try:
        objects.patch(resource, namespace, made.ref.name, lambda d: apply(d, {"status": status}), subresource="status")
    except AiinfnError:
        return
    show(objects, resource)


@LAX
@given(spoiled(BODIES), st.sampled_from([patches.merge, strategic, patches.json_patch]))
def test_no_patch_makes_an_update_fail(case: tuple[Resource, Any], apply: Any) -> None:
    resource, body = case
    namespace = "default" if resource.kind.namespaced else ""
    objects = fresh()
    made = objects.create(resource, namespace, copy.deepcopy(BODIES[resource.table]))
    try:
        objects.patch(resource, namespace, made.ref.name, lambda document: apply(document, body))
    except AiinfnError:
        return
    show(objects, resource)


@pytest.mark.parametrize("table", sorted(BODIES))
def test_the_bodies_are_good_before_they_are_spoiled(table: tuple[str, str]) -> None:
    resource = RESOURCES.builtin(table)
    made = fresh().create(resource, "default" if resource.kind.namespaced else "", copy.deepcopy(BODIES[table]))
    assert made.obj["metadata"]["uid"]
