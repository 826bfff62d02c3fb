"""Deleting: grace, finalizers, preconditions, dependents, namespaces."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.kubeapi import RunningApi, pod

from aiinfn_hub.errors import NotFound
from aiinfn_hub.kube.client import JOBS, NAMESPACES, PODS, Kind, KubeClient
from aiinfn_hub.local.api.garbage import EVENT_LIFE_S, GarbageCollector
from aiinfn_hub.local.api.kinds import Resources
from aiinfn_hub.local.api.objects import Objects, timestamp
from aiinfn_hub.local.api.store import Store

pytestmark = pytest.mark.asyncio


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


async def test_the_agent_ends_a_pod_with_grace_zero(client: KubeClient) -> None:
    await client.create(PODS, pod("a", nodeName="n"), "default")
    await client.delete(PODS, "a", "default")
    await client.delete(PODS, "a", "default", grace_s=0)
    with pytest.raises(NotFound):
        await client.get(PODS, "a", "default")


async def test_a_finished_pod_needs_no_grace(client: KubeClient) -> None:
    await client.create(PODS, pod("a", nodeName="n"), "default")
    await client.patch(PODS, "a", {"status": {"phase": "Succeeded"}}, "default", subresource="status")
    await client.delete(PODS, "a", "default")
    with pytest.raises(NotFound):
        await client.get(PODS, "a", "default")


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


async def test_a_job_orphans_its_pods_unless_told_otherwise(api: RunningApi, client: KubeClient) -> None:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "main", "image": "i:1"}]}}
    for name, query in (("kept", ""), ("taken", "?propagationPolicy=Background")):
        job = await client.create(JOBS, {"metadata": {"name": name}, "spec": {"template": template}}, "default")
        await client.create(PODS, {**pod(name), **owned(name, job)}, "default")
        await api.call("DELETE", f"/apis/batch/v1/namespaces/default/jobs/{name}{query}")
    await gone(client, JOBS, "kept")
    await gone(client, PODS, "taken")
    assert not (await client.get(PODS, "kept", "default"))["metadata"].get("ownerReferences")


async def test_an_empty_namespace_goes_at_once(client: KubeClient) -> None:
    await client.create(NAMESPACES, {"metadata": {"name": "team"}})
    await client.delete(NAMESPACES, "team")
    await gone(client, NAMESPACES, "team", None)
    await client.create(NAMESPACES, {"metadata": {"name": "team"}})


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
