"""The object store in JupyterLab's file browser for such (jupyter-fsspec), without a key anywhere."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path

from aiinfn_hub.contract.life import BUCKETS_VARIABLE

#: The file that jupyter-fsspec reads, in Jupyter's folder of configuration.
FILE = "jupyter-fsspec.yaml"
#: Its first line as long as it is ours; who wants another one deletes the line.
MARK = "# Written by the platform at each start. Delete this line to keep what you change.\n"
_LOG = logging.getLogger("aiinfn.store")


def show(environ: Mapping[str, str], folder: Path) -> bool:
    """Name the buckets of the object store to the browser, unless the person has a file of their own; whether it did.

    The libraries below it find endpoint, role and token in the environment.
    """
    buckets = [name for name in environ.get(BUCKETS_VARIABLE, "").split(",") if name]
    file = folder / FILE
    try:
        if not buckets or (file.exists() and not file.read_text().startswith(MARK)):
            return False
        folder.mkdir(parents=True, exist_ok=True)
        # JSON is YAML.
        sources = [{"name": name, "path": f"s3://{name}"} for name in buckets]
        file.write_text(MARK + json.dumps({"sources": sources}, indent=2) + "\n")
    except (OSError, UnicodeDecodeError) as error:
        _LOG.warning("The object store is not in the file browser: %s cannot be written: %s", file, error)
        return False
    return True
