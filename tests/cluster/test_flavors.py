"""The rendered queues of the example on the real Kueue: every pod is charged to the place where it goes."""

from __future__ import annotations

from typing import Any

import pytest
from support.charged import CHARGED, placed
from support.controlplane.cluster import Cluster, until

from aiinfn_hub.catalogue import example_path, load_platform
from aiinfn_hub.kube.client import JOBS, PODS, SERVICE_ACCOUNTS, WORKLOADS, KubeClient
from aiinfn_hub.local import seed
from aiinfn_hub.pods import names

Object = dict[str, Any]
PLATFORM = load_platform(example_path())
#: More than half of what the example's Leonardo has.
MANY_CPUS = 300_000


async def submit(client: KubeClient, name: str, flavour: str, site: str, queue: str, cpu_millis: int = 2000) -> None:
    """A session's pod, or a Job; Kueue makes a Workload of it."""
    labels = {names.QUEUE: f"cms-ml-{queue}", names.PRIORITY: queue}
    metadata = {"name": name, "namespace": PLATFORM.namespace, "labels": labels}
    spec = placed(PLATFORM, flavour, site, cpu_millis) | {"restartPolicy": "Never"}
    if queue == names.INTERACTIVE:
        await client.create(PODS, {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
    else:
        job = {"suspend": True, "template": {"spec": spec}}
        await client.create(JOBS, {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": job})


async def workloads(client: KubeClient) -> dict[str, Object]:
    """Name of the pod or Job -> status of its Workload."""
    found, _ = await client.list(WORKLOADS, PLATFORM.namespace)
    return {one["metadata"]["ownerReferences"][0]["name"]: one.get("status", {}) for one in found}


def admitted(status: Object) -> dict[str, str]:
    """Resource -> flavor."""
    (assigned,) = status.get("admission", {}).get("podSetAssignments", [{}])
    return dict(assigned.get("flavors", {}))


def said(status: Object) -> str:
    """Why it is not admitted."""
    return " ".join(c["message"] for c in status.get("conditions", []) if c["type"] == "QuotaReserved")


@pytest.mark.asyncio
async def test_every_pod_is_charged_to_the_place_where_it_goes(own_cluster: Cluster) -> None:
    client = await KubeClient.connect(own_cluster.kubeconfig)
    try:
        await seed.apply(client, PLATFORM, [])
        await until(lambda: client.get(SERVICE_ACCOUNTS, "default", PLATFORM.namespace), "the namespace's account")
        wanted = {}
        for number, (flavour, site, queue, base, devices) in enumerate(CHARGED.values()):
            await submit(client, f"w{number}", flavour, site, queue)
            wanted[f"w{number}"] = {"cpu": base, "memory": base, **devices}

        async def all_of_them() -> bool:
            return {name: admitted(status) for name, status in (await workloads(client)).items()} == wanted

        await until(all_of_them, "every flavor")

        # A site that is full makes its jobs wait, whatever is idle here.
        await submit(client, "first", "cpu", "leonardo", names.BATCH, MANY_CPUS)

        async def first_runs() -> bool:
            return bool(admitted((await workloads(client)).get("first", {})))

        await until(first_runs, "the first large job")
        await submit(client, "second", "cpu", "leonardo", names.BATCH, MANY_CPUS)

        async def second_told() -> str:
            return said((await workloads(client)).get("second", {}))

        reason = await until(second_told, "a reason for the second")
        assert "insufficient unused quota for cpu in flavor site.leonardo" in reason
        assert f"untolerated taint {{{names.PREFIX}site local NoSchedule <nil>}} in flavor any-node" in reason
        assert admitted((await workloads(client))["second"]) == {}
    finally:
        await client.close()
