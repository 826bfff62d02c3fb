"""The queues that are rendered: who owns what, and which flavor Kueue charges for each pod."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest
from support.charged import CHARGED, GPU, SLICE, placed
from support.platform_files import CPU, SLURM, T4, parse, platform_data
from support.values_files import values

from aiinfn_hub.catalogue import Platform, example_path, load_platform
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.install import kueue
from aiinfn_hub.local.controllers.constraints import Claimant, decode_claimant
from aiinfn_hub.local.controllers.flavors import Flavor, Mode, assign
from aiinfn_hub.local.controllers.queue_shapes import decode_cluster_queue, decode_flavor
from aiinfn_hub.local.controllers.quota import ClusterQueue, Pool
from aiinfn_hub.pods import names

Object = dict[str, Any]
PLATFORM = load_platform(example_path())
CAPACITY = {"cpu": 64, "memory": "256Gi"}
A100 = {**T4, "name": "a100", "node_selector": {"nvidia.com/gpu.product": "A100"}, "units": 2}
T4S = {**T4, "node_selector": {"nvidia.com/gpu.product": "T4"}, "units": 8}


def small(**changes: Any) -> Platform:
    """Two models that share a resource, and how much there is of everything."""
    return parse(platform_data(**({"capacity": CAPACITY, "flavours": [CPU, T4S, A100]} | changes)))


def found(platform: Platform, kind: str) -> dict[str, Object]:
    """Name -> object of a kind."""
    return {o["metadata"]["name"]: o for o in kueue.objects(platform) if o["kind"] == kind}


def quotas(platform: Platform, queue: str) -> dict[tuple[str, str], Object]:
    """(flavor, resource) -> quota of a ClusterQueue, without the name."""
    return {
        (flavor["name"], one["name"]): {key: value for key, value in one.items() if key != "name"}
        for group in found(platform, "ClusterQueue")[queue]["spec"]["resourceGroups"]
        for flavor in group["flavors"]
        for one in flavor["resources"]
    }


def decoded(platform: Platform) -> tuple[Pool, dict[str, Flavor]]:
    """The same objects as a queue reads them."""
    flavors = {
        name: decode_flavor(json.dumps(thing)).flavor() for name, thing in found(platform, "ResourceFlavor").items()
    }
    queues = [decode_cluster_queue(json.dumps(o)).queue(flavors) for o in found(platform, "ClusterQueue").values()]
    return Pool(queues), flavors


def pod(platform: Platform, flavour: str, site: str = "") -> Claimant:
    """A session, or a job for a site, as far as it is placed."""
    spec = placed(platform, flavour, site)
    return decode_claimant(json.dumps({"metadata": {"name": "p", "namespace": "aiinfn"}, "spec": spec}).encode())


def taken(pool: Pool, queue: ClusterQueue, one: Claimant, flavors: dict[str, Flavor]) -> dict[str, str]:
    """Resource -> flavor; empty if nothing fits."""
    result = assign(pool, queue, one.pod.requests, one.constraints, flavors)
    return result.flavors if result.mode is Mode.FIT else {}


@pytest.mark.parametrize(("flavour", "site", "queue", "base", "devices"), CHARGED.values(), ids=CHARGED)
def test_the_quota_is_that_of_the_place_where_a_pod_goes(
    flavour: str, site: str, queue: str, base: str, devices: dict[str, str]
) -> None:
    pool, flavors = decoded(PLATFORM)
    one = pod(PLATFORM, flavour, site)
    assert taken(pool, pool.queues[queue], one, flavors) == {"cpu": base, "memory": base, **devices}


@pytest.mark.parametrize(("flavour", "site", "queue", "base", "devices"), CHARGED.values(), ids=CHARGED)
def test_no_other_flavor_would_take_it_even_when_that_one_is_full(
    flavour: str, site: str, queue: str, base: str, devices: dict[str, str]
) -> None:
    """One flavor at a time, as if there were no other."""
    pool, flavors = decoded(PLATFORM)
    one, whole = pod(PLATFORM, flavour, site), pool.queues[queue]
    wanted = {"cpu": base, "memory": base, **devices}
    for group in whole.groups:
        asked = {name: amount for name, amount in one.pod.requests.items() if name in group.covered}
        fitting = set()
        for name in group.flavors:
            alone = replace(whole, groups=(replace(group, flavors=(name,)),))
            if assign(pool, alone, asked, one.constraints, flavors).flavors:
                fitting.add(name)
        assert fitting == {wanted[name] for name in asked} or not asked


def test_a_job_for_a_full_site_waits_and_takes_nothing_here() -> None:
    pool, flavors = decoded(PLATFORM)
    pool.use(names.BATCH, {("site.leonardo", "cpu"): 512_000})
    one = pod(PLATFORM, "cpu", "leonardo")
    result = assign(pool, pool.queues[names.BATCH], one.pod.requests, one.constraints, flavors)
    assert result.mode is Mode.RECLAIM
    assert result.flavors["cpu"] == "site.leonardo"
    assert any("insufficient unused quota for cpu in flavor site.leonardo, 2 more" in why for why in result.reasons)
    assert any("untolerated taint" in why and "any-node" in why for why in result.reasons)


def test_a_session_never_leaves_the_cluster() -> None:
    assert not any(flavor.startswith("site.") for flavor, _ in quotas(PLATFORM, names.INTERACTIVE))
    assert {flavor for flavor, _ in quotas(PLATFORM, names.BATCH) if flavor.startswith("site.")} == {
        "site.cnaf-tier1",
        "site.leonardo",
        "site.leonardo.a100-40",
        "site.recas-bari",
    }


def test_every_flavor_is_the_place_of_its_pods() -> None:
    flavors = found(PLATFORM, "ResourceFlavor")
    for name, flavor in flavors.items():
        (taint,) = flavor["spec"]["nodeTaints"]
        assert taint["key"] == names.PREFIX + "site"
        assert taint["value"] == (name.split(".")[1] if name.startswith("site.") else "local")
    assert flavors["site.leonardo.a100-40"]["spec"]["nodeLabels"] == {
        "kubernetes.io/hostname": "leonardo",
        "nvidia.com/gpu.product": "NVIDIA-A100-PCIE-40GB",
    }
    assert "nodeLabels" not in flavors["any-node"]["spec"]


@pytest.mark.parametrize("queue", [names.INTERACTIVE, names.BATCH])
def test_a_queue_keeps_the_rules_of_kueue(queue: str) -> None:
    """Each flavor lists every resource of its group, is in one group, exists, and no group has more than 64."""
    groups = found(PLATFORM, "ClusterQueue")[queue]["spec"]["resourceGroups"]
    for group in groups:
        assert len(group["flavors"]) <= 64
        for flavor in group["flavors"]:
            assert [one["name"] for one in flavor["resources"]] == group["coveredResources"]
    used = [flavor["name"] for group in groups for flavor in group["flavors"]]
    assert len(used) == len(set(used))
    assert set(used) <= set(found(PLATFORM, "ResourceFlavor"))


def test_every_resource_of_every_flavour_is_covered_once() -> None:
    for queue in found(PLATFORM, "ClusterQueue").values():
        covered = [name for group in queue["spec"]["resourceGroups"] for name in group["coveredResources"]]
        assert sorted(covered) == sorted({"cpu", "memory"} | {f.resource for f in PLATFORM.flavours if f.accelerator})


OWNED = {
    ("any-node", "cpu"): ("512", "512"),
    ("any-node", "memory"): ("3712Gi", "3712Gi"),
    ("any-node", SLICE): ("7", "7"),
    ("t4", GPU): ("8", "8"),
    ("a100-40", GPU): ("2", "2"),
}


@pytest.mark.parametrize(("cell", "amounts"), OWNED.items(), ids=map(str, OWNED))
def test_sessions_own_what_there_is_and_jobs_borrow_it(cell: tuple[str, str], amounts: tuple[str, str]) -> None:
    nominal, borrowed = amounts
    assert quotas(PLATFORM, names.INTERACTIVE)[cell] == {"nominalQuota": nominal}
    assert quotas(PLATFORM, names.BATCH)[cell] == {"nominalQuota": "0", "borrowingLimit": borrowed}


@pytest.mark.parametrize(
    ("cell", "nominal"),
    [
        (("site.leonardo", "cpu"), "512"),
        (("site.leonardo", "memory"), "4Ti"),
        (("site.leonardo", SLICE), "0"),
        (("site.leonardo.a100-40", GPU), "32"),
        (("site.cnaf-tier1", "cpu"), "1000"),
    ],
    ids=str,
)
def test_jobs_own_what_the_sites_give(cell: tuple[str, str], nominal: str) -> None:
    assert quotas(PLATFORM, names.BATCH)[cell] == {"nominalQuota": nominal}


def test_the_virtual_node_offers_what_the_queue_gives_out() -> None:
    node = values("interlink.yaml")["virtualNode"]["resources"]
    capacity = PLATFORM.site("leonardo").capacity
    assert capacity is not None
    assert (capacity.cpu, capacity.memory) == (node["CPUs"] * 1000, node["memGiB"] * 2**30)
    assert sum(capacity.units.values()) == sum(entry["available"] for entry in node["accelerators"])


def test_sessions_take_back_what_is_lent_and_nothing_else_is_taken_from_anybody() -> None:
    specs = {name: queue["spec"] for name, queue in found(PLATFORM, "ClusterQueue").items()}
    assert specs[names.INTERACTIVE]["preemption"] == {"reclaimWithinCohort": "Any", "withinClusterQueue": "Never"}
    assert specs[names.BATCH]["preemption"] == {"reclaimWithinCohort": "Never", "withinClusterQueue": "Never"}
    assert {spec["cohortName"] for spec in specs.values()} == {"aiinfn"}


def test_activities_take_turns_with_their_jobs_and_sessions_come_in_the_order_of_asking() -> None:
    specs = {name: queue["spec"] for name, queue in found(PLATFORM, "ClusterQueue").items()}
    assert specs[names.BATCH]["admissionScope"] == {"admissionMode": "UsageBasedAdmissionFairSharing"}
    assert "admissionScope" not in specs[names.INTERACTIVE]


def test_only_the_namespace_of_sessions_and_jobs_is_served() -> None:
    platform = small(namespace="theirs")
    for queue in found(platform, "ClusterQueue").values():
        assert queue["spec"]["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "theirs"}}
    assert {queue["metadata"]["namespace"] for queue in found(platform, "LocalQueue").values()} == {"theirs"}


def test_every_activity_has_a_queue_for_sessions_and_one_for_jobs() -> None:
    queues = {name: queue["spec"]["clusterQueue"] for name, queue in found(PLATFORM, "LocalQueue").items()}
    assert queues == {
        queue: kind
        for activity in PLATFORM.activities
        for queue, kind in (
            (names.interactive_queue(activity.name), names.INTERACTIVE),
            (names.batch_queue(activity.name), names.BATCH),
        )
    }


def test_a_session_comes_before_a_job() -> None:
    classes = found(PLATFORM, "WorkloadPriorityClass")
    assert classes[names.INTERACTIVE]["value"] > classes[names.BATCH]["value"]


def test_everything_is_of_the_version_that_was_tried_and_comes_after_what_it_names() -> None:
    objects = kueue.objects(PLATFORM)
    assert {o["apiVersion"] for o in objects} == {"kueue.x-k8s.io/v1beta2"}
    order = list(dict.fromkeys(o["kind"] for o in objects))
    assert order == ["WorkloadPriorityClass", "ResourceFlavor", "ClusterQueue", "LocalQueue"]


KEPT = {
    "of a model that shares its resource": ([CPU, {**T4S, "keep_free": 3}, A100], ("t4", GPU), "8", "5"),
    "of a resource of its own": ([CPU, {**T4S, "keep_free": 3}], ("any-node", GPU), "8", "5"),
    "of units of two devices": ([CPU, {**T4S, "count": 2, "units": 4, "keep_free": 1}], ("any-node", GPU), "8", "6"),
    "all of it": ([CPU, {**T4S, "keep_free": 8}], ("any-node", GPU), "8", "0"),
}


@pytest.mark.parametrize(("flavours", "cell", "nominal", "lent"), KEPT.values(), ids=KEPT)
def test_what_is_kept_free_is_not_lent(flavours: list[Object], cell: tuple[str, str], nominal: str, lent: str) -> None:
    platform = small(flavours=flavours)
    assert quotas(platform, names.INTERACTIVE)[cell] == {"nominalQuota": nominal, "lendingLimit": lent}
    assert quotas(platform, names.BATCH)[cell] == {"nominalQuota": "0", "borrowingLimit": lent}


@pytest.mark.parametrize(("keep_free", "jobs"), [(0, 2), (1, 1), (2, 0)])
def test_jobs_leave_the_units_that_are_kept_free(keep_free: int, jobs: int) -> None:
    platform = small(flavours=[CPU, T4S, {**A100, "keep_free": keep_free}])
    pool, flavors = decoded(platform)
    one, admitted = pod(platform, "a100"), 0
    while taken(pool, pool.queues[names.BATCH], one, flavors):
        pool.use(names.BATCH, {("a100", GPU): 1})
        admitted += 1
    assert admitted == jobs
    assert bool(taken(pool, pool.queues[names.INTERACTIVE], one, flavors)) == (keep_free > 0)


SAME_DEVICES = {**T4S, "name": "t4-pair", "count": 2, "units": 4, "keep_free": 1}


@pytest.mark.parametrize(
    ("flavours", "cell", "quota"),
    [
        pytest.param([CPU, T4S, SAME_DEVICES], ("any-node", GPU), "8", id="in a resource of their own"),
        pytest.param([CPU, T4S, SAME_DEVICES, A100], ("t4", GPU), "8", id="in a shared one"),
    ],
)
def test_two_sizes_of_the_same_devices_are_counted_once(
    flavours: list[Object], cell: tuple[str, str], quota: str
) -> None:
    found = quotas(small(flavours=flavours), names.INTERACTIVE)
    assert found[cell] == {"nominalQuota": quota, "lendingLimit": "6"}
    assert not any(flavor == "t4-pair" for flavor, _ in found)


def remote(*flavours: str, **changes: Any) -> Object:
    return {"sites": [{**SLURM, "flavours": list(flavours), **changes}]}


def test_a_resource_of_one_model_is_that_of_the_sites_too() -> None:
    site = remote("cpu", "t4", capacity={**CAPACITY, "units": {"t4": 3}})
    found = quotas(small(flavours=[CPU, T4S], **site), names.BATCH)
    assert found["site.leonardo", GPU] == {"nominalQuota": "3"}
    assert found["any-node", GPU] == {"nominalQuota": "0", "borrowingLimit": "8"}


def test_a_site_that_forgets_the_taint_of_its_node_takes_no_work_of_the_cluster() -> None:
    platform = small(**remote("cpu", capacity=CAPACITY))
    assert platform.site("leonardo").tolerations == ()
    pool, flavors = decoded(platform)
    for site, flavor in (("", "any-node"), ("leonardo", "site.leonardo")):
        assert taken(pool, pool.queues[names.BATCH], pod(platform, "cpu", site), flavors)["cpu"] == flavor


UNCOUNTED = {key: value for key, value in T4S.items() if key != "units"}
MISSING: dict[str, tuple[Object, Iterable[str]]] = {
    "the capacity": ({"capacity": None}, ["Missing: capacity."]),
    "the units of flavours": (
        {"flavours": [CPU, UNCOUNTED, {**UNCOUNTED, "name": "a100"}]},
        ["Missing: units of t4, a100."],
    ),
    "the capacity of a site": (remote("cpu"), ["Missing: capacity of the site leonardo."]),
    "the units at a site": (
        remote("cpu", "t4", "a100", capacity={**CAPACITY, "units": {"t4": 1}}),
        ["Missing: capacity.units of a100 at the site leonardo."],
    ),
    "everything": (
        {"capacity": None, "flavours": [CPU, UNCOUNTED], **remote("t4")},
        ["capacity; units of t4; capacity of the site leonardo."],
    ),
}


@pytest.mark.parametrize(("changes", "said"), MISSING.values(), ids=MISSING)
def test_what_is_missing_is_named_all_at_once(changes: Object, said: Iterable[str]) -> None:
    data = platform_data(**({"capacity": CAPACITY, "flavours": [CPU, T4S, A100]} | changes))
    platform = parse({key: value for key, value in data.items() if value is not None})
    with pytest.raises(InvalidInput) as caught:
        kueue.objects(platform)
    assert all(words in caught.value.message for words in said)
    assert "aiinfn platform example" in caught.value.hint


@pytest.mark.parametrize(
    "changes",
    [
        {"flavours": [CPU]},
        {"flavours": [CPU, {**T4S, "units": 0}]},
        {**remote("cpu", capacity=CAPACITY), "flavours": [CPU, T4S, A100]},
    ],
    ids=["no accelerator", "none of them left", "a site without accelerators"],
)
def test_nothing_more_is_asked_than_there_is_to_know(changes: Object) -> None:
    assert kueue.missing(small(**changes)) == []


def test_two_flavors_of_one_name_are_refused() -> None:
    clash = {**T4S, "name": "any-node"}
    with pytest.raises(InvalidInput, match="would be named 'any-node'"):
        kueue.objects(small(flavours=[CPU, clash, A100]))
