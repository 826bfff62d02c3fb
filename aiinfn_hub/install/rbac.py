"""Who may do what: accounts of the hub and the service, and roles of the virtual kubelets of sites. Pure.

No verb more than the code uses; tests/install/test_rbac.py names the call behind each. What people run has no rights at
all: their pods have no token (see `policies.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aiinfn_hub.catalogue.models import Platform, Site

HUB, SERVICE = "aiinfn-hub", "aiinfn-service"
#: Where the charts of the sites are installed; each makes a ServiceAccount with the name of its node.
SITES_NAMESPACE = "interlink"
_API = "rbac.authorization.k8s.io"

Rules = Sequence[dict[str, Any]]


def objects(platform: Platform) -> list[dict[str, Any]]:
    """Accounts, roles and bindings."""
    found = [*_of_hub(platform), *_of_service(platform)]
    for node in kubelet_nodes(platform):
        found += _of_kubelet(platform, node)
    return found


def hub_user(platform: Platform) -> str:
    """The hub, as the API server names it."""
    return f"system:serviceaccount:{platform.system_namespace}:{HUB}"


def kubelet_users(platform: Platform) -> list[str]:
    """The virtual kubelets of the sites, as the API server names them."""
    return [f"system:serviceaccount:{SITES_NAMESPACE}:{node}" for node in kubelet_nodes(platform)]


def kubelet_nodes(platform: Platform) -> list[str]:
    """The virtual nodes of the sites."""
    return [_node(site) for site in platform.sites if site.kind == "interlink"]


def _node(site: Site) -> str:
    """The label by which pods find the node has its name as the value, as Kubernetes sets it; else it is the site's."""
    return site.node_selector.get("kubernetes.io/hostname", site.name)


def _of_hub(platform: Platform) -> list[dict[str, Any]]:
    rules = [
        # patch: the gate falls when the token of a session that waited is in place.
        _rule("", ["pods"], "create", "get", "list", "watch", "patch", "delete"),
        _rule("", ["events"], "list", "watch"),
        # Never read back: the hub knows the tokens that it writes.
        _rule("", ["secrets"], "create", "update"),
        _rule("kueue.x-k8s.io", ["workloads"], "list"),
    ]
    account = _account(HUB, platform.system_namespace)
    return [account, *_role(HUB, platform.namespace, rules, _subject(HUB, platform.system_namespace))]


def _of_service(platform: Platform) -> list[dict[str, Any]]:
    rules = [
        _rule("batch", ["jobs"], "create", "get", "list", "watch", "patch", "delete"),
        _rule("", ["configmaps"], "create"),
        _rule("", ["secrets"], "create", "update"),
        # A session that waits is a pod; it is given up by deleting that.
        _rule("", ["pods"], "delete"),
        # patch: what waits for people who have lost the right to it is put aside.
        _rule("kueue.x-k8s.io", ["workloads"], "list", "watch", "patch"),
    ]
    # Of every namespace: whoever's pod holds a device, it is not free. The only right beyond the namespace.
    everywhere = [_rule("", ["nodes", "pods"], "list", "watch")]
    account, subject = _account(SERVICE, platform.system_namespace), _subject(SERVICE, platform.system_namespace)
    return [account, *_role(SERVICE, platform.namespace, rules, subject), *_cluster_role(SERVICE, everywhere, subject)]


def _of_kubelet(platform: Platform, node: str) -> list[dict[str, Any]]:
    """What interLink's virtual kubelet uses for the jobs that we send it, instead of the chart's own role.

    That one may read every Secret of the cluster and make a token for any account. It lists Secrets, ConfigMaps and
    services for variables that our jobs do not have; without the right it complains in its log and works.
    """
    name, subject = f"aiinfn-site-{node}", _subject(node, SITES_NAMESPACE)
    here = [
        _rule("", ["configmaps", "secrets"], "get"),
        _rule("", ["pods"], "get", "delete"),
        _rule("", ["pods/status"], "patch", "update"),
        _rule("", ["events"], "create", "patch"),
    ]
    everywhere = [
        # A new object has no name yet by which it could be told from others.
        _rule("", ["nodes"], "create"),
        _rule("", ["nodes"], "get", "patch", "update", names=[node]),
        _rule("", ["nodes/status"], "patch", "update", names=[node]),
        # It asks for the pods of its node in all namespaces, and does not start without an answer.
        _rule("", ["pods"], "list", "watch"),
    ]
    leases = [
        _rule("coordination.k8s.io", ["leases"], "create"),
        _rule("coordination.k8s.io", ["leases"], "get", "patch", "update", names=[node]),
    ]
    return [
        *_role(name, platform.namespace, here, subject),
        *_role(name, "kube-node-lease", leases, subject),
        *_cluster_role(name, everywhere, subject),
    ]


def _rule(group: str, resources: Sequence[str], *verbs: str, names: Sequence[str] = ()) -> dict[str, Any]:
    rule: dict[str, Any] = {"apiGroups": [group], "resources": list(resources), "verbs": list(verbs)}
    return rule | ({"resourceNames": list(names)} if names else {})


def _account(name: str, namespace: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}}


def _subject(name: str, namespace: str) -> dict[str, Any]:
    return {"kind": "ServiceAccount", "name": name, "namespace": namespace}


def _role(name: str, namespace: str, rules: Rules, subject: dict[str, Any]) -> list[dict[str, Any]]:
    metadata = {"name": name, "namespace": namespace}
    reference = {"apiGroup": _API, "kind": "Role", "name": name}
    return [
        {"apiVersion": f"{_API}/v1", "kind": "Role", "metadata": metadata, "rules": list(rules)},
        _bound("RoleBinding", metadata, reference, subject),
    ]


def _cluster_role(name: str, rules: Rules, subject: dict[str, Any]) -> list[dict[str, Any]]:
    reference = {"apiGroup": _API, "kind": "ClusterRole", "name": name}
    return [
        {"apiVersion": f"{_API}/v1", "kind": "ClusterRole", "metadata": {"name": name}, "rules": list(rules)},
        _bound("ClusterRoleBinding", {"name": name}, reference, subject),
    ]


def _bound(kind: str, metadata: dict[str, Any], reference: dict[str, Any], subject: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": f"{_API}/v1",
        "kind": kind,
        "metadata": metadata,
        "roleRef": reference,
        "subjects": [subject],
    }
