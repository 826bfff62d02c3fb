"""What an operator would have applied to a cluster before its first user: namespace, claims, queues. Mostly pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from aiinfn_hub.catalogue import Capacity, Flavour, Platform, Site, SiteCapacity
from aiinfn_hub.contract.quantities import parse_bytes, parse_cpu
from aiinfn_hub.install import kueue
from aiinfn_hub.kube.apply import apply_one
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

Object = dict[str, Any]
_KINDS = {kind.kind: kind for kind in (CLUSTER_QUEUES, LOCAL_QUEUES, RESOURCE_FLAVORS, WORKLOAD_PRIORITY_CLASSES)}


def objects(platform: Platform, nodes: Sequence[NodeSpec]) -> Iterator[tuple[Kind, Object]]:
    """Everything, in the order in which it can be created."""
    yield NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": platform.namespace}}
    for claim in sorted({volume.claim for volume in platform.volumes if volume.claim}):
        yield PERSISTENT_VOLUME_CLAIMS, _claim(claim, platform.namespace)
    for thing in kueue.objects(counted(platform, nodes)):
        yield _KINDS[thing["kind"]], thing


async def apply(client: KubeClient, platform: Platform, nodes: Sequence[NodeSpec]) -> None:
    """Create what is missing, and bring the queues to what the catalogue says now."""
    for kind, thing in objects(platform, nodes):
        await apply_one(client, kind, thing)


def counted(platform: Platform, nodes: Sequence[NodeSpec]) -> Platform:
    """The platform with how much there is: what its file leaves out is counted on the nodes."""
    sites = kueue.remote_sites(platform)
    here = [node for node in nodes if not any(_selected(node, site.node_selector) for site in sites)]
    return platform.model_copy(
        update={
            "capacity": platform.capacity or Capacity.model_construct(cpu=_cores(here), memory=_sum(here, "memory")),
            "flavours": tuple(_flavour(flavour, here) for flavour in platform.flavours),
            "sites": tuple(_site(platform, site, nodes) if site in sites else site for site in platform.sites),
        }
    )


def _flavour(flavour: Flavour, nodes: Sequence[NodeSpec]) -> Flavour:
    if not flavour.accelerator or flavour.units is not None:
        return flavour
    return flavour.model_copy(update={"units": _units(flavour, nodes, flavour.node_selector)})


def _site(platform: Platform, site: Site, nodes: Sequence[NodeSpec]) -> Site:
    """A virtual node without a capacity has that of the nodes that play it; none, where there are none."""
    there = [node for node in nodes if _selected(node, site.node_selector)]
    given = site.capacity.units if site.capacity else {}
    counted = {f.name: _units(f, there, {}) for f in kueue.carried(platform, site) if f.accelerator}
    cpu, memory = (site.capacity.cpu, site.capacity.memory) if site.capacity else (_cores(there), _sum(there, "memory"))
    # Not validated: the amounts are in our units already, and nodes that are not there have nothing.
    capacity = SiteCapacity.model_construct(cpu=cpu, memory=memory, units=counted | given)
    return site.model_copy(update={"capacity": capacity})


def _selected(node: NodeSpec, selector: Mapping[str, str]) -> bool:
    return selector.items() <= node.labels.items()


def _units(flavour: Flavour, nodes: Sequence[NodeSpec], selector: Mapping[str, str]) -> int:
    """Whole units; what is left of a node's devices makes none."""
    fitting = [node for node in nodes if _selected(node, selector)]
    return sum(int(node.capacity.get(flavour.resource, "0")) // flavour.count for node in fitting)


def _cores(nodes: Sequence[NodeSpec]) -> int:
    return sum(parse_cpu(node.capacity["cpu"]) for node in nodes)


def _sum(nodes: Sequence[NodeSpec], resource: str) -> int:
    return sum(parse_bytes(node.capacity[resource]) for node in nodes)


def _claim(name: str, namespace: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "100Gi"}}},
    }
