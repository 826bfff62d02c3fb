"""The channel of `--to here`: the same conversation, with files of one directory instead of a service.

blobs/SHA256      inputs                         frames.jsonl   one frame a line
outputs/NAME      bytes of an output             result.json    how it ended, written last
outputs/NAME.json codec, sha256, size, summary   cancel         its existence asks the run to stop
alive             locked while the run lives
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from typing import Any, Dict, List, Tuple

from .channel import Refused, Unreachable
from .frames import Frame


class DirectoryChannel:
    """A run whose service is a directory. What is written is complete or not there, except the last frame."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._alive = -1

    def exchange(self, _capability: str, _pod_uid: str, _patience_s: float) -> float:
        """Lock `alive` until this process ends, however it ends; seconds between looks at `cancel`."""
        self._alive = os.open(self._path("alive"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._alive, fcntl.LOCK_EX)
        os.makedirs(self._path("outputs"), mode=0o700, exist_ok=True)
        return 0.5

    def fetch(self, sha256: str, _patience_s: float) -> bytes:
        """The bytes of an input."""
        try:
            with open(self._path("blobs", sha256), "rb") as file:
                return file.read()
        except FileNotFoundError as error:
            raise Refused(404, "there is no input %s" % sha256) from error

    def frames(self, batch: List[Frame]) -> Tuple[int, bool]:
        """Append frames: the next sequence number, and whether to stop."""
        try:
            with open(self._path("frames.jsonl"), "a", encoding="ascii") as file:
                file.writelines(json.dumps(frame) + "\n" for frame in batch)
        except OSError as error:
            raise Unreachable(str(error)) from error
        return batch[-1]["seq"] + 1, self.heartbeat()

    def heartbeat(self) -> bool:
        """Whether to stop."""
        return os.path.exists(self._path("cancel"))

    def deliver(self, name: str, codec: str, data: bytes, summary: str, _patience_s: float) -> None:
        """Write one output, its description last."""
        about = {"codec": codec, "sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "summary": summary}
        self._write(data, "outputs", name)
        self._write(json.dumps(about).encode("ascii"), "outputs", name + ".json")

    def result(self, report: Dict[str, Any], _patience_s: float) -> None:
        """Write how the run ended."""
        self._write(json.dumps(report).encode("ascii"), "result.json")

    def _write(self, data: bytes, *path: str) -> None:
        target = self._path(*path)
        try:
            with open(target + ".part", "wb") as file:
                file.write(data)
            os.replace(target + ".part", target)
        except OSError as error:
            raise Unreachable(str(error)) from error

    def _path(self, *parts: str) -> str:
        return os.path.join(self._root, *parts)
