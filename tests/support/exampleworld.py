"""The cluster of the example's platform file as it should be: its nodes, and what was applied to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from typing import Any

import yaml

from aiinfn_hub.catalogue import Platform, example_path, load_platform
from aiinfn_hub.install import kueue, manager, policies, rbac
from aiinfn_hub.install.doctor.facts import SOURCES, VERSION
from aiinfn_hub.kube.slim import Node, decode_node
from aiinfn_hub.local.agent.registration import node_object
from aiinfn_hub.local.nodes import NodeSpec, Taint, load_nodes

Object = dict[str, Any]
EXAMPLE = load_platform(example_path())
NOW = 1_800_000_000.0
TAINT = Taint(key="virtual-node.interlink/no-schedule", value="true", effect="NoSchedule")
A100 = "NVIDIA-A100-PCIE-40GB"
#: What interLink's nodes offer, and the label by which jobs find the GPUs of Leonardo.
VIRTUAL = (
    NodeSpec(name="cnaf-tier1", capacity={"cpu": "1000", "memory": "2000Gi"}),
    NodeSpec(
        name="leonardo",
        capacity={"cpu": "512", "memory": "4Ti", "nvidia.com/gpu": "32"},
        labels={"nvidia.com/gpu.product": A100},
    ),
    NodeSpec(name="recas-bari", capacity={"cpu": "128", "memory": "512Gi"}),
)
MANAGER: Object = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "kueue-controller-manager", "namespace": "kueue-system"},
    "spec": {
        "replicas": 2,
        "selector": {"matchLabels": {"control-plane": "controller-manager"}},
        "template": {
            "metadata": {"labels": {"control-plane": "controller-manager"}},
            "spec": {"containers": [{"name": "manager", "image": "registry.k8s.io/kueue/kueue:v0.19.2"}]},
        },
    },
}


def node_objects(now: float = NOW) -> list[Object]:
    """As kubelets and virtual kubelets write them."""
    here = [node_object(spec, "10.0.0.1", now) for spec in load_nodes()]
    there = [node_object(spec, "10.0.0.2", now, TAINT) for spec in VIRTUAL]
    for node in there:
        node["metadata"]["labels"]["virtual-node.interlink/type"] = "virtual-kubelet"
    return [*here, *there]


def nodes() -> list[Node]:
    """The same, decoded."""
    return [decode_node(json.dumps(node).encode()) for node in node_objects()]


def settings(platform: Platform = EXAMPLE, **changes: Any) -> Object:
    """The ConfigMap of Kueue's manager; a change to None leaves the key out."""
    document = {k: v for k, v in (manager.configuration(platform) | changes).items() if v is not None}
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "kueue-manager-config", "namespace": "kueue-system"},
        "data": {"controller_manager_config.yaml": yaml.safe_dump(document)},
    }


def _stored(thing: Object) -> Object:
    """As the API server gives it back: with what it and Kueue's webhook fill in."""
    thing = deepcopy(thing)
    match thing["kind"]:
        case "ClusterQueue":
            thing["spec"]["flavorFungibility"] = {"whenCanBorrow": "MayStopSearch", "whenCanPreempt": "TryNextFlavor"}
            thing["spec"]["stopPolicy"] = "None"
            thing["spec"]["preemption"]["borrowWithinCohort"] = {"policy": "Never"}
            thing["status"] = {"conditions": [{"type": "Active", "status": "True", "reason": "Ready", "message": ""}]}
        case "LocalQueue":
            thing["spec"]["stopPolicy"] = "None"
        case "ValidatingAdmissionPolicy":
            constraints = thing["spec"]["matchConstraints"]
            constraints |= {"matchPolicy": "Equivalent", "namespaceSelector": {}, "objectSelector": {}}
            for rule in constraints["resourceRules"]:
                rule["scope"] = "*"
        case "ValidatingAdmissionPolicyBinding":
            thing["spec"]["matchResources"] |= {"matchPolicy": "Equivalent", "objectSelector": {}}
        case "Namespace":
            thing["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = thing["metadata"]["name"]
    return thing


def _applied() -> Iterator[Object]:
    for thing in (*policies.objects(EXAMPLE), *rbac.objects(EXAMPLE), *kueue.objects(EXAMPLE)):
        yield _stored(thing)


def healthy() -> dict[str, Any]:
    """The parts of a look at a cluster where nothing is wrong, to be made wrong."""
    return deepcopy(_healthy())


@cache
def _healthy() -> dict[str, Any]:
    parts: dict[str, Any] = {name: [] for name in SOURCES}
    by_kind = {source.kind.kind: name for name, source in SOURCES.items() if name != "conversion"}
    for thing in _applied():
        parts[by_kind[thing["kind"]]].append(thing)
    for name in ("kube-system", "kueue-system"):
        labels = {"kubernetes.io/metadata.name": name}
        parts["namespaces"].append({"metadata": {"name": name, "labels": labels}})
    parts["nodes"] = node_objects()
    parts["manager"] = [deepcopy(MANAGER) | {"status": {"availableReplicas": 2}}]
    parts["settings"] = [settings()]
    parts["conversion"] = deepcopy(parts["cluster queues"])
    available = {"type": "Available", "status": "True"}
    name = "v1beta2.visibility.kueue.x-k8s.io"
    parts["visibility API"] = [{"metadata": {"name": name}, "status": {"conditions": [available]}}]
    parts["priority classes"] = [{"metadata": {"name": "system-node-critical"}, "value": 2000001000}]
    return {VERSION: [{"gitVersion": "v1.36.2"}], **parts}
