# ruff: noqa: INP001  a configuration file, not a module
"""IPython and its kernels read this from PREFIX/etc/ipython: sessions that the hub starts have %offload at once."""

import os

if os.environ.get("AIINFN_SERVICE_URL"):
    c = get_config()  # type: ignore[name-defined]  # noqa: F821  IPython defines it for this file
    c.InteractiveShellApp.extensions.append("aiinfn_labext")
