"""What stands in the folder of a job of `--to here`: see `aiinfn_hub.contract.run.directory`."""

from __future__ import annotations

import contextlib
import fcntl
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from aiinfn_hub.contract.jobs import ValueRef


def frames(home: Path, after: int) -> list[dict[str, Any]]:
    """The frames after a sequence number."""
    try:
        text = (home / "frames.jsonl").read_text(encoding="ascii")
    except FileNotFoundError:
        return []
    # What stands behind the last newline is still being written.
    found = (json.loads(line) for line in text.split("\n")[:-1])
    return [frame for frame in found if frame["seq"] > after]


def outputs(home: Path, names: list[str], missing: Mapping[str, str]) -> dict[str, ValueRef]:
    """What came back, and why the rest did not."""
    found = {name: ValueRef(codec="", sha256="", size=0, summary=reason) for name, reason in missing.items()}
    for name in names:
        about = read_json(home / "outputs" / f"{name}.json")
        if about is not None:
            found[name] = msgspec.convert(about, ValueRef)
    return found


def locked(path: Path) -> bool:
    """Whether somebody holds the lock of a file."""
    with contextlib.suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def changed(path: Path) -> float | None:
    """When a file was written last; None if there is none."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return None


def limit(home: Path) -> int:
    """The seconds that it may take, if they were changed; 0 otherwise."""
    try:
        return int((home / "limit").read_text(encoding="ascii"))
    except (FileNotFoundError, ValueError):  # never extended, or being written
        return 0


def read_json(path: Path) -> Any:
    """What a file says; None if there is none."""
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
