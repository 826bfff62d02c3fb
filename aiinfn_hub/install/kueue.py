"""Who runs when: the queues, flavors and priorities of Kueue, from what the platform file says that there is. Pure.

Sessions own everything local and take it back at once; jobs own nothing local and borrow what is idle, and own the
quota of the sites. Quotas are what there is: Kueue says who comes first, the ledger who may have how much.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiinfn_hub.catalogue import Capacity, Flavour, Platform, Site, SiteCapacity
from aiinfn_hub.contract.quantities import format_bytes, format_cpu
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.pods import names
from aiinfn_hub.pods.placement import place

API = "kueue.x-k8s.io/v1beta2"
COHORT = "aiinfn"
#: The ResourceFlavor of what needs no particular node of the cluster.
ANY_NODE = "any-node"
PRIORITIES = {names.INTERACTIVE: 10000, names.BATCH: 100}
#: Kueue looks up what a queue serves by the namespace's own label, which nobody can take off.
NAMESPACE_LABEL = "kubernetes.io/metadata.name"
Object = dict[str, Any]
Amounts = dict[str, int]


@dataclass(frozen=True, kw_only=True)
class Share:
    """A ResourceFlavor and its quota. Amounts by resource: millicores, bytes, devices.

    `kept` is what sessions do not lend; `site` is None for the cluster itself.
    """

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    site: Site | None = None
    amounts: Amounts
    kept: Amounts = field(default_factory=dict)


def objects(platform: Platform) -> list[Object]:
    """Everything, in the order in which it can be created.

    Raises:
        InvalidInput: the platform file leaves out how much there is; the sentence names all that is missing.
    """
    lacking = missing(platform)
    if lacking:
        raise InvalidInput(
            f"The queues need to know how much there is. Missing: {'; '.join(lacking)}.",
            hint="`aiinfn platform example` shows where each stands.",
        )
    groups = shares(platform)
    return [
        *(_cluster_wide("WorkloadPriorityClass", name, {"value": value}) for name, value in PRIORITIES.items()),
        *(_flavor(share) for group in groups for share in group),
        _cluster_queue(platform, names.INTERACTIVE, [[s for s in group if s.site is None] for group in groups]),
        _cluster_queue(platform, names.BATCH, groups),
        *_local_queues(platform),
    ]


def missing(platform: Platform) -> list[str]:
    """What the platform file would have to say before there can be quotas; empty if it says it all."""
    uncounted = [flavour.name for flavour in platform.flavours if flavour.accelerator and flavour.units is None]
    found = [] if platform.capacity else ["capacity"]
    found += [f"units of {', '.join(uncounted)}"] if uncounted else []
    for site in remote_sites(platform):
        if site.capacity is None:
            found.append(f"capacity of the site {site.name}")
            continue
        uncounted = [f.name for f in carried(platform, site) if f.accelerator and f.name not in site.capacity.units]
        found += [f"capacity.units of {', '.join(uncounted)} at the site {site.name}"] if uncounted else []
    return found


def remote_sites(platform: Platform) -> list[Site]:
    """The virtual nodes."""
    return [site for site in platform.sites if site.kind == "interlink"]


def carried(platform: Platform, site: Site) -> list[Flavour]:
    """The flavours of a virtual node."""
    return [flavour for flavour in platform.flavours if flavour.name in site.flavours]


def shares(platform: Platform) -> list[list[Share]]:
    """The resource groups: first what is told apart by the name of its resource, then one for each shared resource.

    Raises:
        InvalidInput: two of them would have the same name.
    """
    shared = _shared(platform)
    groups = [_plain(platform, shared), *(_by_model(platform, resource) for resource in shared)]
    counts = Counter(share.name for group in groups for share in group)
    twice = [name for name, count in counts.items() if count > 1]
    if twice:
        raise InvalidInput(f"Two ResourceFlavors would be named {twice[0]!r}.", hint="Rename the flavour or the site.")
    return groups


def _shared(platform: Platform) -> list[str]:
    """Resources that several models have in common: whole cards of one vendor, told apart by the labels of nodes."""
    models: dict[str, set[frozenset[tuple[str, str]]]] = {}
    for flavour in platform.flavours:
        if flavour.accelerator:
            models.setdefault(flavour.resource, set()).add(frozenset(flavour.node_selector.items()))
    return [resource for resource, selectors in models.items() if len(selectors) > 1]


def _plain(platform: Platform, shared: Iterable[str]) -> list[Share]:
    """CPU, memory and every resource of one model; each place lists all of them, as Kueue demands."""
    flavours = [f for f in platform.flavours if f.accelerator and f.resource not in shared]
    none = {flavour.resource: 0 for flavour in flavours}
    here = _at_hand(platform.capacity) | none | _devices(flavours, {f.name: f.units or 0 for f in flavours})
    kept = none | _devices(flavours, {f.name: f.keep_free for f in flavours})
    found = [Share(name=ANY_NODE, amounts=here, kept=kept)]
    for site in remote_sites(platform):
        there = _at_hand(site.capacity) | none | _devices(flavours, _units(site))
        found.append(Share(name=f"site.{site.name}", labels=site.node_selector, site=site, amounts=there))
    return found


def _by_model(platform: Platform, resource: str) -> list[Share]:
    """One share for each model here, and for each at a site; flavours of the same devices are one."""
    found: dict[frozenset[tuple[str, str]], Share] = {}
    for site in (None, *remote_sites(platform)):
        for flavour in platform.flavours if site is None else carried(platform, site):
            if flavour.resource != resource:
                continue
            labels = {**flavour.node_selector, **(site.node_selector if site else {})}
            key = frozenset([*labels.items(), ("", site.name if site else "")])
            units = _units(site) if site else {flavour.name: flavour.units or 0}
            share = Share(
                name=f"site.{site.name}.{flavour.name}" if site else flavour.name,
                labels=labels,
                site=site,
                amounts=_devices([flavour], units),
                kept={} if site else _devices([flavour], {flavour.name: flavour.keep_free}),
            )
            found[key] = _larger(found.get(key), share)
    return list(found.values())


def _larger(one: Share | None, other: Share) -> Share:
    """Two flavours of the same devices, one of which may take several at once."""
    if one is None:
        return other
    amounts = {name: max(one.amounts[name], amount) for name, amount in other.amounts.items()}
    kept = {name: max(one.kept.get(name, 0), amount) for name, amount in other.kept.items()}
    return Share(name=one.name, labels=one.labels, site=one.site, amounts=amounts, kept=kept)


def _at_hand(capacity: Capacity | None) -> Amounts:
    return {"cpu": capacity.cpu if capacity else 0, "memory": capacity.memory if capacity else 0}


def _units(site: Site) -> Mapping[str, int]:
    return site.capacity.units if isinstance(site.capacity, SiteCapacity) else {}


def _devices(flavours: Iterable[Flavour], units: Mapping[str, int]) -> Amounts:
    """Devices by resource; flavours of one resource are different sizes of the same devices."""
    found: Amounts = {}
    for flavour in flavours:
        amount = units.get(flavour.name, 0) * flavour.count
        found[flavour.resource] = max(found.get(flavour.resource, 0), amount)
    return found


def _cluster_wide(kind: str, name: str, rest: Object) -> Object:
    return {"apiVersion": API, "kind": kind, "metadata": {"name": name}, **rest}


def _flavor(share: Share) -> Object:
    taint = place(share.site)
    spec: Object = {"nodeLabels": dict(share.labels)} if share.labels else {}
    spec["nodeTaints"] = [{"key": taint.key, "value": taint.value, "effect": taint.effect}]
    return _cluster_wide("ResourceFlavor", share.name, {"spec": spec})


def _cluster_queue(platform: Platform, name: str, groups: Iterable[Iterable[Share]]) -> Object:
    owns = name == names.INTERACTIVE
    spec: Object = {
        "cohortName": COHORT,
        "namespaceSelector": {"matchLabels": {NAMESPACE_LABEL: platform.namespace}},
        "queueingStrategy": "BestEffortFIFO",
        # Nobody's session is ended for another one, no job for another job: only what is borrowed is given back.
        "preemption": {"reclaimWithinCohort": "Any" if owns else "Never", "withinClusterQueue": "Never"},
        "resourceGroups": [_group(list(group), owns=owns) for group in groups],
    }
    if not owns:
        # Between the activities: whose jobs used less lately comes first (the manager's admissionFairSharing).
        spec["admissionScope"] = {"admissionMode": "UsageBasedAdmissionFairSharing"}
    return _cluster_wide("ClusterQueue", name, {"spec": spec})


def _group(group: list[Share], *, owns: bool) -> Object:
    return {
        "coveredResources": list(group[0].amounts),
        "flavors": [
            {
                "name": share.name,
                "resources": [_quota(share, name, owns=owns or share.site is not None) for name in share.amounts],
            }
            for share in group
        ],
    }


def _quota(share: Share, resource: str, *, owns: bool) -> Object:
    """The quota of the owner, or of who borrows from it: what is used beyond a nominal quota is given back first."""
    amount, kept = share.amounts[resource], share.kept.get(resource, 0)
    lent = _quantity(resource, max(0, amount - kept))
    if not owns:
        return {"name": resource, "nominalQuota": "0", "borrowingLimit": lent}
    keeps = {"lendingLimit": lent} if kept else {}
    return {"name": resource, "nominalQuota": _quantity(resource, amount), **keeps}


def _quantity(resource: str, amount: int) -> str:
    return {"cpu": format_cpu, "memory": format_bytes}.get(resource, str)(amount)


def _local_queues(platform: Platform) -> Iterator[Object]:
    for activity in platform.activities:
        for name, cluster_queue in (
            (names.interactive_queue(activity.name), names.INTERACTIVE),
            (names.batch_queue(activity.name), names.BATCH),
        ):
            yield {
                "apiVersion": API,
                "kind": "LocalQueue",
                "metadata": {"name": name, "namespace": platform.namespace},
                "spec": {"clusterQueue": cluster_queue},
            }
