"""Which username belongs to which subject of the IAM; for ever, because homes and accounting hang on the name.

People rename themselves at the IAM, and two of them may come to the same name there; the `sub` alone is stable. The
table is a file of its own: in JupyterHub's database, deleting a user would free the name for somebody else.
"""

from __future__ import annotations

import hashlib
import os
import re
import sqlite3
import unicodedata
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from aiinfn_hub.errors import Conflict, Forbidden, InvalidInput, Unavailable

MAX_NAME = 48
_TABLES = """
CREATE TABLE IF NOT EXISTS binding (
    sub TEXT PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    preferred TEXT NOT NULL,
    bound TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS posix (name TEXT PRIMARY KEY, uid INTEGER NOT NULL UNIQUE) WITHOUT ROWID;
"""


_SELECT = "SELECT name, sub, preferred, bound FROM binding"


def username_of(preferred: str, sub: str) -> str:
    """A readable name of a-z, 0-9, ".", "_" and "-", close to `preferred`; made from `sub` if nothing of it is left."""
    plain = unicodedata.normalize("NFKD", preferred).encode("ascii", "ignore").decode().lower()
    safe = re.sub(r"[^a-z0-9._-]+", "-", plain)
    name = re.sub(r"([._-])[._-]+", r"\1", safe)[:MAX_NAME].strip("._-")
    return name or "user-" + hashlib.sha256(sub.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Binding:
    """A username and whose it is; `preferred` is the name at the IAM that it was made from, `bound` is in UTC."""

    name: str
    sub: str
    preferred: str
    bound: str


class Bindings:
    """The table, in an SQLite file that only its owner can read."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def name_for(self, sub: str, preferred: str) -> str:
        """The name that this subject has, or would get.

        Raises:
            Unavailable: the file cannot be used.
        """
        with opened(self._path) as connection:
            row = connection.execute("SELECT name FROM binding WHERE sub = ?", (sub,)).fetchone()
        return str(row[0]) if row else username_of(preferred, sub)

    def bind(self, sub: str, preferred: str) -> str:
        """The name of this subject from now on; what it was bound to first stays.

        Raises:
            Forbidden: the name belongs to another subject.
            Unavailable: the file cannot be used.
        """
        name = username_of(preferred, sub)
        with opened(self._path) as connection:
            # One statement, so that two first logins at the same moment cannot both win.
            connection.execute(
                "INSERT INTO binding (sub, name, preferred) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
                (sub, name, preferred),
            )
            connection.commit()
            row = connection.execute("SELECT name FROM binding WHERE sub = ?", (sub,)).fetchone()
        if row is None:
            raise Forbidden(
                f"The username {name!r} already belongs to somebody else, whose name at the IAM reads the same here.",
                hint="Change your username at the IAM, or ask the operators.",
                details={"name": name},
            )
        return str(row[0])

    def everybody(self) -> list[Binding]:
        """All of them, by name.

        Raises:
            Unavailable: the file cannot be used.
        """
        with opened(self._path) as connection:
            return [Binding(*row) for row in connection.execute(f"{_SELECT} ORDER BY name")]

    def give(self, name: str, sub: str, *, dry_run: bool = False) -> Binding | None:
        """Give a name to a subject: one that nobody had, or that of an account which the IAM has made anew.

        Its home, shares and accounting come with it. Returns whose it was, None if it was nobody's. A dry run refuses
        what would be refused, and changes nothing.

        Raises:
            InvalidInput: it is no username of ours; says the nearest one.
            Conflict: the subject has another name already, whose home it would lose.
            Unavailable: the file cannot be used.
        """
        if username_of(name, sub) != name:
            raise InvalidInput(f"{name!r} is no username.", hint=f"Did you mean {username_of(name, sub)!r}?")
        with opened(self._path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            before, other = _one(connection, "name", name), _one(connection, "sub", sub)
            if other is not None and other.name != name:
                raise Conflict(f"The subject {sub} has the name {other.name!r} already.", hint="A person has one name.")
            if other is None and not dry_run:
                connection.execute(
                    "INSERT INTO binding (sub, name, preferred) VALUES (?, ?, ?)"
                    " ON CONFLICT (name) DO UPDATE SET sub = excluded.sub, bound = CURRENT_TIMESTAMP",
                    (sub, name, name),
                )
                connection.commit()
        return before


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the file, which is made where it is missing, and both its tables.

    Raises:
        Unavailable: the file cannot be used.
    """
    try:
        # Created by us first: SQLite would let the group and others read it.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        with closing(sqlite3.connect(path, timeout=5.0)) as connection:
            connection.executescript(_TABLES)
            yield connection
    except (OSError, sqlite3.Error) as error:
        raise Unavailable(f"The table of usernames {path} cannot be used: {error}.") from error


def _one(connection: sqlite3.Connection, column: Literal["name", "sub"], value: str) -> Binding | None:
    row = connection.execute(f"{_SELECT} WHERE {column} = ?", (value,)).fetchone()
    return Binding(*row) if row else None
