"""A cluster for the tests: the control plane of this machine with Kueue installed, or one that somebody names."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from support.controlplane import build, kueue
from support.controlplane.plane import ControlPlane

from aiinfn_hub.errors import AiinfnError, NotFound, Unavailable
from aiinfn_hub.kube.apply import apply_one
from aiinfn_hub.kube.client import NAMESPACES, SERVICE_ACCOUNTS, KubeClient
from aiinfn_hub.kube.kinds import CLUSTER_QUEUES, Kind, kind_of

Object = dict[str, Any]
T = TypeVar("T")
CRDS = Kind("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", namespaced=False)
API_SERVICES = Kind("apiregistration.k8s.io", "v1", "APIService", "apiservices", namespaced=False)
_ADMISSION = "admissionregistration.k8s.io"
_WEBHOOKS = {
    kind: Kind(_ADMISSION, "v1", kind, f"{kind.lower()}s", namespaced=False)
    for kind in ("MutatingWebhookConfiguration", "ValidatingWebhookConfiguration")
}
_MORE = {"CustomResourceDefinition": CRDS, "APIService": API_SERVICES, **_WEBHOOKS}


@dataclass(frozen=True)
class Cluster:
    """What a test gets: a kubeconfig with every right, and the control plane itself if it is ours to break."""

    kubeconfig: Path
    plane: ControlPlane | None = None

    @property
    def ours(self) -> ControlPlane:
        """The control plane, for tests that kill parts of it."""
        assert self.plane is not None
        return self.plane

    async def account(self, namespace: str, name: str, *, audiences: list[str] | None = None) -> Path:
        """A kubeconfig of a ServiceAccount, with a token as a pod of it would have; the account is made if need be."""
        client = await KubeClient.connect(self.kubeconfig)
        try:
            token = await token_of(client, namespace, name, audiences=audiences)
        finally:
            await client.close()
        return self.ours.write_kubeconfig(f"{namespace}.{name}", token, namespace)


async def token_of(client: KubeClient, namespace: str, name: str, *, audiences: list[str] | None = None) -> str:
    """A token of a ServiceAccount, which is made if need be."""
    for kind, manifest in (
        (NAMESPACES, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}),
        (
            SERVICE_ACCOUNTS,
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, "namespace": namespace}},
        ),
    ):
        await apply_one(client, kind, manifest)
    request = {
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenRequest",
        "spec": {"expirationSeconds": 86400} | ({"audiences": audiences} if audiences else {}),
    }
    made = await client.create(SERVICE_ACCOUNTS, request, namespace, name=name, subresource="token")
    return str(made["status"]["token"])


@contextmanager
def running_cluster(
    folder: Path, *, audit: bool = False, with_kueue: bool = True, with_kwok: bool = False
) -> Iterator[Cluster]:
    """A control plane of its own in this folder, ready to be used.

    Raises:
        Unbuildable: `make controlplane` was not run.
    """
    plane = ControlPlane(folder, audit=audit)
    try:
        plane.start()
        if with_kueue:
            asyncio.run(install_kueue(plane))
        if with_kwok:
            plane.start_kwok()
        yield Cluster(plane.kubeconfig, plane)
    finally:
        plane.stop()


async def install_kueue(plane: ControlPlane) -> None:
    """Apply what Kueue's release applies, start its manager, and wait until its APIs answer."""
    client = await KubeClient.connect(plane.kubeconfig)
    try:
        manifests = build.KUEUE.built / build.KUEUE_MANIFESTS
        things = list(kueue.objects(manifests, plane.kueue_ports, plane.authority.pem))
        # Its own webhooks refuse Kueue's objects until its manager runs; nothing of those is applied here.
        for thing in things:
            await apply_one(client, _kind(thing), thing)
        for name in [thing["metadata"]["name"] for thing in things if thing["kind"] == "CustomResourceDefinition"]:
            await until(lambda name=name: _has_condition(client, CRDS, name, "Established"), name)
        plane.start_kueue(await token_of(client, kueue.NAMESPACE, kueue.ACCOUNT))
        for name in [thing["metadata"]["name"] for thing in things if thing["kind"] == "APIService"]:
            await until(lambda name=name: _has_condition(client, API_SERVICES, name, "Available"), name)
        await until(lambda: _lists(client), "Kueue's API")
    finally:
        await client.close()


async def until(condition: Callable[[], Coroutine[Any, Any, T]], what: str, timeout_s: float = 60) -> T:
    """Ask until the answer is true; the answer. While the API does not answer, it is asked again."""
    deadline = time.monotonic() + timeout_s
    last: Any = None
    while True:
        try:
            last = await condition()
        except (NotFound, Unavailable) as error:
            last = error
        else:
            if last:
                return last
        assert time.monotonic() < deadline, f"{what}: not within {timeout_s} s; last seen: {last}"
        await asyncio.sleep(0.1)


async def _has_condition(client: KubeClient, kind: Kind, name: str, wanted: str) -> bool:
    conditions = ((await client.get(kind, name)).get("status") or {}).get("conditions", [])
    return any(condition["type"] == wanted and condition["status"] == "True" for condition in conditions)


async def _lists(client: KubeClient) -> bool:
    try:
        await client.list(CLUSTER_QUEUES)
    except AiinfnError:
        return False
    return True


def _kind(manifest: Object) -> Kind:
    return _MORE.get(manifest["kind"]) or kind_of(manifest)
