"""Node objects and their leases: what a kubelet writes of itself."""

from __future__ import annotations

import asyncio
import platform
import time
from collections.abc import Callable, Sequence
from typing import Any

from aiinfn_hub.errors import Conflict, NotFound
from aiinfn_hub.kube.client import LEASES, NAMESPACES, NODES, KubeClient
from aiinfn_hub.kube.moments import rfc3339, rfc3339_micro
from aiinfn_hub.local.nodes import NodeSpec, Taint

Object = dict[str, Any]
LEASE_NAMESPACE = "kube-node-lease"
#: A kubelet's figures: seconds that a lease holds, and seconds between two renewals.
LEASE_S, RENEW_S = 40, 10.0
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_PRESSURES = (
    ("MemoryPressure", "KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
    ("DiskPressure", "KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
    ("PIDPressure", "KubeletHasSufficientPID", "kubelet has sufficient PID available"),
)


def node_object(spec: NodeSpec, ip: str, now: float, taint: Taint | None = None) -> Object:
    """The Node that a spec describes. Its operating system is Linux: that is what pods select."""
    architecture = _ARCHITECTURES.get(platform.machine(), platform.machine())
    labels = {
        "kubernetes.io/hostname": spec.name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": architecture,
        **spec.labels,
    }
    taints = [each.to_json() for each in (*spec.taints, *([taint] if taint else []))]
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": spec.name, "labels": labels},
        "spec": {"taints": taints} if taints else {},
        "status": node_status(spec, ip, now, architecture),
    }


def node_status(spec: NodeSpec, ip: str, now: float, architecture: str) -> Object:
    """What it has, where it is, and that it is well."""
    amounts = {"pods": "110", "ephemeral-storage": "1Ti", **spec.capacity}
    return {
        "capacity": amounts,
        "allocatable": amounts,
        "addresses": [{"type": "InternalIP", "address": ip}, {"type": "Hostname", "address": spec.name}],
        "conditions": [
            *(_condition(name, "False", reason, message, now) for name, reason, message in _PRESSURES),
            _condition("Ready", "True", "KubeletReady", "kubelet is posting ready status", now),
        ],
        "nodeInfo": {
            "machineID": spec.name,
            "systemUUID": spec.name,
            "bootID": spec.name,
            "kernelVersion": platform.release(),
            "osImage": platform.platform(terse=True),
            "containerRuntimeVersion": "process://1",
            "kubeletVersion": "v1.36.2",
            "kubeProxyVersion": "",
            "operatingSystem": "linux",
            "architecture": architecture,
        },
        "daemonEndpoints": {"kubeletEndpoint": {"Port": 0}},
    }


def _condition(name: str, status: str, reason: str, message: str, now: float) -> Object:
    moment = rfc3339(now)
    return {
        "type": name,
        "status": status,
        "reason": reason,
        "message": message,
        "lastHeartbeatTime": moment,
        "lastTransitionTime": moment,
    }


class Registration:
    """Keeps the Node objects of an agent.

    Args:
        taint: put on every node beside its own.
    """

    def __init__(
        self,
        client: KubeClient,
        nodes: Sequence[NodeSpec],
        *,
        ip: str,
        taint: Taint | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._nodes = nodes
        self._ip = ip
        self._taint = taint
        self._clock = clock

    async def register(self) -> None:
        """Create the nodes, or bring those that are there to what they are now."""
        await self._have_namespace()
        await asyncio.gather(*(self._register(spec) for spec in self._nodes))
        await self.renew()

    async def renew(self) -> None:
        """Say that every node is alive."""
        await asyncio.gather(*(self._renew(spec) for spec in self._nodes))

    async def leave(self) -> None:
        """Say that no pod should come any more, as a kubelet does at the shutdown of its machine."""
        condition = _condition("Ready", "False", "KubeletNotReady", "node is shutting down", self._clock())
        await asyncio.gather(*(self._patch_status(spec, {"conditions": [condition]}) for spec in self._nodes))

    async def _have_namespace(self) -> None:
        try:
            await self._client.get(NAMESPACES, LEASE_NAMESPACE)
        except NotFound:
            body = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": LEASE_NAMESPACE}}
            try:
                await self._client.create(NAMESPACES, body)
            except Conflict:
                return  # somebody else was faster

    async def _register(self, spec: NodeSpec) -> None:
        node = node_object(spec, self._ip, self._clock(), self._taint)
        try:
            await self._client.create(NODES, node)
        except Conflict:
            # Only what is ours: cordons and what operators add stay.
            patch = {"metadata": {"labels": node["metadata"]["labels"]}, "spec": node["spec"]}
            await self._client.patch(NODES, spec.name, patch, strategy="strategic")
            await self._patch_status(spec, node["status"])

    async def _patch_status(self, spec: NodeSpec, status: Object) -> None:
        await self._client.patch(NODES, spec.name, {"status": status}, strategy="strategic", subresource="status")

    async def _renew(self, spec: NodeSpec) -> None:
        lease = {
            "holderIdentity": spec.name,
            "leaseDurationSeconds": LEASE_S,
            "renewTime": rfc3339_micro(self._clock()),
        }
        try:
            # PATCH: a PUT without a resourceVersion is refused.
            await self._client.patch(LEASES, spec.name, {"spec": lease}, LEASE_NAMESPACE)
        except NotFound:
            body = {
                "apiVersion": LEASES.api_version,
                "kind": "Lease",
                "metadata": {"name": spec.name, "namespace": LEASE_NAMESPACE},
                "spec": lease,
            }
            await self._client.create(LEASES, body)
