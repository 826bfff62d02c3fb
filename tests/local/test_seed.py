"""What the embedded platform applies before its first user."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.kubeapi import running_api

from aiinfn_hub.catalogue import example_path, load_platform
from aiinfn_hub.kube.client import CLUSTER_QUEUES, LOCAL_QUEUES, KubeClient
from aiinfn_hub.local import seed
from aiinfn_hub.local.nodes import load_nodes
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


@pytest.mark.asyncio
async def test_applying_twice_changes_nothing_and_a_changed_catalogue_changes_the_queues(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        client = await KubeClient.connect(api.kubeconfig)
        try:
            await seed.apply(client, PLATFORM, NODES)
            before = await client.get(CLUSTER_QUEUES, "interactive")
            await seed.apply(client, PLATFORM, NODES)
            again = await client.get(CLUSTER_QUEUES, "interactive")
            assert again["spec"] == before["spec"]
            await seed.apply(client, PLATFORM, [node for node in NODES if node.name != "gpu-1"])
            fewer = await client.get(CLUSTER_QUEUES, "interactive")
            assert quotas(fewer)["t4", "nvidia.com/gpu"]["nominalQuota"] == "0"
        finally:
            await client.close()
