"""What one reader fetched of a cluster, for checks that are functions of it. Pure.

A part may be unread: the checks that need it then say so, and never that all is well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.kube.kinds import (
    ADMISSION_POLICIES,
    ADMISSION_POLICY_BINDINGS,
    CLUSTER_QUEUES,
    CLUSTER_ROLE_BINDINGS,
    CLUSTER_ROLES,
    CONFIGMAPS,
    DEPLOYMENTS,
    JOBS,
    LOCAL_QUEUES,
    NAMESPACES,
    NETWORK_POLICIES,
    NODES,
    PODS,
    PRIORITY_CLASSES,
    RESOURCE_FLAVORS,
    RESOURCE_QUOTAS,
    ROLE_BINDINGS,
    ROLES,
    SERVICE_ACCOUNTS,
    WORKLOAD_PRIORITY_CLASSES,
    Kind,
)
from aiinfn_hub.pods import names

Object = dict[str, Any]
#: Where Kueue's chart installs it by default, as the policies assume, and what it names its manager and its settings.
KUEUE_NAMESPACE, KUEUE_MANAGER, KUEUE_SETTINGS = "kueue-system", "kueue-controller-manager", "kueue-manager-config"
#: The API server's own version is no list of objects.
VERSION = "version"


@dataclass(frozen=True)
class Source:
    """Where a part is read.

    Attributes:
        kind: of its objects.
        where: the namespace of sessions and jobs ("ours"), Kueue's, or all of them ("").
        name: of the one object that is read; without it, all are.
    """

    kind: Kind
    where: Literal["", "ours", "kueue"] = ""
    name: str = ""

    @property
    def right(self) -> str:
        """What RBAC must allow, as `kubectl auth can-i` takes it."""
        resource, _, rest = self.kind.plural.partition("/")
        # The name of an object that stands in the path of a subresource: see `visibility`.
        resource += f"/{self.name}" if rest else ""
        return f"{'get' if self.name else 'list'} {resource}{'.' + self.kind.group if self.kind.group else ''}"


_VISIBILITY = "visibility.kueue.x-k8s.io"
SOURCES: dict[str, Source] = {
    "nodes": Source(NODES),
    "pods": Source(PODS),
    "namespaces": Source(NAMESPACES),
    "jobs": Source(JOBS, "ours"),
    "limit ranges": Source(Kind("", "v1", "LimitRange", "limitranges"), "ours"),
    "resource quotas": Source(RESOURCE_QUOTAS, "ours"),
    "priority classes": Source(PRIORITY_CLASSES),
    "accounts": Source(SERVICE_ACCOUNTS),
    "roles": Source(ROLES),
    "role bindings": Source(ROLE_BINDINGS),
    "cluster roles": Source(CLUSTER_ROLES),
    "cluster role bindings": Source(CLUSTER_ROLE_BINDINGS),
    "policies": Source(ADMISSION_POLICIES),
    "policy bindings": Source(ADMISSION_POLICY_BINDINGS),
    "network policies": Source(NETWORK_POLICIES),
    "cluster queues": Source(CLUSTER_QUEUES),
    "local queues": Source(LOCAL_QUEUES, "ours"),
    "flavors": Source(RESOURCE_FLAVORS),
    "workload priorities": Source(WORKLOAD_PRIORITY_CLASSES),
    "manager": Source(DEPLOYMENTS, "kueue", KUEUE_MANAGER),
    "settings": Source(CONFIGMAPS, "kueue", KUEUE_SETTINGS),
    # An older version of what is stored: the API server asks Kueue's webhook to convert it.
    "conversion": Source(Kind("kueue.x-k8s.io", "v1beta1", "ClusterQueue", "clusterqueues", namespaced=False)),
    "visibility API": Source(
        Kind("apiregistration.k8s.io", "v1", "APIService", "apiservices", namespaced=False),
        "",
        f"v1beta2.{_VISIBILITY}",
    ),
    # The API server asks Kueue itself.
    "visibility": Source(
        Kind(_VISIBILITY, "v1beta2", "PendingWorkloadsSummary", f"clusterqueues/{names.BATCH}", namespaced=False),
        "",
        "pendingworkloads",
    ),
}


@dataclass(frozen=True)
class Unread:
    """A part that is not known.

    Attributes:
        why: "forbidden" (a right is missing), "absent" (the cluster has no such API), "failed" (it did not answer).
        message: what the API server said.
    """

    why: Literal["forbidden", "absent", "failed"]
    message: str = ""


Part = Sequence[Object] | Unread


@dataclass(frozen=True, kw_only=True)
class Facts:
    """One look at a cluster.

    Attributes:
        now: Unix seconds of the look.
        parts: by the names of `SOURCES`, and `VERSION`.
        platform: what the platform file says, if one was given.
        file: the file's name, for the lines that mend.
    """

    now: float
    parts: Mapping[str, Part]
    platform: Platform | None = None
    file: str = "platform.yaml"

    def of(self, part: str) -> Sequence[Object]:
        """The objects of a part; none if it is unread."""
        found = self.parts.get(part, ())
        return () if isinstance(found, Unread) else found

    def unread(self, part: str) -> Unread | None:
        """Why a part is not known; None if it is."""
        found = self.parts.get(part, ())
        return found if isinstance(found, Unread) else None

    @property
    def namespace(self) -> str:
        """Of sessions and jobs."""
        return self.platform.namespace if self.platform else str(Platform.model_fields["namespace"].default)

    @property
    def system_namespace(self) -> str:
        """Of hub and service."""
        field_ = Platform.model_fields["system_namespace"]
        return self.platform.system_namespace if self.platform else str(field_.default)

    def render(self, part: str) -> str:
        """The line that applies what the platform file asks for."""
        return f"aiinfn platform render {part} {self.file} | kubectl apply -f -"


@dataclass(frozen=True)
class Named:
    """An object's kind and name, as kubectl takes them and as people read them."""

    kind: str
    name: str
    namespace: str = field(default="")

    def __str__(self) -> str:
        return f"{self.kind} {self.namespace}/{self.name}" if self.namespace else f"{self.kind} {self.name}"

    def kubectl(self, verb: str, *rest: str) -> str:
        """A command about it."""
        where = ("--namespace", self.namespace) if self.namespace else ()
        return " ".join(("kubectl", *where, verb, self.kind.lower(), self.name, *rest))


def named(kind: str, obj: Object) -> Named:
    """Who an object is; lists of the API leave its kind out."""
    return Named(kind, obj["metadata"]["name"], obj["metadata"].get("namespace", ""))


def at(obj: Any, *keys: str) -> Any:
    """The value at the end of these keys; None where one of them is missing."""
    for key in keys:
        obj = obj.get(key) if isinstance(obj, dict) else None
    return obj


def labels(obj: Object) -> dict[str, str]:
    """The labels of an object."""
    return at(obj, "metadata", "labels") or {}


def conditions(obj: Object) -> dict[str, Object]:
    """Type -> condition."""
    return {one["type"]: one for one in at(obj, "status", "conditions") or ()}


def selects(selector: Object, given: Mapping[str, str]) -> bool:
    """Whether a LabelSelector takes these labels; an empty one takes all."""
    if any(given.get(key) != value for key, value in (selector.get("matchLabels") or {}).items()):
        return False
    return all(_holds(one, given) for one in selector.get("matchExpressions") or ())


def _holds(expression: Object, given: Mapping[str, str]) -> bool:
    key, values = expression["key"], expression.get("values") or ()
    match expression["operator"]:
        case "In":
            return given.get(key) in values
        case "NotIn":
            return given.get(key) not in values
        case "Exists":
            return key in given
        case _:
            return key not in given
