"""Each right is used by a call that is named here, and nothing else is given."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
from kubespawner import KubeSpawner
from support.small_platform import small_platform

from aiinfn_hub.catalogue import example_path, load_platform
from aiinfn_hub.install import rbac

Object = dict[str, Any]
SMALL = small_platform()
EXAMPLE = load_platform(example_path())
CODE = Path(rbac.__file__).parent.parent
KUEUE = "kueue.x-k8s.io"

KUBESPAWNER = "kubespawner"
CACHE = "kube/cache.py"
#: Account -> (group, resource, verb) -> file and text of a call that needs it.
USES: dict[str, dict[tuple[str, str, str], tuple[str, str]]] = {
    "aiinfn-hub": {
        ("", "pods", "create"): ("hub/session_objects.py", "self._client.create(PODS, "),
        ("", "pods", "get"): ("hub/session_objects.py", "self._client.get(PODS, "),
        ("", "pods", "list"): (KUBESPAWNER, "reflector_class=PodReflector"),
        ("", "pods", "watch"): (KUBESPAWNER, "reflector_class=PodReflector"),
        ("", "pods", "delete"): (KUBESPAWNER, "self.api.delete_namespaced_pod("),
        ("", "pods", "patch"): ("hub/session_objects.py", "self._client.patch(PODS, "),
        ("", "events", "list"): (KUBESPAWNER, "reflector_class=EventReflector"),
        ("", "events", "watch"): (KUBESPAWNER, "reflector_class=EventReflector"),
        ("", "secrets", "create"): ("hub/session_objects.py", "self._client.create(SECRETS, "),
        ("", "secrets", "update"): ("hub/session_objects.py", "self._client.replace(SECRETS, "),
        (KUEUE, "workloads", "list"): ("hub/session_objects.py", "self._client.list(WORKLOADS, "),
    },
    "aiinfn-service": {
        ("batch", "jobs", "create"): ("offload/submit.py", "self.client.create(JOBS, "),
        ("batch", "jobs", "get"): ("offload/submit.py", "self.client.get(JOBS, "),
        ("batch", "jobs", "patch"): ("offload/submit.py", "self.client.patch(JOBS, "),
        ("batch", "jobs", "delete"): ("offload/submit.py", "self.client.delete(JOBS, "),
        ("batch", "jobs", "list"): (CACHE, "self.client.pages(self.kind, "),
        ("batch", "jobs", "watch"): (CACHE, "self.client.watch(self.kind, "),
        ("", "configmaps", "create"): ("offload/submit.py", "self.client.create(CONFIGMAPS, "),
        ("", "secrets", "create"): ("offload/submit.py", "self.client.create(SECRETS, "),
        ("", "secrets", "update"): ("offload/submit.py", "self.client.replace(SECRETS, "),
        ("", "pods", "delete"): ("service/tickets.py", "self.client.delete(PODS, "),
        (KUEUE, "workloads", "list"): (CACHE, "self.client.pages(self.kind, "),
        (KUEUE, "workloads", "watch"): (CACHE, "self.client.watch(self.kind, "),
        (KUEUE, "workloads", "patch"): ("service/rights.py", "self.client.patch(WORKLOADS, "),
    },
}


def of_kind(kind: str, name: str = "", namespace: str | None = None) -> list[Object]:
    """The example's objects of a kind."""
    found = [
        one for one in rbac.objects(EXAMPLE) if one["kind"] == kind and (not name or one["metadata"]["name"] == name)
    ]
    return [one for one in found if namespace is None or one["metadata"].get("namespace") == namespace]


def rights(role: Object) -> set[tuple[str, str, str]]:
    """A role as (group, resource, verb)."""
    return {
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    }


@pytest.mark.parametrize("account", USES)
def test_an_account_has_the_rights_that_its_code_uses_and_no_other(account: str) -> None:
    (role,) = of_kind("Role", account)
    assert role["metadata"]["namespace"] == EXAMPLE.namespace
    assert rights(role) == set(USES[account])


@pytest.mark.parametrize(
    ("file", "call"), sorted({use for uses in USES.values() for use in uses.values()}), ids=lambda text: text[:40]
)
def test_a_right_is_still_used_by_the_call_that_it_was_given_for(file: str, call: str) -> None:
    source = inspect.getsource(KubeSpawner) if file == KUBESPAWNER else (CODE / file).read_text()
    assert call in source


def test_only_what_counts_devices_reaches_beyond_the_namespace() -> None:
    (role,) = of_kind("ClusterRole", "aiinfn-service")
    assert rights(role) == {("", what, verb) for what in ("nodes", "pods") for verb in ("list", "watch")}
    assert of_kind("ClusterRole", "aiinfn-hub") == []


@pytest.mark.parametrize("role", of_kind("Role") + of_kind("ClusterRole"), ids=lambda role: role["metadata"]["name"])
def test_nobody_reads_secrets_in_bulk_or_acts_for_others(role: Object) -> None:
    got = rights(role)
    assert not {right for right in got if "*" in right}
    assert not {right for right in got if right[1] == "secrets" and right[2] in {"list", "watch"}}
    assert not {right for right in got if right[1] in {"serviceaccounts", "serviceaccounts/token", "pods/exec"}}
    assert not {right for right in got if right[2] in {"impersonate", "bind", "escalate", "deletecollection"}}
    assert not {right for right in got if right[0] == "rbac.authorization.k8s.io"}


def test_every_account_is_bound_to_its_own_role_in_the_place_where_it_acts() -> None:
    for binding in of_kind("RoleBinding") + of_kind("ClusterRoleBinding"):
        metadata = binding["metadata"]
        kind = binding["kind"].removesuffix("Binding")
        assert binding["roleRef"] == {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": metadata["name"]}
        assert of_kind(kind, metadata["name"], metadata.get("namespace"))
        assert len(binding["subjects"]) == 1


def test_hub_and_service_live_in_the_namespace_of_the_system() -> None:
    accounts = {one["metadata"]["name"]: one["metadata"]["namespace"] for one in of_kind("ServiceAccount")}
    assert accounts == {"aiinfn-hub": "aiinfn-system", "aiinfn-service": "aiinfn-system"}
    for name in accounts:
        for binding in of_kind("RoleBinding", name):
            assert binding["subjects"] == [{"kind": "ServiceAccount", "name": name, "namespace": "aiinfn-system"}]


@pytest.mark.parametrize(
    ("platform", "nodes"),
    [(EXAMPLE, ["cnaf-tier1", "leonardo", "recas-bari"]), (SMALL, ["vk-leonardo"]), (small_platform(sites=[]), [])],
    ids=["example", "another-label", "no-sites"],
)
def test_a_site_is_known_by_the_name_of_its_node(platform: Any, nodes: list[str]) -> None:
    assert rbac.kubelet_nodes(platform) == nodes
    assert rbac.kubelet_users(platform) == [f"system:serviceaccount:interlink:{node}" for node in nodes]


def test_a_site_without_the_label_of_its_node_is_its_own_name() -> None:
    site = {"name": "far", "kind": "interlink", "backend": "slurm", "title": "Far", "flavours": ["cpu"]}
    assert rbac.kubelet_nodes(small_platform(sites=[site])) == ["far"]


def test_a_virtual_kubelet_writes_its_own_node_and_lease_only() -> None:
    (everywhere,) = of_kind("ClusterRole", "aiinfn-site-leonardo")
    (leases,) = of_kind("Role", "aiinfn-site-leonardo", "kube-node-lease")
    for rule in (*everywhere["rules"], *leases["rules"]):
        if set(rule["verbs"]) & {"update", "patch", "get", "delete"}:
            assert rule["resourceNames"] == ["leonardo"]
    assert {right[1] for right in rights(leases)} == {"leases"}


def test_a_virtual_kubelet_reads_what_jobs_bring_and_says_how_they_are() -> None:
    (here,) = of_kind("Role", "aiinfn-site-leonardo", EXAMPLE.namespace)
    assert rights(here) == {
        ("", "configmaps", "get"),
        ("", "secrets", "get"),
        ("", "pods", "get"),
        ("", "pods", "delete"),
        ("", "pods/status", "patch"),
        ("", "pods/status", "update"),
        ("", "events", "create"),
        ("", "events", "patch"),
    }


@pytest.mark.parametrize("platform", [SMALL, EXAMPLE], ids=["small", "example"])
def test_the_objects_are_what_kubernetes_takes(platform: Any) -> None:
    for one in rbac.objects(platform):
        kubernetes_validate.validate(one, "1.36", strict=True)


def test_the_same_file_makes_the_same_objects() -> None:
    assert rbac.objects(EXAMPLE) == rbac.objects(EXAMPLE)


def test_the_hub_is_named_as_the_api_server_names_it() -> None:
    assert rbac.hub_user(EXAMPLE) == "system:serviceaccount:aiinfn-system:aiinfn-hub"
