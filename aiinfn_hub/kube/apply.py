"""Bring a cluster to what manifests say, as `kubectl apply` does: what is missing is created, the rest is changed."""

from __future__ import annotations

from collections.abc import Iterable

from aiinfn_hub.errors import Conflict
from aiinfn_hub.kube.client import KubeClient, Object
from aiinfn_hub.kube.kinds import PERSISTENT_VOLUME_CLAIMS, PERSISTENT_VOLUMES, Kind, kind_of

#: Kinds whose specification cannot be changed once somebody uses them.
_FINAL = (PERSISTENT_VOLUMES, PERSISTENT_VOLUME_CLAIMS)


async def apply(client: KubeClient, manifests: Iterable[Object]) -> None:
    """Create or change the objects, in the order given.

    Lists are replaced as a whole; a key that a manifest no longer has stays as it is in the cluster.

    Raises:
        AiinfnError: as `KubeClient` says; the objects before the refused one are in place.
    """
    for manifest in manifests:
        await apply_one(client, kind_of(manifest), manifest)


async def apply_one(client: KubeClient, kind: Kind, manifest: Object) -> None:
    """As `apply`, for one object of a kind that the caller knows."""
    meta = manifest["metadata"]
    try:
        await client.create(kind, manifest, meta.get("namespace"))
    except Conflict:
        if kind not in _FINAL:
            await client.patch(kind, meta["name"], manifest, meta.get("namespace"))
