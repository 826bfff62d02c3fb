"""The example's platform on a real cluster, by the commands that the documentation names."""

from __future__ import annotations

import shlex
import subprocess
import sys
import time
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support.exampleworld import EXAMPLE, MANAGER, node_objects, settings

from aiinfn_hub.catalogue import example_path
from aiinfn_hub.errors import Conflict
from aiinfn_hub.kube.apply import apply_one
from aiinfn_hub.kube.client import NODES, KubeClient
from aiinfn_hub.kube.kinds import CONFIGMAPS, DEPLOYMENTS, PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, SECRETS

Object = dict[str, Any]
BIN = Path(sys.executable).parent
FILE = str(example_path())
PARTS = ("policies", "rbac", "kueue")


@dataclass(frozen=True)
class Applied:
    """A cluster with the example on it."""

    kubeconfig: Path
    client: KubeClient

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """A line as a person types it, with our `aiinfn` and `kubectl`."""
        home = str(self.kubeconfig.parent)  # where kubectl keeps what it has learned
        environment = {
            "PATH": f"{BIN}:/usr/bin:/bin",
            "HOME": home,
            "KUBECONFIG": str(self.kubeconfig),
            "COLUMNS": "120",
        }
        return subprocess.run(
            ["sh", "-c", line], env=environment, capture_output=True, text=True, check=False, timeout=110
        )

    def must(self, line: str) -> str:
        """The same; it must succeed."""
        done = self.run(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    async def install(self) -> None:
        """Everything that the how-to applies, and what stands for Kueue's chart, nodes and volumes."""
        for part in PARTS:
            line = f"aiinfn platform render {part} {shlex.quote(FILE)} | kubectl apply -f -"
            if self.run(line).returncode:
                # Kubernetes made the namespace's account while kubectl was about to.
                self.must(line)
        # The manager runs from a file here: the objects that its chart would have made.
        idle = deepcopy(MANAGER)
        idle["spec"]["replicas"] = 0
        await apply_one(self.client, DEPLOYMENTS, idle)
        await apply_one(self.client, CONFIGMAPS, settings())
        await self._volumes()
        await self.beat()

    async def beat(self) -> None:
        """The nodes say that they are well; what nobody renews is NotReady after a while."""
        for node in node_objects(time.time()):
            try:
                await self.client.create(NODES, node)
            except Conflict:
                spec = {key: node[key] for key in ("metadata", "spec")}
                await self.client.patch(NODES, node["metadata"]["name"], spec)
            await self.client.patch(NODES, node["metadata"]["name"], {"status": node["status"]}, subresource="status")

    async def _volumes(self) -> None:
        for claim in sorted({volume.claim for volume in EXAMPLE.volumes if volume.claim}):
            spec = {
                "accessModes": ["ReadWriteMany"],
                "capacity": {"storage": "1Gi"},
                "hostPath": {"path": "/nowhere"},
                "claimRef": {"namespace": EXAMPLE.namespace, "name": claim},
                "storageClassName": "",
            }
            volume = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": claim}, "spec": spec}
            await apply_one(self.client, PERSISTENT_VOLUMES, volume)
            wanted = {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "1Gi"}},
                "volumeName": claim,
                "storageClassName": "",
            }
            metadata = {"name": claim, "namespace": EXAMPLE.namespace}
            thing = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": wanted}
            await apply_one(self.client, PERSISTENT_VOLUME_CLAIMS, thing)
        metadata = {"name": "object-store", "namespace": EXAMPLE.namespace}
        await apply_one(self.client, SECRETS, {"apiVersion": "v1", "kind": "Secret", "metadata": metadata})
