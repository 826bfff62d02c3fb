"""A start although the home is full: what Jupyter writes for itself goes to a folder that ends with the pod. Pure.

The session begins in the home as ever, so that its files can be seen and deleted.
"""

from __future__ import annotations

from typing import Any

from aiinfn_hub.catalogue.models import Platform

#: Where the home of the processes is meanwhile.
FOLDER = "/rescue"
#: Enough for what a session writes for itself, and nobody's place to work.
VOLUME: dict[str, Any] = {"name": "rescue", "emptyDir": {"sizeLimit": "1Gi"}}
MOUNT: dict[str, Any] = {"name": "rescue", "mountPath": FOLDER}
#: Tells the session that it is one, and where the home is that is full.
HOME_VARIABLE = "AIINFN_FULL_HOME"


def environment(platform: Platform) -> dict[str, str]:
    """The variables of such a session."""
    return {"HOME": FOLDER} | ({HOME_VARIABLE: platform.home.mount} if platform.home else {})
