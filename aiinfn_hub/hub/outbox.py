"""Acts that the service has not fetched yet: `POST /hub/aiinfn/audit` takes what it has stored, and gives the next.

The hub writes them into a file of its own, so that a login depends on no other process and nothing is lost while the
service is away. The log has them at once.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sqlite3
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
from jupyterhub.apihandlers.base import APIHandler
from tornado import web

from aiinfn_hub.errors import Unavailable
from aiinfn_hub.identity.audit import Act, What
from aiinfn_hub.identity.hubapi import HubStanding
from aiinfn_hub.identity.standing import Standing

#: The scope of the service's token; custom scopes of JupyterHub begin so.
SCOPE = "custom:aiinfn:people"
AT_ONCE = 200
_TABLE = "CREATE TABLE IF NOT EXISTS outbox (number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT UNIQUE, act BLOB)"


class Outbox:
    """The file.

    Args:
        path: made with the first act; only its owner can read it.
        log: has each act as a line of JSON.
    """

    def __init__(self, path: Path, log: Any = None) -> None:
        self._path = path
        self._log = log or logging.getLogger("aiinfn.audit")
        # One thread: acts keep their order, and the disk does not hold up the event loop.
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="outbox")

    def put(self, act: Act) -> Future[None]:
        """Keep an act; returns at once. What cannot be written is in the log all the same."""
        self._log.info("audit %s", act.line)
        return self._thread.submit(self._write, act)

    async def next(self, stored: Sequence[str]) -> list[Act]:
        """Forget those with these ids, which the service has stored, and return the oldest ones.

        Raises:
            Unavailable: the file cannot be used.
        """
        return await asyncio.wrap_future(self._thread.submit(self._next, stored))

    def _write(self, act: Act) -> None:
        try:
            with self._connection() as connection:
                connection.execute("INSERT INTO outbox (id, act) VALUES (?, ?)", (act.id, msgspec.json.encode(act)))
        except Unavailable as error:
            self._log.error("An act is in the log only: %s", error)

    def _next(self, stored: Sequence[str]) -> list[Act]:
        with self._connection() as connection:
            connection.executemany("DELETE FROM outbox WHERE id = ?", [(one,) for one in stored])
            rows = connection.execute("SELECT act FROM outbox ORDER BY number LIMIT ?", (AT_ONCE,)).fetchall()
        return [msgspec.json.decode(row[0], type=Act) for row in rows]

    @contextmanager
    def _connection(self) -> Iterator[sqlite3.Connection]:
        try:
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite would let others read it
            with closing(sqlite3.connect(self._path, timeout=5.0)) as connection, connection:
                connection.execute(_TABLE)
                yield connection
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(f"The outbox {self._path} cannot be used: {error}.") from error


def tell(session: Any, what: What, uid: str) -> None:
    """Tell that a spawner has done something with the pod of this uid, where its authenticator keeps acts."""
    outbox = getattr(session.authenticator, "outbox", None)
    if isinstance(outbox, Outbox):
        outbox.put(Act(what=what, about=session.user.name, facts={"server": session.name, "uid": uid}))


class ServiceHandler(APIHandler):
    """For the service alone."""

    def prepare_service(self) -> None:
        """Refuse everybody else.

        Raises:
            web.HTTPError: the caller has not the scope.
        """
        if SCOPE not in self.expanded_scopes:
            raise web.HTTPError(403, f"This needs the scope {SCOPE}.")


class StandingsHandler(ServiceHandler):
    """GET: who does not stand well with the login provider, and what they read of it."""

    def get(self) -> None:
        """By name, as `HubStanding`."""
        self.prepare_service()
        everybody: dict[str, Standing] = self.authenticator.standings.everybody()
        self.finish(msgspec.json.encode({name: _shown(standing) for name, standing in everybody.items()}))


class AuditHandler(ServiceHandler):
    """What was audited."""

    async def post(self) -> None:
        """`{"stored": [ids]}` -> `{"acts": [Act]}`.

        Raises:
            web.HTTPError: the caller has not the scope, or the file cannot be used.
        """
        self.prepare_service()
        outbox = self.authenticator.outbox
        try:
            stored = msgspec.json.decode(self.request.body, type=dict[str, list[str]]).get("stored", [])
            self.finish(msgspec.json.encode({"acts": await outbox.next(stored)}))
        except msgspec.MsgspecError as error:
            raise web.HTTPError(400, f"The body cannot be used: {error}.") from error
        except Unavailable as error:
            raise web.HTTPError(503, error.message) from error


def handlers() -> list[tuple[Any, ...]]:
    """For `c.JupyterHub.extra_handlers`."""
    return [(r"/aiinfn/audit", AuditHandler), (r"/aiinfn/standings", StandingsHandler)]


def _shown(standing: Standing) -> HubStanding:
    return HubStanding(
        reason=standing.reason,
        since=standing.since,
        until=standing.until,
        over=standing.over,
        sentence=standing.words.sentence,
        next_step=standing.words.next_step,
    )
