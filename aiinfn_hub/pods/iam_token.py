"""The person's token of the IAM as a file of the session: a Secret that the kubelet keeps up to date in the pod.

WLCG bearer token discovery looks at BEARER_TOKEN_FILE first after the token itself, which gfal, XRootD and HTCondor
follow (https://doi.org/10.5281/zenodo.3937438); rclone runs a command for it.
"""

from __future__ import annotations

from typing import Any

from aiinfn_hub.catalogue.people import Activity, TokenPolicy
from aiinfn_hub.pods import object_store

#: The Secret of a session is the name of its pod and this; what is in it: the token, and what it is for.
SUFFIX = "-iam"
TOKEN, ABOUT = "token", "about.json"
FOLDER = "/run/aiinfn/iam"
_VOLUME = "iam-token"


def secret_name(pod: str) -> str:
    """The Secret of the pod of that name."""
    return pod + SUFFIX


def volume(secret: str) -> dict[str, Any]:
    """The pod's volume. A session starts without a token too: the IAM may be away, and the file comes later."""
    return {"name": _VOLUME, "secret": {"secretName": secret, "optional": True, "defaultMode": 0o440}}


def mount() -> dict[str, Any]:
    """Where a container sees it. The whole folder: a kubelet does not renew single files (subPath)."""
    return {"name": _VOLUME, "mountPath": FOLDER, "readOnly": True}


def environment(policy: TokenPolicy, person: str, activity: Activity) -> dict[str, str]:
    """Where programs find it, and the object store that takes it; the file is read anew each time: it changes."""
    file, store = f"{FOLDER}/{TOKEN}", policy.object_store
    own = {"BEARER_TOKEN_FILE": file, "RCLONE_WEBDAV_BEARER_TOKEN_COMMAND": f"cat {file}"}
    return own | (object_store.environment(store, person, activity, file) if store else {})
