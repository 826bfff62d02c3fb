"""Objects on disk: one SQLite database in write-ahead mode, one transaction a change.

A change is in the file before it is acknowledged, so that `kill -9` loses nothing that anybody was told. (A power cut
may lose the last moments: `synchronous=NORMAL` keeps the file consistent and leaves the flush to checkpoints.)
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from aiinfn_hub.errors import Unavailable

_SCHEMA = """
CREATE TABLE IF NOT EXISTS object (
    api_group TEXT, plural TEXT, namespace TEXT, name TEXT, body BLOB NOT NULL,
    PRIMARY KEY (api_group, plural, namespace, name)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS revision (id INTEGER PRIMARY KEY CHECK (id = 1), value INTEGER NOT NULL);
"""


class Ref(NamedTuple):
    """Where an object lives; its namespace is "" for cluster-wide kinds."""

    group: str
    plural: str
    namespace: str
    name: str


class Journal:
    """The objects of one server in `folder/objects.sqlite`, readable by its owner only.

    Raises:
        Unavailable: the file cannot be opened, or its disk is full.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = folder / "objects.sqlite"
        # SQLite makes its side files with the mode of the main one, which holds Secrets.
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        try:
            self._connection = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False, timeout=1)
            # A second server on the same file would not see the changes of the first.
            self._connection.execute("PRAGMA locking_mode=EXCLUSIVE")
            self._connection.execute("PRAGMA journal_mode=WAL")
            self._connection.execute("PRAGMA synchronous=NORMAL")
            self._connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            raise Unavailable(f"The objects of the embedded cluster in {self.path} cannot be read: {error}.") from error

    def revision(self) -> int:
        """The last resource version that was given out; 0 for a new file."""
        row = self._connection.execute("SELECT value FROM revision").fetchone()
        return int(row[0]) if row else 0

    def load(self) -> Iterator[tuple[Ref, bytes]]:
        """Every object, as JSON."""
        for *key, body in self._connection.execute("SELECT api_group, plural, namespace, name, body FROM object"):
            yield Ref(*key), body

    def write(self, revision: int, ref: Ref, body: bytes | None) -> None:
        """Record one change: a new body, or None for a deletion.

        Raises:
            Unavailable: it could not be written; nothing has changed.
        """
        execute = self._connection.execute
        try:
            execute("BEGIN IMMEDIATE")
            try:
                if body is None:
                    execute("DELETE FROM object WHERE (api_group, plural, namespace, name) = (?, ?, ?, ?)", ref)
                else:
                    execute("INSERT OR REPLACE INTO object VALUES (?, ?, ?, ?, ?)", (*ref, body))
                execute("INSERT OR REPLACE INTO revision VALUES (1, ?)", (revision,))
                execute("COMMIT")
            except sqlite3.Error:
                execute("ROLLBACK")
                raise
        except sqlite3.Error as error:
            raise Unavailable(
                f"The embedded cluster cannot write {self.path}: {error}.", hint="Is its disk full?"
            ) from error

    def close(self) -> None:
        """Fold the write-ahead log into the file."""
        self._connection.close()
