"""The scheduler: binds pods to nodes. Woken by what changes, never by a clock."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import Any

from aiinfn_hub.errors import AiinfnError, InvalidInput, NotFound
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.client import NODES, PODS, KubeClient
from aiinfn_hub.kube.moments import rfc3339
from aiinfn_hub.kube.slim import Node, Pod, decode_node
from aiinfn_hub.local.controllers.bookings import TERMINAL, Bookings
from aiinfn_hub.local.controllers.constraints import Claimant, Constraints, decode_claimant
from aiinfn_hub.local.controllers.scheduling import NodeView, Unschedulable, place
from aiinfn_hub.local.controllers.verdicts import NAME, Verdicts

#: Requests that are on their way at the same time.
CONCURRENCY = 16
#: Seconds in which changes are gathered into one pass.
GATHER_S = 0.005
#: Seconds before a pod whose binding failed is tried again.
RETRY_S = 1.0
GATED = "Scheduling is blocked due to non-empty scheduling gates"


class Scheduler:
    """Places what is pending whenever a pod or a node changes in a way that could matter."""

    def __init__(self, client: KubeClient, *, log: logging.Logger | None = None) -> None:
        self.client = client
        self.log = log or logging.getLogger("aiinfn.local.scheduler")
        self.bookings = Bookings()
        self.verdicts = Verdicts(client, self.log)
        self._pending: dict[str, Claimant] = {}
        self._told: dict[str, str] = {}
        self._wake = asyncio.Event()
        self._pods = WatchCache(client, PODS, decode_claimant, on_event=self._pod_changed, log=self.log)
        self._nodes = WatchCache(client, NODES, decode_node, on_event=self._node_changed, log=self.log)
        self._slots = asyncio.Semaphore(CONCURRENCY)
        self._writing: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Schedule until cancelled."""
        await self._nodes.start()
        await self._pods.start()
        try:
            await self._nodes.synced.wait()
            await self._pods.synced.wait()
            while True:
                await self._wake.wait()
                await asyncio.sleep(GATHER_S)
                self._wake.clear()
                try:
                    await self._pass()
                except Exception:  # the loop outlives a mistake over one state of the cluster
                    self.log.exception("A pass failed.")
                    asyncio.get_running_loop().call_later(RETRY_S, self._wake.set)
        finally:
            await self._pods.close()
            await self._nodes.close()
            for task in self._writing:
                task.cancel()

    def _node_changed(self, event: str, node: Node, before: Node | None) -> None:
        if event == "DELETED":
            self.bookings.remove_node(node.name)
            return
        self.bookings.set_node(node)
        if before is None or _offer(node) != _offer(before):  # a heartbeat places nobody
            self._wake.set()

    def _pod_changed(self, event: str, claimant: Claimant, before: Claimant | None) -> None:
        del before
        pod = claimant.pod
        if event == "DELETED":
            self._forget(pod.uid)
            if self.bookings.cancel(pod.uid):
                self._wake.set()
            return
        if self.bookings.see(pod):
            self._wake.set()
        if pod.node or pod.phase in TERMINAL or pod.deleted_at is not None or claimant.scheduler != NAME:
            self._forget(pod.uid)
        elif pod.gates:
            self._forget(pod.uid)
            self._say_gated(pod)
        elif not self.bookings.where(pod.uid):
            known = self._pending.get(pod.uid)
            self._pending[pod.uid] = claimant
            if known is None or known.constraints != claimant.constraints:  # not when only our own sentence is new
                self._wake.set()

    def _forget(self, uid: str) -> None:
        self._pending.pop(uid, None)
        self._told.pop(uid, None)

    async def _pass(self) -> None:
        """Try every pending pod once, in order of priority and age."""
        views = list(self.bookings.views.values())
        hopeless: dict[Constraints, str] = {}
        order = sorted(self._pending.values(), key=lambda c: (-c.priority, c.pod.created, c.pod.name))
        for index, claimant in enumerate(order):
            if index % 100 == 99:
                await asyncio.sleep(0)  # a long pass must not hold up the watches
            if claimant.uid not in self._pending:
                continue
            # Within a pass room only shrinks: what one pod could not get its twins cannot get either.
            message = hopeless.get(claimant.constraints)
            found: NodeView | Unschedulable = Unschedulable(message) if message else place(claimant.constraints, views)
            if isinstance(found, Unschedulable):
                hopeless[claimant.constraints] = found.message
                self._say_unschedulable(claimant.pod, found.message)
            else:
                self._pending.pop(claimant.uid)
                self.bookings.book(claimant.pod, found.node.name)
                self._write(self._bind(claimant, found.node.name))

    def _write(self, coroutine: Any) -> None:
        task = asyncio.create_task(coroutine)
        self._writing.add(task)
        task.add_done_callback(self._writing.discard)

    async def _bind(self, claimant: Claimant, node: str) -> None:
        pod = claimant.pod
        binding = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node},
        }
        async with self._slots:
            try:
                await self.client.create(PODS, binding, name=pod.name, subresource="binding")
            except AiinfnError as error:
                self.log.warning("Binding %s/%s to %s: %s", pod.namespace, pod.name, node, error)
                self.bookings.cancel(pod.uid)
                asyncio.get_running_loop().call_later(RETRY_S, self._again, pod.uid)
                return
            self._told.pop(pod.uid, None)
            await self.verdicts.bound(pod, node)

    def _again(self, uid: str) -> None:
        """After a failed binding: what the API has now decides; a request that timed out may have been done."""
        claimant = self._pods.items.get(uid)
        if claimant is not None:
            self._pod_changed("MODIFIED", claimant, None)

    def _say_gated(self, pod: Pod) -> None:
        if pod.conditions.get("PodScheduled") is None:
            self._write(self._condition(pod, "SchedulingGated", GATED))

    def _say_unschedulable(self, pod: Pod, message: str) -> None:
        before = pod.conditions.get("PodScheduled")
        if self._told.get(pod.uid, before.message if before else "") != message:
            self._told[pod.uid] = message
            self._write(self._refuse(pod, message))

    async def _refuse(self, pod: Pod, message: str) -> None:
        await self._condition(pod, "Unschedulable", message)
        async with self._slots:
            await self.verdicts.refused(pod, message)

    async def _condition(self, pod: Pod, reason: str, message: str) -> None:
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": reason,
            "message": message,
            "lastTransitionTime": rfc3339(time.time()),
        }
        patch = {"metadata": {"uid": pod.uid}, "status": {"conditions": [condition]}}
        async with self._slots:
            try:
                await self.client.patch(
                    PODS, pod.name, patch, pod.namespace, strategy="strategic", subresource="status"
                )
            except (NotFound, InvalidInput) as error:  # another pod has its name by now, and a uid is immutable
                self.log.debug("%s/%s is gone: %s", pod.namespace, pod.name, error)
            except AiinfnError as error:
                self._told.pop(pod.uid, None)
                asyncio.get_running_loop().call_later(RETRY_S, self._wake.set)
                self.log.warning("Telling why %s/%s waits: %s", pod.namespace, pod.name, error)


def _offer(node: Node) -> tuple[object, ...]:
    """What of a node can make room for a pod."""
    return node.labels, node.taints, node.unschedulable, node.allocatable
