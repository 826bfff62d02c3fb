"""Which pods are refused, and what is filled into the others."""

from __future__ import annotations

from typing import Any

import pytest
from support.asking import Ask, play
from support.places import Place

pytestmark = pytest.mark.asyncio

MAIN = {"name": "main", "image": "i:1", "command": ["sleep", "100"]}
NOWHERE = {"nowhere": "true"}
GATES = [{"name": "example.com/a"}, {"name": "example.com/b"}]
REQUIRED = "spec.affinity.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms"
OTHER_UID = "00000000-0000-0000-0000-000000000001"


def pod(name: str, **spec: Any) -> dict[str, Any]:
    """A pod that no node takes, without an account's token."""
    common = {"automountServiceAccountToken": False, "containers": [MAIN], "nodeSelector": NOWHERE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": common | spec}


UNREADABLE: dict[str, Any] = {"says": "cannot be handled as a Pod", "code": 400, "reason": "BadRequest"}


def refused(says: str, *fields: str, code: int = 422, reason: str = "Invalid", **spec: Any) -> Ask:
    """A pod with this specification is."""
    return Ask("POST pods", pod("a", **spec), code, reason, says, fields)


def container(**fields: Any) -> dict[str, Any]:
    """The specification's part for one container that differs in this."""
    return {"containers": [MAIN | fields]}


def needs(requests: dict[str, Any] | None = None, **limits: Any) -> dict[str, Any]:
    return container(resources={"limits": {key.replace("_", "/", 1): value for key, value in limits.items()}}
                     | ({"requests": requests} if requests else {}))  # fmt: skip


def terms(*expressions: dict[str, Any]) -> dict[str, Any]:
    required = {"nodeSelectorTerms": [{"matchExpressions": [one]} for one in expressions]}
    return {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}


UID = {"fieldRef": {"fieldPath": "metadata.uid"}}
GPU = "nvidia.com/gpu"
FIRST = "spec.containers[0]"
REFUSALS = {
    "containers": [
        refused("", "spec.containers", containers=[]),
        refused("", f"{FIRST}.image", containers=[{"name": "x"}]),
        refused("RFC 1123 label", f"{FIRST}.name", containers=[{"name": "Bad_", "image": "i"}]),
        refused('Duplicate value: "main"', "spec.containers[1].name", containers=[MAIN, MAIN]),
        refused('Duplicate value: "main"', "spec.initContainers[0].name", initContainers=[MAIN]),
        refused("leading or trailing whitespace", f"{FIRST}.image", **container(image=" x")),
        refused('"Always", "IfNotPresent", "Never"', f"{FIRST}.imagePullPolicy", **container(imagePullPolicy="No")),
        refused("must specify a handler type", f"{FIRST}.readinessProbe", **container(readinessProbe={})),
        refused("", f"{FIRST}.ports[0].containerPort", **container(ports=[{"containerPort": 0}])),
        refused("between 1 and 65535, inclusive", **container(ports=[{"containerPort": 70000}])),
        refused("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)", f"{FIRST}.ports[0].name",
                **container(ports=[{"containerPort": 80, "name": "Bad_Name"}])),
        refused("no more than 15 characters", **container(ports=[{"containerPort": 80, "name": "a" * 16}])),
    ],
    "variables": [
        refused("", f"{FIRST}.env[0].name", **container(env=[{"name": "", "value": "x"}])),
        refused("must consist only of printable ASCII", f"{FIRST}.env[0].name", **container(env=[{"name": "a=b"}])),
        refused("may not be specified when `value` is not empty", f"{FIRST}.env[0].valueFrom",
                **container(env=[{"name": "A", "value": "x", "valueFrom": UID}])),
        refused("field label not supported: nosuch", f"{FIRST}.env[0].valueFrom.fieldRef.fieldPath",
                **container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "nosuch"}}}])),
        refused('Unsupported value: "metadata.labels": supported values: "metadata.name", "metadata.namespace"',
                **container(env=[{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}])),
        refused(**UNREADABLE, **container(env=[{"name": "A", "value": 5}])),
    ],
    "volumes": [
        refused("", "spec.volumes[0].name", volumes=[{}]),
        refused("RFC 1123 label", "spec.volumes[0].name", volumes=[{"name": "Bad_"}]),
        refused('Duplicate value: "v"', "spec.volumes[1].name", volumes=[{"name": "v"}, {"name": "v"}]),
        refused('Not found: "none"', f"{FIRST}.volumeMounts[0].name",
                **container(volumeMounts=[{"name": "none", "mountPath": "/x"}])),
        refused("", f"{FIRST}.volumeMounts[0].mountPath", volumes=[{"name": "v"}],
                **container(volumeMounts=[{"name": "v", "mountPath": ""}])),
        refused("must be unique", f"{FIRST}.volumeMounts[1].mountPath", volumes=[{"name": "v"}],
                **container(volumeMounts=[{"name": "v", "mountPath": "/a"}, {"name": "v", "mountPath": "/a"}])),
        refused("must not contain '..'", f"{FIRST}.volumeMounts.subPath", volumes=[{"name": "v"}],
                **container(volumeMounts=[{"name": "v", "mountPath": "/a", "subPath": "../x"}])),
        refused("must be a relative path", f"{FIRST}.volumeMounts.subPath", volumes=[{"name": "v"}],
                **container(volumeMounts=[{"name": "v", "mountPath": "/a", "subPath": "/x"}])),
        refused(**UNREADABLE, volumes=[{"name": "v", "emptyDir": {"sizeLimit": "much"}}]),
    ],
    "resources": [
        refused(f"must be equal to {GPU} limit of 2", f"{FIRST}.resources.requests", **needs({GPU: 1}, **{GPU: 2})),
        refused("Limit must be set for non overcommitable resources", f"{FIRST}.resources.limits", **needs({GPU: 1})),
        refused("must be an integer", **needs(**{GPU: "0.5"})),
        refused("less than or equal to cpu limit of 1", f"{FIRST}.resources.requests", **needs({"cpu": 2}, cpu=1)),
        refused("must be less than or equal to memory limit", **needs({"memory": "1Gi"}, memory="512Mi")),
        refused("must be greater than or equal to 0", **needs(memory=-1)),
        refused("must be a standard resource type or fully qualified", **needs(gpu=1)),
        refused(**UNREADABLE, **needs(memory="lots")),
    ],
    "placement": [
        refused('"Equal", "Exists"', "spec.tolerations[0].operator", tolerations=[{"key": "a", "operator": "No"}]),
        refused("operator must be Exists when `key` is empty", "spec.tolerations[0].operator",
                tolerations=[{"operator": "Equal", "value": "b"}]),
        refused("value must be empty when `operator` is 'Exists'", "spec.tolerations[0].operator",
                tolerations=[{"key": "a", "operator": "Exists", "value": "b"}]),
        refused("effect must be 'NoExecute' when `tolerationSeconds` is set", "spec.tolerations[0].effect",
                tolerations=[{"key": "a", "effect": "NoSchedule", "tolerationSeconds": 5}]),
        refused("", "spec.tolerations[0].key", "spec.tolerations[0].effect",
                tolerations=[{"key": "a b", "operator": "Exists", "effect": "No"}]),
        refused("must have at least one node selector term", REQUIRED, **terms()),
        refused("must be specified when `operator` is 'In' or 'NotIn'", f"{REQUIRED}[0].matchExpressions[0].values",
                **terms({"key": "a", "operator": "In"})),
        refused("may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
                **terms({"key": "a", "operator": "Exists", "values": ["b"]})),
        refused("must be specified single value when `operator` is 'Lt' or 'Gt'",
                **terms({"key": "a", "operator": "Gt", "values": ["1", "2"]})),
        refused("not a valid selector operator", **terms({"key": "a", "operator": "Near"})),
        refused("name part must consist of", "spec.nodeSelector", nodeSelector={"a b": "c"}),
        refused("name part must consist of", "spec.schedulingGates[0]", schedulingGates=[{"name": "Bad gate"}]),
        refused('Duplicate value: "a"', "spec.schedulingGates[1]", schedulingGates=[{"name": "a"}, {"name": "a"}]),
        refused("cannot be set until all schedulingGates have been cleared", "spec.nodeName",
                schedulingGates=GATES, nodeName="x"),
    ],
    "the rest": [
        refused('"Always", "OnFailure", "Never"', "spec.restartPolicy", restartPolicy="Sometimes"),
        refused("between 1 and 2147483647", "spec.activeDeadlineSeconds", activeDeadlineSeconds=0),
        refused("between 0 and 2147483647", "spec.securityContext.runAsUser", securityContext={"runAsUser": -1}),
        refused('supported values: "ClusterFirstWithHostNet"', "spec.dnsPolicy", dnsPolicy="X"),
        refused("RFC 1123 label", "spec.hostname", hostname="Bad_"),
        refused("no PriorityClass with name none was found", code=403, reason="Forbidden", priorityClassName="none"),
        refused("the integer value of priority (7) must not be provided in pod spec; priority admission controller "
                "computed 0 from the given PriorityClass name", code=403, reason="Forbidden", priority=7),
        refused('error looking up service account {ns}/none: serviceaccount "none" not found', code=403,
                reason="Forbidden", serviceAccountName="none"),
        refused(**UNREADABLE, containers="x"),
        refused(**UNREADABLE, hostNetwork="x"),
    ],
}  # fmt: skip


@pytest.mark.parametrize("asks", REFUSALS.values(), ids=list(REFUSALS))
async def test_a_pod_that_cannot_be_is_refused_with_its_field(place: Place, asks: list[Ask]) -> None:
    await play(place, asks)


def silence(key: str, seconds: int = 300) -> dict[str, Any]:
    """What is added to each pod."""
    return {
        "key": f"node.kubernetes.io/{key}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": seconds,
    }


DOWNWARD = {"items": [{"path": "a", "fieldRef": {"fieldPath": "metadata.name"}}]}
FULL = {
    "securityContext": {"runAsUser": 1000, "fsGroup": 100},
    "tolerations": [{"key": "x", "operator": "Exists"}],
    "priorityClassName": "system-node-critical",
    "hostNetwork": False,
    "initContainers": [{"name": "init", "image": "i"}],
    "volumes": [
        {"name": "e"},
        {"name": "s", "secret": {"secretName": "s"}},
        {"name": "p", "projected": {"sources": [{"secret": {"name": "x"}}, {"downwardAPI": DOWNWARD}]}},
    ],
    "containers": [
        {
            "name": "m",
            "image": "a/b@sha256:" + "a" * 64,
            "ports": [{"containerPort": 8888, "name": "notebook-port"}],
            "resources": {"limits": {"cpu": 0.5, "memory": "1024Mi", GPU: 1}},
            "env": [{"name": "B", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}],
            "readinessProbe": {"httpGet": {"port": 8888}},
            "volumeMounts": [{"name": "e", "mountPath": "/e", "subPath": "x"}],
        }
    ],
}
EMPTY = {"affinity": {}, "tolerations": [], "nodeSelector": {}, "volumes": [], "schedulingGates": [], "hostPID": False}
DEFAULTS = [
    Ask("POST pods", pod("plain"), 201, has={
        "metadata.generation": 1,
        "spec.restartPolicy": "Always",
        "spec.terminationGracePeriodSeconds": 30,
        "spec.dnsPolicy": "ClusterFirst",
        "spec.schedulerName": "default-scheduler",
        "spec.enableServiceLinks": True,
        "spec.securityContext": {},
        "spec.serviceAccountName": "default",
        "spec.serviceAccount": "default",
        "spec.priority": 0,
        "spec.preemptionPolicy": "PreemptLowerPriority",
        "spec.tolerations": [silence("not-ready"), silence("unreachable")],
        "spec.containers.0": MAIN | {"imagePullPolicy": "IfNotPresent", "resources": {},
            "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File"},
        "status": {"phase": "Pending", "qosClass": "BestEffort"},
    }),
    Ask("POST pods", pod("full", **FULL), 201, has={
        "spec.hostNetwork": None,
        "spec.priority": 2000001000,
        "spec.tolerations.0": {"key": "x", "operator": "Exists"},
        "spec.initContainers.0.imagePullPolicy": "Always",
        "spec.volumes.0": {"name": "e", "emptyDir": {}},
        "spec.volumes.1.secret": {"secretName": "s", "defaultMode": 420},
        "spec.volumes.2.projected.defaultMode": 420,
        "spec.volumes.2.projected.sources.1.downwardAPI.items.0.fieldRef.apiVersion": "v1",
        "spec.containers.0.imagePullPolicy": "IfNotPresent",
        "spec.containers.0.ports.0.protocol": "TCP",
        "spec.containers.0.env.0.valueFrom.fieldRef.apiVersion": "v1",
        "spec.containers.0.resources.limits": {"cpu": "500m", "memory": "1Gi", GPU: "1"},
        "spec.containers.0.resources.requests": {"cpu": "500m", "memory": "1Gi", GPU: "1"},
        "spec.containers.0.readinessProbe": {"httpGet": {"port": 8888, "path": "/", "scheme": "HTTP"},
            "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
        "status.qosClass": "Burstable",
    }),
    Ask("POST pods", pod("empty", **EMPTY), 201, has={
        "spec.affinity": {}, "spec.nodeSelector": None, "spec.volumes": None, "spec.schedulingGates": None,
        "spec.hostPID": None, "spec.tolerations": [silence("not-ready"), silence("unreachable")],
    }),
    Ask("POST pods", pod("hurry", terminationGracePeriodSeconds=-1, tolerations=[silence("not-ready", 5)]), 201, has={
        "spec.terminationGracePeriodSeconds": 1,
        "spec.tolerations": [silence("not-ready", 5), silence("unreachable")],
    }),
    Ask("POST pods", pod("any", tolerations=[{"operator": "Exists"}]), 201,
        has={"spec.tolerations": [{"operator": "Exists"}]}),
    Ask("POST pods", pod("gated", schedulingGates=GATES), 201, has={
        "status.phase": "Pending",
        "status.conditions.0.type": "PodScheduled",
        "status.conditions.0.status": "False",
        "status.conditions.0.reason": "SchedulingGated",
        "status.conditions.0.message": "Scheduling is blocked due to non-empty scheduling gates",
    }),
]  # fmt: skip


async def test_what_is_left_out_is_filled_in(place: Place) -> None:
    await play(place, DEFAULTS)
