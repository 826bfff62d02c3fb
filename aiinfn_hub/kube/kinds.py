"""The kinds of objects that we read or write, and where the API keeps them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True)
class Kind:
    """A kind of the Kubernetes API; `group` is "" for the core."""

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        """As in a manifest: "v1", "batch/v1"."""
        return f"{self.group}/{self.version}" if self.group else self.version

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """The URL path of the collection, of one object, or of its subresource; no namespace means all of them."""
        parts = [f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"]
        if self.namespaced and namespace:
            parts.append(f"namespaces/{quote(namespace, safe='')}")
        parts.append(self.plural)
        parts.extend(quote(part, safe=":") for part in (name, subresource) if part)
        return "/".join(parts)


NAMESPACES = Kind("", "v1", "Namespace", "namespaces", namespaced=False)
NODES = Kind("", "v1", "Node", "nodes", namespaced=False)
PERSISTENT_VOLUMES = Kind("", "v1", "PersistentVolume", "persistentvolumes", namespaced=False)
PODS = Kind("", "v1", "Pod", "pods")
SECRETS = Kind("", "v1", "Secret", "secrets")
CONFIGMAPS = Kind("", "v1", "ConfigMap", "configmaps")
SERVICES = Kind("", "v1", "Service", "services")
SERVICE_ACCOUNTS = Kind("", "v1", "ServiceAccount", "serviceaccounts")
PERSISTENT_VOLUME_CLAIMS = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
EVENTS = Kind("", "v1", "Event", "events")
JOBS = Kind("batch", "v1", "Job", "jobs")
LEASES = Kind("coordination.k8s.io", "v1", "Lease", "leases")
PRIORITY_CLASSES = Kind("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", namespaced=False)

KUEUE = "kueue.x-k8s.io"
WORKLOADS = Kind(KUEUE, "v1beta2", "Workload", "workloads")
LOCAL_QUEUES = Kind(KUEUE, "v1beta2", "LocalQueue", "localqueues")
CLUSTER_QUEUES = Kind(KUEUE, "v1beta2", "ClusterQueue", "clusterqueues", namespaced=False)
RESOURCE_FLAVORS = Kind(KUEUE, "v1beta2", "ResourceFlavor", "resourceflavors", namespaced=False)
WORKLOAD_PRIORITY_CLASSES = Kind(KUEUE, "v1beta2", "WorkloadPriorityClass", "workloadpriorityclasses", namespaced=False)
