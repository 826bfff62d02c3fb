"""What the embedded platform applies before its first user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.kubeapi import running_api

from aiinfn_hub.catalogue import Platform, example_path, load_platform
from aiinfn_hub.kube.client import CLUSTER_QUEUES, LOCAL_QUEUES, KubeClient
from aiinfn_hub.local import seed
from aiinfn_hub.local.nodes import NodeSpec, load_nodes
from aiinfn_hub.pods import names

PLATFORM = load_platform(example_path())
NODES = load_nodes()
OBJECTS = list(seed.objects(PLATFORM, NODES))


def found(kind: str, name: str) -> dict[str, Any]:
    return next(o for k, o in OBJECTS if k.kind == kind and o["metadata"]["name"] == name)


def quotas(queue: dict[str, Any]) -> dict[tuple[str, str], dict[str, str]]:
    """(flavor, resource) -> quota."""
    return {
        (place["name"], resource["name"]): resource
        for group in queue["spec"]["resourceGroups"]
        for place in group["flavors"]
        for resource in place["resources"]
    }


@pytest.mark.parametrize("queue", [names.INTERACTIVE, names.BATCH])
def test_every_resource_of_every_flavour_is_covered(queue: str) -> None:
    """A resource that no queue covers could never be admitted."""
    covered = {resource for _, resource in quotas(found("ClusterQueue", queue))}
    assert {flavour.resource for flavour in PLATFORM.flavours if flavour.accelerator} | {"cpu", "memory"} == covered


def test_models_that_share_a_resource_are_told_apart_by_their_node() -> None:
    places = {place for place, resource in quotas(found("ClusterQueue", "interactive")) if resource == "nvidia.com/gpu"}
    assert {"t4", "rtx5000", "a30", "a100-40"} == places
    assert found("ResourceFlavor", "t4")["spec"]["nodeLabels"] == {"nvidia.com/gpu.product": "Tesla-T4"}


def test_sessions_own_what_the_nodes_have_and_jobs_borrow_it() -> None:
    own, borrowed = quotas(found("ClusterQueue", "interactive")), quotas(found("ClusterQueue", "batch"))
    assert own["t4", "nvidia.com/gpu"] == {"name": "nvidia.com/gpu", "nominalQuota": "8"}
    assert borrowed["t4", "nvidia.com/gpu"] == {"name": "nvidia.com/gpu", "nominalQuota": "0", "borrowingLimit": "8"}
    assert found("ClusterQueue", "interactive")["spec"]["preemption"]["reclaimWithinCohort"] == "Any"
    assert found("ClusterQueue", "interactive")["spec"]["preemption"]["withinClusterQueue"] == "Never"


def test_every_activity_has_a_queue_for_sessions_and_one_for_jobs() -> None:
    queues = {o["metadata"]["name"]: o["spec"]["clusterQueue"] for k, o in OBJECTS if k is LOCAL_QUEUES}
    for activity in PLATFORM.activities:
        assert queues[names.interactive_queue(activity.name)] == "interactive"
        assert queues[names.batch_queue(activity.name)] == "batch"


def uncounted() -> Platform:
    """The example, but nobody wrote down how much there is."""
    return PLATFORM.model_copy(
        update={
            "capacity": None,
            "flavours": tuple(flavour.model_copy(update={"units": None}) for flavour in PLATFORM.flavours),
            "sites": tuple(site.model_copy(update={"capacity": None}) for site in PLATFORM.sites),
        }
    )


def test_the_example_says_of_the_cluster_what_its_nodes_have() -> None:
    found = seed.counted(uncounted(), NODES)
    assert found.capacity == PLATFORM.capacity
    assert {f.name: f.units for f in found.flavours} == {f.name: f.units for f in PLATFORM.flavours}


def test_what_the_file_says_is_not_counted_again() -> None:
    assert seed.counted(PLATFORM, []) == PLATFORM


VIRTUAL = NodeSpec(
    name="leonardo",
    labels={"kubernetes.io/hostname": "leonardo"},
    capacity={"cpu": "48", "memory": "1Ti", "nvidia.com/gpu": "4"},
)


@pytest.mark.parametrize(
    ("nodes", "cpu", "memory", "units"),
    [
        pytest.param(NODES, 0, 0, {"a100-40": 0}, id="no node plays the site"),
        pytest.param([*NODES, VIRTUAL], 48_000, 2**40, {"a100-40": 4}, id="a node plays the site"),
    ],
)
def test_a_virtual_node_counts_for_its_site_and_not_for_the_cluster(
    nodes: list[NodeSpec], cpu: int, memory: int, units: dict[str, int]
) -> None:
    found = seed.counted(uncounted(), nodes)
    capacity = found.site("leonardo").capacity
    assert capacity is not None
    assert (capacity.cpu, capacity.memory, capacity.units) == (cpu, memory, units)
    assert found.capacity == PLATFORM.capacity
    assert found.flavour("a100-40").units == 2


def test_a_unit_of_several_devices_is_counted_whole() -> None:
    pairs = PLATFORM.flavour("t4").model_copy(update={"count": 3, "units": None})
    found = seed.counted(PLATFORM.model_copy(update={"flavours": (pairs,)}), NODES)
    assert found.flavour("t4").units == 2


@pytest.mark.asyncio
async def test_applying_twice_changes_nothing_and_a_changed_catalogue_changes_the_queues(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        client = await KubeClient.connect(api.kubeconfig)
        try:
            await seed.apply(client, uncounted(), NODES)
            before = await client.get(CLUSTER_QUEUES, "interactive")
            await seed.apply(client, uncounted(), NODES)
            again = await client.get(CLUSTER_QUEUES, "interactive")
            assert again["spec"] == before["spec"]
            await seed.apply(client, uncounted(), [node for node in NODES if node.name != "gpu-1"])
            fewer = await client.get(CLUSTER_QUEUES, "interactive")
            assert quotas(fewer)["t4", "nvidia.com/gpu"]["nominalQuota"] == "0"
        finally:
            await client.close()
