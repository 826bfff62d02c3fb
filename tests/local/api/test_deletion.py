"""Deleting: grace, finalizers, preconditions, dependents, namespaces."""

from __future__ import annotations

import asyncio
from calendar import timegm
from time import strptime
from typing import Any

import pytest
from support.kubeapi import RunningApi, pod

from aiinfn_hub.errors import Conflict, Forbidden, InvalidInput, NotFound
from aiinfn_hub.kube.client import CONFIGMAPS, JOBS, NAMESPACES, PODS, SECRETS, Kind, KubeClient
from aiinfn_hub.local.api.garbage import EVENT_LIFE_S, GarbageCollector
from aiinfn_hub.local.api.kinds import Resources
from aiinfn_hub.local.api.objects import Objects, timestamp
from aiinfn_hub.local.api.store import Store

pytestmark = pytest.mark.asyncio

PODS_PATH = "/api/v1/namespaces/default/pods"


def seconds(stamp: str) -> int:
    return timegm(strptime(stamp, "%Y-%m-%dT%H:%M:%SZ"))


async def gone(client: KubeClient, kind: Kind, name: str, namespace: str | None = "default") -> None:
    """Wait until it is gone."""
    async with asyncio.timeout(5):
        while True:
            try:
                await client.get(kind, name, namespace)
            except NotFound:
                return
            await asyncio.sleep(0.01)


def owned(name: str, owner: dict[str, Any], **reference: Any) -> dict[str, Any]:
    meta = owner["metadata"]
    reference = {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": meta["name"],
        "uid": meta["uid"],
        **reference,
    }
    return {"metadata": {"name": name, "ownerReferences": [reference]}}


async def test_a_deletion_answers_with_a_status(api: RunningApi, client: KubeClient) -> None:
    made = await client.create(CONFIGMAPS, {"metadata": {"name": "a"}}, "default")
    answer = await api.call("DELETE", "/api/v1/namespaces/default/configmaps/a")
    assert answer.json == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": {"name": "a", "kind": "configmaps", "uid": made["metadata"]["uid"]},
    }
    again = await api.call("DELETE", "/api/v1/namespaces/default/configmaps/a")
    assert (again.status, again.json["message"]) == (404, 'configmaps "a" not found')


async def test_a_pod_that_nobody_runs_is_gone_at_once(client: KubeClient) -> None:
    await client.create(PODS, pod("a"), "default")
    assert (await client.delete(PODS, "a", "default"))["kind"] == "Pod"
    with pytest.raises(NotFound):
        await client.get(PODS, "a", "default")


async def test_a_running_pod_gets_its_grace(client: KubeClient) -> None:
    await client.create(PODS, pod("a", nodeName="n", terminationGracePeriodSeconds=7), "default")
    answer = await client.delete(PODS, "a", "default")
    found = await client.get(PODS, "a", "default")
    assert answer["metadata"] == found["metadata"]
    assert found["metadata"]["deletionGracePeriodSeconds"] == 7
    assert seconds(found["metadata"]["deletionTimestamp"]) - seconds(found["metadata"]["creationTimestamp"]) in {7, 8}
    assert found["status"]["phase"] == "Pending", "the agent says what becomes of it"


async def test_the_agent_ends_a_pod_with_grace_zero(client: KubeClient) -> None:
    await client.create(PODS, pod("a", nodeName="n"), "default")
    await client.delete(PODS, "a", "default")
    await client.delete(PODS, "a", "default", grace_s=0)
    with pytest.raises(NotFound):
        await client.get(PODS, "a", "default")


async def test_a_second_deletion_only_shortens_the_grace(client: KubeClient) -> None:
    await client.create(PODS, pod("a", nodeName="n"), "default")
    first = await client.delete(PODS, "a", "default")
    assert (await client.delete(PODS, "a", "default", grace_s=60))["metadata"] == first["metadata"]
    shorter = (await client.delete(PODS, "a", "default", grace_s=10))["metadata"]
    assert shorter["deletionGracePeriodSeconds"] == 10
    assert seconds(first["metadata"]["deletionTimestamp"]) - seconds(shorter["deletionTimestamp"]) == 20


async def test_a_finished_pod_needs_no_grace(client: KubeClient) -> None:
    await client.create(PODS, pod("a", nodeName="n"), "default")
    await client.patch(PODS, "a", {"status": {"phase": "Succeeded"}}, "default", subresource="status")
    await client.delete(PODS, "a", "default")
    with pytest.raises(NotFound):
        await client.get(PODS, "a", "default")


async def test_finalizers_hold_an_object_until_the_last_is_taken_away(client: KubeClient) -> None:
    body = {"metadata": {"name": "a", "finalizers": ["x.io/one", "x.io/two"]}}
    await client.create(CONFIGMAPS, body, "default")
    waiting = await client.delete(CONFIGMAPS, "a", "default")
    assert waiting["metadata"]["deletionTimestamp"]
    assert waiting["metadata"]["deletionGracePeriodSeconds"] == 0
    await client.patch(CONFIGMAPS, "a", {"metadata": {"finalizers": ["x.io/two"]}}, "default")
    await client.get(CONFIGMAPS, "a", "default")
    with pytest.raises(InvalidInput, match="no new finalizers can be added if the object is being deleted"):
        await client.patch(CONFIGMAPS, "a", {"metadata": {"finalizers": ["x.io/two", "x.io/three"]}}, "default")
    await client.patch(CONFIGMAPS, "a", {"metadata": {"finalizers": None}}, "default")
    with pytest.raises(NotFound):
        await client.get(CONFIGMAPS, "a", "default")


async def test_a_pod_with_node_and_finalizer_needs_both_ends(client: KubeClient) -> None:
    body = pod("a", nodeName="n")
    body["metadata"]["finalizers"] = ["kueue.x-k8s.io/managed"]
    await client.create(PODS, body, "default")
    await client.delete(PODS, "a", "default")
    await client.delete(PODS, "a", "default", grace_s=0)
    held = await client.get(PODS, "a", "default")
    assert held["metadata"]["deletionGracePeriodSeconds"] == 0
    await client.patch(PODS, "a", {"metadata": {"finalizers": None}}, "default")
    with pytest.raises(NotFound):
        await client.get(PODS, "a", "default")


async def test_a_finalizer_that_goes_first_leaves_the_grace(client: KubeClient) -> None:
    body = pod("a", nodeName="n")
    body["metadata"]["finalizers"] = ["x.io/f"]
    await client.create(PODS, body, "default")
    await client.delete(PODS, "a", "default")
    await client.patch(PODS, "a", {"metadata": {"finalizers": None}}, "default")
    assert (await client.get(PODS, "a", "default"))["metadata"]["deletionGracePeriodSeconds"] == 30


async def test_a_deletion_can_ask_for_this_very_object(api: RunningApi, client: KubeClient) -> None:
    made = await client.create(PODS, pod("a"), "default")
    with pytest.raises(Conflict, match="Precondition failed: UID in precondition: other, UID in object meta: "):
        await client.delete(PODS, "a", "default", uid="other")
    old = {"preconditions": {"resourceVersion": "1"}}
    assert (await api.call("DELETE", f"{PODS_PATH}/a", old)).status == 409
    await client.delete(PODS, "a", "default", uid=made["metadata"]["uid"])


async def test_options_may_stand_in_the_query(api: RunningApi, client: KubeClient) -> None:
    await client.create(PODS, pod("a", nodeName="n"), "default")
    answer = await api.call("DELETE", f"{PODS_PATH}/a?gracePeriodSeconds=3")
    assert answer.json["metadata"]["deletionGracePeriodSeconds"] == 3
    assert (await api.call("DELETE", f"{PODS_PATH}/a?gracePeriodSeconds=soon")).status == 400
    assert (await api.call("DELETE", f"{PODS_PATH}/a?propagationPolicy=Upwards")).status == 400


async def test_a_selection_is_deleted_together(api: RunningApi, client: KubeClient) -> None:
    for name, team in (("a", "red"), ("b", "blue"), ("c", "red")):
        await client.create(CONFIGMAPS, {"metadata": {"name": name, "labels": {"team": team}}}, "default")
    answer = await api.call("DELETE", "/api/v1/namespaces/default/configmaps?labelSelector=team%3Dred")
    assert [item["metadata"]["name"] for item in answer.json["items"]] == ["a", "c"]
    assert [item["metadata"]["name"] for item in (await client.list(CONFIGMAPS, "default"))[0]] == ["b"]


async def test_dependents_follow_their_owner(client: KubeClient) -> None:
    owner = await client.create(PODS, pod("a"), "default")
    child = await client.create(SECRETS, owned("child", owner), "default")
    await client.create(CONFIGMAPS, owned("grandchild", child), "default")
    await client.delete(PODS, "a", "default")
    await gone(client, SECRETS, "child")
    await gone(client, CONFIGMAPS, "grandchild")


async def test_who_is_born_without_an_owner_follows_it_too(client: KubeClient) -> None:
    owner = await client.create(CONFIGMAPS, {"metadata": {"name": "a"}}, "default")
    await client.delete(CONFIGMAPS, "a", "default")
    await client.create(SECRETS, owned("late", owner), "default")
    await gone(client, SECRETS, "late")


async def test_one_owner_that_stays_is_enough(client: KubeClient) -> None:
    one = await client.create(CONFIGMAPS, {"metadata": {"name": "one"}}, "default")
    two = await client.create(CONFIGMAPS, {"metadata": {"name": "two"}}, "default")
    child = owned("child", one)
    child["metadata"]["ownerReferences"] += owned("child", two)["metadata"]["ownerReferences"]
    await client.create(SECRETS, child, "default")
    await client.delete(CONFIGMAPS, "one", "default")
    async with asyncio.timeout(5):
        while len((found := await client.get(SECRETS, "child", "default"))["metadata"]["ownerReferences"]) > 1:
            await asyncio.sleep(0.01)
    assert found["metadata"]["ownerReferences"][0]["name"] == "two"
    await client.delete(CONFIGMAPS, "two", "default")
    await gone(client, SECRETS, "child")


async def test_orphans_stay_and_forget_their_owner(client: KubeClient) -> None:
    owner = await client.create(CONFIGMAPS, {"metadata": {"name": "a"}}, "default")
    await client.create(SECRETS, owned("child", owner), "default")
    await client.delete(CONFIGMAPS, "a", "default", propagation="Orphan")
    await gone(client, CONFIGMAPS, "a")
    assert not (await client.get(SECRETS, "child", "default"))["metadata"].get("ownerReferences")


async def test_in_the_foreground_the_owner_waits_for_who_blocks_it(client: KubeClient) -> None:
    owner = await client.create(CONFIGMAPS, {"metadata": {"name": "a"}}, "default")
    child = owned("child", owner, blockOwnerDeletion=True)
    child["metadata"]["finalizers"] = ["x.io/hold"]
    await client.create(SECRETS, child, "default")
    await client.delete(CONFIGMAPS, "a", "default", propagation="Foreground")
    async with asyncio.timeout(5):
        while "deletionTimestamp" not in (await client.get(SECRETS, "child", "default"))["metadata"]:
            await asyncio.sleep(0.01)
    waiting = await client.get(CONFIGMAPS, "a", "default")
    assert waiting["metadata"]["finalizers"] == ["foregroundDeletion"]
    await client.patch(SECRETS, "child", {"metadata": {"finalizers": None}}, "default")
    await gone(client, CONFIGMAPS, "a")


async def test_a_job_orphans_its_pods_unless_told_otherwise(api: RunningApi, client: KubeClient) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "i:1"}]}}
    for name, query in (("kept", ""), ("taken", "?propagationPolicy=Background")):
        job = await client.create(JOBS, {"metadata": {"name": name}, "spec": {"template": template}}, "default")
        await client.create(PODS, {**pod(name), **owned(name, job)}, "default")
        await api.call("DELETE", f"/apis/batch/v1/namespaces/default/jobs/{name}{query}")
    await gone(client, JOBS, "kept")
    await gone(client, PODS, "taken")
    assert not (await client.get(PODS, "kept", "default"))["metadata"].get("ownerReferences")


async def test_a_namespace_goes_when_it_is_empty(client: KubeClient) -> None:
    await client.create(NAMESPACES, {"metadata": {"name": "team"}})
    await client.create(CONFIGMAPS, {"metadata": {"name": "a"}}, "team")
    await client.create(PODS, pod("p", nodeName="n"), "team")
    answer = await client.delete(NAMESPACES, "team")
    assert answer["status"]["phase"] == "Terminating"
    await gone(client, CONFIGMAPS, "a", "team")
    assert (await client.get(NAMESPACES, "team"))["status"]["phase"] == "Terminating"
    with pytest.raises(
        Forbidden, match="unable to create new content in namespace team because it is being terminated"
    ):
        await client.create(CONFIGMAPS, {"metadata": {"name": "b"}}, "team")
    await client.delete(PODS, "p", "team", grace_s=0)
    await gone(client, NAMESPACES, "team", None)


async def test_an_empty_namespace_goes_at_once(client: KubeClient) -> None:
    await client.create(NAMESPACES, {"metadata": {"name": "team"}})
    await client.delete(NAMESPACES, "team")
    await gone(client, NAMESPACES, "team", None)
    await client.create(NAMESPACES, {"metadata": {"name": "team"}})


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
async def test_some_namespaces_stay(client: KubeClient, name: str) -> None:
    with pytest.raises(Forbidden, match=f'namespaces "{name}" is forbidden: this namespace may not be deleted'):
        await client.delete(NAMESPACES, name)


async def test_events_are_forgotten_after_an_hour() -> None:
    now = [1_000_000.0]
    resources = Resources()
    objects = Objects(Store(), None, lambda: now[0])
    kind = resources.builtin(("", "events"))
    objects.create(resources.builtin(("", "namespaces")), "", {"metadata": {"name": "default"}})
    garbage = GarbageCollector(objects, resources, log=None)  # type: ignore[arg-type]  # nothing goes wrong here
    objects.create(kind, "default", {"metadata": {"name": "old"}})
    now[0] += EVENT_LIFE_S
    objects.create(kind, "default", {"metadata": {"name": "new"}})
    garbage.forget_events()
    assert [e.ref.name for e in objects.store.select(("", "events"))] == ["new", "old"]
    now[0] += 1
    garbage.forget_events()
    assert [e.ref.name for e in objects.store.select(("", "events"))] == ["new"]
    assert timestamp(0) == "1970-01-01T00:00:00Z"
