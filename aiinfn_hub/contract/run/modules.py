"""Puts the modules that came with a job where its code, and the processes that it starts, find them."""

from __future__ import annotations

import importlib
import io
import os
import sys
import zipfile

from .codecs import MAX_VALUE, BadValue

#: Files of all modules of a job.
MAX_FILES = 20_000


def install(data: bytes, folder: str) -> None:
    """Unpack a zip file of modules into a folder, and look there first.

    Raises:
        BadValue: it is none, is larger than it may be, or would write elsewhere.
        OSError: it cannot be written.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check(archive)
            for about in archive.infolist():
                _write(archive, about, folder)
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError) as error:
        raise BadValue("it is no valid zip file: %s" % error) from error
    look_in(folder)


def look_in(folder: str) -> None:
    """Find modules in a folder first, here and in the processes that are started."""
    sys.path.insert(0, folder)
    importlib.invalidate_caches()
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join([folder, before] if before else [folder])


def _check(archive: zipfile.ZipFile) -> None:
    found = archive.infolist()
    if len(found) > MAX_FILES or sum(about.file_size for about in found) > MAX_VALUE:
        raise BadValue("it has more files, or larger ones, than may travel")
    for about in found:
        if any(part in ("", ".", "..") for part in about.filename.split("/")) or "\\" in about.filename:
            raise BadValue("%r is no path of a module" % about.filename)


def _write(archive: zipfile.ZipFile, about: zipfile.ZipInfo, folder: str) -> None:
    path = os.path.join(folder, *about.filename.split("/"))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with archive.open(about) as source, open(path, "wb") as file:
        left = about.file_size
        while left >= 0:  # one byte more than was promised, and `zipfile` itself says that it is damaged
            block = source.read(min(left + 1, 1024**2))
            if not block:
                return
            left -= len(block)
            file.write(block)
    raise BadValue("%s is larger than it says" % about.filename)
