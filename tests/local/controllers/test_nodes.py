"""Nodes that fall silent, and the pods that nobody else cleans up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from support.kubefake import a_node, a_pod, add_nodes, eventually, raw, reasons, running

from aiinfn_hub.errors import NotFound
from aiinfn_hub.kube.client import LEASES, NAMESPACES, NODES, PODS, KubeClient
from aiinfn_hub.kube.moments import rfc3339
from aiinfn_hub.kube.slim import Node, Pod, Taint, decode_node
from aiinfn_hub.local.controllers.node_rules import removals, taints_for
from aiinfn_hub.local.controllers.nodes import LEASE_NAMESPACE, NodeController


def node(status: str, *taints: dict[str, str], since: float = 0.0) -> Node:
    found = a_node("n1", taints=taints)
    found["status"]["conditions"] = [{"type": "Ready", "status": status, "lastTransitionTime": rfc3339(since)}]
    return decode_node(raw(found))


@pytest.mark.parametrize(
    ("status", "keys"),
    [
        pytest.param("True", [], id="a ready node has none of our taints"),
        pytest.param("False", ["not-ready", "not-ready"], id="one that says it is not ready is left and avoided"),
        pytest.param("Unknown", ["unreachable", "unreachable"], id="a silent one is unreachable"),
    ],
)
def test_taints_follow_readiness_and_leave_others_alone(status: str, keys: list[str]) -> None:
    theirs = {"key": "virtual-node", "effect": "NoSchedule"}
    old = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    found = taints_for(node(status, theirs, old))
    assert found[0] == Taint("virtual-node", "", "NoSchedule")
    assert [taint.key.removeprefix("node.kubernetes.io/") for taint in found[1:]] == keys


def pod(**fields: Any) -> Pod:
    return Pod(uid="u", name="p", namespace="default", **fields)


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        pytest.param(pod(node="n1", phase="Running"), None, id="a pod of a node lost for a minute is kept"),
        pytest.param(pod(), None, id="a pod that waits for a node is kept"),
        pytest.param(pod(deleted_at=50.0), ("", True), id="a deleted pod without a node is nobody else's"),
        pytest.param(pod(deleted_at=99.0), None, id="its own controllers come first"),
        pytest.param(pod(node="gone"), ("DeletionByPodGC", True), id="a pod of a node that is gone"),
        pytest.param(pod(node="gone", scheduled=99.0), None, id="a node may be listed later than its pods"),
        pytest.param(pod(node="gone", phase="Failed"), None, id="a pod that has ended is kept"),
    ],
)
def test_who_is_removed(found: Pod, outcome: tuple[str, bool] | None) -> None:
    gone = removals([found], [node("Unknown", since=40.0)], 100.0)
    assert [(removal.reason, removal.force) for removal in gone] == ([outcome] if outcome else [])


def test_pods_leave_a_lost_node_after_five_minutes() -> None:
    lost = node("Unknown", since=0.0)
    assert not removals([pod(node="n1")], [lost], 299.0)
    (removal,) = removals([pod(node="n1")], [lost], 300.0)
    assert (removal.reason, removal.force) == ("DeletionByTaintManager", False)
    assert not removals([pod(node="n1")], [node("True", since=0.0)], 1000.0)


async def renew(client: KubeClient, name: str) -> None:
    for _ in range(1000):
        await client.patch(LEASES, name, {"spec": {"leaseTransitions": _}}, LEASE_NAMESPACE)
        await asyncio.sleep(0.05)


async def a_lease(client: KubeClient, name: str) -> None:
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": LEASE_NAMESPACE},
        "spec": {"holderIdentity": name},
    }
    await client.create(LEASES, lease)


async def taints(client: KubeClient, name: str) -> set[str]:
    found = await client.get(NODES, name)
    return {taint["key"] for taint in found["spec"].get("taints") or ()}


@pytest.fixture(name="fast")
def _fast(client: KubeClient) -> NodeController:
    return NodeController(client, grace_s=0.6, interval_s=0.05)


@pytest.mark.asyncio
async def test_a_node_that_stops_renewing_is_marked_and_comes_back(client: KubeClient, fast: NodeController) -> None:
    try:
        await client.get(NAMESPACES, LEASE_NAMESPACE)
    except NotFound:
        await client.create(NAMESPACES, {"metadata": {"name": LEASE_NAMESPACE}})
    await add_nodes(client, a_node("alive"), a_node("silent"))
    for name in ("alive", "silent"):
        await a_lease(client, name)
    async with running(fast.run(), renew(client, "alive")):
        await eventually(lambda: taints(client, "silent"))
        assert await taints(client, "silent") == {"node.kubernetes.io/unreachable"}
        (ready,) = (await client.get(NODES, "silent"))["status"]["conditions"]
        assert (ready["status"], ready["reason"]) == ("Unknown", "NodeStatusUnknown")
        assert await taints(client, "alive") == set()
        assert ("NodeNotReady", "Node silent status is now: NodeNotReady") in await eventually(
            lambda: reasons(client, "silent")
        )
        status = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        await client.patch(NODES, "silent", status, strategy="strategic", subresource="status")

        async def clean() -> bool:
            return not await taints(client, "silent")

        await eventually(clean)


@pytest.mark.asyncio
async def test_while_we_hear_nothing_ourselves_no_node_is_called_silent(client: KubeClient) -> None:
    await add_nodes(client, a_node("n1"))
    deaf = NodeController(client, grace_s=0.0)
    found = decode_node(raw(await client.get(NODES, "n1")))
    deaf.leases.failing_since = 1.0
    await deaf._check(found)
    assert await taints(client, "n1") == set()
    deaf.leases.failing_since = None
    await deaf._check(found)
    assert await taints(client, "n1") == {"node.kubernetes.io/unreachable"}


@pytest.mark.asyncio
async def test_a_node_that_says_it_is_well_loses_its_taint_at_once(client: KubeClient) -> None:
    node = a_node("n1", taints=[{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}])
    async with running(NodeController(client, interval_s=3600.0).run()):
        await add_nodes(client, node)

        async def clean() -> bool:
            return not await taints(client, "n1")

        await eventually(clean, 3)


@pytest.mark.asyncio
async def test_a_pod_of_a_node_that_never_was_is_removed(client: KubeClient) -> None:
    late = NodeController(client, interval_s=0.05, clock=lambda: 4e9)
    await client.create(PODS, a_pod("orphan", nodeName="gone"))

    async def gone() -> bool:
        pods, _ = await client.list(PODS)
        return not pods

    async with running(late.run()):
        await eventually(gone)
