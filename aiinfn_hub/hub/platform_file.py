"""The platform file as it is now, parsed once for each of its versions."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from aiinfn_hub.catalogue import Platform, load_platform


def current_platform(path: Path) -> Platform:
    """The catalogue in the file.

    Raises:
        CatalogueInvalid: the file has mistakes.
        OSError: there is no such file.
    """
    stat = path.stat()
    return _parsed(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=4)
def _parsed(path: Path, _changed_ns: int, _size: int) -> Platform:
    return load_platform(path)
