"""Folders of people and activities on shared storage: an init container makes what is not there yet. Pure.

A kubelet would make a missing `subPath` itself, as root, and nobody could write into it. Nothing here is root: the
home is made by its owner, the share by a user that is nobody's, in the group of the activity. Both write into a folder
that is as /tmp is (mode 1777), which no other container ever sees.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from aiinfn_hub.catalogue.models import Platform, Volume
from aiinfn_hub.catalogue.people import Activity, Posix
from aiinfn_hub.pods.security import container_security
from aiinfn_hub.pods.storage import filled, object_name

#: What `diagnosis` knows the script's sentences by.
MARK = "aiinfn-folder:"
#: Where the maker sees the folder above.
ABOVE = "/folders"
#: Of a POSIX shell, busybox's included. No braces: KubeSpawner would fill them in. A home that is there keeps its mode;
#: a share keeps what else others may do. The group first, because a change of it takes the setgid bit away.
SCRIPT = f"""set -u
umask 077
name=$(basename "$1")
if [ ! -d "$1" ] && ! mkdir "$1" 2>/dev/null && [ ! -d "$1" ]; then
  echo "{MARK} $name cannot be made: user $(id -u) may not write into the folder above it" >&2
  exit 1
fi
if [ "$2" = share ] && [ -O "$1" ]; then
  chgrp "$(id -g)" "$1" && chmod u+rwx,g+rwxs "$1"
fi
set -- "$1" "$2" $(ls -ldn "$1")
if [ "$2" = home ] && [ "$5" != "$(id -u)" ]; then
  echo "{MARK} $name belongs to user $5, not to $(id -u)" >&2
  exit 1
fi
if [ "$2" = share ] && [ "$6" != "$(id -g)" ]; then
  echo "{MARK} $name belongs to group $6, not to $(id -g)" >&2
  exit 1
fi
"""
COMMAND = ["/bin/sh", "-c", SCRIPT, "folder"]
_KINDS = {"home": "home", "activity": "share"}


def makers(platform: Platform, person: str, activity: Activity, wanted: Collection[str] = ()) -> list[dict[str, Any]]:
    """The init containers of a pod that mounts these volumes (`storage` has the same arguments); none without posix."""
    if platform.posix is None:
        return []
    return [
        maker(platform.posix, volume, filled(folder(volume), person, activity))
        for volume in made(platform)
        if not volume.optional or volume.name in wanted
    ]


def made(platform: Platform) -> list[Volume]:
    """The volumes whose folders are made."""
    return [v for v in platform.volumes if v.kind in _KINDS and v.claim and v.sub_path and not v.read_only]


def folder(volume: Volume) -> str:
    """The one that is made, with placeholders."""
    return volume.sub_path.rpartition("/")[2]


def name_of(volume: Volume) -> str:
    """Of the container that makes the folder of this volume."""
    return f"make-{object_name(volume)}"


def arguments(volume: Volume, name: str) -> list[str]:
    """What the script is told: the folder, and what it is."""
    return [f"{ABOVE}/{name}", _KINDS[volume.kind]]


def mount(volume: Volume) -> dict[str, Any]:
    """The folder above, which holds those of everybody."""
    above = volume.sub_path.rpartition("/")[0]
    return {"name": object_name(volume), "mountPath": ABOVE} | ({"subPath": above} if above else {})


def maker(posix: Posix, volume: Volume, name: str) -> dict[str, Any]:
    """The container that makes the folder of that name."""
    amounts = {"cpu": "100m", "memory": "64Mi"}
    security = container_security() | {"readOnlyRootFilesystem": True}
    return {
        "name": name_of(volume),
        "image": posix.image,
        "command": COMMAND,
        "args": arguments(volume, name),
        "resources": {"requests": amounts, "limits": amounts},
        "securityContext": security | ({"runAsUser": posix.keeper_uid} if volume.kind == "activity" else {}),
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [mount(volume)],
    }
