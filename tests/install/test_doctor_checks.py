"""Every trap of `aiinfn doctor`: a cluster that has it, and one that has something like it and is well."""

from __future__ import annotations

import re
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest
from support.exampleworld import EXAMPLE, NOW, healthy, settings

from aiinfn_hub.install.doctor.facts import Facts, Unread
from aiinfn_hub.install.doctor.findings import Finding, examine
from aiinfn_hub.install.doctor.table import CHECKS, OTHERS
from aiinfn_hub.kube.moments import rfc3339
from aiinfn_hub.offload.manifest import GATED_BY
from aiinfn_hub.pods import names

Object = dict[str, Any]
Parts = dict[str, Any]
Change = Callable[[Parts], object]


def look(parts: Parts, **more: Any) -> list[Finding]:
    return examine(Facts(now=NOW, parts=parts, **({"platform": EXAMPLE} | more)), CHECKS)


def named(parts: Parts, part: str, name: str, namespace: str = "") -> Object:
    found = [
        one
        for one in parts[part]
        if one["metadata"]["name"] == name and namespace in ("", one["metadata"].get("namespace"))
    ]
    thing: Object = found[0]
    return thing


def without(part: str, name: str) -> Change:
    """The part without that object."""

    def change(parts: Parts) -> None:
        kept = [one for one in parts[part] if one["metadata"]["name"] != name]
        assert len(kept) < len(parts[part])
        parts[part] = kept

    return change


def put(part: str, name: str, path: str, value: Any, namespace: str = "") -> Change:
    """An object with another value at a path; None takes it away."""

    def change(parts: Parts) -> None:
        at = named(parts, part, name, namespace)
        *keys, last = (int(key) if key.isdigit() else key for key in path.split("|"))
        for key in keys:
            at = at[key] if isinstance(key, int) else at.setdefault(key, {})
        if value is None:
            del at[last]
        else:
            at[last] = value

    return change


def more(part: str, thing: Object) -> Change:
    return lambda parts: parts[part].append(thing)


def unread(part: str, why: Any, message: str = "") -> Change:
    return lambda parts: parts.update({part: Unread(why, message)})


def set_to(**changes: Any) -> Change:
    return lambda parts: parts.update({"settings": [settings(**changes)]})


def all_of(*changes: Change) -> Change:
    def change(parts: Parts) -> None:
        for one in changes:
            one(parts)

    return change


def pod(name: str = "p", *, age_s: float = 0, gates: tuple[str, ...] = (), node: str = "", sources: Any = ()) -> Object:
    volumes = [{"name": "v", "emptyDir": {}}, {"name": "t", "projected": {"sources": list(sources)}}]
    return {
        "metadata": {"name": name, "namespace": "aiinfn", "creationTimestamp": rfc3339(NOW - age_s)},
        "spec": {"nodeName": node, "volumes": volumes, "schedulingGates": [{"name": gate} for gate in gates]},
    }


def job(age_s: float, annotations: Object) -> Object:
    created = rfc3339(NOW - age_s)
    return {"metadata": {"name": "job-1", "annotations": annotations, "creationTimestamp": created}}


def bound(name: str, role: str, subject: Object, kind: str = "ClusterRole", **metadata: Any) -> Object:
    reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": role}
    return {"metadata": {"name": name, **metadata}, "roleRef": reference, "subjects": [subject]}


def role(name: str, *rules: Object) -> Object:
    return {"metadata": {"name": name}, "rules": list(rules)}


def rule(resource: str, *verbs: str, group: str = "") -> Object:
    return {"apiGroups": [group], "resources": [resource], "verbs": list(verbs)}


HUB = {"kind": "ServiceAccount", "name": "aiinfn-hub", "namespace": "aiinfn-system"}
LEONARDO = {"kind": "ServiceAccount", "name": "leonardo", "namespace": "interlink"}
ANYTHING = role("cluster-admin", {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]})
TOKEN = {"serviceAccountToken": {"path": "token"}}
BUILT_IN = {"labels": {"kubernetes.io/bootstrapping": "rbac-defaults"}}
STOCK = role("leonardo-role", rule("secrets", "get", "list", "watch"), rule("serviceaccounts/token", "create", "get"))
RESOURCES = "spec|resourceGroups|0|flavors|0|resources|0"
WEBHOOK = "conversion webhook for kueue.x-k8s.io/v1beta2: connect: connection refused"
IMAGE = "spec|template|spec|containers|0|image"
MANAGER = ("manager", "kueue-controller-manager")
LIMITS = {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "500m"}}


def limits(*items: Object) -> Change:
    thing = {"metadata": {"name": "l", "namespace": "aiinfn"}, "spec": {"limits": list(items)}}
    return more("limit ranges", thing)


def quota(**hard: str) -> Change:
    thing = {"metadata": {"name": "q", "namespace": "aiinfn"}, "spec": {"hard": hard}}
    return more("resource quotas", thing)


def inactive(part: str, name: str) -> Change:
    condition = {"type": "Active", "status": "False", "reason": "FlavorNotFound", "message": "references missing t4"}
    return put(part, name, "status", {"conditions": [condition]})


#: What is broken -> its code, a part of the evidence, a part of what mends it, and how it is broken.
BROKEN: dict[str, tuple[str, str, str, Change]] = {
    "an old API server": (
        "kubernetes-old",
        "gitVersion is v1.31.9",
        "v1.32",
        lambda p: p.update(version=[{"gitVersion": "v1.31.9"}]),
    ),
    "no Kueue": (
        "kueue-missing",
        "kueue.x-k8s.io/v1beta2: not found",
        "helm upgrade --install kueue",
        lambda p: p.update(
            dict.fromkeys(
                ("cluster queues", "local queues", "flavors", "workload priorities", "conversion"), Unread("absent")
            )
        ),
    ),
    "an old Kueue": (
        "kueue-old",
        "image is registry.k8s.io/kueue/kueue:v0.19.1",
        "--version 0.19.2",
        put(*MANAGER, IMAGE, "registry.k8s.io/kueue/kueue:v0.19.1"),
    ),
    "a Kueue of one's own": (
        "kueue-version-unknown",
        "image is reg:5000/kueue:latest",
        "helm",
        put(*MANAGER, IMAGE, "reg:5000/kueue:latest"),
    ),
    "a manager elsewhere": (
        "kueue-version-unknown",
        "Deployment kueue-system/kueue-controller-manager: is not there",
        "kubectl get deployments",
        lambda p: p.update(manager=[]),
    ),
    "a webhook that is down": (
        "kueue-silent",
        "connection refused",
        "rollout restart deployment/kueue-controller-manager",
        unread("conversion", "failed", WEBHOOK),
    ),
    "a manager that does not run": (
        "kueue-not-running",
        "status.availableReplicas is 0",
        "rollout restart",
        put(*MANAGER, "status", {}),
    ),
    "a visibility API that is down": (
        "visibility-unavailable",
        "status.conditions[Available]: no endpoints",
        "rollout restart",
        put(
            "visibility API",
            "v1beta2.visibility.kueue.x-k8s.io",
            "status",
            {"conditions": [{"type": "Available", "status": "False", "message": "no endpoints"}]},
        ),
    ),
    "a visibility API that says it is well": (
        "visibility-unavailable",
        "pendingworkloads of ClusterQueue batch: 503",
        "rollout restart",
        unread("visibility", "failed", "503"),
    ),
    "no visibility API": (
        "visibility-unavailable",
        "is not there",
        "helm",
        lambda p: p.update({"visibility API": []}),
    ),
    "no settings": (
        "kueue-settings-unknown",
        "ConfigMap kueue-system/kueue-manager-config: is not there",
        "helm",
        lambda p: p.update(settings=[]),
    ),
    "settings that are not YAML": (
        "kueue-settings-unknown",
        "has no Configuration",
        "helm",
        put("settings", "kueue-manager-config", "data", {"controller_manager_config.yaml": "a: [", "b": "- 1"}),
    ),
    "half an hour to become Ready": (
        "pods-ready-timeout",
        "waitForPodsReady.timeout is 30m",
        'waitForPodsReady: {timeout: "168h", recoveryTimeout: "0s"}',
        set_to(waitForPodsReady={"timeout": "30m", "recoveryTimeout": "0s"}),
    ),
    "half an hour by default": (
        "pods-ready-timeout",
        "waitForPodsReady.timeout is 30m by default",
        "168h",
        set_to(waitForPodsReady={"recoveryTimeout": "0s"}),
    ),
    "five minutes of the old version": (
        "pods-ready-timeout",
        "waitForPodsReady.timeout is 5m by default",
        "168h",
        set_to(apiVersion="config.kueue.x-k8s.io/v1beta1", waitForPodsReady={"enable": True}),
    ),
    "a time to recover": (
        "pods-ready-recovery",
        "waitForPodsReady.recoveryTimeout is 168h (7 d) by default",
        'recoveryTimeout: "0s"',
        set_to(waitForPodsReady={"timeout": "168h"}),
    ),
    "Jobs without a queue": (
        "unnamed-jobs-managed",
        "manageJobsWithoutQueueName is true",
        "manageJobsWithoutQueueName: false",
        set_to(manageJobsWithoutQueueName=True),
    ),
    "another namespace": (
        "namespace-not-managed",
        "which leaves out aiinfn",
        'managedJobsNamespaceSelector: {matchLabels: {kubernetes.io/metadata.name: "aiinfn"}}',
        set_to(managedJobsNamespaceSelector={"matchLabels": {"kubernetes.io/metadata.name": "default"}}),
    ),
    "every namespace": (
        "system-namespaces-managed",
        "which takes kube-system, aiinfn-system",
        "managedJobsNamespaceSelector",
        set_to(
            managedJobsNamespaceSelector={
                "matchExpressions": [
                    {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": ["kueue-system"]},
                    {"key": "kubernetes.io/metadata.name", "operator": "Exists"},
                    {"key": "pod-security.kubernetes.io/exempt", "operator": "DoesNotExist"},
                ]
            }
        ),
    ),
    "the hub's namespace by default": (
        "system-namespaces-managed",
        "which takes aiinfn-system by default",
        "managedJobsNamespaceSelector",
        set_to(managedJobsNamespaceSelector=None),
    ),
    "no pods": (
        "integrations-missing",
        "without pod",
        "integrations: {frameworks: [batch/job, pod]}",
        set_to(integrations={"frameworks": ["batch/job", "kubeflow.org/mpijob"]}),
    ),
    "integrations by default": (
        "integrations-missing",
        "integrations.frameworks is ['batch/job'], without pod by default",
        "frameworks",
        set_to(integrations=None),
    ),
    "no priority of jobs": (
        "workload-priorities-missing",
        "WorkloadPriorityClass batch: is not there",
        "aiinfn platform render kueue platform.yaml | kubectl apply -f -",
        without("workload priorities", "batch"),
    ),
    "jobs before sessions": (
        "workload-priorities-order",
        "value is 10000, not above 10000 of batch",
        """kubectl patch workloadpriorityclass interactive --type merge --patch '{"value": 10001}'""",
        put("workload priorities", "batch", "value", 10000),
    ),
    "no flavor": ("flavors-missing", "ResourceFlavor t4: is not there", "render kueue", without("flavors", "t4")),
    "no queue": (
        "cluster-queues-missing",
        "ClusterQueue batch: is not there",
        "render kueue",
        without("cluster queues", "batch"),
    ),
    "no queue of an activity": (
        "local-queues-missing",
        "LocalQueue aiinfn/cms-ml-batch: is not there",
        "render kueue",
        without("local queues", "cms-ml-batch"),
    ),
    "another quota": (
        "queues-differ",
        "ClusterQueue interactive: spec.resourceGroups[0].flavors[0].resources[0].nominalQuota is 500, rendered 512",
        "render kueue",
        put("cluster queues", "interactive", f"{RESOURCES}|nominalQuota", "500"),
    ),
    "a limit that nobody rendered": (
        "queues-differ",
        "resources[0].lendingLimit is 1, rendered absent",
        '[{"op": "remove", "path": "/spec/resourceGroups/0/flavors/0/resources/0/lendingLimit"}]',
        put("cluster queues", "interactive", f"{RESOURCES}|lendingLimit", "1"),
    ),
    "another taint": (
        "queues-differ",
        "ResourceFlavor t4: spec.nodeTaints[0].value is bari, rendered local",
        "render kueue",
        put("flavors", "t4", "spec|nodeTaints|0|value", "bari"),
    ),
    "the wrong queue": (
        "queues-differ",
        "LocalQueue aiinfn/cms-ml-batch: spec.clusterQueue is interactive, rendered batch",
        "render kueue",
        put("local queues", "cms-ml-batch", "spec|clusterQueue", "interactive"),
    ),
    "an inactive queue": (
        "queue-inactive",
        "ClusterQueue batch: status.conditions[Active] is False, FlavorNotFound: references missing t4",
        "render kueue",
        inactive("cluster queues", "batch"),
    ),
    "an inactive queue of an activity": (
        "queue-inactive",
        "LocalQueue aiinfn/cms-ml-batch: status",
        "render kueue",
        inactive("local queues", "cms-ml-batch"),
    ),
    "a queue on hold": (
        "queue-held",
        "ClusterQueue batch: spec.stopPolicy is Hold",
        """kubectl patch clusterqueue batch --type merge --patch '{"spec": {"stopPolicy": "None"}}'""",
        all_of(put("cluster queues", "batch", "spec|stopPolicy", "Hold"), inactive("cluster queues", "batch")),
    ),
    "a queue that is drained": (
        "queue-drained",
        "LocalQueue aiinfn/cms-ml-interactive: spec.stopPolicy is HoldAndDrain",
        "kubectl --namespace aiinfn patch localqueue cms-ml-interactive",
        put("local queues", "cms-ml-interactive", "spec|stopPolicy", "HoldAndDrain"),
    ),
    "sessions that end each other": (
        "preempts-within-queue",
        "spec.preemption.withinClusterQueue is LowerPriority",
        "kubectl patch clusterqueue interactive",
        put("cluster queues", "interactive", "spec|preemption|withinClusterQueue", "LowerPriority"),
    ),
    "jobs that borrow by force": (
        "borrows-by-force",
        "spec.preemption.borrowWithinCohort.policy is LowerPriority",
        """--patch '{"spec": {"preemption": {"borrowWithinCohort": null}}}'""",
        put("cluster queues", "batch", "spec|preemption|borrowWithinCohort", {"policy": "LowerPriority"}),
    ),
    "a queue that lends to sessions": (
        "sessions-borrow",
        "ClusterQueue spare: lends cpu of any-node to interactive (nominalQuota is 8)",
        "render kueue",
        more(
            "cluster queues",
            {
                "metadata": {"name": "spare"},
                "spec": {
                    "cohortName": "aiinfn",
                    "resourceGroups": [
                        {"flavors": [{"name": "any-node", "resources": [{"name": "cpu", "nominalQuota": "8"}]}]}
                    ],
                },
            },
        ),
    ),
    "a flavor for nodes that are gone": (
        "flavor-on-no-node",
        "ResourceFlavor t4: spec.nodeLabels nvidia.com/gpu.product=Tesla-T4 are on no node",
        "aiinfn platform check platform.yaml --against-cluster",
        put("nodes", "gpu-1", "metadata|labels|nvidia.com/gpu.product", "Tesla-T4-SHARED"),
    ),
    "devices that no queue has": (
        "resource-not-covered",
        "Node gpu-1: status.allocatable[nvidia.com/mig-3g.20gb], on 1 nodes",
        "`resource: nvidia.com/mig-3g.20gb`",
        put("nodes", "gpu-1", "status|allocatable|nvidia.com/mig-3g.20gb", "2"),
    ),
    "no role": (
        "rights-missing",
        "Role aiinfn/aiinfn-hub: is not there",
        "aiinfn platform render rbac platform.yaml | kubectl apply -f -",
        without("roles", "aiinfn-hub"),
    ),
    "no account": (
        "rights-missing",
        "ServiceAccount aiinfn-system/aiinfn-service: is not there",
        "render rbac",
        without("accounts", "aiinfn-service"),
    ),
    "no binding": (
        "rights-missing",
        "ClusterRoleBinding aiinfn-service: is not there",
        "render rbac",
        without("cluster role bindings", "aiinfn-service"),
    ),
    "a role with less": (
        "rights-narrower",
        "ClusterRole aiinfn-service: rules lack list nodes, watch nodes",
        "render rbac",
        put("cluster roles", "aiinfn-service", "rules", [rule("pods", "list", "watch")]),
    ),
    "a role with more": (
        "rights-wider",
        "Role aiinfn/aiinfn-hub: rules also give get secrets, list secrets",
        "render rbac",
        lambda p: named(p, "roles", "aiinfn-hub")["rules"].append(rule("secrets", "get", "list")),
    ),
    "a role with everything": (
        "rights-wider",
        "rules also give * *.*",
        "render rbac",
        lambda p: named(p, "roles", "aiinfn-hub")["rules"].extend(ANYTHING["rules"]),
    ),
    "a binding of somebody else": (
        "rights-unbound",
        "RoleBinding aiinfn/aiinfn-hub: subjects[1] is ",
        "kubectl --namespace aiinfn patch rolebinding aiinfn-hub --type json",
        lambda p: named(p, "role bindings", "aiinfn-hub")["subjects"].append({"kind": "User", "name": "eve"}),
    ),
    "a binding to another role": (
        "rights-unbound",
        "roleRef.name is edit, rendered aiinfn-hub",
        "kubectl --namespace aiinfn delete rolebinding aiinfn-hub && aiinfn platform render rbac",
        put("role bindings", "aiinfn-hub", "roleRef|name", "edit"),
    ),
    "a hub that may do anything": (
        "rights-elsewhere",
        "ClusterRoleBinding oops: subjects[0] is ServiceAccount aiinfn-system/aiinfn-hub, roleRef is",
        "kubectl delete clusterrolebinding oops",
        more("cluster role bindings", bound("oops", "cluster-admin", HUB)),
    ),
    "sessions with rights": (
        "rights-elsewhere",
        "RoleBinding aiinfn/all: subjects[0] is Group system:serviceaccounts:aiinfn",
        "kubectl --namespace aiinfn delete rolebinding all",
        more(
            "role bindings",
            bound("all", "view", {"kind": "Group", "name": "system:serviceaccounts:aiinfn"}, namespace="aiinfn"),
        ),
    ),
    "a hub by its user name": (
        "rights-elsewhere",
        "subjects[0] is User system:serviceaccount:aiinfn-system:aiinfn-hub",
        "delete",
        more(
            "cluster role bindings",
            bound("oops", "view", {"kind": "User", "name": "system:serviceaccount:aiinfn-system:aiinfn-hub"}),
        ),
    ),
    "the role of interLink's chart": (
        "site-reads-secrets",
        "ClusterRoleBinding leonardo-rolebinding: roleRef is ClusterRole leonardo-role, which gives get secrets",
        "kubectl delete clusterrolebinding leonardo-rolebinding",
        all_of(
            more("cluster roles", STOCK),
            more("cluster role bindings", bound("leonardo-rolebinding", "leonardo-role", LEONARDO)),
        ),
    ),
    "no namespace": (
        "namespace-missing",
        "Namespace aiinfn-system: is not there",
        "aiinfn platform render policies platform.yaml",
        without("namespaces", "aiinfn-system"),
    ),
    "a namespace for everything": (
        "pod-security-missing",
        "metadata.labels[pod-security.kubernetes.io/enforce] is baseline",
        "kubectl label namespace aiinfn --overwrite pod-security.kubernetes.io/enforce=restricted",
        put("namespaces", "aiinfn", "metadata|labels|pod-security.kubernetes.io/enforce", "baseline"),
    ),
    "no policy of pods": (
        "policies-missing",
        "ValidatingAdmissionPolicy aiinfn-pods: is not there",
        "render policies",
        without("policies", "aiinfn-pods"),
    ),
    "a policy for nobody": (
        "policies-unbound",
        "ValidatingAdmissionPolicyBinding aiinfn-jobs: is not there",
        "render policies",
        without("policy bindings", "aiinfn-jobs"),
    ),
    "a policy that warns": (
        "policies-not-denying",
        "spec.validationActions is ['Warn']",
        "kubectl patch validatingadmissionpolicybinding aiinfn-pods --type merge",
        put("policy bindings", "aiinfn-pods", "spec|validationActions", ["Warn"]),
    ),
    "a policy of last year": (
        "policies-differ",
        "ValidatingAdmissionPolicy aiinfn-doors: spec.validations[0].expression is true, rendered size(variables.",
        "render policies",
        put("policies", "aiinfn-doors", "spec|validations|0|expression", "true"),
    ),
    "a policy that looks away": (
        "policies-differ",
        "spec.matchConditions is [{'name': 'x'",
        '[{"op": "remove", "path": "/spec/matchConditions"}]',
        put("policies", "aiinfn-doors", "spec|matchConditions", [{"name": "x", "expression": "false"}]),
    ),
    "a policy for another namespace": (
        "policies-differ",
        'matchLabels["kubernetes.io/metadata.name"] is other, rendered aiinfn',
        "render policies",
        put(
            "policy bindings",
            "aiinfn-pods",
            "spec|matchResources|namespaceSelector|matchLabels|kubernetes.io/metadata.name",
            "other",
        ),
    ),
    "an open network": (
        "network-policies-missing",
        "NetworkPolicy aiinfn/aiinfn-closed: is not there",
        "render policies",
        without("network policies", "aiinfn-closed"),
    ),
    "a network that opens more": (
        "network-policies-differ",
        "NetworkPolicy aiinfn/aiinfn-closed: spec.ingress[0] is {}, rendered absent",
        '"path": "/spec/ingress/0"',
        put("network policies", "aiinfn-closed", "spec|ingress", [{}]),
    ),
    "a virtual node for everything": (
        "virtual-node-untainted",
        "Node leonardo: spec.taints lacks virtual-node.interlink/no-schedule",
        "kubectl taint node leonardo virtual-node.interlink/no-schedule=true:NoSchedule",
        put("nodes", "leonardo", "spec|taints", []),
    ),
    "a virtual node that is silent": (
        "virtual-node-not-ready",
        "Node leonardo: status.conditions[Ready] is not True: no ping",
        "kubectl describe node leonardo",
        put("nodes", "leonardo", "status|conditions", [{"type": "Ready", "status": "Unknown", "message": "no ping"}]),
    ),
    "a node that is silent": (
        "node-not-ready",
        "Node gpu-1: status.conditions[Ready] is not True: it never said so",
        "kubectl describe node gpu-1",
        put("nodes", "gpu-1", "status|conditions", []),
    ),
    "a node that is cordoned": (
        "node-cordoned",
        "Node gpu-1: spec.unschedulable is true",
        "kubectl uncordon gpu-1",
        put("nodes", "gpu-1", "spec|unschedulable", True),
    ),
    "a priority for everything": (
        "priority-default",
        "PriorityClass normal: globalDefault is true (value 0)",
        """kubectl patch priorityclass normal --type merge --patch '{"globalDefault": false}'""",
        more("priority classes", {"metadata": {"name": "normal"}, "value": 0, "globalDefault": True}),
    ),
    "a priority above sessions": (
        "priority-preempts",
        "PriorityClass high: value is 5, preemptionPolicy is PreemptLowerPriority",
        "preemptionPolicy: Never",
        more("priority classes", {"metadata": {"name": "high"}, "value": 5}),
    ),
    "a token at a site": (
        "token-at-site",
        "Pod aiinfn/p: spec.volumes[1].projected has serviceAccountToken, on leonardo",
        "kubectl --namespace aiinfn delete pod p",
        more("pods", pod(node="leonardo", sources=[TOKEN])),
    ),
    "defaults that differ": (
        "limits-uneven",
        "LimitRange aiinfn/l: spec.limits[0].default[cpu] is 1, defaultRequest[cpu] is 500m",
        "kubectl --namespace aiinfn delete limitrange l",
        limits(LIMITS),
    ),
    "a default without the other": (
        "limits-uneven",
        "default[ephemeral-storage] is 1Gi, defaultRequest[ephemeral-storage] is absent",
        "delete",
        limits({"type": "Container", "default": {"ephemeral-storage": "1Gi"}}),
    ),
    "a bound below a choice": (
        "limits-uneven",
        "spec.limits[0].max[memory] is 8Gi, which a choice of platform.yaml is beyond",
        "delete",
        limits({"type": "Container", "max": {"memory": "8Gi"}}),
    ),
    "a bound above a choice": (
        "limits-uneven",
        "spec.limits[1].min[cpu] is 2",
        "delete",
        limits({"type": "PersistentVolumeClaim"}, {"type": "Pod", "min": {"cpu": "2"}}),
    ),
    "a quota of the namespace": (
        "quota-twice",
        "ResourceQuota aiinfn/q: spec.hard is pods=10, requests.nvidia.com/gpu=2",
        "kubectl --namespace aiinfn delete resourcequota q",
        quota(**{"requests.nvidia.com/gpu": "2", "pods": "10"}),
    ),
    "a session that waits since yesterday": (
        "session-forgotten",
        "for 1 d 1 h; it waits for its turn",
        "kubectl --namespace aiinfn delete pod p",
        more("pods", pod(age_s=90_000, gates=(names.GATE, "kueue.x-k8s.io/admission"))),
    ),
    "a session that holds since yesterday": (
        "session-forgotten",
        "it holds quota that nobody uses",
        "delete pod p",
        more("pods", pod(age_s=90_000, gates=(names.GATE,))),
    ),
    "a job without inputs": (
        "job-forgotten",
        f"Job aiinfn/job-1: metadata.annotations has {GATED_BY} for 2 h",
        "kubectl --namespace aiinfn delete job job-1",
        more("jobs", job(7200, {GATED_BY: "aiinfn.infn.it/inputs"})),
    ),
}
#: Found together with the first, because it follows from it.
FOLLOWS = {
    "no Kueue": set(),
    "half an hour by default": set(),
    "no queue": {"resource-not-covered", "flavor-on-no-node"},
}


@pytest.mark.parametrize("what", BROKEN)
def test_a_trap_is_named_with_where_it_is_and_what_mends_it(what: str) -> None:
    code, evidence, mend, change = BROKEN[what]
    parts = healthy()
    change(parts)
    found = look(parts)
    assert {one.code for one in found} - FOLLOWS.get(what, set()) == {code}, found
    assert any(evidence in one.evidence and mend in one.mend for one in found if one.code == code), found


def test_nothing_is_found_where_nothing_is_wrong() -> None:
    assert look(healthy()) == []


CALM: dict[str, Change] = {
    "a newer Kubernetes": lambda p: p.update(version=[{"gitVersion": "v2.0.0-rc.1+k3s1"}]),
    "a newer Kueue by digest": put(*MANAGER, IMAGE, f"reg:5000/kueue/kueue:v0.20.0@sha256:{'0' * 64}"),
    "no waiting for Ready": set_to(waitForPodsReady=None, featureGates={"DisableWaitForPodsReady": True}),
    "no waiting in the old version": set_to(apiVersion="config.kueue.x-k8s.io/v1beta1", waitForPodsReady=None),
    "more integrations": set_to(integrations={"frameworks": ["ray.io/raycluster", "pod", "batch/job"]}),
    "selected by a label of the namespace": all_of(
        set_to(managedJobsNamespaceSelector={"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]}),
        put("namespaces", "aiinfn", "metadata|labels|a", "b"),
    ),
    "priorities of another size": put("workload priorities", "interactive", "value", 101),
    "a quota in other words": put("cluster queues", "interactive", f"{RESOURCES}|nominalQuota", "512000m"),
    "a queue of somebody else": more(
        "cluster queues",
        {"metadata": {"name": "x"}, "spec": {"cohortName": "y", "stopPolicy": "Hold", "preemption": {}}},
    ),
    "a cohort that lends nothing": more(
        "cluster queues",
        {
            "metadata": {"name": "x"},
            "spec": {
                "cohortName": "aiinfn",
                "resourceGroups": [
                    {
                        "flavors": [
                            {
                                "name": "any-node",
                                "resources": [{"name": "cpu", "nominalQuota": "8", "lendingLimit": "0"}],
                            }
                        ]
                    }
                ],
            },
        },
    ),
    "a flavor that no queue of ours uses": more(
        "flavors", {"metadata": {"name": "x"}, "spec": {"nodeLabels": {"nobody": "has"}}}
    ),
    "huge pages": put("nodes", "gpu-1", "status|allocatable|hugepages-2Mi", "0"),
    "the same rights in other words": put(
        "cluster roles",
        "aiinfn-service",
        "rules",
        [rule("pods", "watch"), rule("nodes", "list"), rule("nodes", "watch"), rule("pods", "list")],
    ),
    "a built-in binding": more(
        "cluster role bindings", bound("d", "c", {"kind": "Group", "name": "system:serviceaccounts"}, **BUILT_IN)
    ),
    "a binding of somebody": more("cluster role bindings", bound("x", "y", {"kind": "User", "name": "ada"})),
    "a site that reads no Secret": all_of(
        more("cluster roles", role("x", rule("nodes", "get"))),
        more("cluster role bindings", bound("x", "x", LEONARDO | {"name": "helper"})),
    ),
    "a stricter binding too": put("policy bindings", "aiinfn-pods", "spec|validationActions", ["Deny", "Audit"]),
    "a policy of the site": more("policies", {"metadata": {"name": "theirs"}, "spec": {}}),
    "an egress of the site": more(
        "network policies", {"metadata": {"name": "database", "namespace": "aiinfn"}, "spec": {}}
    ),
    "the label of another namespace": put(
        "namespaces", "aiinfn-system", "metadata|labels|pod-security.kubernetes.io/enforce", "privileged"
    ),
    "a priority that preempts nobody": more(
        "priority classes", {"metadata": {"name": "x"}, "value": 5, "preemptionPolicy": "Never"}
    ),
    "a priority below": more("priority classes", {"metadata": {"name": "low"}, "value": -10}),
    "a token here": more("pods", pod(node="gpu-1", sources=[TOKEN])),
    "no token at a site": more("pods", pod(node="leonardo", sources=[{"configMap": {"name": "x"}}])),
    "even defaults": limits(LIMITS | {"defaultRequest": {"cpu": "1000m"}}),
    "bounds around the choices": limits({"type": "Pod", "max": {"cpu": "64", "memory": "1Ti"}, "min": {"cpu": "1m"}}),
    "a quota of storage": quota(persistentvolumeclaims="3", services="9"),
    "a session that waits since noon": more("pods", pod(age_s=40_000, gates=(names.GATE,))),
    "somebody else's gate": more("pods", pod(age_s=90_000, gates=("example.org/x",))),
    "a job whose inputs arrive": more("jobs", job(600, {GATED_BY: "x"})),
    "an old job": more("jobs", job(90_000, {})),
}


@pytest.mark.parametrize("what", CALM)
def test_what_is_only_like_a_trap_is_left_alone(what: str) -> None:
    parts = healthy()
    CALM[what](parts)
    assert look(parts) == []


def test_every_check_has_a_case() -> None:
    missing = EXAMPLE.model_copy(update={"capacity": None})
    (unmeasured,) = look(healthy(), platform=missing)
    assert (unmeasured.code, unmeasured.evidence) == ("amounts-missing", "platform.yaml: missing: capacity")
    assert unmeasured.mend == "aiinfn platform check platform.yaml --against-cluster"
    assert {code for code, *_ in BROKEN.values()} | {unmeasured.code} == {check.code for check in CHECKS}


def test_codes_are_stable_words_and_each_says_what_it_does_to_people() -> None:
    codes = [check.code for check in CHECKS]
    assert len(codes) == len(set(codes))
    assert all(re.fullmatch("[a-z]+(-[a-z]+)+", code) for code in (*codes, *OTHERS))
    assert all(check.says.endswith(".") and len(check.says) < 200 for check in CHECKS)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.code)
def test_a_check_that_may_not_read_says_so_and_never_that_all_is_well(check: Any) -> None:
    for part in check.reads:
        found = look(healthy() | {part: Unread("forbidden", "no")})
        assert [one.level for one in found] == ["unknown"], found
        assert check.code in found[0].says
        assert found[0].mend.startswith("kubectl auth can-i ")


@pytest.mark.parametrize(
    ("part", "right"),
    [
        ("nodes", "list nodes"),
        ("jobs", "list jobs.batch"),
        ("settings", "get configmaps"),
        ("visibility", "get clusterqueues/pendingworkloads.visibility.kueue.x-k8s.io"),
        ("conversion", "list clusterqueues.kueue.x-k8s.io"),
        ("version", "get /version"),
    ],
)
def test_the_missing_right_is_named(part: str, right: str) -> None:
    (found,) = look(healthy() | {part: Unread("forbidden", "no")})
    assert found.evidence == f"{right} ({part}): forbidden: no"
    assert right in found.mend


def test_a_part_that_failed_is_no_good_news_either() -> None:
    (found,) = look(healthy() | {"nodes": Unread("failed", "timeout")})
    assert (found.level, found.code) == ("unknown", "could-not-look")
    assert "failed: timeout" in found.evidence


def test_an_api_that_is_not_there_leaves_the_checks_of_it_out() -> None:
    found = look(healthy() | {"policies": Unread("absent"), "policy bindings": Unread("absent")})
    assert found == []


def test_without_a_platform_file_the_rest_is_checked() -> None:
    parts = healthy()
    put("cluster queues", "batch", "spec|stopPolicy", "Hold")(parts)
    held, unmade = look(parts, platform=None)
    assert held.code == "queue-held"
    assert (unmade.code, unmade.level) == ("no-platform-file", "unknown")
    assert {check.code for check in CHECKS if check.compares} == {
        word.rstrip(".") for word in unmade.says.partition(": ")[2].split(", ")
    }


def test_the_platform_file_is_named_in_what_mends() -> None:
    parts = healthy()
    without("flavors", "t4")(parts)
    (found,) = look(parts, file="/etc/aiinfn/p.yaml")
    assert found.mend == "aiinfn platform render kueue /etc/aiinfn/p.yaml | kubectl apply -f -"


def test_checks_are_functions_of_the_facts() -> None:
    facts = Facts(now=NOW, parts=healthy(), platform=EXAMPLE)
    before = deepcopy(facts.parts)
    assert examine(facts, CHECKS) == examine(replace(facts), CHECKS) == []
    assert facts.parts == before
