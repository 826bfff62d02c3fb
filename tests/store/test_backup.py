"""Everything in one file, and back, between both kinds of databases."""

from __future__ import annotations

import gzip
import stat
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from support.databases import fresh_database
from support.sightings import T0, life

from aiinfn_hub.accounting import ledger, months, rollups, usage
from aiinfn_hub.accounting.signing import Signer
from aiinfn_hub.cli import main
from aiinfn_hub.errors import Conflict, InvalidInput
from aiinfn_hub.store.backup import backup, restore
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.tables import metadata

H = 3600.0
MONTH = rollups.begin_of("month", T0)


def quiet(_line: str) -> None:
    """Nobody is told."""


def everything(connection: sa.Connection) -> dict[str, list[tuple[Any, ...]]]:
    return {
        table.name: sorted((tuple(row) for row in connection.execute(sa.select(table))), key=repr)
        for table in metadata.sorted_tables
    }


@pytest.fixture
def full(database: Database) -> Database:
    database.run(ledger.observe, [*life("u1", end=2 * H), *life("u2", end=H, person="bob \u00e9\u4e2d")])
    database.run(months.close, MONTH, by="root", signer=Signer(Ed25519PrivateKey.generate()), now=T0 + 60 * 86400)
    return database


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """Another database, into which it goes."""
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{tmp_path}/other.sqlite" if sqlite else fresh_database(request.getfixturevalue("postgres"))
    with Database(url) as database:
        yield database


def test_what_comes_back_is_what_was_there(full: Database, empty: Database, tmp_path: Path) -> None:
    file = tmp_path / "copy.gz"
    count = backup(full, file, said=quiet)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert restore(empty, file, said=quiet) == count
    assert empty.run(everything) == full.run(everything)
    assert [closed.whole for closed in empty.run(months.closed_months)] == [True]
    # Life goes on: numbers that the rows brought along are not given again.
    empty.run(ledger.observe, life("u3", start=960 * H, end=961 * H))
    assert empty.run(usage.by_group, since=T0, until=T0 + 1000 * H)[0]["records"] == 3


def test_a_backup_of_an_older_version_is_brought_up_to_date(
    database: Database, empty: Database, tmp_path: Path
) -> None:
    database.migrate("0003", down=True)
    columns = "pod_uid, kind, person, activity, activity_reason, flavour, units, weight, resource, model, namespace"
    texts = "'u1', 'session', 'alice', 'a', '', 't4', 1, 0.5, '', '', 'aiinfn'"
    rest = "pod_name, node, server, run_id, cpu_millis, memory_bytes, created_at, last_seen, end_source, uncertainty_s"
    values = "'p', '', '', '', 1, 1, 1, 2, '', 0"
    statement = f"INSERT INTO record ({columns}, {rest}) VALUES ({texts}, {values})"
    database.run(lambda connection: connection.execute(sa.text(statement)))
    backup(database, tmp_path / "old.gz", said=quiet)
    restore(empty, tmp_path / "old.gz", said=quiet)
    people = empty.run(lambda c: c.execute(sa.text("SELECT name FROM subject")).scalars().all())
    assert people == ["alice"]


def test_a_database_that_is_not_empty_is_left_alone(full: Database, tmp_path: Path) -> None:
    backup(full, tmp_path / "copy.gz", said=quiet)
    before = full.run(everything)
    with pytest.raises(Conflict, match="not empty"):
        restore(full, tmp_path / "copy.gz", said=quiet)
    assert full.run(everything) == before


def cut(data: bytes) -> bytes:
    return data[: len(data) // 2]


def without_its_end(data: bytes) -> bytes:
    return gzip.compress(b"".join(gzip.decompress(data).splitlines(keepends=True)[:-1]))


def changed(data: bytes) -> bytes:
    return gzip.compress(gzip.decompress(data).replace(b"lhcb-flashsim", b"lhcb-flashsin"))


def newer(data: bytes) -> bytes:
    return gzip.compress(gzip.decompress(data).replace(b'"revision":"0', b'"revision":"9'))


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        pytest.param(cut, "not whole", id="cut"),
        pytest.param(without_its_end, "its end is missing", id="without its end"),
        pytest.param(changed, "was changed", id="changed"),
        pytest.param(newer, "newer than this version", id="of a newer version"),
        pytest.param(lambda _: b"hello", "no backup", id="something else"),
        pytest.param(lambda _: gzip.compress(b"{}"), "no backup", id="other JSON"),
    ],
)
def test_a_file_that_is_not_right_leaves_nothing(full: Database, tmp_path: Path, damage: Any, words: str) -> None:
    file = tmp_path / "copy.gz"
    backup(full, file, said=quiet)
    file.write_bytes(damage(file.read_bytes()))
    with Database(f"sqlite:///{tmp_path}/other.sqlite") as empty:
        with pytest.raises(InvalidInput, match=words):
            restore(empty, file, said=quiet)
        empty.migrate()
        assert not any(empty.run(everything).values())


def test_a_place_that_cannot_be_written_leaves_no_half_file(full: Database, tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be written"):
        backup(full, tmp_path / "none" / "copy.gz", said=quiet)
    assert not (tmp_path / "none").exists()


def test_the_commands(full: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new, file = tmp_path / "url", tmp_path / "new-url", str(tmp_path / "copy.gz")
    old.write_text(full.engine.url.render_as_string(hide_password=False))
    new.write_text(f"sqlite:///{tmp_path}/new.sqlite")
    assert main(["database", "backup", file, "--database", str(old)]) == 0
    assert "record: 2 rows" in capsys.readouterr().err
    assert main(["database", "restore", file, "--database", str(new)]) == 0
    assert main(["accounting", "report", "--database", str(new), "--month", "2023-11", "--by", "person"]) == 0
    assert "alice" in capsys.readouterr().out
    assert main(["database", "restore", file, "--database", str(new)]) == 1
    assert "not empty" in capsys.readouterr().err
