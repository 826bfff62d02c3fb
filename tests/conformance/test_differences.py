"""Where the embedded platform differs, as `docs/explanation/embedded.md` lists it.

Each row is seen on the real control plane, and must fail on the embedded one: what has been mended leaves the list.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from support.asking import STRATEGIC, Ask, play
from support.places import Place

from aiinfn_hub.kube.client import NODES

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "embedded.md"


def config_map(**rest: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, **rest}


def pod(**spec: Any) -> dict[str, Any]:
    common = {"containers": [{"name": "main", "image": "i:1"}], "nodeSelector": {"nowhere": "true"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": common | spec}


GATED = {"schedulingGates": [{"name": "example.com/a"}], "automountServiceAccountToken": False}
QUOTA = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {"pods": "0"}}}
CLAIM = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1Gi"}}}
NODE = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "new-{u}"}}
DEFINITION = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.{u}.example.com"},
    "spec": {
        "group": "{u}.example.com",
        "scope": "Namespaced",
        "names": {"kind": "Thing", "plural": "things"},
        "versions": [{"name": "v1", "served": True, "storage": True}],
    },
}
REVIEW = {"user": "nobody", "resourceAttributes": {"verb": "get", "resource": "pods", "namespace": "{ns}"}}
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}
FULL = {"hard": {"pods": "0"}, "used": {"pods": "0"}}
REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
APPLY = "application/apply-patch+yaml"

DIFFERENCES: dict[str, list[Ask]] = {
    "unknown fields": [
        Ask("POST configmaps?fieldValidation=Strict", config_map(nosuch=1), 400, says='unknown field "nosuch"')
    ],
    "accounts": [Ask("GET serviceaccounts/default"), Ask("GET configmaps/kube-root-ca.crt")],
    "tokens": [Ask("POST serviceaccounts/default/token", {"spec": {}}, 201)],
    "permissions": [
        Ask(f"POST {REVIEWS}", {"spec": REVIEW}, 201, has={"status.allowed": False})
    ],
    "quotas": [
        Ask("POST resourcequotas", QUOTA, 201),
        Ask("PATCH resourcequotas/q/status", {"status": FULL}, kind=STRATEGIC),
        Ask("POST pods", pod(), 403, "Forbidden", "exceeded quota: q, requested: pods=1, used: pods=0"),
    ],
    "security standards": [
        Ask("PATCH /api/v1/namespaces/{ns}", {"metadata": {"labels": RESTRICTED}},
            kind=STRATEGIC),
        Ask("POST pods", pod(), 403, "Forbidden", 'violates PodSecurity "restricted:latest"'),
    ],
    "admission": [Ask("GET /apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies")],
    "other kinds": [Ask("GET /apis/apps/v1/deployments?limit=1")],
    "claims": [
        Ask("POST persistentvolumeclaims", {"metadata": {"name": "c"}, "spec": CLAIM}, 201,
            has={"metadata.finalizers": ["kubernetes.io/pvc-protection"]})
    ],
    "inside of pods": [Ask("POST pods/none/exec?command=x", None, 404, says='pods "none" not found')],
    "field managers": [
        Ask("PATCH configmaps/a?fieldManager=one", config_map(data={"k": "v"}), 201, kind=APPLY,
            has={"metadata.managedFields.0.manager": "one"}),
        Ask("PATCH configmaps/a?fieldManager=two", config_map(data={"k": "w"}), 409, "Conflict", kind=APPLY),
    ],
    "schemas": [Ask("GET /openapi/v3/api/v1", says="io.k8s.api.core.v1.PodSpec"), Ask(
        "POST /apis/apiextensions.k8s.io/v1/customresourcedefinitions", DEFINITION, 422, "Invalid",
        "openAPIV3Schema: Required value")],
    "YAML and protobuf": [Ask("POST configmaps", "metadata: {name: yaml}", 201, kind="application/yaml")],
    "new nodes": [Ask("POST /api/v1/nodes", NODE, 201, has={"spec.taints.0.key": "node.kubernetes.io/not-ready"})],
    "words of what cannot be read": [Ask("POST configmaps", "{bad", 400, says="invalid character 'b'")],
    "fields that nobody reads": [Ask("POST pods", pod(**GATED), 201, says='"lastProbeTime":null')],
    "lists at an older version": [Ask("GET configmaps?resourceVersionMatch=Exact", None, 422, "Invalid")],
    "times in logs": [Ask("POST pods", pod(**GATED), 201), Ask("GET pods/a/log?timestamps=true", None, 204)],
}  # fmt: skip


@pytest.mark.asyncio
@pytest.mark.parametrize("asks", DIFFERENCES.values(), ids=list(DIFFERENCES))
async def test_the_embedded_one_differs_where_it_says_so(place: Place, asks: list[Ask]) -> None:
    place.made.append((NODES, f"new-{place.unique}"))
    if place.name == "real":
        await play(place, asks)
    else:
        with pytest.raises(AssertionError, match="on the embedded one"):
            await play(place, asks)


def test_the_page_lists_what_is_tried_here_and_nothing_else() -> None:
    section = PAGE.read_text().partition("### The API, pods and nodes\n")[2].partition("\n#")[0]
    listed = re.findall(r"^\| (?!what |---)([^|]+?) \|", section, re.MULTILINE)
    assert sorted(listed) == sorted(DIFFERENCES)
