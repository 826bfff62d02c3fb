"""What runs keep of their work: rows in both databases, pieces over HTTP, and what is let go of."""

from __future__ import annotations

import asyncio
import hashlib
import os
import secrets
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.offload import NOW, new_run, request
from support.offload_service import World

from aiinfn_hub.contract.jobs import JobState
from aiinfn_hub.contract.run.channel import HttpChannel, Refused
from aiinfn_hub.contract.run.checkpoints import Checkpoints
from aiinfn_hub.errors import InvalidInput, NotFound, QuotaExceeded
from aiinfn_hub.offload import capability, checkpoints, housekeeping, runs
from aiinfn_hub.offload.blobs import PIECES, STALE_S, BlobStore
from aiinfn_hub.offload.checkpoints import KEEP_S, MAX_PATHS, MAX_PER_PERSON, Kept, Piece
from aiinfn_hub.offload.runs import Run
from aiinfn_hub.store.engine import Database

S = JobState


def sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def kept(path: str, *pieces: str, size: int = 10) -> Kept:
    return Kept(path, [Piece(sha(piece), size) for piece in pieces])


def a_run(database: Database, key: str = "key", **wanted: Any) -> Run:
    return database.run(runs.create, new_run(request(**wanted), idempotency_key=key), now=NOW)[0]


def keep(database: Database, run: Run, one: Kept, attempt: int = 1) -> set[str]:
    return database.run(checkpoints.keep, run, attempt, one, now=NOW)


def test_of_each_path_the_last_two_are_kept(database: Database) -> None:
    run = a_run(database)
    assert keep(database, run, kept("model", "a", "b")) == set()
    assert keep(database, run, kept("optimiser", "b", "o")) == set()
    assert keep(database, run, kept("model", "a", "c"), 2) == set()
    assert keep(database, run, kept("model", "a", "d"), 2) == set(), "b is a piece of the optimiser too"
    assert keep(database, run, kept("model", "e"), 2) == {sha("c")}
    found = database.run(checkpoints.of_run, run.id)
    assert [(one.path, one.attempt, len(one.pieces)) for one in found] == [
        ("model", 2, 1),
        ("model", 2, 2),
        ("optimiser", 1, 2),
    ]
    assert database.run(runs.get, run.id).checkpointed_at == NOW


def test_pieces_of_another_run_of_the_person_stay(database: Database) -> None:
    first, second = a_run(database), a_run(database, "other")
    keep(database, second, kept("model", "a"))
    keep(database, first, kept("model", "a"))
    keep(database, first, kept("model", "b"))
    assert keep(database, first, kept("model", "c")) == set()
    keep(database, second, kept("model", "x"))
    assert keep(database, second, kept("model", "y")) == {sha("a")}


def test_a_person_and_a_run_have_so_much_room(database: Database) -> None:
    run = a_run(database)
    with pytest.raises(QuotaExceeded, match="Your checkpoints take 0 MiB, of 20480 MiB"):
        keep(database, run, kept("model", "a", size=MAX_PER_PERSON + 1))
    for number in range(MAX_PATHS):
        keep(database, run, kept(f"model-{number}", "a"))
    keep(database, run, kept("model-0", "a"))
    with pytest.raises(InvalidInput, match="at most 20 paths"):
        keep(database, run, kept("one-more", "a"))


@pytest.mark.parametrize(
    "wrong",
    [
        kept(""),
        kept("a\nb"),
        kept("x" * 2000),
        kept("x", "a", size=-1),
        Kept("x", [Piece("../../etc/passwd", 3)]),
        Kept("x", [Piece("A" * 64, 3)]),
    ],
)
def test_what_no_runner_keeps_is_refused(wrong: Kept) -> None:
    with pytest.raises(InvalidInput):
        wrong.check()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("xyz"), st.lists(st.sampled_from("abcdef"), max_size=4)), max_size=12))
def test_what_is_dropped_is_needed_by_nobody_and_what_is_needed_is_there(
    database: Database, steps: list[tuple[str, list[str]]]
) -> None:
    """The pieces on the disk, whatever is kept in which order, are those of the rows."""
    owner = f"p{secrets.token_hex(6)}"
    run, _ = database.run(runs.create, new_run(owner=owner), now=NOW)
    disk = set[str]()
    for path, pieces in steps:
        disk |= {sha(piece) for piece in pieces}
        disk -= keep(database, run, kept(path, *pieces))
        assert disk == database.run(checkpoints.pieces_by_folder).get(owner, set())


@pytest.mark.parametrize(("on_evict", "restored"), [("resume", True), ("restart", False), ("stop", True)])
def test_the_next_attempt_is_told_whether_there_is_something(database: Database, on_evict: str, restored: bool) -> None:
    run = a_run(database, on_evict=on_evict)
    secret = database.run(capability.give, run.id, now=NOW)
    database.run(runs.move, run.id, S.QUEUED, now=NOW)
    assert not database.run(capability.exchange, run.id, secret, "pod-1", now=NOW).restore
    keep(database, run, kept("model", "a"))
    assert database.run(capability.exchange, run.id, secret, "pod-2", now=NOW).restore is restored


def test_the_time_of_earlier_attempts_is_used(database: Database) -> None:
    run = a_run(database, time_s=600)
    secret = database.run(capability.give, run.id, now=NOW)
    database.run(runs.move, run.id, S.QUEUED, now=NOW)
    first = database.run(capability.exchange, run.id, secret, "pod-1", now=NOW)
    assert first.limit_s == 600
    database.run(capability.authenticate, run.id, first.token, now=NOW + 250)  # its last word
    second = database.run(capability.exchange, run.id, secret, "pod-2", now=NOW + 5000)
    assert second.limit_s == 350, "the wait between them does not count"
    database.run(runs.extend, run.id, 1000, now=NOW + 5000)
    extended = database.run(runs.get, run.id)
    assert database.run(capability.limit_s, extended, second.attempt) == 750
    database.run(capability.authenticate, run.id, second.token, now=NOW + 5000 + 900)
    third = database.run(capability.exchange, run.id, secret, "pod-3", now=NOW + 9000)
    assert third.limit_s == 0


@pytest.mark.parametrize(
    ("state", "later_s", "there"),
    [
        (S.RUNNING, 40 * 86400, True),
        (S.FAILED, KEEP_S - 1, True),
        (S.FAILED, KEEP_S + 1, False),
        (S.LOST, KEEP_S - 1, True),
        (S.CANCELLED, 1, False),
        (S.SUCCEEDED, 1, False),
    ],
)
def test_checkpoints_go_when_nobody_can_go_on_from_them(
    database: Database, state: JobState, later_s: float, there: bool
) -> None:
    run = a_run(database)
    keep(database, run, kept("model", "a"))
    for step in dict.fromkeys((S.QUEUED, S.RUNNING, state)):
        assert database.run(runs.move, run.id, step, now=NOW)
    database.run(checkpoints.forget, now=NOW + later_s)
    assert bool(database.run(checkpoints.of_run, run.id)) is there


@pytest.mark.asyncio
async def test_files_of_pieces_go_with_their_rows(database: Database, tmp_path: Path) -> None:
    values = BlobStore(tmp_path / "blobs")
    pieces = BlobStore(values.root / PIECES)
    run = a_run(database)
    keep(database, run, kept("model", "needed"))
    for text in ("needed", "left over"):
        upload = pieces.upload("alice", sha(text))
        upload.write(text.encode())
        upload.commit()
        os.utime(pieces.path("alice", sha(text)), (time.time() - STALE_S - 1,) * 2)
    assert await housekeeping.sweep(database, values, pieces, now=NOW) == (0, 1)
    assert pieces.path("alice", sha("needed")).is_file()
    database.run(runs.move, run.id, S.FAILED, now=NOW)
    assert await housekeeping.sweep(database, values, pieces, now=NOW + KEEP_S + 1) == (1, 1)


def test_a_run_that_is_tried_again_inherits(database: Database) -> None:
    old, new = a_run(database), a_run(database, "again")
    keep(database, old, kept("model", "a"))
    old = database.run(runs.get, old.id)
    database.run(checkpoints.hand_on, old, new)
    assert [one.path for one in database.run(checkpoints.of_run, new.id)] == ["model"]
    assert database.run(runs.get, new.id).checkpointed_at == NOW
    database.run(checkpoints.check_piece, new.id, sha("a"))
    with pytest.raises(NotFound):
        database.run(checkpoints.check_piece, new.id, sha("b"))


@pytest.mark.asyncio
async def test_the_runners_own_checkpoints_get_along_with_the_service(service: World, tmp_path: Path) -> None:
    view, token = await service.running(request())
    file = tmp_path / "model"
    file.write_bytes(os.urandom(100_000))
    was = file.read_bytes()

    def work() -> bool:
        channel = HttpChannel(service.runs_url, view.id)
        channel._token = token
        one = Checkpoints(channel, 5)
        for _ in range(3):
            one.keep(str(file))
            assert one.flush(10)
        file.write_bytes(b"half")
        Checkpoints(channel, 5).restore()
        return file.read_bytes() == was

    assert await asyncio.to_thread(work)
    assert (await service.job(view.id)).checkpointed_at is not None
    stored = [path for path in service.gate.pieces.root.rglob("*") if path.is_file()]
    assert len(stored) == len(await service.database.read(_pieces, view.id))


def _pieces(connection: Any, run_id: str) -> set[str]:
    return {piece.sha256 for one in checkpoints.of_run(connection, run_id) for piece in one.pieces}


@pytest.mark.asyncio
async def test_another_runs_token_opens_no_checkpoint(service: World) -> None:
    mine, token = await service.running(request())
    _, theirs = await service.running(request(name="other"))
    data, name = b"piece", hashlib.sha256(b"piece").hexdigest()
    assert (await service.runner("PUT", mine.id, f"pieces/{name}", token, content=data)).status_code == 201
    about = {"path": "x", "pieces": [{"sha256": name, "size": 5}]}
    assert (await service.runner("POST", mine.id, "checkpoints", token, json=about)).status_code == 200
    assert (await service.runner("GET", mine.id, f"pieces/{name}", token)).content == data
    for method, path, body in [
        ("GET", f"pieces/{name}", {}),
        ("PUT", f"pieces/{name}", {"content": data}),
        ("GET", "checkpoints", {}),
        ("POST", "checkpoints", {"json": about}),
    ]:
        assert (await service.runner(method, mine.id, path, theirs, **body)).status_code == 403, (method, path)


@pytest.mark.asyncio
async def test_a_checkpoint_is_complete_or_not_there(service: World) -> None:
    view, token = await service.running(request())
    data, name = b"piece", hashlib.sha256(b"piece").hexdigest()
    about = {"path": "x", "pieces": [{"sha256": name, "size": 5}]}
    answer = await service.runner("POST", view.id, "checkpoints", token, json=about)
    assert (answer.status_code, "is not here" in answer.text) == (404, True)
    wrong = await service.runner("PUT", view.id, f"pieces/{name}", token, content=b"other")
    assert wrong.status_code == 400
    await service.runner("PUT", view.id, f"pieces/{name}", token, content=data)
    short = {"path": "x", "pieces": [{"sha256": name, "size": 4}]}
    assert (await service.runner("POST", view.id, "checkpoints", token, json=short)).status_code == 400
    assert (await service.runner("GET", view.id, "checkpoints", token)).json() == {"checkpoints": []}
    other = hashlib.sha256(b"never kept").hexdigest()
    assert (await service.runner("GET", view.id, f"pieces/{other}", token)).status_code == 404
    channel = HttpChannel(service.runs_url, view.id)
    channel._token = token
    with pytest.raises(Refused, match="404"):
        await asyncio.to_thread(channel.piece, name, 0)
