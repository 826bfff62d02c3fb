"""Code of the session that is in no image: modules beside the notebook, and packages that are installed to be edited.

They travel as one zip file whose bytes depend on their files alone, so that the same code is the same job.
"""

from __future__ import annotations

import ast
import importlib.machinery
import importlib.util
import io
import os
import site
import subprocess
import sys
import zipfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import packages_distributions, version
from pathlib import Path

import msgspec

from aiinfn_hub.contract.jobs import MODULES, PACKAGE, JobRequest, ValueRef
from aiinfn_hub.contract.run.codecs import MAX_VALUE
from aiinfn_hub.contract.run.modules import MAX_FILES
from aiinfn_hub.errors import TooLarge
from aiinfn_labext.client import sha256_of
from aiinfn_labext.travel import size

#: What stays: the job has the first of these from its runner, and neither is the person's.
_OURS = frozenset({"aiinfn_labext", "aiinfn_hub"})
_LITTER = frozenset({"__pycache__", ".git", ".ipynb_checkpoints", ".venv", "node_modules"})
#: Folders of installed packages, in the places of Python and of Debian's; and where software is that is nobody's own.
_INSTALLED = frozenset({"site-packages", "dist-packages"})
_SHARED = ("/usr", "/opt", "/cvmfs")
_COMPILED = tuple(importlib.machinery.EXTENSION_SUFFIXES)
#: Of a zip file: the first moment that it can hold, for every file.
_ALWAYS = (1980, 1, 1, 0, 0, 0)
_GIT_S = 30.0


@dataclass(frozen=True)
class Snapshot:
    """Modules ready to travel, and what they are in words, such as "analysis (12 files, 48.0 KiB)"."""

    reference: ValueRef
    data: bytes
    words: tuple[str, ...]


def snapshot(sources: Iterable[str], beside: Sequence[Path] = ()) -> Snapshot | None:
    """The modules that these sources import, and those that these import in turn, where they are no part of an image.

    Args:
        sources: Python; what cannot be parsed imports nothing.
        beside: folders in which an import looks first.

    Raises:
        TooLarge: they take more than 50 MiB.
    """
    found = _found(sources, [str(folder) for folder in beside])
    if not found:
        return None
    files = {path.relative_to(root.parent).as_posix(): path for root in found.values() for path in _files(root)}
    _check(files)
    data = _packed(files)
    words = []
    for name, root in sorted(found.items()):
        own = [path for path in files.values() if path == root or path.is_relative_to(root)]
        amount = size(sum(path.stat().st_size for path in own))
        compiled = any(path.name.endswith(_COMPILED) for path in own)
        kind = ", compiled for this Python" if compiled else ""
        words.append(f"{name} ({len(own)} files, {amount}{kind})" if len(own) != 1 else f"{name} ({amount}{kind})")
    reference = ValueRef(codec=MODULES, sha256=sha256_of(data), size=len(data), summary=", ".join(words)[:200])
    return Snapshot(reference, data, tuple(words))


def with_modules(
    request: JobRequest, blobs: Mapping[str, bytes], beside: Sequence[Path] = ()
) -> tuple[JobRequest, Mapping[str, bytes], tuple[str, ...]]:
    """A request with the modules that it imports, what is to be sent for it, and the modules in words.

    Where an installed package has a module, it goes by its name and version.

    Raises:
        TooLarge: they take more than 50 MiB.
    """
    sources = [request.context, request.source]
    found = snapshot(sources, beside)
    request = msgspec.structs.replace(request, packages=packages(name for one in sources for name in imported(one)))
    if found is None:
        return request, blobs, ()
    request = msgspec.structs.replace(request, modules=found.reference)
    return request, {**blobs, found.reference.sha256: found.data}, found.words


def packages(names: Iterable[str]) -> dict[str, list[str]]:
    """For each module that an installed distribution has: the names of both, and the version."""
    wanted = set(names) - sys.stdlib_module_names - _OURS
    if not wanted:
        return {}
    having = _distributions(tuple(sys.path))
    known = {name: having[name][0] for name in sorted(wanted & having.keys())}
    found = {name: [distribution, version(distribution)] for name, distribution in known.items()}
    return {name: about for name, about in found.items() if all(map(PACKAGE.fullmatch, about))}


@lru_cache(maxsize=1)
def _distributions(_path: tuple[str, ...]) -> Mapping[str, list[str]]:
    """Module -> distributions: it takes a tenth of a second to find out, once for each search path."""
    return packages_distributions()


def is_local(place: Path) -> bool:
    """Whether a file or folder is of the session: neither Python's own nor installed, by the person or in the image."""
    there = place.resolve()
    if _INSTALLED.intersection(there.parts):  # of another environment too, that somebody put on the search path
        return False
    installed = (sys.prefix, sys.base_prefix, site.getusersitepackages(), *site.getsitepackages(), *_SHARED)
    return not any(there.is_relative_to(Path(one).resolve()) for one in installed)


def _found(sources: Iterable[str], beside: Sequence[str]) -> dict[str, Path]:
    """Top-level name -> file, or folder of a package."""
    found: dict[str, Path] = {}
    waiting = [name for source in sources for name in _imported(source)]
    seen = set(_OURS | set(sys.stdlib_module_names))
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        for root in _roots(name, beside):
            found[name] = root
            for path in _files(root):
                waiting += _imported(path.read_text(encoding="utf-8", errors="replace")) if path.suffix == ".py" else ()
    return found


def _roots(name: str, beside: Sequence[str]) -> list[Path]:
    """Where a module is, if that is in the session; nothing is imported to find out."""
    try:
        spec = importlib.machinery.PathFinder.find_spec(name, list(beside)) or importlib.util.find_spec(name)
    except (ImportError, ValueError):  # `__main__` has none
        return []
    if spec is None:
        return []
    places = list(spec.submodule_search_locations or ()) or ([spec.origin] if spec.has_location and spec.origin else [])
    return [path for path in map(Path, places[:1]) if path.exists() and is_local(path)]


def imported(source: str) -> set[str]:
    """The top-level modules without which a source does not run: what it tries to import it can do without."""
    tried = [node for node in _nodes(source) if isinstance(node, ast.Try) and node.handlers]
    return set(_imports(_nodes(source))) - {name for one in tried for name in _imports(ast.walk(one))}


def _imported(source: str) -> Iterator[str]:
    return _imports(_nodes(source))


def _nodes(source: str) -> Iterator[ast.AST]:
    try:
        yield from ast.walk(ast.parse(source))
    except (SyntaxError, ValueError):
        return


def _imports(nodes: Iterable[ast.AST]) -> Iterator[str]:
    for node in nodes:
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def _files(root: Path) -> list[Path]:
    """The files of a module, without what git ignores and what programs leave behind."""
    if root.is_file():
        return [root]
    listed = _by_git(root)
    files = listed if listed is not None else root.rglob("*")
    return [path for path in files if path.is_file() and not _LITTER.intersection(path.relative_to(root).parts)]


def _by_git(root: Path) -> list[Path] | None:
    """What git knows or would take up; None where it is no help: it alone knows all places that say what is ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z", "--", "."]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    try:
        done = subprocess.run(command, cwd=root, env=environment, capture_output=True, timeout=_GIT_S, check=False)  # noqa: S603  no word of it is anybody's
    except (OSError, subprocess.TimeoutExpired):
        return None
    names = [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]
    return [root / name for name in names] if done.returncode == 0 and names else None


def _check(files: dict[str, Path]) -> None:
    if len(files) > MAX_FILES:
        folders = Counter(name.rpartition("/")[0] for name in files).most_common(1)
        raise TooLarge(
            f"The modules of this session have {len(files)} files, and at most {MAX_FILES} travel with a cell; "
            f"{folders[0][0]} alone has {folders[0][1]}.",
            hint="Move data out of the package, or list it in .gitignore.",
        )
    sizes = {name: path.stat().st_size for name, path in files.items()}
    total = sum(sizes.values())
    if total > MAX_VALUE:
        largest = sorted(sizes, key=lambda name: -sizes[name])[:3]
        raise TooLarge(
            f"The modules of this session take {size(total)}, and at most {size(MAX_VALUE)} travel with a cell: "
            + ", ".join(f"{name} ({size(sizes[name])})" for name in largest)
            + ".",
            hint="Move data out of the package, or list it in .gitignore.",
        )


def _packed(files: dict[str, Path]) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(files):
            about = zipfile.ZipInfo(name, _ALWAYS)
            about.compress_type = zipfile.ZIP_DEFLATED
            about.external_attr = 0o644 << 16
            archive.writestr(about, files[name].read_bytes())
    return data.getvalue()
