"""A cluster that exists, with this machine as some of its nodes: what is shipped is applied, and the agent attached.

For a laptop with kind or k3s, and for the tests on the real control plane. Hub and service get the ServiceAccounts and
Roles that are shipped, and no other right.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from aiinfn_hub.catalogue import Platform, load_platform
from aiinfn_hub.errors import InvalidInput, NotFound
from aiinfn_hub.install import policies, rbac
from aiinfn_hub.kube.apply import apply
from aiinfn_hub.kube.client import CLUSTER_QUEUES, SERVICE_ACCOUNTS, KubeClient
from aiinfn_hub.local import seed
from aiinfn_hub.local.agent import NodeAgent
from aiinfn_hub.local.home import Home
from aiinfn_hub.local.nodes import Taint, load_nodes

#: On every node of the agent: only pods of a platform file that tolerates it come here.
TAINT = Taint(key="aiinfn.infn.it/agent", effect="NoSchedule")
#: Seconds that the tokens of hub and service hold; nobody renews them here.
TOKEN_S = 7 * 24 * 3600
Object = dict[str, Any]


class Attached:
    """As `Embedded`, on a cluster that a kubeconfig names.

    Raises:
        InvalidInput: the platform file of the demo cannot be made from the one given.
    """

    client: KubeClient

    def __init__(self, home: Home, kubeconfig: Path, platform_file: Path) -> None:
        self.kubeconfig = kubeconfig.absolute()
        self.platform_file = tolerant(platform_file, home.path / "platform.yaml")
        self.platform: Platform = load_platform(self.platform_file)
        self.nodes = load_nodes()
        self.hub_kubeconfig = home.path / "kube" / "hub"
        self.service_kubeconfig = home.path / "kube" / "service"
        self._root = home.folder("nodes")
        self._home = home
        self._agent: NodeAgent | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Our client, what is shipped, and the kubeconfigs of hub and service.

        Raises:
            InvalidInput: the cluster has no Kueue.
            AiinfnError: the cluster refuses or does not answer.
        """
        self.client = await KubeClient.connect(self.kubeconfig)
        try:
            await self.client.list(CLUSTER_QUEUES)
        except NotFound as error:
            raise InvalidInput(
                f"The cluster of {self.kubeconfig} has no Kueue.", hint="Install Kueue 0.19.2 or newer in it."
            ) from error
        await apply(self.client, _volumes(self.platform, self._root))
        await seed.apply(self.client, self.platform, self.nodes)
        await apply(self.client, [*policies.objects(self.platform), *rbac.objects(self.platform)])
        for account, path in ((rbac.HUB, self.hub_kubeconfig), (rbac.SERVICE, self.service_kubeconfig)):
            self._home.write_private(path, yaml.safe_dump(await self._kubeconfig_of(account)))

    async def run_cluster(self) -> None:
        """The nodes; everything else runs in the cluster."""
        self._agent = NodeAgent(
            self.client,
            self.nodes,
            self._root,
            namespace=self.platform.namespace,
            taint=TAINT,
            log=logging.getLogger("aiinfn.node"),
        )
        self._task = asyncio.create_task(self._agent.run(), name="NodeAgent")

    async def stop(self) -> None:
        """End the pods' processes. What was applied stays in the cluster."""
        if self._agent is not None and self._task is not None:
            await self._agent.stop()
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if hasattr(self, "client"):
            await self.client.close()

    async def _kubeconfig_of(self, account: str) -> Object:
        """The administrator's kubeconfig with the token of a ServiceAccount in place of his own credentials."""
        namespace = self.platform.system_namespace
        request = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": TOKEN_S},
        }
        made = await self.client.create(SERVICE_ACCOUNTS, request, namespace, name=account, subresource="token")
        theirs = yaml.safe_load(self.kubeconfig.read_text())
        context = next(c["context"] for c in theirs["contexts"] if c["name"] == theirs["current-context"])
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [cluster for cluster in theirs["clusters"] if cluster["name"] == context["cluster"]],
            "users": [{"name": account, "user": {"token": made["status"]["token"]}}],
            "contexts": [{"name": account, "context": {"cluster": context["cluster"], "user": account}}],
            "current-context": account,
        }


def tolerant(source: Path, target: Path) -> Path:
    """A copy of a platform file in which every flavour tolerates the taint of the agent's nodes."""
    document = yaml.safe_load(source.read_text(encoding="utf-8"))
    for flavour in document["flavours"]:
        flavour["tolerations"] = [*flavour.get("tolerations", ()), {"key": TAINT.key, "effect": TAINT.effect}]
    target.write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    return target


def _volumes(platform: Platform, root: Path) -> Iterator[Object]:
    """A PersistentVolume for each claim: nobody provisions one here, and a pod waits for its claims to be bound."""
    for claim in sorted({volume.claim for volume in platform.volumes if volume.claim}):
        yield {
            "apiVersion": "v1",
            "kind": "PersistentVolume",
            "metadata": {"name": f"{platform.namespace}-{claim}"},
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "capacity": {"storage": "100Gi"},
                "claimRef": {"namespace": platform.namespace, "name": claim},
                "hostPath": {"path": str(root / "volumes" / platform.namespace / claim)},
                "persistentVolumeReclaimPolicy": "Retain",
            },
        }
