"""Where a job starts: `python3 boot.py [FOLDER]` loads its folder as package `aiinfn_run` and runs FOLDER/spec.json.

FOLDER is $AIINFN_JOB when not given, as in a pod. A node agent may have mounted this file under another path than the
manifest says, so that of the package is taken from `__file__` and from nowhere else.
"""

import importlib
import importlib.util
import os
import sys
from typing import Any, List


def load(folder: str) -> Any:
    """The runner's main module, out of a folder whose name is not a package's."""
    spec = importlib.util.spec_from_file_location(
        "aiinfn_run", os.path.join(folder, "__init__.py"), submodule_search_locations=[folder]
    )
    assert spec is not None and spec.loader is not None  # noqa: S101, PT018  true for every file name that ends with .py
    package = importlib.util.module_from_spec(spec)
    sys.modules["aiinfn_run"] = package
    spec.loader.exec_module(package)
    return importlib.import_module("aiinfn_run.runner")


def main(argv: List[str]) -> None:
    """Run the job and leave with its exit code, whatever threads the person's code has left behind."""
    if sys.version_info < (3, 8):
        sys.stderr.write(
            "aiinfn: this image has Python %d.%d; a job needs Python 3.8 or newer.\n" % sys.version_info[:2]
        )
        sys.exit(71)
    folder = os.path.dirname(os.path.abspath(__file__))
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        # The interpreter put this folder first: the person's `import display` must not find ours.
        del sys.path[0]
    sys.path.insert(0, "")
    sys.dont_write_bytecode = True
    code = load(folder).main(argv[1] if len(argv) > 1 else os.environ["AIINFN_JOB"])
    os._exit(code)


if __name__ == "__main__":
    main(sys.argv)
