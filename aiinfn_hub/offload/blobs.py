"""Values as files, by content: one folder a person, each file named by the SHA-256 of its bytes.

The folder is the truth about bytes, the table `blob` about whose they are and when they were last needed. A file
appears under its name only when all of it is there, on disk, and has the hash that was announced.
"""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import re
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import sqlalchemy as sa

from aiinfn_hub.contract.jobs import ValueRef
from aiinfn_hub.contract.run.codecs import MAX_VALUE
from aiinfn_hub.errors import InvalidInput, NotFound, QuotaExceeded, TooLarge, Unavailable
from aiinfn_hub.pods.names import slug
from aiinfn_hub.store import tables

_T = tables.blob
SHA256 = re.compile(r"[0-9a-f]{64}", re.ASCII)
#: Bytes that one person may keep here; inputs and results expire after `KEEP_S` seconds without use.
MAX_PER_PERSON = 20 * 1024**3
KEEP_S = 30 * 24 * 3600.0
#: On the same volume, the pieces of checkpoints: no person's folder begins with a dot.
PIECES = ".checkpoints"
#: Seconds after which an upload that did not end is taken for dead.
STALE_S = 3600.0
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


def check_hash(text: str) -> str:
    """The hash itself.

    Raises:
        InvalidInput: it is no SHA-256 in lower-case hexadecimal digits.
    """
    if SHA256.fullmatch(text) is None:
        raise InvalidInput("A blob is named by its SHA-256: 64 hexadecimal digits in lower case.")
    return text


class Upload:
    """A blob on its way in: `write` pieces, then `commit`, or `abort`. Blocking; run it in a thread."""

    def __init__(self, target: Path, sha256: str, limit: int) -> None:
        self._target = target
        self._sha256 = sha256
        self._limit = limit
        self._hash = hashlib.sha256()
        self.size = 0
        with _disk():
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._part = target.parent / f"part-{secrets.token_hex(8)}"
            self._file = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")

    def write(self, piece: bytes) -> None:
        """Append bytes.

        Raises:
            TooLarge: more than a value may have.
            Unavailable: the disk is full or broken.
        """
        self.size += len(piece)
        if self.size > self._limit:
            raise TooLarge(f"A value may have at most {self._limit // 1024**2} MiB.")
        self._hash.update(piece)
        with _disk():
            self._file.write(piece)

    def commit(self) -> None:
        """Put the file under its name, once its bytes are on the disk.

        Raises:
            InvalidInput: the bytes do not have the hash that was announced.
            Unavailable: the disk is full or broken.
        """
        if not hmac.compare_digest(self._hash.hexdigest(), self._sha256):
            self.abort()
            raise InvalidInput(
                "The bytes do not have the announced SHA-256.", hint="They were damaged on the way: send again."
            )
        try:
            with _disk():
                self._file.flush()
                os.fsync(self._file.fileno())
                self._file.close()
                self._part.replace(self._target)
                _sync_folder(self._target.parent)
        except Unavailable:
            self.abort()
            raise

    def abort(self) -> None:
        """Leave nothing behind. Harmless after `commit`."""
        try:
            self._file.close()  # what is buffered may not fit on a full disk
        except OSError:
            self._part.unlink(missing_ok=True)
            return
        self._part.unlink(missing_ok=True)


class BlobStore:
    """The folder of blobs.

    Args:
        root: where it is; made if needed.
        limit: bytes of one blob.
        clock: Unix seconds.
    """

    def __init__(self, root: Path, *, limit: int = MAX_VALUE, clock: Callable[[], float] = time.time) -> None:
        self.root = root
        self.limit = limit
        self.clock = clock

    def path(self, owner: str, sha256: str) -> Path:
        """Where a person's blob is, or would be."""
        return self.root / slug(owner) / check_hash(sha256)[:2] / sha256

    def upload(self, owner: str, sha256: str) -> Upload:
        """Begin to receive a blob."""
        return Upload(self.path(owner, sha256), sha256, self.limit)

    def existing(self, owner: str, sha256: str) -> Path:
        """The file of a blob.

        Raises:
            NotFound: this person has none of that hash.
        """
        path = self.path(owner, sha256)
        if not path.is_file():
            raise NotFound("You have no such blob.", hint="It may have expired: send it again.")
        return path

    def sweep(self, known: Callable[[str], set[str]]) -> int:
        """Remove files that no row speaks for, and uploads that never ended; how many.

        Args:
            known: the hashes that the database has for a folder (a person's slug).
        """
        removed, now = 0, self.clock()
        for folder in self._folders():
            hashes = known(folder.name)
            for path in folder.glob("*/*"):
                if path.name not in hashes and now - path.stat().st_mtime > STALE_S:
                    path.unlink(missing_ok=True)
                    removed += 1
        return removed

    def _folders(self) -> Iterable[Path]:
        found = self.root.iterdir() if self.root.is_dir() else []
        return [path for path in found if path.is_dir() and not path.name.startswith(".")]


class _disk:  # noqa: N801  reads as a statement: `with _disk():`
    """Errors of the disk become ours."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, OSError):
            full = error.errno in _FULL
            raise Unavailable(
                "The disk of the service is full." if full else f"The disk of the service fails: {error.strerror}.",
                hint="Nothing was stored. Tell the operators, and try again later.",
            ) from error


def _sync_folder(folder: Path) -> None:
    """A rename is on the disk when its folder is."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def note(connection: sa.Connection, owner: str, sha256: str, size: int, *, now: float) -> None:
    """Remember that the person has this blob, or needed it again."""
    mine = (_T.c.owner == owner) & (_T.c.sha256 == sha256)
    if connection.execute(_T.update().where(mine).values(last_used=now)).rowcount == 0:
        connection.execute(
            _T.insert().values(owner=owner, sha256=sha256, size=size, created_at=now, last_used=now),
        )


def touch(connection: sa.Connection, owner: str, sha256: str, *, now: float) -> None:
    """Keep a person's blob for longer.

    Raises:
        NotFound: it was never sent, or has expired, whether its file is still there or not.
    """
    mine = (_T.c.owner == owner) & (_T.c.sha256 == sha256)
    if connection.execute(_T.update().where(mine).values(last_used=now)).rowcount == 0:
        raise NotFound("You have no such blob.", hint="It may have expired: send it again.")


def check_room(connection: sa.Connection, owner: str, size: int, *, most: int = MAX_PER_PERSON) -> None:
    """Raise `QuotaExceeded` if the person would keep more than `most` bytes."""
    held = connection.execute(sa.select(sa.func.sum(_T.c.size)).where(_T.c.owner == owner)).scalar() or 0
    if int(held) + size > most:
        raise QuotaExceeded(
            f"You keep {int(held) // 1024**2} MiB here, of {most // 1024**2} MiB.",
            hint="Values that nothing uses expire by themselves; larger data belongs on your volumes.",
        )


def missing(connection: sa.Connection, owner: str, values: Iterable[ValueRef], *, now: float) -> list[str]:
    """Hashes of the values that this person has not sent; those that are there are kept for longer."""
    wanted = {value.sha256: value.size for value in values}
    query = sa.select(_T.c.sha256, _T.c.size).where((_T.c.owner == owner) & _T.c.sha256.in_(wanted))
    held: dict[str, int] = {row.sha256: row.size for row in connection.execute(query)}
    here = [sha256 for sha256, size in wanted.items() if held.get(sha256) == size]
    if here:
        connection.execute(_T.update().where((_T.c.owner == owner) & _T.c.sha256.in_(here)).values(last_used=now))
    return [sha256 for sha256 in wanted if sha256 not in here]


def hashes_by_folder(connection: sa.Connection) -> dict[str, set[str]]:
    """The hashes that have a row, by the person's slug."""
    found: dict[str, set[str]] = {}
    for owner, sha256 in connection.execute(sa.select(_T.c.owner, _T.c.sha256)):
        found.setdefault(slug(owner), set()).add(sha256)
    return found


def expiry(connection: sa.Connection, owner: str, hashes: Sequence[str]) -> float | None:
    """When the first of these goes, unless somebody takes it; None if one has gone already, or none is there."""
    mine = (_T.c.owner == owner) & _T.c.sha256.in_(hashes)
    used = connection.execute(sa.select(sa.func.min(_T.c.last_used)).where(mine)).scalar()
    return None if used is None else float(used) + KEEP_S


def expire(connection: sa.Connection, needed: set[tuple[str, str]], *, now: float, keep_s: float = KEEP_S) -> int:
    """Forget blobs that nobody used for `keep_s` and that no open run lists (`needed`: owner and hash); how many."""
    old = sa.select(_T.c.owner, _T.c.sha256).where(_T.c.last_used < now - keep_s)
    gone = [(owner, sha256) for owner, sha256 in connection.execute(old) if (owner, sha256) not in needed]
    for owner, sha256 in gone:
        connection.execute(_T.delete().where((_T.c.owner == owner) & (_T.c.sha256 == sha256)))
    return len(gone)
