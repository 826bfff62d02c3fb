"""The notebook side of aiinfn: `%offload`, its Python API and the Jupyter server extension.

`%load_ext aiinfn_labext` brings the magics; `from aiinfn_labext import offload` the Python API.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from aiinfn_labext.job import Job, JobFailed
from aiinfn_labext.jobs import make_offload

__all__ = ["Job", "JobFailed", "offload"]

#: The Python API; address and token are read from the environment at each call.
offload = make_offload()


def load_ipython_extension(shell: Any) -> None:
    """What `%load_ext aiinfn_labext` calls."""
    from aiinfn_labext.magic import register  # noqa: PLC0415  the server extension needs no IPython

    register(shell, offload)


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "aiinfn_labext"}]


def _load_jupyter_server_extension(serverapp: Any) -> None:
    # A kernel needs no Jupyter server.
    from aiinfn_hub.contract.life import FULL_HOME_VARIABLE  # noqa: PLC0415
    from aiinfn_labext.handlers import add_handlers  # noqa: PLC0415
    from aiinfn_labext.store import show  # noqa: PLC0415
    from aiinfn_labext.welcome import welcome  # noqa: PLC0415

    if os.environ.get(FULL_HOME_VARIABLE):
        # A trash would keep what was deleted, on the same disk.
        serverapp.contents_manager.delete_to_trash = False
    elif offload.service.configured:
        welcome(Path(serverapp.root_dir))
        show(os.environ, Path(serverapp.config_dir))
    presence = add_handlers(serverapp.web_app, offload)
    serverapp.io_loop.add_callback(presence.run)
