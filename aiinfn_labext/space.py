"""What fills a home that is full, for a session that was started to free it."""

from __future__ import annotations

import os
import shutil
import threading
from pathlib import Path

from aiinfn_hub.contract.notices import Notice

#: Folders are looked into so deep, and so many of what is found are named.
DEPTH, MOST = 3, 6
#: Of a folder's size, the share of one thing in it that makes that the thing to name.
MAINLY = 0.8


def usage(home: Path) -> dict[Path, int]:
    """Bytes on disk of everything below a home down to DEPTH, by path relative to it; links are not followed."""
    found: dict[Path, int] = {}
    for folder, _, files in os.walk(home):  # what cannot be read is left out
        here = Path(folder).relative_to(home)
        size = sum(_bytes(Path(folder, name)) for name in files)
        parts = here.parts
        for depth in range(1, min(len(parts), DEPTH) + 1):
            found[Path(*parts[:depth])] = found.get(Path(*parts[:depth]), 0) + size
        if len(parts) < DEPTH:
            found |= {here / name: _bytes(Path(folder, name)) for name in files}
    return found


def largest(found: dict[Path, int]) -> list[tuple[str, int]]:
    """What is worth deleting first: a folder, or the one thing in it that it mainly consists of."""
    tops = sorted((path for path in found if len(path.parts) == 1), key=lambda path: -found[path])
    return [(str(one), found[one]) for one in (_mainly(found, top) for top in tops[:MOST]) if found[one] > 0]


def _mainly(found: dict[Path, int], path: Path) -> Path:
    inside = [one for one in found if one.parent == path]
    most = max(inside, key=lambda one: found[one], default=None)
    return path if most is None or found[most] < MAINLY * found[path] else _mainly(found, most)


def _bytes(path: Path) -> int:
    try:
        return path.lstat().st_blocks * 512
    except OSError:
        return 0


def words(amount: int) -> str:
    """Bytes as people read them."""
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if amount >= size:
            return f"{amount / size:.1f} {unit}"
    return f"{amount} bytes"


class Space:
    """Counts once, beside the server: a home on a slow file system takes minutes."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._found: list[tuple[str, int]] | None = None
        threading.Thread(target=self._count, name="aiinfn-space", daemon=True).start()

    def _count(self) -> None:
        self._found = largest(usage(self._home))

    @property
    def notice(self) -> Notice:
        """What the person reads; what was found follows when it is found."""
        free = shutil.disk_usage(self._home).free
        if self._found is None:
            text = "What fills it is being counted."
        else:
            text = (
                f"It has {', '.join(f'{name} ({words(size)})' for name, size in self._found) or 'no files of yours'}."
            )
        return Notice(
            id=f"space-{self._found is not None}",
            level="warning",
            title=f"Your home is full: {words(free)} are free on its disk. This session is for making room.",
            text=f"{text} What you delete in this session is gone at once, without a trash. Then stop it, and start "
            "one without rescue start.",
            since=0.0,
        )
