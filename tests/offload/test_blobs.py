from __future__ import annotations

import errno
import hashlib
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.offload import NOW, new_run, reference, request

from aiinfn_hub.contract.jobs import JobState
from aiinfn_hub.errors import InvalidInput, NotFound, QuotaExceeded, TooLarge, Unavailable
from aiinfn_hub.offload import blobs, housekeeping, runs
from aiinfn_hub.offload.blobs import KEEP_S, PIECES, STALE_S, BlobStore, check_hash
from aiinfn_hub.store.engine import Database

DATA = b"some bytes of a value"
SHA = hashlib.sha256(DATA).hexdigest()


@pytest.fixture
def store(tmp_path: Path) -> BlobStore:
    return BlobStore(tmp_path / "blobs", limit=1000)


def put(store: BlobStore, owner: str, data: bytes) -> str:
    sha256 = hashlib.sha256(data).hexdigest()
    upload = store.upload(owner, sha256)
    upload.write(data)
    upload.commit()
    return sha256


def files(store: BlobStore) -> list[str]:
    return sorted(path.name for path in store.root.rglob("*") if path.is_file())


def test_bytes_come_back_by_their_hash(store: BlobStore) -> None:
    put(store, "alice", DATA)
    assert store.existing("alice", SHA).read_bytes() == DATA


def test_the_name_space_is_the_person(store: BlobStore) -> None:
    put(store, "alice", DATA)
    with pytest.raises(NotFound):
        store.existing("bob", SHA)


@pytest.mark.parametrize("owner", ["../../etc", "a/b", "ALICE", "älice", ".", "x" * 300])
def test_no_name_of_a_person_leads_out_of_the_folder(store: BlobStore, owner: str) -> None:
    put(store, owner, DATA)
    path = store.existing(owner, SHA)
    assert path.resolve().is_relative_to(store.root.resolve())
    assert len(path.relative_to(store.root).parts) == 3


@pytest.mark.parametrize("text", ["", "../" + SHA, SHA.upper(), SHA[:-1], SHA + "\n", SHA[:-1] + "g", "." * 64])
def test_what_is_no_hash_never_becomes_a_path(store: BlobStore, text: str) -> None:
    for function in (check_hash, lambda sha: store.path("alice", sha), lambda sha: store.existing("alice", sha)):
        with pytest.raises(InvalidInput):
            function(text)


def test_other_bytes_than_announced_are_refused_and_leave_nothing(store: BlobStore) -> None:
    upload = store.upload("alice", SHA)
    upload.write(DATA + b"!")
    with pytest.raises(InvalidInput, match="announced SHA-256"):
        upload.commit()
    assert files(store) == []


def test_more_bytes_than_allowed_are_refused_while_they_come(store: BlobStore) -> None:
    upload = store.upload("alice", SHA)
    upload.write(b"x" * 1000)
    with pytest.raises(TooLarge):
        upload.write(b"x")
    upload.abort()
    assert files(store) == []


def test_half_an_upload_is_never_seen(store: BlobStore) -> None:
    upload = store.upload("alice", SHA)
    upload.write(DATA[:5])
    with pytest.raises(NotFound):
        store.existing("alice", SHA)
    upload.abort()
    upload.abort()
    assert files(store) == []


def test_two_uploads_of_the_same_bytes_do_not_disturb_each_other(store: BlobStore) -> None:
    one, other = store.upload("alice", SHA), store.upload("alice", SHA)
    for upload in (one, other):
        upload.write(DATA)
    one.commit()
    other.commit()
    assert files(store) == [SHA]


def test_only_the_service_can_read_the_files(store: BlobStore) -> None:
    put(store, "alice", DATA)
    path = store.existing("alice", SHA)
    assert path.stat().st_mode & 0o077 == 0
    assert path.parent.stat().st_mode & 0o077 == 0


class FullDisk:
    """A file on a full disk: `when` is the call that fails."""

    def __init__(self, file: Any, when: str, code: int) -> None:
        self._file, self._when, self._code = file, when, code

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name == self._when:
            raise OSError(self._code, os.strerror(self._code))
        found: Callable[..., Any] = getattr(self._file, name)
        return found


@pytest.mark.parametrize("when", ["write", "flush"])
@pytest.mark.parametrize(
    ("code", "words"), [(errno.ENOSPC, "is full"), (errno.EDQUOT, "is full"), (errno.EIO, "fails: Input/output")]
)
def test_a_full_or_broken_disk_is_told_and_leaves_no_half_file(
    store: BlobStore, when: str, code: int, words: str
) -> None:
    upload = store.upload("alice", SHA)
    upload._file = FullDisk(upload._file, when, code)

    def send() -> None:
        upload.write(DATA)
        upload.commit()

    with pytest.raises(Unavailable, match=words):
        send()
    upload.abort()
    assert files(store) == []


def test_a_disk_that_is_really_full_says_so() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full here")
    with Path("/dev/full").open("wb", buffering=0) as file, pytest.raises(Unavailable, match="full"), blobs._disk():
        file.write(b"x")


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "blobs").write_text("in the way")
    with pytest.raises(Unavailable):
        BlobStore(tmp_path / "blobs").upload("alice", SHA)


def test_what_the_database_does_not_know_goes_when_it_is_old(store: BlobStore) -> None:
    put(store, "alice", DATA)
    kept = put(store, "alice", b"kept")
    abandoned = store.upload("bob", SHA)
    abandoned.write(b"half")
    assert store.sweep(lambda _: {kept}) == 0, "everything is young"
    for path in store.root.rglob("*"):
        os.utime(path, (time.time() - STALE_S - 1,) * 2)
    assert store.sweep(lambda folder: {kept} if folder == "alice" else set()) == 2
    assert files(store) == [kept]
    abandoned.abort()


def test_a_store_that_was_never_used_has_nothing_to_sweep(tmp_path: Path) -> None:
    assert BlobStore(tmp_path / "nothing").sweep(lambda _: set()) == 0


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(pieces=st.lists(st.binary(max_size=200), max_size=5))
def test_any_bytes_in_any_pieces_survive(store: BlobStore, pieces: list[bytes]) -> None:
    data = b"".join(pieces)
    sha256 = hashlib.sha256(data).hexdigest()
    upload = store.upload("alice", sha256)
    for piece in pieces:
        upload.write(piece)
    upload.commit()
    assert store.existing("alice", sha256).read_bytes() == data


def test_a_person_may_keep_so_much(database: Database) -> None:
    database.run(blobs.note, "alice", SHA, 900, now=NOW)
    database.run(blobs.check_room, "alice", 100, most=1000)
    database.run(blobs.check_room, "bob", 1000, most=1000)
    with pytest.raises(QuotaExceeded, match="You keep"):
        database.run(blobs.check_room, "alice", 101, most=1000)


def test_noting_a_blob_again_keeps_one_row(database: Database) -> None:
    for moment in (NOW, NOW + 5):
        database.run(blobs.note, "alice", SHA, 900, now=moment)
    database.run(blobs.check_room, "alice", 100, most=1000)


def test_what_was_not_sent_is_named(database: Database) -> None:
    here, there = reference(b"here"), reference(b"there")
    database.run(blobs.note, "alice", here.sha256, here.size, now=NOW)
    database.run(blobs.note, "bob", there.sha256, there.size, now=NOW)
    assert database.run(blobs.missing, "alice", [here, there], now=NOW) == [there.sha256]
    assert database.run(blobs.missing, "alice", [], now=NOW) == []


def test_a_value_of_another_size_was_not_sent(database: Database) -> None:
    database.run(blobs.note, "alice", SHA, 5, now=NOW)
    assert database.run(blobs.missing, "alice", [reference(DATA)], now=NOW) == [SHA]


@pytest.mark.asyncio
async def test_unused_values_expire_and_those_of_open_jobs_stay(database: Database, store: BlobStore) -> None:
    needed, unused, fresh = b"needed", b"unused", b"fresh"
    for data, moment in ((needed, NOW), (unused, NOW), (fresh, NOW + KEEP_S)):
        put(store, "alice", data)
        database.run(blobs.note, "alice", hashlib.sha256(data).hexdigest(), len(data), now=moment)
    run, _ = database.run(runs.create, new_run(request(inputs={"x": reference(needed)})), now=NOW)
    for path in store.root.rglob("*"):
        os.utime(path, (time.time() - STALE_S - 1,) * 2)
    later, pieces = NOW + KEEP_S + 1, BlobStore(store.root / PIECES)
    assert await housekeeping.sweep(database, store, pieces, now=later) == (1, 1)
    assert files(store) == sorted(reference(data).sha256 for data in (needed, fresh))
    database.run(runs.move, run.id, JobState.FAILED, now=later)
    assert await housekeeping.sweep(database, store, pieces, now=later) == (1, 1)
