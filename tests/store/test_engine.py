"""The door to the database, on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import asyncio
import time

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from aiinfn_hub.errors import Conflict, Unavailable
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.tables import blob, metadata

ROW = {"owner": "alice", "sha256": "0" * 64, "size": 5_000_000_000, "created_at": 1.5, "last_used": 1.5}


def put(connection: sa.Connection, **changes: object) -> None:
    connection.execute(blob.insert().values(ROW | changes))


def count(connection: sa.Connection) -> int:
    return connection.execute(sa.select(sa.func.count()).select_from(blob)).scalar_one()


def test_the_migrations_make_exactly_the_tables_that_the_code_expects(database: Database) -> None:
    def differences(connection: sa.Connection) -> list[object]:
        return compare_metadata(MigrationContext.configure(connection, opts={"compare_type": True}), metadata)

    assert database.run(differences) == []


def test_migrating_twice_changes_nothing_and_down_to_base_leaves_nothing(database: Database) -> None:
    database.migrate()
    database.migrate("base", down=True)
    with database.engine.connect() as connection:
        assert set(sa.inspect(connection).get_table_names()) <= {"alembic_version"}
    database.migrate()
    assert database.run(count) == 0


@pytest.mark.asyncio
async def test_a_function_that_raises_changes_nothing(database: Database) -> None:
    def put_and_fail(connection: sa.Connection) -> None:
        put(connection)
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await database.write(put_and_fail)
    assert await database.read(count) == 0


@pytest.mark.asyncio
async def test_a_contradiction_is_a_conflict_of_ours(database: Database) -> None:
    await database.write(put)
    with pytest.raises(Conflict):
        await database.write(put)
    assert await database.read(count) == 1


@pytest.mark.asyncio
async def test_fifty_writers_at_once_all_get_through(database: Database) -> None:
    await asyncio.gather(*(database.write(put, sha256=f"{n:064d}") for n in range(50)))
    assert await database.read(count) == 50


def test_sizes_above_four_gigabytes_are_kept_exactly(database: Database) -> None:
    database.run(put)
    assert database.run(lambda connection: connection.execute(sa.select(blob.c.size)).scalar_one()) == 5_000_000_000


def test_a_server_that_is_not_there_is_said_to_be_unavailable() -> None:
    database = Database("postgresql+psycopg://nobody@127.0.0.1:1/none?connect_timeout=1")
    with pytest.raises(Unavailable, match="does not answer"):
        database.run(count)


def test_a_table_that_is_missing_is_no_silent_zero(tmp_path: object) -> None:
    database = Database(f"sqlite:///{tmp_path}/empty.sqlite")
    with pytest.raises(Unavailable):
        database.run(count)
    database.close()


@pytest.mark.asyncio
async def test_writers_of_two_processes_that_read_first_wait_for_each_other(database_url: str) -> None:
    """On SQLite a transaction that has read cannot become a writer after somebody else wrote; so it begins as one."""
    first, second = Database(database_url), Database(database_url)
    first.migrate()

    def read_then_put(connection: sa.Connection, sha256: str) -> None:
        count(connection)
        time.sleep(0.02)
        put(connection, sha256=sha256)

    try:
        await asyncio.gather(
            *(
                one.write(read_then_put, f"{name}{n:063d}")
                for n in range(10)
                for name, one in (("a", first), ("b", second))
            )
        )
        assert await first.read(count) == 20
    finally:
        first.close()
        second.close()
