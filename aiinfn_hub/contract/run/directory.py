"""The channel of `--to here`: the same conversation, with files of one directory instead of a service.

blobs/SHA256      inputs                         frames.jsonl   one frame a line
outputs/NAME      bytes of an output             result.json    how it ended, written last
outputs/NAME.json codec, sha256, size, summary   cancel         its existence asks the run to stop
alive             locked while the run lives     limit          the seconds that it may take, when they were changed
metrics.json      the numbers of its work
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from typing import Any, Dict, List, Tuple

from .channel import Orders, Refused, Unreachable, Welcome
from .frames import Frame


class DirectoryChannel:
    """A run whose service is a directory. What is written is complete or not there, except the last frame."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._alive = -1
        self._metrics = {}  # type: Dict[str, Any]

    def exchange(self, _capability: str, _pod_uid: str, _patience_s: float) -> Welcome:
        """Lock `alive` until this process ends, however it ends; then look at `cancel` every half second."""
        self._alive = os.open(self._path("alive"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._alive, fcntl.LOCK_EX)
        os.makedirs(self._path("outputs"), mode=0o700, exist_ok=True)
        return Welcome(1, 0.5)

    def fetch(self, sha256: str, _patience_s: float) -> bytes:
        """The bytes of an input."""
        try:
            with open(self._path("blobs", sha256), "rb") as file:
                return file.read()
        except FileNotFoundError as error:
            raise Refused(404, "there is no input %s" % sha256) from error

    def frames(self, batch: List[Frame], vitals: Dict[str, Any]) -> Tuple[int, Orders]:
        """Append frames: the next sequence number, and whether to stop."""
        try:
            with open(self._path("frames.jsonl"), "a", encoding="ascii") as file:
                file.writelines(json.dumps(frame) + "\n" for frame in batch)
        except OSError as error:
            raise Unreachable(str(error)) from error
        return batch[-1]["seq"] + 1, self.heartbeat(vitals)

    def heartbeat(self, vitals: Dict[str, Any]) -> Orders:
        """Whether to stop, and how long it may take."""
        if vitals["metrics"] != self._metrics:
            self._metrics = vitals["metrics"]
            self._write(json.dumps(self._metrics).encode("ascii"), "metrics.json")
        limit_s = None
        with contextlib.suppress(OSError, ValueError), open(self._path("limit"), encoding="ascii") as file:
            limit_s = float(file.read())  # it may just be written
        return Orders(os.path.exists(self._path("cancel")), limit_s)

    def keep_piece(self, _sha256: str, _data: bytes, _patience_s: float) -> None:
        """Nothing: the machine is the same, so what was kept is where it was."""

    def keep_checkpoint(self, _about: Dict[str, Any], _patience_s: float) -> None:
        """Nothing, as for its pieces."""

    def checkpoints(self, _patience_s: float) -> List[Dict[str, Any]]:
        """None: there is no second attempt."""
        return []

    def piece(self, sha256: str, _patience_s: float) -> bytes:
        """There are none."""
        raise Refused(404, "there is no piece %s" % sha256)

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
