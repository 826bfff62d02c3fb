"""The node controller: notices nodes that fell silent, taints them, and cleans up after them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import msgspec

from aiinfn_hub.errors import AiinfnError, Conflict, NotFound
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.client import LEASES, NODES, PODS, KubeClient
from aiinfn_hub.kube.events import EventRecorder, Involved
from aiinfn_hub.kube.moments import rfc3339
from aiinfn_hub.kube.shapes import ObjectMeta
from aiinfn_hub.kube.slim import Node, decode_node, decode_pod
from aiinfn_hub.local.controllers.node_rules import NODE_GRACE_S, Removal, ready_status, removals, taints_for

#: Where kubelets renew their Leases.
LEASE_NAMESPACE = "kube-node-lease"
#: Seconds between two looks; silence makes no event, so this needs a clock.
INTERVAL_S = 5.0


class NodeLease(msgspec.Struct):
    """A node's Lease; that it changes is the heartbeat, its time is on the node's clock and is not read."""

    metadata: ObjectMeta

    @property
    def uid(self) -> str:
        """`metadata.uid`."""
        return self.metadata.uid

    @property
    def rv(self) -> str:
        """`metadata.resourceVersion`."""
        return self.metadata.resource_version


decode_lease = msgspec.json.Decoder(NodeLease).decode


class NodeController:
    """Marks nodes whose Lease is not renewed, and removes the pods that nobody else can end.

    Args:
        grace_s: seconds of silence after which a node is unknown.
        clock: Unix seconds.
        monotonic: seconds by which silence is measured.
    """

    def __init__(
        self,
        client: KubeClient,
        *,
        grace_s: float = NODE_GRACE_S,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        log: logging.Logger | None = None,
    ) -> None:
        self.client = client
        self.grace_s = grace_s
        self.interval_s = interval_s
        self.clock = clock
        self.monotonic = monotonic
        self.log = log or logging.getLogger("aiinfn.local.nodes")
        self.events = EventRecorder(client, "node-controller", log=self.log)
        self.nodes = WatchCache(client, NODES, decode_node, on_event=self._node_seen, log=self.log)
        self.pods = WatchCache(client, PODS, decode_pod, log=self.log)
        self.leases = WatchCache(
            client, LEASES, decode_lease, namespace=LEASE_NAMESPACE, on_event=self._beat, log=self.log
        )
        self._heard: dict[str, float] = {}
        self._wake = asyncio.Event()

    async def run(self) -> None:
        """Look after nodes until cancelled."""
        caches: list[WatchCache[Any]] = [self.nodes, self.leases, self.pods]
        for cache in caches:
            await cache.start()
        try:
            for cache in caches:
                await cache.synced.wait()
            while True:
                await self._look()
                # Not wait_for: on Python 3.11 it loses a cancellation that comes together with what it waits for.
                with suppress(TimeoutError):
                    async with asyncio.timeout(self.interval_s):
                        await self._wake.wait()
                self._wake.clear()
        finally:
            for cache in caches:
                await cache.close()

    def _beat(self, event: str, lease: NodeLease, before: NodeLease | None) -> None:
        del before
        if event != "DELETED":
            self._heard[lease.metadata.name] = self.monotonic()

    def _node_seen(self, event: str, node: Node, before: Node | None) -> None:
        if event == "DELETED":
            self._heard.pop(node.name, None)
            return
        if taints_for(node) != node.taints:
            self._wake.set()  # a node that is back takes pods at once
        if before is None or (not before.ready and node.ready):
            self._heard[node.name] = self.monotonic()

    async def _look(self) -> None:
        """One round; what fails is done in the next one."""
        try:
            for node in list(self.nodes.items.values()):
                await self._check(node)
            for removal in removals(self.pods.items.values(), self.nodes.items.values(), self.clock()):
                await self._remove(removal)
        except (Conflict, NotFound) as error:
            self.log.debug("Something changed meanwhile: %s", error)
        except AiinfnError as error:
            self.log.warning("Nodes cannot be looked after: %s", error)
        except Exception:  # the loop outlives a mistake over one node
            self.log.exception("A look at the nodes failed.")

    async def _check(self, node: Node) -> None:
        silent = self.monotonic() - self._heard.get(node.name, 0.0) > self.grace_s
        if silent and self.leases.failing_since is None and ready_status(node) != "Unknown":
            # Without a working watch of our own, silence says nothing about the node.
            node = await self._mark_unknown(node)
        wanted = taints_for(node)
        if wanted != node.taints:
            taints = [{"key": t.key, "effect": t.effect} | ({"value": t.value} if t.value else {}) for t in wanted]
            patch = {"metadata": {"resourceVersion": node.rv}, "spec": {"taints": taints or None}}
            self.nodes.learn(await self.client.patch(NODES, node.name, patch))

    async def _mark_unknown(self, node: Node) -> Node:
        now = rfc3339(self.clock())
        condition = {
            "type": "Ready",
            "status": "Unknown",
            "reason": "NodeStatusUnknown",
            "message": "Kubelet stopped posting node status.",
            "lastTransitionTime": now,
        }
        patch = {"status": {"conditions": [condition]}}
        changed = await self.client.patch(NODES, node.name, patch, strategy="strategic", subresource="status")
        self.nodes.learn(changed)
        about = Involved(NODES, node.name, node.uid)
        await self.events.record(about, "NodeNotReady", f"Node {node.name} status is now: NodeNotReady")
        return self.nodes.items.get(node.uid, node)

    async def _remove(self, removal: Removal) -> None:
        pod = removal.pod
        status: dict[str, Any] = {"phase": "Failed"} if removal.force else {}
        if removal.reason:
            now = rfc3339(self.clock())
            status["conditions"] = [
                {
                    "type": "DisruptionTarget",
                    "status": "True",
                    "reason": removal.reason,
                    "message": removal.message,
                    "lastTransitionTime": now,
                }
            ]
        patch = {"metadata": {"uid": pod.uid}, "status": status}
        await self.client.patch(PODS, pod.name, patch, pod.namespace, strategy="strategic", subresource="status")
        self.log.info("Removing %s/%s: %s", pod.namespace, pod.name, removal.message or "it has no node")
        grace = 0 if removal.force else None
        await self.client.delete(PODS, pod.name, pod.namespace, grace_s=grace, uid=pod.uid)
