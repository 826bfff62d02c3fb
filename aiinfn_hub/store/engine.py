"""The database behind one small door: run this function in a transaction, off the event loop.

Rooms write their SQL as plain functions over a `Connection`; they are tested on SQLite and on PostgreSQL without an
event loop. Exceptions of SQLAlchemy do not leave this room.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AsyncExitStack
from importlib import resources
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import alembic.command
import alembic.config
import msgspec
import sqlalchemy as sa
from alembic.script import ScriptDirectory
from sqlalchemy import exc
from sqlalchemy.dialects import postgresql, sqlite

from aiinfn_hub.errors import Conflict, Unavailable

P = ParamSpec("P")
T = TypeVar("T")
#: Execution option of transactions that write.
WRITES = "aiinfn_writes"


class Database:
    """One database, SQLite or PostgreSQL.

    Args:
        url: as SQLAlchemy reads it: `sqlite:////path/file.sqlite` or `postgresql+psycopg://...`.
    """

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(
            url,
            pool_pre_ping=not url.startswith("sqlite"),
            json_serializer=lambda value: msgspec.json.encode(value).decode(),
            json_deserializer=msgspec.json.decode,
        )
        self.sqlite = self.engine.dialect.name == "sqlite"
        # SQLite has one writer: waiting here, in order, beats SQLITE_BUSY after a time-out.
        self._writer = asyncio.Lock() if self.sqlite else None
        self._writing = self.engine.execution_options(**{WRITES: True})
        if self.sqlite:
            _prepare_sqlite(self.engine)

    async def write(self, fn: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """The value of `fn(connection, ...)`, committed; rolled back if it raises.

        Raises:
            Conflict: a constraint refused it.
            Unavailable: the database does not answer, or its disk is full.
        """
        async with AsyncExitStack() as stack:
            if self._writer is not None:
                await stack.enter_async_context(self._writer)
            return await asyncio.to_thread(lambda: self.run(fn, *args, **kwargs))

    async def read(self, fn: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Like `write`, for functions that change nothing; readers do not wait for the writer."""
        return await asyncio.to_thread(lambda: self._run(self.engine, fn, *args, **kwargs))

    def run(self, fn: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`write` in this thread, for commands and tests."""
        return self._run(self._writing, fn, *args, **kwargs)

    def run_snapshot(self, fn: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`run` for functions that change nothing, and read everything as of one moment."""
        level = {} if self.sqlite else {"isolation_level": "REPEATABLE READ"}
        return self._run(self.engine.execution_options(**level), fn, *args, **kwargs)

    def _run(
        self, engine: sa.Engine, fn: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        try:
            with engine.begin() as connection:
                return fn(connection, *args, **kwargs)
        except exc.IntegrityError as error:
            raise Conflict("The database refused a change that contradicts what it holds.") from error
        except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
            raise Unavailable(
                "The database does not answer.", hint="Nothing was changed; try again, or look at its disk and its log."
            ) from error

    def migrate(self, revision: str = "head", *, down: bool = False) -> None:
        """Bring the schema up to `revision`, or down to it; a fresh database gets all of it."""
        self.run(_migrate, revision, down=down)

    def revisions(self) -> set[str]:
        """Every revision of the schema that this version knows."""
        with resources.as_file(resources.files("aiinfn_hub.store") / "migrations") as folder:
            return {one.revision for one in ScriptDirectory(str(folder)).walk_revisions()}

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def insert(connection: sa.Connection, table: sa.Table) -> Any:
    """An INSERT that knows ON CONFLICT: both databases spell it alike, and SQLAlchemy keeps it in their dialects."""
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)


def among(connection: sa.Connection, column: sa.ColumnElement[str], values: Iterable[str]) -> sa.ColumnElement[bool]:
    """Whether a column is one of many texts: in one parameter, because both take long to read 1000 of them."""
    if connection.dialect.name == "sqlite":
        text = msgspec.json.encode(list(values)).decode()
        return column.in_(sa.select(sa.func.json_each(text).table_valued("value").c.value))
    return column == sa.any_(sa.literal(list(values), postgresql.ARRAY(sa.Text)))


def lock(connection: sa.Connection, table: sa.Table) -> None:
    """Be the only one who has asked for this, until the transaction ends; readers do not wait.

    SQLite has one writer anyway.
    """
    if connection.dialect.name != "sqlite":
        connection.exec_driver_sql(f"LOCK TABLE {table.name} IN SHARE ROW EXCLUSIVE MODE")


def _migrate(connection: sa.Connection, revision: str, *, down: bool) -> None:
    with resources.as_file(resources.files("aiinfn_hub.store") / "migrations") as folder:
        config = alembic.config.Config()
        config.set_main_option("script_location", str(folder))
        config.attributes["connection"] = connection
        (alembic.command.downgrade if down else alembic.command.upgrade)(config, revision)


def _prepare_sqlite(engine: sa.Engine) -> None:
    """Write-ahead log, enforced foreign keys, and transactions that begin when SQLAlchemy says so.

    The last is SQLAlchemy's own recipe for pysqlite, whose implicit BEGIN would leave schema changes outside of the
    transaction and let two readers upgrade into a deadlock.
    """

    @sa.event.listens_for(engine, "connect")
    def _connect(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in ("journal_mode=WAL", "synchronous=NORMAL", "foreign_keys=ON", "busy_timeout=10000"):
            connection.execute(f"PRAGMA {pragma}")

    @sa.event.listens_for(engine, "begin")
    def _begin(connection: sa.Connection) -> None:
        # A writer takes its place at once: one that read first and writes then is refused without waiting, if somebody
        # else has written in between.
        writes = connection.get_execution_options().get(WRITES, False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
