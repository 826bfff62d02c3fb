"""What an operator would have applied to a cluster before its first user: namespace, claims, queues. Mostly pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiinfn_hub.catalogue import Flavour, Platform
from aiinfn_hub.contract.quantities import format_bytes, format_cpu, parse_bytes, parse_cpu
from aiinfn_hub.errors import Conflict
from aiinfn_hub.kube.client import (
    CLUSTER_QUEUES,
    LOCAL_QUEUES,
    NAMESPACES,
    PERSISTENT_VOLUME_CLAIMS,
    RESOURCE_FLAVORS,
    WORKLOAD_PRIORITY_CLASSES,
    Kind,
    KubeClient,
)
from aiinfn_hub.local.nodes import NodeSpec
from aiinfn_hub.pods import names

KUEUE = "kueue.x-k8s.io/v1beta2"
COHORT = "aiinfn"
ANY_NODE = "any-node"
Object = dict[str, Any]


def objects(platform: Platform, nodes: Sequence[NodeSpec]) -> Iterator[tuple[Kind, Object]]:
    """Everything, in the order in which it can be created."""
    yield NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": platform.namespace}}
    for claim in sorted({volume.claim for volume in platform.volumes if volume.claim}):
        yield PERSISTENT_VOLUME_CLAIMS, _claim(claim, platform.namespace)
    for name, value in ((names.INTERACTIVE, 10000), (names.BATCH, 100)):
        yield (
            WORKLOAD_PRIORITY_CLASSES,
            {"apiVersion": KUEUE, "kind": "WorkloadPriorityClass", "metadata": {"name": name}, "value": value},
        )
    for name, labels in _places(platform).items():
        spec = {"nodeLabels": labels} if labels else {}
        yield RESOURCE_FLAVORS, _kueue("ResourceFlavor", name, spec)
    groups = _resource_groups(platform, nodes)
    yield CLUSTER_QUEUES, _cluster_queue(names.INTERACTIVE, groups, lends=True)
    yield CLUSTER_QUEUES, _cluster_queue(names.BATCH, groups, lends=False)
    for activity in platform.activities:
        for queue, cluster_queue in (
            (names.interactive_queue(activity.name), names.INTERACTIVE),
            (names.batch_queue(activity.name), names.BATCH),
        ):
            yield LOCAL_QUEUES, _kueue("LocalQueue", queue, {"clusterQueue": cluster_queue}, platform.namespace)


async def apply(client: KubeClient, platform: Platform, nodes: Sequence[NodeSpec]) -> None:
    """Create what is missing, and bring the queues to what the catalogue says now."""
    for kind, thing in objects(platform, nodes):
        meta = thing["metadata"]
        try:
            await client.create(kind, thing, meta.get("namespace"))
        except Conflict:
            if kind in (CLUSTER_QUEUES, LOCAL_QUEUES, RESOURCE_FLAVORS):
                await client.patch(kind, meta["name"], {"spec": thing["spec"]}, meta.get("namespace"))


def _claim(name: str, namespace: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "100Gi"}}},
    }


def _kueue(kind: str, name: str, spec: Object, namespace: str | None = None) -> Object:
    meta = {"name": name} | ({"namespace": namespace} if namespace else {})
    return {"apiVersion": KUEUE, "kind": kind, "metadata": meta, "spec": spec}


def _shared(platform: Platform) -> dict[str, list[Flavour]]:
    """Flavours by resource name, for resources that several models of one vendor share."""
    by_resource: dict[str, list[Flavour]] = {}
    for flavour in platform.flavours:
        if flavour.accelerator:
            by_resource.setdefault(flavour.resource, []).append(flavour)
    return by_resource


def _places(platform: Platform) -> dict[str, Mapping[str, str]]:
    """Kueue's ResourceFlavors: one for what is told apart by its resource name, one for each model that is not."""
    places: dict[str, Mapping[str, str]] = {ANY_NODE: {}}
    for flavours in _shared(platform).values():
        if len(flavours) > 1:
            places |= {flavour.name: flavour.node_selector for flavour in flavours}
    return places


def _capacity(nodes: Sequence[NodeSpec], resource: str, selector: Mapping[str, str]) -> int:
    parse = {"cpu": parse_cpu, "memory": parse_bytes}.get(resource, int)
    return sum(
        parse(node.capacity[resource])
        for node in nodes
        if resource in node.capacity and selector.items() <= dict(node.labels).items()
    )


def _resource_groups(platform: Platform, nodes: Sequence[NodeSpec]) -> list[Object]:
    """Quotas are what the nodes have: Kueue says who comes first, the ledger who may have how much."""
    plain = {
        "cpu": format_cpu(_capacity(nodes, "cpu", {})),
        "memory": format_bytes(_capacity(nodes, "memory", {})),
    }
    groups = []
    for resource, flavours in _shared(platform).items():
        if len(flavours) == 1:
            plain[resource] = str(_capacity(nodes, resource, flavours[0].node_selector))
            continue
        quotas = [
            {"name": flavour.name, "resources": [_quota(resource, _capacity(nodes, resource, flavour.node_selector))]}
            for flavour in flavours
        ]
        groups.append({"coveredResources": [resource], "flavors": quotas})
    everywhere = {"name": ANY_NODE, "resources": [_quota(name, amount) for name, amount in plain.items()]}
    return [{"coveredResources": list(plain), "flavors": [everywhere]}, *groups]


def _quota(resource: str, amount: str | int) -> Object:
    return {"name": resource, "nominalQuota": str(amount)}


def _cluster_queue(name: str, groups: list[Object], *, lends: bool) -> Object:
    """Sessions own the quota and never borrow; jobs own none and borrow what is idle."""
    if not lends:
        groups = [
            group
            | {
                "flavors": [
                    place
                    | {
                        "resources": [
                            {"name": r["name"], "nominalQuota": "0", "borrowingLimit": r["nominalQuota"]}
                            for r in place["resources"]
                        ]
                    }
                    for place in group["flavors"]
                ]
            }
            for group in groups
        ]
    spec = {
        "cohortName": COHORT,
        "namespaceSelector": {},
        "queueingStrategy": "BestEffortFIFO",
        "preemption": {"reclaimWithinCohort": "Any" if lends else "Never", "withinClusterQueue": "Never"},
        "resourceGroups": groups,
    }
    return _kueue("ClusterQueue", name, spec)
