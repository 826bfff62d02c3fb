"""The home of somebody who has left, as a folder of the claim's root: looked at, archived, deleted.

For whoever has the storage mounted, as root as a rule; nothing of the platform is asked.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from aiinfn_hub.errors import Conflict, InvalidInput, NotFound, Unavailable


@dataclass(frozen=True)
class Home:
    """A home as it is: whose, how many files and folders are in it, and their bytes."""

    path: Path
    uid: int
    entries: int
    size_bytes: int


def look(root: Path, folder: str) -> Home:
    """The home that is `folder` below the root of the claim.

    Raises:
        NotFound: there is none.
        InvalidInput: it is no folder; a link could lead anywhere.
        Unavailable: something in it cannot be read.
    """
    path = root / folder
    try:
        found = path.lstat()
    except FileNotFoundError:
        raise NotFound(f"There is no {path}.", hint="--root is where the claim of the homes is mounted.") from None
    if not stat.S_ISDIR(found.st_mode) or path.resolve() != root.resolve() / folder:
        raise InvalidInput(f"{path} is no folder below {root}, or a link leads to it.")
    with _storage(path):
        sizes = [one.lstat().st_size for one in _below(path)]
    return Home(path, found.st_uid, len(sizes), sum(sizes))


def check_owner(home: Home, uid: int | None) -> None:
    """Refuse a home that is not of the user number `uid`; None is not known.

    Raises:
        Conflict: it belongs to somebody else.
    """
    if uid is not None and home.uid != uid:
        raise Conflict(f"{home.path} belongs to user {home.uid}, not to {uid}.", hint="Is it the right person?")


def archive(home: Home, target: Path) -> int:
    """Write the home into a new `.tar.gz`, with owners, modes and links, and read it again; returns its size in bytes.

    Raises:
        Conflict: there is a file of that name, or something changed in the home meanwhile.
        Unavailable: the disk is full, or something cannot be read; no half archive stays.
    """
    if target.exists():
        raise Conflict(f"There is a file {target} already.", hint="Move it away first.")
    half = target.with_name(f".{target.name}.part")
    try:
        with _storage(target):
            with os.fdopen(os.open(half, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                with tarfile.open(fileobj=file, mode="w:gz", compresslevel=6) as tar:
                    tar.add(home.path, arcname=home.path.name)
                file.flush()
                os.fsync(file.fileno())
            with tarfile.open(half) as tar:
                kept = sum(1 for _ in tar) - 1  # the home itself is not counted
            # Sockets are left out: nobody listens any more.
            if kept != sum(1 for one in _below(home.path) if not stat.S_ISSOCK(one.lstat().st_mode)):
                raise Conflict(f"{home.path} changed while it was archived.", hint="Stop the person's sessions first.")
            half.replace(target)
    finally:
        half.unlink(missing_ok=True)
    return target.stat().st_size


def delete(home: Home) -> None:
    """Delete the home. It has another name first: what is half deleted is nobody's home.

    Raises:
        Unavailable: something in it cannot be deleted; the rest is under the name that the message says.
    """
    doomed = home.path.with_name(f".deleted-{home.path.name}-{os.getpid()}")
    with _storage(doomed):
        home.path.rename(doomed)
        shutil.rmtree(doomed)


def _below(path: Path) -> Iterator[Path]:
    def stop(error: OSError) -> None:
        raise error

    for folder, folders, files in os.walk(path, onerror=stop):
        yield from (Path(folder) / name for name in (*folders, *files))


@contextlib.contextmanager
def _storage(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, tarfile.TarError) as error:
        raise Unavailable(f"{path}: {error}.") from error
