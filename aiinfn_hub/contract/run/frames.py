"""The outputs of a run: nbformat outputs, numbered from 1, kept until the other side has acknowledged them."""

from __future__ import annotations

import json
import threading
from collections import deque
from typing import Any, Deque, Dict, List, Optional

Frame = Dict[str, Any]

#: Characters in one stream frame; longer text becomes several frames.
MAX_TEXT = 64 * 1024
#: Bytes (as JSON) that wait for a service that does not answer, and that one attempt may produce in all.
MAX_PENDING = 8 * 1024**2
MAX_TOTAL = 32 * 1024**2
#: Bytes of one display (a plot, a table); a larger one is replaced by its plain text.
MAX_DISPLAY = 2 * 1024**2


class FrameLog:
    """An append-only log of frames, safe for threads.

    Until somebody takes it, text of one stream is merged, and of the changes of one display the last one counts.

    Args:
        max_pending: bytes kept while nobody takes them.
        max_total: bytes accepted in all; later text is counted, not kept. Errors are always kept.
    """

    def __init__(self, max_pending: int = MAX_PENDING, max_total: int = MAX_TOTAL) -> None:
        self._lock = threading.RLock()
        self._waiting: Deque[Frame] = deque()
        self._sizes: Deque[int] = deque()
        self._stream = ""
        self._parts: List[str] = []
        self._length = 0
        self._changes: Dict[str, Frame] = {}
        self._next = 1
        self._pending_room = max_pending
        self._total_room = max_total
        self._dropped = 0

    def write(self, stream: str, text: str) -> None:
        """Append text to "stdout" or "stderr"."""
        with self._lock:
            if stream != self._stream:
                self._close_stream()
                self._stream = stream
            for start in range(0, len(text), MAX_TEXT):
                piece = text[start : start + MAX_TEXT]
                if self._length + len(piece) > MAX_TEXT:
                    self._close_stream()
                    self._stream = stream
                self._parts.append(piece)
                self._length += len(piece)

    def add(self, frame: Frame, *, keep: bool = False) -> None:
        """Append a display, a result or an error; `keep` ignores the limits."""
        with self._lock:
            if frame["output_type"] == "update_display_data":
                self._changes[frame["transient"]["display_id"]] = frame
                return
            self._close()
            self._number(frame, keep=keep)

    def take(self, frames: int = 200, size: int = 1024**2) -> List[Frame]:
        """The oldest frames that were not acknowledged: at least one, at most so many and about so many bytes."""
        with self._lock:
            self._close()
            batch: List[Frame] = []
            for frame, length in zip(self._waiting, self._sizes):  # noqa: B905  `strict` came with Python 3.10
                if batch and (len(batch) >= frames or size < length):
                    break
                batch.append(frame)
                size -= length
            return batch

    def acknowledge(self, following: int) -> None:
        """Forget the frames before sequence number `following`."""
        with self._lock:
            while self._waiting and self._waiting[0]["seq"] < following:
                self._waiting.popleft()
                self._pending_room += self._sizes.popleft()

    def finish(self) -> None:
        """Say what was left out, if anything was."""
        with self._lock:
            self._close()
            self._note()

    def _close(self) -> None:
        self._close_stream()
        changes, self._changes = self._changes, {}
        for frame in changes.values():
            self._number(frame)

    def _close_stream(self) -> None:
        if self._parts:
            text, self._parts, self._length = "".join(self._parts), [], 0
            self._number({"output_type": "stream", "name": self._stream, "text": text})
        self._stream = ""

    def _number(self, frame: Frame, *, keep: bool = False) -> None:
        size = len(json.dumps(frame))
        if not keep and size > min(self._pending_room, self._total_room):
            self._dropped += size
            return
        self._note()
        self._append(frame, size)

    def _note(self) -> None:
        if self._dropped:
            text = "[aiinfn: about %d kB of output were left out here; the log of the pod may hold them]\n"
            note = {"output_type": "stream", "name": "stderr", "text": text % max(1, self._dropped // 1000)}
            self._dropped = 0
            self._append(note, len(text))

    def _append(self, frame: Frame, size: int) -> None:
        frame["seq"] = self._next
        self._next += 1
        self._waiting.append(frame)
        self._sizes.append(size)
        self._pending_room -= size
        self._total_room -= size


def display_frame(kind: str, data: Dict[str, Any], metadata: Optional[Dict[str, Any]] = None) -> Frame:
    """A `display_data` or `execute_result` output; one that is too large keeps its plain text only."""
    size = sum(len(str(part)) for part in data.values())
    if size > MAX_DISPLAY:
        shown = str(data.get("text/plain", ""))[:MAX_TEXT]
        note = "[aiinfn: a display of %.1f MB is larger than the limit of %d MB]" % (size / 1e6, MAX_DISPLAY // 10**6)
        data, metadata = {"text/plain": (shown + "\n" + note).strip()}, None
    frame: Frame = {"output_type": kind, "data": data, "metadata": metadata or {}}
    if kind == "execute_result":
        frame["execution_count"] = None
    return frame
