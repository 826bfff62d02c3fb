"""Which POSIX user a username is; for ever, because the files of the home belong to the number.

The numbers are beside the names, in the file of `bindings`: a name that is given to a new subject keeps its number.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from aiinfn_hub.catalogue.people import Posix
from aiinfn_hub.errors import Conflict, Forbidden, InvalidInput, NotFound, Unavailable
from aiinfn_hub.identity.bindings import opened

_ASK = "Please tell the operators: this sentence is all they need."


class Uids:
    """The numbers of the people whose usernames are bound."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def login(self, name: str, posix: Posix, claims: Mapping[str, Any]) -> int:
        """The number of this person from now on; the first one that there was stays, whatever the IAM says later.

        Raises:
            Forbidden: the IAM has none for the person, one that is not allowed, another one than at first, or one that
                is somebody else's.
            Unavailable: the file cannot be used, or every number is taken.
        """
        if not posix.claim:
            return self.of(name, posix)
        claimed = _claimed(posix, claims, name)
        with opened(self._path) as connection:
            connection.execute("INSERT INTO posix (name, uid) VALUES (?, ?) ON CONFLICT DO NOTHING", (name, claimed))
            connection.commit()
            known, owner = _uid(connection, name), _owner(connection, claimed)
        if known != claimed:
            why = f"belongs to {owner} here" if owner else f"is not the {known} that the files of {name} belong to"
            raise _refused(name, f"The login provider gives {name} the user number {claimed}, which {why}.")
        return known

    def of(self, name: str, posix: Posix) -> int:
        """The number of somebody who has logged in; allocated now, where the IAM has none to give.

        Raises:
            Forbidden: the IAM has the numbers, and the person has not logged in since it has.
            Unavailable: the file cannot be used, or every number is taken.
        """
        with opened(self._path) as connection:
            known = _uid(connection, name)
            if known is None and posix.claim:
                raise Forbidden(f"{name} has no user number yet.", hint="Log out and in again.")
            if known is None:
                # No two starts at the same moment choose the same one.
                connection.execute("BEGIN IMMEDIATE")
                known = _uid(connection, name) or _allocate(connection, name, posix)
                connection.commit()
        return known

    def known(self, name: str) -> int | None:
        """The number of that name, None while it has none; errors as of `of`."""
        with opened(self._path) as connection:
            return _uid(connection, name)

    def everybody(self) -> dict[str, int]:
        """All of them, by name; errors as of `of`."""
        with opened(self._path) as connection:
            return dict(connection.execute("SELECT name, uid FROM posix").fetchall())

    def put(self, name: str, uid: int, *, dry_run: bool = False) -> int | None:
        """Give a name another number, whose owner the files must get too. Returns the one that it had.

        Raises:
            InvalidInput: it is no number of a person.
            NotFound: there is no such username.
            Conflict: the number is somebody else's.
            Unavailable: the file cannot be used.
        """
        if not 1000 <= uid < 2**31:
            raise InvalidInput(f"{uid} is no user number of a person.", hint="They begin at 1000.")
        with opened(self._path) as connection:
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute("SELECT 1 FROM binding WHERE name = ?", (name,)).fetchone() is None:
                raise NotFound(f"Nobody here is {name!r}.")
            before, owner = _uid(connection, name), _owner(connection, uid)
            if owner not in (None, name):
                raise Conflict(f"The user number {uid} belongs to {owner}.")
            if not dry_run:
                connection.execute("INSERT OR REPLACE INTO posix (name, uid) VALUES (?, ?)", (name, uid))
                connection.commit()
        return before


def _claimed(posix: Posix, claims: Mapping[str, Any], name: str) -> int:
    value: Any = claims
    for part in posix.claim.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    if value is None:
        raise _refused(name, f"The login provider has no user number for {name} (claim {posix.claim}).")
    text = str(value)
    if isinstance(value, bool) or not (text.isascii() and text.isdigit() and len(text) <= 10):
        raise _refused(name, f"What the login provider says in the claim {posix.claim} is no user number.")
    if not posix.first_uid <= int(text) <= posix.last_uid:
        allowed = f"between {posix.first_uid} and {posix.last_uid}"
        raise _refused(name, f"The user number {int(text)} of the login provider is not {allowed}.")
    return int(text)


def _refused(name: str, sentence: str) -> Forbidden:
    return Forbidden(sentence, hint=_ASK, details={"name": name})


def _allocate(connection: sqlite3.Connection, name: str, posix: Posix) -> int:
    """By the name, so that most people get the same number again if the file is lost; the next free one from there."""
    span = posix.last_uid - posix.first_uid + 1
    start = posix.first_uid + int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]) % span
    for uid in (*_free(connection, start, posix.last_uid), *_free(connection, posix.first_uid, start)):
        connection.execute("INSERT INTO posix (name, uid) VALUES (?, ?)", (name, uid))
        return uid
    raise Unavailable(f"Every user number from {posix.first_uid} to {posix.last_uid} is taken.", hint=_ASK)


def _free(connection: sqlite3.Connection, first: int, last: int) -> list[int]:
    """The first one between these that nobody has, if there is any."""
    taken = connection.execute("SELECT uid FROM posix WHERE uid BETWEEN ? AND ? ORDER BY uid", (first, last))
    wanted = first
    for (uid,) in taken:
        if uid != wanted:
            break
        wanted += 1
    return [wanted] if wanted <= last else []


def _uid(connection: sqlite3.Connection, name: str) -> int | None:
    row = connection.execute("SELECT uid FROM posix WHERE name = ?", (name,)).fetchone()
    return int(row[0]) if row else None


def _owner(connection: sqlite3.Connection, uid: int) -> str | None:
    row = connection.execute("SELECT name FROM posix WHERE uid = ?", (uid,)).fetchone()
    return str(row[0]) if row else None
