"""The restricted Pod Security Standard, as security contexts."""

from __future__ import annotations

from typing import Any

#: The user of the Jupyter images, and the group that owns their files.
IMAGE_UID, IMAGE_GID = 1000, 100


def pod_security(gid: int, uid: int | None = None) -> dict[str, Any]:
    """The pod's `securityContext`: new files belong to the user `uid`, or the images' own, and the group `gid`.

    The image's own group stays a supplementary one, because images make their files writable by it.
    """
    return {
        "runAsNonRoot": True,
        "runAsUser": IMAGE_UID if uid is None else uid,
        "runAsGroup": gid,
        "fsGroup": gid,
        # Else the kubelet walks through the whole volume at every start.
        "fsGroupChangePolicy": "OnRootMismatch",
        "supplementalGroups": [IMAGE_GID],
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def container_security() -> dict[str, Any]:
    """The container's `securityContext`."""
    return {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
