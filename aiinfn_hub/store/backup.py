"""The whole database in one file, and back, also from SQLite to PostgreSQL or the other way round.

A file is gzipped lines of JSON: a head with the schema's revision, lines of rows, and an end with their number and
hash, so that a file that was cut is not taken for a whole one. Everything is read as of one moment.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import sqlalchemy as sa

from aiinfn_hub.errors import Conflict, InvalidInput
from aiinfn_hub.store.engine import Database

FORMAT = "aiinfn-backup-1"
BATCH = 1000
#: Alembic's own table, which is in the head.
VERSION = "alembic_version"


def backup(database: Database, path: Path, *, said: Callable[[str], None]) -> int:
    """Write the file, which only its owner may read, or leave the one that is there; the number of rows.

    Raises:
        InvalidInput: the file cannot be written.
        Unavailable: the database does not answer.
    """
    try:
        with tempfile.NamedTemporaryFile(dir=path.absolute().parent, prefix=f".{path.name}.", delete=False) as file:
            try:
                with gzip.GzipFile(fileobj=file, mode="wb", mtime=0) as zipped:
                    count = database.run_snapshot(_write, zipped, said)
                file.flush()
                os.fsync(file.fileno())
                Path(file.name).replace(path)
            except BaseException:
                with suppress(FileNotFoundError):
                    Path(file.name).unlink()
                raise
    except OSError as error:
        raise InvalidInput(f"{path} cannot be written: {error.strerror}.") from error
    return count


def restore(database: Database, path: Path, *, said: Callable[[str], None]) -> int:
    """Fill an empty database from a file, and bring its schema up to date; the number of rows.

    All or nothing: a file that is cut or changed leaves the database as empty as it was.

    Raises:
        Conflict: the database is not empty.
        InvalidInput: the file is no backup, is not whole, or is of a newer version.
    """
    lines = _lines(path)
    head = next(lines, None)
    if not isinstance(head, dict) or head.get("format") != FORMAT:
        raise InvalidInput(f"{path} is no backup of aiinfn.", hint="aiinfn database backup makes one.")
    if filled := database.run(_filled):
        raise Conflict(f"The database is not empty: {filled} has rows.", hint="Restore into a new one.")
    if head["revision"] not in database.revisions():
        raise InvalidInput(f"The backup has the schema {head['revision']}, which is newer than this version of aiinfn.")
    database.migrate("base", down=True)
    database.migrate(head["revision"])
    count = database.run(_read, lines, path, said)
    database.migrate()
    return count


def _write(connection: sa.Connection, file: gzip.GzipFile, said: Callable[[str], None]) -> int:
    revision = connection.execute(sa.text(f"SELECT version_num FROM {VERSION}")).scalar_one()  # noqa: S608  a constant
    seal, count = hashlib.sha256(), 0

    def put(value: Any) -> None:
        line = msgspec.json.encode(value) + b"\n"
        seal.update(line)
        file.write(line)

    put({"format": FORMAT, "revision": revision})
    for table in _tables(connection):
        rows = 0
        result = connection.execution_options(yield_per=BATCH).execute(sa.select(table))
        for part in result.partitions():
            put(
                {
                    "table": str(table.name),
                    "columns": [str(column.name) for column in table.columns],
                    "rows": [list(row) for row in part],
                }
            )
            rows += len(part)
        said(f"{table.name}: {rows} rows")
        count += rows
    file.write(msgspec.json.encode({"rows": count, "sha256": seal.hexdigest()}) + b"\n")
    return count


def _read(connection: sa.Connection, lines: Iterator[Any], path: Path, said: Callable[[str], None]) -> int:
    tables = {table.name: table for table in _tables(connection)}
    counts = dict.fromkeys(tables, 0)
    whole = False
    for line in lines:
        if whole := "sha256" in line:
            break
        table = tables[line["table"]]
        connection.execute(sa.insert(table), [dict(zip(line["columns"], row, strict=True)) for row in line["rows"]])
        counts[table.name] += len(line["rows"])
    if not whole:
        raise InvalidInput(f"{path} is not whole: its end is missing.", hint="Copy it again.")
    for name, rows in counts.items():
        said(f"{name}: {rows} rows")
    _count_on(connection, tables.values())
    return sum(counts.values())


def _lines(path: Path) -> Iterator[Any]:
    """The lines of a file; the last one only if it fits to those before."""
    seal = hashlib.sha256()
    try:
        with gzip.open(path, "rb") as file:
            for line in file:
                value = msgspec.json.decode(line)
                if "sha256" in value and value["sha256"] != seal.hexdigest():
                    raise InvalidInput(f"{path} was changed, or is damaged.", hint="Use another copy.")
                seal.update(line)
                yield value
    except (EOFError, zlib.error, gzip.BadGzipFile, msgspec.DecodeError) as error:
        raise InvalidInput(f"{path} is no backup of aiinfn, or is not whole.", hint="Copy it again.") from error
    except OSError as error:
        raise InvalidInput(f"{path} cannot be read: {error.strerror}.") from error


def _tables(connection: sa.Connection) -> list[sa.Table]:
    """Those that the database has, whatever its revision, in an order in which they can be filled."""
    found = sa.MetaData()
    found.reflect(connection)
    return [table for table in found.sorted_tables if table.name != VERSION]


def _filled(connection: sa.Connection) -> str:
    """The name of a table that has rows; "" if none has."""
    for table in _tables(connection):
        if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first():
            return table.name
    return ""


def _count_on(connection: sa.Connection, tables: Any) -> None:
    """PostgreSQL gives numbers by a sequence, which knows nothing of those that came with the rows."""
    if connection.dialect.name == "sqlite":
        return
    for table in tables:
        keys = [column for column in table.primary_key if isinstance(column.type, sa.Integer)]
        if list(table.primary_key) == keys and len(keys) == 1:
            last = sa.select(sa.func.max(keys[0])).scalar_subquery()
            sequence = sa.func.pg_get_serial_sequence(table.name, keys[0].name)
            connection.execute(sa.select(sa.func.setval(sequence, sa.func.coalesce(last, 1))))
