"""A start although the home is full: what Jupyter writes for itself goes to a folder that ends with the pod. Pure.

The session begins in the home as ever, so that its files can be seen and deleted.
"""

from __future__ import annotations

from typing import Any

from aiinfn_hub.catalogue.models import Platform
from aiinfn_hub.contract.life import FULL_HOME_VARIABLE

#: Where the home of the processes is meanwhile.
FOLDER = "/rescue"
#: Enough for what a session writes for itself, and nobody's place to work.
VOLUME: dict[str, Any] = {"name": "rescue", "emptyDir": {"sizeLimit": "1Gi"}}
MOUNT: dict[str, Any] = {"name": "rescue", "mountPath": FOLDER}


def environment(platform: Platform) -> dict[str, str]:
    """The variables of such a session."""
    return {"HOME": FOLDER} | ({FULL_HOME_VARIABLE: platform.home.mount} if platform.home else {})
