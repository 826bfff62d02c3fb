"""The two queues of the platform for tests: sessions own the quota, jobs borrow what is idle."""

from __future__ import annotations

from typing import Any

from aiinfn_hub.kube.client import (
    CLUSTER_QUEUES,
    LOCAL_QUEUES,
    RESOURCE_FLAVORS,
    WORKLOAD_PRIORITY_CLASSES,
    WORKLOADS,
    KubeClient,
)

KUEUE = "kueue.x-k8s.io/v1beta2"
QUEUE = "kueue.x-k8s.io/queue-name"
PRIORITY = "kueue.x-k8s.io/priority-class"
Object = dict[str, Any]


def flavor(name: str, labels: Object | None = None, **spec: Any) -> Object:
    return {
        "apiVersion": KUEUE,
        "kind": "ResourceFlavor",
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": {"nodeLabels": labels or {}} | spec,
    }


def cluster_queue(name: str, nominal: Object, *, flavor: str = "a100", borrow: Any = None, **spec: Any) -> Object:
    """A queue with one flavor; `nominal` is the quota by resource, `borrow` a limit for each."""
    limit = {} if borrow is None else {"borrowingLimit": str(borrow)}
    resources = [{"name": key, "nominalQuota": str(value)} | limit for key, value in nominal.items()]
    group = {"coveredResources": list(nominal), "flavors": [{"name": flavor, "resources": resources}]}
    return {
        "apiVersion": KUEUE,
        "kind": "ClusterQueue",
        "metadata": {"name": name, "uid": f"uid-{name}"},
        "spec": {"cohortName": "aiinfn", "namespaceSelector": {}, "resourceGroups": [group]} | spec,
    }


def local_queue(name: str, cluster_queue: str, **spec: Any) -> Object:
    return {
        "apiVersion": KUEUE,
        "kind": "LocalQueue",
        "metadata": {"name": name, "namespace": "default", "uid": f"uid-{name}"},
        "spec": {"clusterQueue": cluster_queue} | spec,
    }


def priority_class(name: str, value: int) -> Object:
    return {"apiVersion": KUEUE, "kind": "WorkloadPriorityClass", "metadata": {"name": name}, "value": value}


PLENTY = {"cpu": "100", "memory": "100Gi"}


async def two_queues(client: KubeClient, gpus: int) -> None:
    """Queues "sessions" (owns the GPUs and gets them back) and "jobs" (borrows)."""
    await client.create(RESOURCE_FLAVORS, flavor("a100", {"gpu": "a100"}))
    owner = cluster_queue(
        "interactive",
        PLENTY | {"nvidia.com/gpu": gpus},
        preemption={"reclaimWithinCohort": "Any", "withinClusterQueue": "Never"},
    )
    await client.create(CLUSTER_QUEUES, owner)
    await client.create(CLUSTER_QUEUES, cluster_queue("batch", {"cpu": 0, "memory": 0, "nvidia.com/gpu": 0}))
    await client.create(LOCAL_QUEUES, local_queue("sessions", "interactive"))
    await client.create(LOCAL_QUEUES, local_queue("jobs", "batch"))
    await client.create(WORKLOAD_PRIORITY_CLASSES, priority_class("interactive", 10000))


async def workload_of(client: KubeClient, owner: str) -> Object:
    """The Workload of a Job or a pod by its name; {} if there is none."""
    found, _ = await client.list(WORKLOADS, "default")
    return next((w for w in found if w["metadata"]["ownerReferences"][0]["name"] == owner), {})


async def condition(client: KubeClient, owner: str, kind: str) -> Object:
    """A condition of the Workload of a Job or a pod; {} if there is none."""
    workload = await workload_of(client, owner)
    found = workload.get("status", {}).get("conditions", ())
    return next((c for c in found if c["type"] == kind), {})
