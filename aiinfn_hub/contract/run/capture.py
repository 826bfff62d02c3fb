"""Standard output and error of the whole process, as frames: of Python, of C code and of child processes.

Python's own streams go straight to the log, so that prints, displays and errors keep their order. File descriptors
1 and 2 become pipes, drained before each of those writes and by a thread. Everything is echoed to the pod's log.
"""

from __future__ import annotations

import codecs
import contextlib
import fcntl
import io
import os
import select
import sys
import threading
from typing import Any, Dict, List, Tuple

from .frames import Frame, FrameLog

STREAMS: Tuple[Tuple[str, int], ...] = (("stdout", 1), ("stderr", 2))
#: Linux' F_SETPIPE_SZ: C code that prints this much while it holds the interpreter lock would block for ever.
_SET_PIPE_SIZE, _PIPE_SIZE = 1031, 1024**2
_CHUNK = 64 * 1024


class _Writer(io.RawIOBase):
    """The binary side of `sys.stdout` or `sys.stderr`; in a forked child, the pipe itself."""

    def __init__(self, capture: Capture, stream: str, descriptor: int) -> None:
        self._capture = capture
        self._stream = stream
        self._descriptor = descriptor
        self._owner = os.getpid()
        self._line = b""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._descriptor

    def write(self, data: Any) -> int:
        content = bytes(data)
        if os.getpid() == self._owner:
            self._capture.write(self._stream, content)
        else:
            # After a fork, the log is the parent's, and its lock may be held by a thread that is not here.
            # Whole lines, so that those of several workers stay whole.
            self._line += content
            if b"\n" in content:
                self.flush()
        return len(content)

    def flush(self) -> None:
        line, self._line = self._line, b""
        while line:
            line = line[os.write(self._descriptor, line) :]


class Capture:
    """Redirects the two streams between `start` and `stop`."""

    def __init__(self, log: FrameLog) -> None:
        self._log = log
        self._lock = threading.RLock()
        self._readers: Dict[str, int] = {}
        self._saved: Dict[str, int] = {}
        self._python: List[Any] = []
        self._decoders: Dict[Tuple[str, bool], Any] = {}
        self._running = False
        self._thread = threading.Thread(target=self._follow, name="aiinfn-capture", daemon=True)

    def start(self) -> None:
        """Take over descriptors 1 and 2, `sys.stdout` and `sys.stderr`."""
        self._python = [sys.stdout, sys.stderr]
        for stream, descriptor in STREAMS:
            getattr(sys, stream).flush()
            reader, writer = os.pipe()
            with contextlib.suppress(OSError):  # not Linux, or over the user's limit: the default size then
                fcntl.fcntl(writer, _SET_PIPE_SIZE, _PIPE_SIZE)
            os.set_blocking(reader, False)
            self._saved[stream] = os.dup(descriptor)
            os.dup2(writer, descriptor)
            os.close(writer)
            self._readers[stream] = reader
            for direct in (True, False):
                self._decoders[stream, direct] = codecs.getincrementaldecoder("utf-8")("replace")
            # As `python -u` does: text straight onto a raw stream.
            raw: Any = _Writer(self, stream, descriptor)
            text = io.TextIOWrapper(raw, encoding="utf-8", errors="backslashreplace", write_through=True)
            setattr(sys, stream, text)
        self._running = True
        self._thread.start()

    def write(self, stream: str, content: bytes) -> None:
        """Bytes that Python code wrote to one of its streams."""
        with self._lock:
            self._drain()
            self._take(stream, content, direct=True)

    def add(self, frame: Frame, *, keep: bool = False) -> None:
        """A frame, after all that was written before it."""
        with self._lock:
            self._drain()
            self._log.add(frame, keep=keep)

    def stop(self) -> None:
        """Give the descriptors back, after the last byte that is in the pipes."""
        with self._lock:
            if not self._running:
                return
            self._running = False
            self._drain()
            sys.stdout, sys.stderr = self._python
            for stream, descriptor in STREAMS:
                os.dup2(self._saved[stream], descriptor)
            self._drain()
            self._log.finish()

    def _follow(self) -> None:
        while self._running:
            select.select(list(self._readers.values()), [], [], 0.5)
            with self._lock:
                if self._running:
                    self._drain()

    def _drain(self) -> None:
        for stream, reader in self._readers.items():
            with contextlib.suppress(BlockingIOError):  # the pipe is empty
                # One pipe full at most: a child that never stops writing must not hold us here.
                for _ in range(_PIPE_SIZE // _CHUNK):
                    content = os.read(reader, _CHUNK)
                    if not content:
                        break
                    self._take(stream, content, direct=False)

    def _take(self, stream: str, content: bytes, *, direct: bool) -> None:
        self._log.write(stream, self._decoders[stream, direct].decode(content))
        with contextlib.suppress(OSError):  # nobody reads the pod's log any more
            while content:
                content = content[os.write(self._saved[stream], content) :]
