"""The restricted Pod Security Standard, as security contexts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

#: The user of the Jupyter images, and the group that owns their files.
IMAGE_UID, IMAGE_GID = 1000, 100

#: The capability of a flavour whose processes may make user and mount namespaces of their own, as Apptainer does.
USER_NAMESPACES = "user-namespaces"
#: Where the kubelet of its nodes finds the profile that allows it, below its folder for them. The restricted standard
#: allows profiles of the node: https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
USER_NAMESPACES_PROFILE = "aiinfn/user-namespaces.json"


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


def container_security(capabilities: Collection[str] = ()) -> dict[str, Any]:
    """The container's `securityContext`, with the capabilities of its flavour."""
    wider = {"type": "Localhost", "localhostProfile": USER_NAMESPACES_PROFILE}
    return {
        "allowPrivilegeEscalation": False,
        "privileged": False,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": wider if USER_NAMESPACES in capabilities else {"type": "RuntimeDefault"},
    }
