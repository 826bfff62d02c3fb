"""What every kind of object has in common: names, versions, conflicts, refusals."""

from __future__ import annotations

import re
from typing import Any

import pytest
from support.asking import MERGE, Ask, ask, play
from support.places import Place

from aiinfn_hub.errors import Conflict, InvalidInput, NotFound
from aiinfn_hub.kube.client import CONFIGMAPS, LEASES, PODS, SECRETS, KubeClient

pytestmark = pytest.mark.asyncio

LEASE_PATH = "/apis/coordination.k8s.io/v1/namespaces/{ns}/leases"
CLASS_PATH = "/apis/scheduling.k8s.io/v1/priorityclasses"
#: A uid that nothing has.
OTHER_UID = "00000000-0000-0000-0000-000000000001"
LABEL_RULE = "a valid label must be an empty string or consist of alphanumeric characters"


def config_map(name: str, **rest: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, **rest}


def named(**meta: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}


def lease(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": name}, "spec": spec}


def priority(name: str, value: int) -> dict[str, Any]:
    meta = {"name": name}
    return {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": meta, "value": value}


def claim(name: str, **spec: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name}, "spec": spec}


NOT_THERE = [
    Ask("GET pods/none", None, 404, "NotFound", 'pods "none" not found', has={"details.name": "none"}),
    Ask(f"GET {LEASE_PATH}/none", None, 404, "NotFound", has={"details.group": "coordination.k8s.io"}),
    Ask("GET nosuch", None, 404, "NotFound", "the server could not find the requested resource"),
    Ask("GET pods/none/nosuch", None, 404, "NotFound"),
    Ask("GET /apis/nosuch.example.com/v1/things", None, 404, says="404 page not found"),
    Ask("GET /nothing", None, 404, says="404 page not found"),
    Ask("PUT configmaps/none", config_map("none"), 404, "NotFound"),
    Ask("PATCH configmaps/none", {}, 404, "NotFound", kind=MERGE),
    Ask("DELETE configmaps/none", None, 404, "NotFound"),
    Ask("POST /api/v1/namespaces/none-{u}/configmaps", config_map("a"), 404, "NotFound", 'namespaces "none-{u}" not'),
    Ask("DELETE /api/v1/namespaces/none-{u}", None, 404, "NotFound"),
]
NOT_ALLOWED = [
    Ask("POST configmaps/a", config_map("a"), 405, "MethodNotAllowed"),
    Ask("PUT configmaps", config_map("a"), 405, "MethodNotAllowed"),
    Ask("PATCH configmaps", {}, 405, "MethodNotAllowed", kind=MERGE),
    Ask("DELETE /api/v1/namespaces/default", None, 403, "Forbidden", "this namespace may not be deleted"),
    Ask("DELETE /api/v1/namespaces/kube-system", None, 403, "Forbidden"),
]
UNREADABLE = [
    Ask("POST configmaps", "{bad", 400, "BadRequest"),
    Ask("POST configmaps", "[]", 400, "BadRequest"),
    Ask("POST configmaps", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}}, 400, "BadRequest"),
    Ask("POST configmaps", "{}", 415, "UnsupportedMediaType", "accepted media types include", kind="text/plain"),
    Ask("POST configmaps", named(name="a", labels={"a": 5}), 400, "BadRequest", "cannot be handled as a ConfigMap"),
    Ask("POST configmaps", named(name="a", namespace="other"), 400, "BadRequest", "does not match the namespace"),
    Ask("POST configmaps", named(name="a", resourceVersion="5"), 500, says="resourceVersion should not be set on"),
    Ask(f"POST {LEASE_PATH}", lease("a", renewTime="yesterday"), 400, "BadRequest", 'Lease in version "v1" cannot'),
    Ask("POST secrets", config_map("a") | {"kind": "Secret", "data": {"a": "***"}}, 400, "BadRequest", "base64"),
]
INVALID = [
    Ask("POST configmaps", {"apiVersion": "v1", "kind": "ConfigMap"}, 422, "Invalid", fields=("metadata.name",)),
    Ask("POST configmaps", named(name="Bad_Name"), 422, "Invalid", "a lowercase RFC 1123 subdomain must consist of"),
    Ask("POST configmaps", named(generateName="b_"), 422, fields=("metadata.generateName", "metadata.name")),
    Ask("POST configmaps", named(name="l", labels={"a": "c d"}), 422, "Invalid", LABEL_RULE, ("metadata.labels",)),
    Ask("POST configmaps", named(name="l", labels={"a": "y" * 64}), 422, says="must be no more than 63 bytes"),
    Ask("POST configmaps", named(name="l", annotations={"a b": ""}), 422, fields=("metadata.annotations",)),
    Ask("POST configmaps", named(name="l", finalizers=["x"]), 422, fields=("metadata.finalizers[0]",)),
    Ask("POST configmaps", config_map("d", data={"a b": ""}), 422, "Invalid", "a valid config key", ("data[a b]",)),
    Ask("POST configmaps", config_map("d", data={"a": ""}, binaryData={"a": "Yg=="}), 422, fields=("data[a]",)),
    Ask("POST secrets", config_map("s") | {"kind": "Secret", "stringData": {"a": "x" * 1048577}}, 422, "Invalid"),
    Ask(f"POST {LEASE_PATH}", lease("l", leaseDurationSeconds=0), 422, fields=("spec.leaseDurationSeconds",)),
    Ask(f"POST {LEASE_PATH}", lease("l", leaseTransitions=-1), 422, fields=("spec.leaseTransitions",)),
    Ask(f"POST {CLASS_PATH}", priority("system-{u}", 5), 422, says="reserved for system use only"),
    Ask(f"POST {CLASS_PATH}", priority("p-{u}", 1_000_000_001), 422, says="maximum allowed value of a user defined"),
    Ask("POST persistentvolumeclaims", claim("c"), 422, fields=("spec.accessModes", "spec.resources[storage]")),
    Ask("POST /api/v1/namespaces", named(name="Bad_N") | {"kind": "Namespace"}, 422, says="RFC 1123 label"),
]


@pytest.mark.parametrize("asks", [NOT_THERE, NOT_ALLOWED, UNREADABLE, INVALID], ids=["404", "405", "400", "422"])
async def test_what_cannot_be_is_refused_with_its_reason(place: Place, asks: list[Ask]) -> None:
    await play(place, asks)


async def test_an_invalid_object_names_each_mistake(place: Place) -> None:
    answer = await ask(place, Ask("POST configmaps", config_map("A", data={"a b": ""})))
    message = answer.json["message"]
    assert message.startswith('ConfigMap "A" is invalid: [metadata.name: Invalid value: "A": ')
    details = answer.json["details"]
    assert (details["name"], details["kind"]) == ("A", "ConfigMap")
    assert [(cause["reason"], cause["field"]) for cause in details["causes"]] == [
        ("FieldValueInvalid", "metadata.name"),
        ("FieldValueInvalid", "data[a b]"),
    ]


async def test_a_body_may_leave_out_what_the_path_says(place: Place) -> None:
    await play(
        place,
        [
            Ask("POST configmaps", {"metadata": {"name": "a"}}, 201, has={"kind": "ConfigMap", "apiVersion": "v1"}),
            Ask("POST configmaps", {"metadata": {"name": "a"}}, 409, "AlreadyExists", 'configmaps "a" already exists'),
        ],
    )


async def test_a_generated_name_has_five_letters_that_spell_nothing(place: Place) -> None:
    manifest = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"generateName": "run-" + "x" * 60}}
    made = [await place.create(CONFIGMAPS, manifest) for _ in range(3)]
    names = {one["metadata"]["name"] for one in made}
    assert len(names) == 3
    assert all(re.fullmatch("run-x{54}[bcdfghjklmnpqrstvwxz2456789]{5}", name) for name in names)
    assert made[0]["metadata"]["generateName"] == manifest["metadata"]["generateName"]


async def test_what_only_the_server_sets_is_set_by_it(place: Place) -> None:
    given = {"uid": OTHER_UID, "creationTimestamp": "2001-01-01T00:00:00Z", "generation": 7, "selfLink": "/x"}
    made = await place.create(PODS, pod("a", metadata=given))
    meta = made["metadata"]
    assert meta["uid"] != OTHER_UID
    assert not meta["creationTimestamp"].startswith("2001")
    assert meta["generation"] == 1
    assert "selfLink" not in meta


def pod(name: str, metadata: dict[str, Any] | None = None) -> dict[str, Any]:
    spec = {"automountServiceAccountToken": False, "containers": [{"name": "main", "image": "i:1"}]}
    spec |= {"nodeSelector": {"nowhere": "true"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, **(metadata or {})}, "spec": spec}


UPDATES = [
    Ask("POST configmaps", config_map("a", data={"k": "v"}), 201),
    Ask("PUT configmaps/a", config_map("a", data={"k": "w"}), has={"data.k": "w"}),
    Ask("PUT configmaps/a", config_map("b"), 400, "BadRequest", "the name of the object (b) does not match the name"),
    Ask("PUT configmaps/a", named(name="a", resourceVersion="1"), 409, "Conflict", "the object has been modified"),
    Ask("PUT configmaps/a", named(name="a", uid=OTHER_UID), 409, "Conflict", "Precondition failed: UID in precond"),
    Ask("PATCH configmaps/a", {"metadata": {"resourceVersion": "1"}, "data": {"a": "b"}}, 409, "Conflict", kind=MERGE),
    Ask("PATCH configmaps/a", {"metadata": {"uid": OTHER_UID}}, 422, "Invalid", "field is immutable", kind=MERGE),
    Ask("PATCH configmaps/a", {"metadata": {"name": "b"}}, 400, "BadRequest", kind=MERGE),
    Ask("PATCH configmaps/a", {"immutable": True}, has={"immutable": True}, kind=MERGE),
    Ask("PATCH configmaps/a", {"data": {"k": "x"}}, 422, says="field is immutable when `immutable` is set", kind=MERGE),
    Ask("PATCH configmaps/a", {"immutable": False}, 422, fields=("immutable",), kind=MERGE),
    Ask("PATCH configmaps/a", {"metadata": {"labels": {"a": "b"}}}, has={"metadata.labels.a": "b"}, kind=MERGE),
    Ask(f"POST {LEASE_PATH}", lease("l", holderIdentity="me"), 201),
    Ask(f"PUT {LEASE_PATH}/l", lease("l", holderIdentity="you"), 422, "Invalid", fields=("metadata.resourceVersion",)),
    Ask(f"PATCH {LEASE_PATH}/l", {"spec": {"holderIdentity": "you"}}, has={"spec.holderIdentity": "you"}, kind=MERGE),
    Ask(f"POST {CLASS_PATH}", priority("q-{u}", 5), 201, has={"preemptionPolicy": "PreemptLowerPriority"}),
    Ask(f"PATCH {CLASS_PATH}/q-{{u}}", {"value": 6}, 422, says="may not be changed in an update", kind=MERGE),
    Ask(f"DELETE {CLASS_PATH}/q-{{u}}", has={"status": "Success", "details.name": "q-{u}"}),
]


async def test_an_update_meets_the_object_that_it_means(place: Place) -> None:
    await play(place, UPDATES)


SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
SECRETS_STEPS = [
    Ask("POST secrets", SECRET | {"data": {"a": "eA=="}, "stringData": {"a": "b", "c": "d"}}, 201,
        has={"data": {"a": "Yg==", "c": "ZA=="}, "stringData": None, "type": "Opaque"}),
    Ask("PATCH secrets/s", {"stringData": {"d": "e"}}, has={"data.d": "ZQ==", "data.a": "Yg=="}, kind=MERGE),
    Ask("PATCH secrets/s", {"type": "other"}, 422, says="field is immutable", fields=("type",), kind=MERGE),
    Ask("GET secrets?fieldSelector=type%3DOpaque", has={"items.0.metadata.name": "s"}),
    Ask("GET secrets?fieldSelector=type%3DOther", has={"items": []}),
    Ask("PATCH secrets/s", {"immutable": True}, kind=MERGE),
    Ask("PATCH secrets/s", {"data": {"d": None}}, 422, fields=("data",), kind=MERGE),
    Ask("DELETE secrets/s", has={"status": "Success"}),
]  # fmt: skip
CLAIM = {"accessModes": ["ReadWriteMany"], "resources": {"requests": {"storage": "1024Mi"}}}
CLAIM_STEPS = [
    Ask("POST persistentvolumeclaims", claim("c", **CLAIM), 201,
        has={"status.phase": "Pending", "spec.volumeMode": "Filesystem", "spec.resources.requests.storage": "1Gi"}),
    Ask("POST persistentvolumeclaims", claim("c", **CLAIM), 409, "AlreadyExists"),
    Ask("PATCH persistentvolumeclaims/c", {"spec": {"accessModes": ["ReadWriteOnce"]}}, 422, "Invalid",
        "spec is immutable after creation except resources.requests", kind=MERGE),
    Ask("PATCH persistentvolumeclaims/c", {"spec": {"resources": {"requests": {"storage": "2Gi"}}}}, 422, "Invalid",
        kind=MERGE),
    Ask("DELETE persistentvolumeclaims/c", has={"kind": "PersistentVolumeClaim"}),
]  # fmt: skip


@pytest.mark.parametrize("asks", [SECRETS_STEPS, CLAIM_STEPS], ids=["secrets", "claims"])
async def test_the_kinds_that_a_session_needs_have_their_own_rules(place: Place, asks: list[Ask]) -> None:
    await play(place, asks)


async def test_a_replacement_that_changes_nothing_keeps_the_version(place: Place) -> None:
    made = await place.create(CONFIGMAPS, config_map("a", data={"k": "v"}))
    same = await place.client.replace(CONFIGMAPS, made)
    assert same["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]
    other = await place.client.replace(CONFIGMAPS, made | {"data": {"k": "w"}})
    assert other["metadata"]["resourceVersion"] != made["metadata"]["resourceVersion"]
    with pytest.raises(Conflict) as caught:
        await place.client.replace(CONFIGMAPS, made)
    assert caught.value.details == {"reason": "Conflict", "status": 409}


async def test_a_dry_run_answers_and_leaves_nothing(place: Place) -> None:
    await play(
        place,
        [
            Ask("POST configmaps?dryRun=All", config_map("a", data={"k": "v"}), 201, has={"data.k": "v"}),
            Ask("GET configmaps/a", None, 404),
            Ask("POST configmaps?dryRun=All", config_map("A_"), 422, "Invalid"),
            Ask("POST configmaps", config_map("a", data={"k": "v"}), 201),
            Ask("PATCH configmaps/a?dryRun=All", {"data": {"k": "w"}}, has={"data.k": "w"}, kind=MERGE),
            Ask("DELETE configmaps/a?dryRun=All"),
            Ask("GET configmaps/a", has={"data.k": "v"}),
        ],
    )


async def test_who_has_no_token_is_refused(place: Place) -> None:
    answer = await place.call("GET", "/api/v1/namespaces/{ns}/pods", headers={"Authorization": "Bearer wrong"})
    assert (answer.status, answer.json["reason"]) == (401, "Unauthorized")


async def test_our_errors_carry_the_status_and_the_reason(place: Place) -> None:
    client: KubeClient = place.client
    await place.create(SECRETS, SECRET)
    with pytest.raises(Conflict) as taken:
        await place.create(SECRETS, SECRET)
    with pytest.raises(NotFound) as missing:
        await place.get(SECRETS, "none")
    with pytest.raises(InvalidInput) as invalid:
        await place.create(LEASES, lease("A"))
    with pytest.raises(Conflict) as changed:
        await client.delete(SECRETS, "s", place.namespace, uid=OTHER_UID)
    assert [one.value.details for one in (taken, missing, invalid, changed)] == [
        {"reason": "AlreadyExists", "status": 409},
        {"reason": "NotFound", "status": 404},
        {"reason": "Invalid", "status": 422},
        {"reason": "Conflict", "status": 409},
    ]
