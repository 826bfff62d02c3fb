"""The kinds of objects that we read or write, and where the API keeps them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from aiinfn_hub.errors import InvalidInput


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

    @property
    def custom(self) -> bool:
        """Whether it is no kind of Kubernetes itself, but made by a CustomResourceDefinition."""
        return "." in self.group and not self.group.endswith(".k8s.io")

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
RESOURCE_QUOTAS = Kind("", "v1", "ResourceQuota", "resourcequotas")
PERSISTENT_VOLUME_CLAIMS = Kind("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims")
EVENTS = Kind("", "v1", "Event", "events")
JOBS = Kind("batch", "v1", "Job", "jobs")
LEASES = Kind("coordination.k8s.io", "v1", "Lease", "leases")
PRIORITY_CLASSES = Kind("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", namespaced=False)
DEPLOYMENTS = Kind("apps", "v1", "Deployment", "deployments")
NETWORK_POLICIES = Kind("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies")

_RBAC = "rbac.authorization.k8s.io"
ROLES = Kind(_RBAC, "v1", "Role", "roles")
ROLE_BINDINGS = Kind(_RBAC, "v1", "RoleBinding", "rolebindings")
CLUSTER_ROLES = Kind(_RBAC, "v1", "ClusterRole", "clusterroles", namespaced=False)
CLUSTER_ROLE_BINDINGS = Kind(_RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", namespaced=False)

_ADMISSION = "admissionregistration.k8s.io"
ADMISSION_POLICIES = Kind(
    _ADMISSION, "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", namespaced=False
)
ADMISSION_POLICY_BINDINGS = Kind(
    _ADMISSION, "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", namespaced=False
)

KUEUE = "kueue.x-k8s.io"
WORKLOADS = Kind(KUEUE, "v1beta2", "Workload", "workloads")
LOCAL_QUEUES = Kind(KUEUE, "v1beta2", "LocalQueue", "localqueues")
CLUSTER_QUEUES = Kind(KUEUE, "v1beta2", "ClusterQueue", "clusterqueues", namespaced=False)
RESOURCE_FLAVORS = Kind(KUEUE, "v1beta2", "ResourceFlavor", "resourceflavors", namespaced=False)
WORKLOAD_PRIORITY_CLASSES = Kind(KUEUE, "v1beta2", "WorkloadPriorityClass", "workloadpriorityclasses", namespaced=False)

_BY_NAME = {(kind.api_version, kind.kind): kind for kind in list(globals().values()) if isinstance(kind, Kind)}


def kind_of(manifest: Mapping[str, Any]) -> Kind:
    """The kind that a manifest names.

    Raises:
        InvalidInput: it is none of those above.
    """
    try:
        return _BY_NAME[manifest["apiVersion"], manifest["kind"]]
    except KeyError as error:
        raise InvalidInput(f"{manifest.get('apiVersion')} {manifest.get('kind')} is no kind that we write.") from error
