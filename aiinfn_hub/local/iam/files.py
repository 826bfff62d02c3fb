"""Files that only their owner can read, written in one step."""

from __future__ import annotations

import os
from pathlib import Path


def write_private(path: Path, text: str) -> None:
    """Replace the file as a whole; it is never there half, nor for others to read."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.new")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    temporary.replace(path)


def read_private(path: Path) -> str:
    """The text of the file, "" where there is none yet."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
