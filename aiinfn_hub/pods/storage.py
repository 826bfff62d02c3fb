"""The volumes of a pod: what the platform offers, cut to one person and one activity."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from aiinfn_hub.catalogue.models import Platform, Volume
from aiinfn_hub.catalogue.people import Activity
from aiinfn_hub.contract.life import VOLUMES_VARIABLE, MountedVolume
from aiinfn_hub.contract.quantities import format_bytes
from aiinfn_hub.pods.names import slug

Manifests = list[dict[str, Any]]
_WRITABLE = frozenset({"home", "activity", "public", "scratch"})


def storage(
    platform: Platform, person: str, activity: Activity, wanted: Collection[str] = ()
) -> tuple[Manifests, Manifests]:
    """The pod's `volumes` and the container's `volumeMounts`.

    Args:
        platform: the catalogue.
        person: the person's true name.
        activity: the activity that is charged; its share is the only one mounted.
        wanted: names of the optional volumes to mount beside those that everybody gets.

    Raises:
        InvalidInput: `wanted` names a volume that the platform does not have.
    """
    asked = {platform.volume(name).name for name in wanted}
    chosen = [volume for volume in platform.volumes if not volume.optional or volume.name in asked]
    volumes = [{"name": object_name(volume)} | _source(volume) for volume in chosen]
    return volumes, [_mount(volume, person, activity) for volume in chosen]


def writable(platform: Platform, wanted: Collection[str]) -> dict[str, str]:
    """The variable by which a session knows the volumes that can be full, with `wanted` of the optional ones."""
    found = [
        MountedVolume(volume.name, volume.kind, volume.mount, volume.contact)
        for volume in platform.volumes
        if volume.kind in _WRITABLE and not volume.read_only and (not volume.optional or volume.name in wanted)
    ]
    return {VOLUMES_VARIABLE: msgspec.json.encode(found).decode()} if found else {}


def lies_on(platform: Platform, path: str) -> list[str]:
    """Names of the volumes that a path is on; whoever needs the path needs them, optional or not."""
    return [volume.name for volume in platform.volumes if path.startswith(f"{volume.mount}/")]


def object_name(volume: Volume) -> str:
    """What a volume of the catalogue is called in a pod."""
    return f"volume-{slug(volume.name)}"


def filled(template: str, person: str, activity: Activity) -> str:
    """`{person}` and `{activity}` as slugs: one path component each, whatever the names hold."""
    return template.replace("{person}", slug(person)).replace("{activity}", slug(activity.name))


def _source(volume: Volume) -> dict[str, Any]:
    if volume.kind in {"scratch", "shm"}:
        # A container's own /dev/shm has 64 MB, too little for what loaders of data share. What is in memory counts as
        # the session's; without a limit the kubelet gives it that size.
        limit = {"sizeLimit": format_bytes(volume.size)} if volume.size else {}
        return {"emptyDir": ({"medium": "Memory"} if volume.kind == "shm" else {}) | limit}
    if volume.kind == "object-store":
        # Credentials as files; the pod starts without them too, and the person's tools say what is missing.
        return {"secret": {"secretName": volume.secret, "optional": True, "defaultMode": 0o440}}
    claim: dict[str, Any] = {"claimName": volume.claim}
    return {"persistentVolumeClaim": claim | ({"readOnly": True} if volume.read_only else {})}


def _mount(volume: Volume, person: str, activity: Activity) -> dict[str, Any]:
    mount: dict[str, Any] = {"name": object_name(volume), "mountPath": volume.mount}
    if volume.sub_path:
        mount["subPath"] = filled(volume.sub_path, person, activity)
    if volume.read_only or volume.kind in {"cvmfs", "object-store"}:
        mount["readOnly"] = True
    if volume.kind == "cvmfs":
        mount["mountPropagation"] = "HostToContainer"  # repositories appear under it while the pod runs
    return mount
