"""Deleting: preconditions, grace, finalizers, dependents, namespaces."""

from __future__ import annotations

from typing import Any

import pytest
from support.asking import MERGE, Ask, ask, play
from support.places import Place

from aiinfn_hub.errors import Conflict, NotFound
from aiinfn_hub.kube.client import CONFIGMAPS, NAMESPACES, PODS
from aiinfn_hub.kube.moments import unix

pytestmark = pytest.mark.asyncio

OTHER_UID = "00000000-0000-0000-0000-000000000001"
Object = dict[str, Any]


def config_map(name: str, *owners: Object, **meta: Any) -> Object:
    references = [{key: owner["metadata"].get(key) or owner[key] for key in ("name", "uid")} | {
        "apiVersion": owner["apiVersion"], "kind": owner["kind"], "blockOwnerDeletion": True} for owner in owners
    ]  # fmt: skip
    meta |= {"ownerReferences": references} if references else {}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, **meta}}


def pod(name: str, **spec: Any) -> Object:
    common = {"automountServiceAccountToken": False, "containers": [{"name": "main", "image": "i:1"}]}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": common | spec}


PRECONDITIONS = [
    Ask("POST configmaps", config_map("a"), 201),
    Ask("DELETE configmaps/a", {"preconditions": {"uid": OTHER_UID}}, 409, "Conflict",
        'Operation cannot be fulfilled on ConfigMap "a": the UID in the precondition'),
    Ask("DELETE configmaps/a", {"preconditions": {"resourceVersion": "1"}}, 409, "Conflict",
        "The object might have been modified"),
    Ask("DELETE configmaps/a", {"propagationPolicy": "Nosuch"}, 422, "Invalid", 'supported values: "Foreground"',
        ("propagationPolicy",)),
    Ask("DELETE configmaps/a", has={"kind": "Status", "status": "Success", "details.name": "a",
                                    "details.kind": "configmaps"}),
    Ask("DELETE configmaps/a", None, 404, "NotFound"),
]  # fmt: skip
FINALIZERS = [
    Ask("POST configmaps", config_map("a", finalizers=["example.com/x", "example.com/y"]), 201),
    Ask("DELETE configmaps/a", has={"kind": "ConfigMap", "metadata.finalizers.0": "example.com/x"}),
    Ask("PATCH configmaps/a", {"metadata": {"finalizers": ["example.com/x", "example.com/z"]}}, 422, "Invalid",
        'no new finalizers can be added if the object is being deleted, found new finalizers []string{"example.com/z"}',
        kind=MERGE),
    Ask("PATCH configmaps/a", {"metadata": {"finalizers": ["example.com/y"]}}, kind=MERGE,
        has={"metadata.finalizers": ["example.com/y"]}),
    Ask("GET configmaps/a"),
    Ask("PATCH configmaps/a", {"metadata": {"finalizers": None}}, kind=MERGE),
    Ask("GET configmaps/a", None, 404, "NotFound"),
]  # fmt: skip
TO_ELSEWHERE = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "elsewhere-{u}"}}
#: A pod that a node has gets its time; nobody plays this node.
GRACE = [
    Ask("POST pods", pod("waits", nodeSelector={"no": "where"}), 201),
    Ask("DELETE pods/waits", has={"kind": "Pod", "metadata.name": "waits"}),
    Ask("GET pods/waits", None, 404),
    Ask("POST pods", pod("a", nodeName="elsewhere-{u}"), 201),
    Ask("DELETE pods/a?gracePeriodSeconds=50", has={"metadata.deletionGracePeriodSeconds": 50,
                                                    "metadata.generation": 2}),
    Ask("DELETE pods/a", {"gracePeriodSeconds": 40}, has={"metadata.deletionGracePeriodSeconds": 40}),
    Ask("DELETE pods/a", {"gracePeriodSeconds": 60}, has={"metadata.deletionGracePeriodSeconds": 40}),
    Ask("PATCH pods/a", {"metadata": {"labels": {"still": "there"}}}, kind=MERGE),
    Ask("POST pods", pod("a"), 409, "AlreadyExists", 'object is being deleted: pods "a" already exists'),
    Ask("DELETE pods/a", {"gracePeriodSeconds": 0}, has={"kind": "Pod"}),
    Ask("GET pods/a", None, 404),
]  # fmt: skip


@pytest.mark.parametrize("asks", [PRECONDITIONS, FINALIZERS, GRACE], ids=["preconditions", "finalizers", "grace"])
async def test_a_deletion_does_what_it_is_asked(place: Place, asks: list[Ask]) -> None:
    await play(place, asks)


async def test_the_time_of_a_deletion_is_when_its_grace_ends(place: Place) -> None:
    made = await place.create(PODS, pod("a", nodeName=f"elsewhere-{place.unique}"))
    marked = await place.client.delete(PODS, "a", place.namespace, grace_s=1000)
    ends = unix(marked["metadata"]["deletionTimestamp"])
    assert 999 <= ends - unix(made["metadata"]["creationTimestamp"]) <= 1030
    sooner = await place.client.delete(PODS, "a", place.namespace, grace_s=10)
    assert 989 <= ends - unix(sooner["metadata"]["deletionTimestamp"]) <= 991


async def test_a_collection_is_deleted_by_its_labels(place: Place) -> None:
    for name in ("a", "b"):
        await place.create(CONFIGMAPS, config_map(name, labels={"name": name, "of": "test"}))
    await play(place, [Ask("DELETE configmaps?labelSelector=name%3Da"), Ask("GET configmaps/b")])
    await place.until_gone(CONFIGMAPS, "a")


@pytest.mark.parametrize("propagation", ["Background", "Foreground"])
async def test_dependents_go_with_the_last_of_their_owners(place: Place, propagation: Any) -> None:
    first, second = [await place.create(CONFIGMAPS, config_map(name)) for name in ("first", "second")]
    await place.create(CONFIGMAPS, config_map("one", first))
    await place.create(CONFIGMAPS, config_map("both", first, second))
    await place.client.delete(CONFIGMAPS, "first", place.namespace, propagation=propagation)
    for name in ("one", "first"):
        await place.until_gone(CONFIGMAPS, name)
    # Its other owner keeps it; the reference to the lost one is dropped, which shows that it was looked at.
    kept = await place.until(
        CONFIGMAPS, "both", lambda found: len(found["metadata"]["ownerReferences"]) == 1, "looked at"
    )
    assert [owner["name"] for owner in kept["metadata"]["ownerReferences"]] == ["second"]
    await place.client.delete(CONFIGMAPS, "second", place.namespace)
    await place.until_gone(CONFIGMAPS, "both")


async def test_in_the_foreground_an_owner_waits_for_its_dependents(place: Place) -> None:
    owner = await place.create(CONFIGMAPS, config_map("owner"))
    await place.create(CONFIGMAPS, config_map("held", owner, finalizers=["example.com/x"]))
    await place.client.delete(CONFIGMAPS, "owner", place.namespace, propagation="Foreground")
    await place.until(CONFIGMAPS, "held", lambda found: "deletionTimestamp" in found["metadata"], "deleted")
    waiting = await place.get(CONFIGMAPS, "owner")
    assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]
    await place.client.patch(CONFIGMAPS, "held", {"metadata": {"finalizers": None}}, place.namespace)
    for name in ("held", "owner"):
        await place.until_gone(CONFIGMAPS, name)


async def test_orphans_stay_without_their_owner(place: Place) -> None:
    owner = await place.create(CONFIGMAPS, config_map("owner"))
    await place.create(CONFIGMAPS, config_map("child", owner))
    await place.client.delete(CONFIGMAPS, "owner", place.namespace, propagation="Orphan")
    await place.until_gone(CONFIGMAPS, "owner")
    left = await place.get(CONFIGMAPS, "child")
    assert "ownerReferences" not in left["metadata"]


async def test_who_never_had_an_owner_of_that_uid_goes(place: Place) -> None:
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "none", "uid": OTHER_UID}}
    await place.create(CONFIGMAPS, config_map("child", other))
    await place.until_gone(CONFIGMAPS, "child")


async def test_a_namespace_takes_everything_along_and_nothing_new(place: Place) -> None:
    name = f"more-{place.unique}"
    await place.create(NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    held = config_map("held", finalizers=["example.com/x"])
    await place.client.create(CONFIGMAPS, held, name)
    await play(place, [Ask(f"DELETE /api/v1/namespaces/{name}", has={"status.phase": "Terminating"})])
    refused = Ask(f"POST /api/v1/namespaces/{name}/configmaps", config_map("late"))
    answer = await ask(place, refused)
    assert (answer.status, answer.json["reason"]) == (403, "Forbidden")
    assert f"unable to create new content in namespace {name} because it is being terminated" in answer.json["message"]
    assert answer.json["details"]["causes"][0]["reason"] == "NamespaceTerminating"
    await place.client.patch(CONFIGMAPS, "held", {"metadata": {"finalizers": None}}, name)
    await place.until_gone(NAMESPACES, name)


async def test_only_the_very_object_is_deleted(place: Place) -> None:
    made = await place.create(CONFIGMAPS, config_map("a"))
    await place.client.delete(CONFIGMAPS, "a", place.namespace, uid=made["metadata"]["uid"])
    await place.create(CONFIGMAPS, config_map("a"))
    with pytest.raises(Conflict):
        await place.client.delete(CONFIGMAPS, "a", place.namespace, uid=made["metadata"]["uid"])
    with pytest.raises(NotFound):
        await place.client.delete(CONFIGMAPS, "none", place.namespace, uid=OTHER_UID)
