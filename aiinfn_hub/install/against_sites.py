"""The sites of a platform file against the virtual nodes of a cluster. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aiinfn_hub.catalogue import Platform, Site
from aiinfn_hub.catalogue.document import Finding, Location
from aiinfn_hub.install import kueue
from aiinfn_hub.install.against import (
    Cluster,
    Remark,
    amounts_differ,
    mistaken_selector,
    taint_text,
    tolerated,
    toleration_line,
)
from aiinfn_hub.kube.slim import Node

#: What interLink puts on its nodes, so that only what is meant for a site goes there.
TAINT = "virtual-node.interlink/no-schedule"


def compare_sites(platform: Platform, cluster: Cluster) -> list[Remark]:
    """Whether each virtual node is there, tainted, tolerated, and has what the quota gives out."""
    found: list[Remark] = []
    for index, site in enumerate(platform.sites):
        if site.kind == "interlink" and cluster.nodes is not None:
            found += _site(("sites", index), platform, site, cluster.nodes)
    return found


def _site(location: Location, platform: Platform, site: Site, nodes: Sequence[Node]) -> Iterator[Remark]:
    selected = [node for node in nodes if site.node_selector.items() <= node.labels.items()]
    if not selected:
        yield from mistaken_selector((*location, "node_selector"), site.node_selector, nodes)
        return
    for node in selected:
        if not any(taint.key == TAINT and taint.effect == "NoSchedule" for taint in node.taints):
            said = f"its node {node.name} lacks the taint {TAINT}: any pod of the cluster may be sent there"
            line = f"kubectl taint node {node.name} {TAINT}=true:NoSchedule"
            yield Remark(Finding((*location, "node_selector"), said, line))
        for taint in node.taints:
            # Every flavour that the site carries goes there, so each must bear it, or the site does for all.
            borne = [flavour.tolerations for flavour in kueue.carried(platform, site)]
            if not all(tolerated((*site.tolerations, *one), taint) for one in borne or [()]):
                said = f"the taint {taint_text(taint)} of {node.name} is not tolerated"
                yield Remark(Finding((*location, "tolerations"), said, toleration_line(taint)))
        if not node.ready:
            yield Remark(Finding((*location, "name"), f"its node {node.name} is not Ready: jobs wait"), note=True)
    yield from _labels((*location, "flavours"), platform, site, selected)
    yield from _amounts((*location, "capacity"), platform, site, selected)


def _labels(location: Location, platform: Platform, site: Site, nodes: Sequence[Node]) -> Iterator[Remark]:
    """A pod asks for the labels of its flavour at a site, too."""
    for flavour in kueue.carried(platform, site):
        wanted = flavour.node_selector | site.node_selector
        if not any(wanted.items() <= node.labels.items() for node in nodes):
            pairs = " ".join(f"{key}={value}" for key, value in flavour.node_selector.items())
            said = f"{flavour.name} asks for {pairs}, which {nodes[0].name} does not have"
            yield Remark(
                Finding(
                    (*location, site.flavours.index(flavour.name)), said, f"kubectl label node {nodes[0].name} {pairs}"
                )
            )


def _amounts(location: Location, platform: Platform, site: Site, nodes: Sequence[Node]) -> Iterator[Remark]:
    """A quota below what the site could give is a choice; one above it is not."""
    if site.capacity is None:
        return

    def sum_of(resource: str) -> int:
        return sum(node.allocatable.get(resource, 0) for node in nodes)

    names = ", ".join(node.name for node in nodes)
    remarks = [
        *amounts_differ((*location, "cpu"), "cpu", site.capacity.cpu, sum_of("cpu"), names),
        *amounts_differ((*location, "memory"), "memory", site.capacity.memory, sum_of("memory"), names),
    ]
    for flavour in kueue.carried(platform, site):
        if flavour.accelerator and flavour.name in site.capacity.units:
            there = sum_of(flavour.resource) // flavour.count
            units = (*location, "units", flavour.name)
            remarks += amounts_differ(units, "", site.capacity.units[flavour.name], there, names)
    yield from (remark for remark in remarks if not remark.note)
