"""What a session has in Kubernetes: its pod, and the Secret that keeps its token out of the pod's manifest."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiinfn_hub.errors import Conflict, NotFound
from aiinfn_hub.kube.client import PODS, SECRETS, WORKLOADS, KubeClient
from aiinfn_hub.pods import names

#: Annotation that tells the pod of one start from one that an earlier start left under the same name.
START = names.PREFIX + "start"
#: Label by which Kueue's Workload names the pod that it is for.
JOB_UID = "kueue.x-k8s.io/job-uid"
_KEY = "token"


class SessionObjects:
    """The objects of the session whose pod is `name`. Errors are those of `KubeClient`."""

    def __init__(self, client: KubeClient, namespace: str, name: str) -> None:
        self._client = client
        self._namespace = namespace
        self._name = name

    @property
    def token_variable(self) -> dict[str, Any]:
        """The environment variable that reads the token, as KubeSpawner takes it."""
        source = {"secretKeyRef": {"name": self._secret, "key": _KEY}}
        return {"name": "JUPYTERHUB_API_TOKEN", "valueFrom": source}

    async def put_token(self, token: str, labels: Mapping[str, str], owner: str = "") -> None:
        """Write the Secret, over what an earlier start left; with `owner`, the pod's uid, it goes when the pod goes."""
        metadata: dict[str, Any] = {"name": self._secret, "namespace": self._namespace, "labels": dict(labels)}
        if owner:
            reference = {"apiVersion": "v1", "kind": "Pod", "name": self._name, "uid": owner}
            metadata["ownerReferences"] = [reference]
        data = {_KEY: base64.b64encode(token.encode()).decode()}
        secret = {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata, "data": data}
        try:
            await self._client.create(SECRETS, secret)
        except Conflict:
            await self._client.replace(SECRETS, secret)

    async def delete_token(self) -> None:
        """Delete the Secret, if it is there."""
        with suppress(NotFound):
            await self._client.delete(SECRETS, self._secret, self._namespace)

    async def create_pod(self, manifest: dict[str, Any]) -> dict[str, Any] | None:
        """The pod of this start, made now or by an earlier request that was not answered in time.

        None if a pod of an older start has the name.
        """
        try:
            return await self._client.create(PODS, manifest, self._namespace)
        except Conflict:
            try:
                found = await self._client.get(PODS, self._name, self._namespace)
            except NotFound:
                return None
        return found if _start(found) == _start(manifest) else None

    async def workload(self, uid: str) -> dict[str, Any] | None:
        """Kueue's Workload of the pod, which alone says why the pod waits."""
        items, _ = await self._client.list(WORKLOADS, self._namespace, labels=f"{JOB_UID}={uid}")
        return items[0] if items else None

    @property
    def _secret(self) -> str:
        return f"{self._name}-token"


def _start(pod: Mapping[str, Any]) -> str:
    return str((pod["metadata"].get("annotations") or {}).get(START, ""))
