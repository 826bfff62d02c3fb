"""What a run keeps of its work outside its pod: copied when asked for, sent in the background, restored by the next.

A checkpoint is a tar file in pieces, each named by its SHA-256: what has not changed since the last one is not sent
again. It counts when all of it has come.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import sys
import tarfile
import tempfile
import threading
from typing import Any, BinaryIO, Dict, Iterator, List, Set

from .channel import Channel, Gone, Refused, Unreachable

PIECE = 16 * 1024**2
#: In the tar file, what was kept: a file of this name, or a folder.
_ROOT = "it"


class Checkpoints:
    """The checkpoints of a run.

    Args:
        channel: where they go.
        patience_s: seconds for which the service may be away.
    """

    def __init__(self, channel: Channel, patience_s: float) -> None:
        self._channel = channel
        self._patience_s = patience_s
        self._waiting: Dict[str, str] = {}
        self._sending = ""
        self._there: Set[str] = set()
        self._changed = threading.Condition()
        self._thread = threading.Thread()

    def keep(self, path: str) -> None:
        """Copy a file or folder, and send the copy; one of the same path that waits to be sent is not sent any more.

        Raises:
            OSError: it cannot be read, or there is no room for the copy.
        """
        copy = _packed(path)
        with self._changed:
            old, self._waiting[path] = self._waiting.get(path), copy
            if not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="aiinfn-checkpoints", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        if old:
            os.unlink(old)

    def flush(self, patience_s: float) -> bool:
        """Wait until all are sent: whether they are."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._sending, patience_s)

    def restore(self) -> None:
        """Put what earlier attempts have kept where it was; of a damaged one, the one before.

        Raises:
            Refused, Unreachable: the service does not give them.
        """
        done: Set[str] = set()
        for about in self._channel.checkpoints(self._patience_s):
            path = str(about["path"])
            if path in done:
                continue
            try:
                self._fetch(path, about["pieces"])
            except (OSError, tarfile.TarError, Refused) as error:
                _say("the checkpoint of %s from attempt %s cannot be restored: %s" % (path, about["attempt"], error))
                continue
            done.add(path)
            _say("%s is restored, as attempt %s has kept it" % (path, about["attempt"]))

    def _fetch(self, path: str, pieces: List[Dict[str, Any]]) -> None:
        with tempfile.TemporaryFile() as copy:
            for piece in pieces:
                copy.write(self._channel.piece(str(piece["sha256"]), self._patience_s))
            copy.seek(0)
            _unpack(copy, path)
        self._there.update(str(piece["sha256"]) for piece in pieces)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                self._sending = next(iter(self._waiting))
                copy = self._waiting.pop(self._sending)
            try:
                self._send(self._sending, copy)
            except Gone:
                pass  # the courier hears the same, and ends the run
            except (OSError, Refused, Unreachable) as error:
                _say("the checkpoint of %s was not kept: %s" % (self._sending, error))
            finally:
                os.unlink(copy)
                with self._changed:
                    self._sending = ""
                    self._changed.notify_all()

    def _send(self, path: str, copy: str) -> None:
        try:
            self._send_new(path, copy)
        except Refused as error:
            if error.status != 404 or not self._there:
                raise
            self._there.clear()  # the service has lost some that it had
            self._send_new(path, copy)

    def _send_new(self, path: str, copy: str) -> None:
        pieces = []
        with open(copy, "rb") as file:
            for data in iter(lambda: file.read(PIECE), b""):
                sha256 = hashlib.sha256(data).hexdigest()
                pieces.append({"sha256": sha256, "size": len(data)})
                if sha256 not in self._there:
                    self._channel.keep_piece(sha256, data, self._patience_s)
                    self._there.add(sha256)
        self._channel.keep_checkpoint({"path": path, "pieces": pieces}, self._patience_s)


def _packed(path: str) -> str:
    """A tar file of a file or folder, without links and devices: its path, in the folder for temporary files."""
    descriptor, copy = tempfile.mkstemp(prefix="aiinfn-checkpoint-")
    try:
        with os.fdopen(descriptor, "wb") as file, tarfile.open(fileobj=file, mode="w", dereference=True) as tar:
            tar.add(path, _ROOT, filter=lambda found: found if found.isreg() or found.isdir() else None)
    except BaseException:
        os.unlink(copy)
        raise
    return copy


def _unpack(copy: BinaryIO, path: str) -> None:
    """Put files where they were, each complete or not at all; what else is in a folder stays."""
    with tarfile.open(fileobj=copy, mode="r:") as tar:
        for member in tar:
            target = os.path.join(path, *_below(member.name)) if member.name != _ROOT else path
            if member.isdir():
                os.makedirs(target, exist_ok=True)
                continue
            data = tar.extractfile(member)
            if data is None:
                raise tarfile.TarError("%s is no file" % member.name)
            os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
            with data, _replaced(target) as file:
                for block in iter(lambda data=data: data.read(1024**2), b""):  # type: ignore[misc]
                    file.write(block)
            os.chmod(target, member.mode & 0o777)


def _below(name: str) -> List[str]:
    first, *parts = name.split("/")
    if first != _ROOT or any(part in ("", ".", "..") for part in parts):
        raise tarfile.TarError("%r is no path of a checkpoint" % name)
    return parts


@contextlib.contextmanager
def _replaced(target: str) -> Iterator[BinaryIO]:
    part = target + ".aiinfn-part"
    try:
        with open(part, "wb") as file:
            yield file
        os.replace(part, target)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
        raise


def _say(text: str) -> None:
    sys.stderr.write("aiinfn: %s\n" % text)
