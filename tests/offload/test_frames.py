from __future__ import annotations

from typing import Any

import pytest
from support.offload import NOW, new_run

from aiinfn_hub.contract.jobs import JobState
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.offload import frames, runs
from aiinfn_hub.offload.frames import Limits
from aiinfn_hub.store.engine import Database


@pytest.fixture
def run_id(database: Database) -> str:
    run, _ = database.run(runs.create, new_run(), now=NOW)
    database.run(runs.move, run.id, JobState.QUEUED, now=NOW)
    return run.id


def text(seq: int, words: str = "") -> dict[str, Any]:
    return {"seq": seq, "output_type": "stream", "name": "stdout", "text": words or f"line {seq}"}


def send(database: Database, run_id: str, *batch: dict[str, Any], attempt: int = 1, **options: Any) -> int:
    run = database.run(runs.get, run_id)
    return database.run(frames.append, run, attempt, batch, now=NOW, **options)


def texts(database: Database, run_id: str, after: int = 0, **options: Any) -> list[str]:
    return [frame["text"] for frame in database.run(frames.after, run_id, after, **options)]


def test_frames_come_back_in_order_with_their_number(database: Database, run_id: str) -> None:
    assert send(database, run_id, text(2), text(1)) == 3
    assert database.run(frames.after, run_id, 0) == [
        {"seq": 1, "output_type": "stream", "name": "stdout", "text": "line 1"},
        {"seq": 2, "output_type": "stream", "name": "stdout", "text": "line 2"},
    ]
    assert database.run(runs.get, run_id).frames == 2


def test_a_batch_that_is_sent_again_changes_nothing(database: Database, run_id: str) -> None:
    send(database, run_id, text(1), text(2))
    assert send(database, run_id, text(1), text(2)) == 3
    assert send(database, run_id, text(2), text(3)) == 4
    assert texts(database, run_id) == ["line 1", "line 2", "line 3"]


def test_a_gap_is_no_reason_to_wait_for_ever(database: Database, run_id: str) -> None:
    assert send(database, run_id, text(5)) == 6


def test_attempts_number_their_own_frames_and_everybody_sees_one_order(database: Database, run_id: str) -> None:
    send(database, run_id, text(1, "first"))
    database.run(frames.announce, database.run(runs.get, run_id), 2, "attempt 2 starts here", now=NOW)
    database.run(frames.announce, database.run(runs.get, run_id), 2, "attempt 2 starts here", now=NOW)
    send(database, run_id, text(1, "second"), attempt=2)
    assert texts(database, run_id) == ["first", "[aiinfn: attempt 2 starts here]\n", "second"]
    assert [frame["seq"] for frame in database.run(frames.after, run_id, 0)] == [1, 2, 3]


def test_after_a_number_come_the_later_ones(database: Database, run_id: str) -> None:
    send(database, run_id, *(text(n) for n in range(1, 6)))
    assert texts(database, run_id, 3) == ["line 4", "line 5"]
    assert texts(database, run_id, 3, limit=1) == ["line 4"]
    assert texts(database, run_id, 5) == []


def test_a_page_has_about_so_many_bytes_and_at_least_one_frame(database: Database, run_id: str) -> None:
    send(database, run_id, *(text(n, "x" * 1000) for n in range(1, 6)))
    assert len(texts(database, run_id, max_bytes=2500)) == 2
    assert len(texts(database, run_id, max_bytes=1)) == 1


def test_a_frame_that_cannot_be_shown_does_not_stop_those_behind_it(database: Database, run_id: str) -> None:
    evil = {"seq": 1, "output_type": "comm_open"}
    script = {"seq": 2, "output_type": "display_data", "data": {"application/javascript": "alert(1)"}}
    assert send(database, run_id, evil, script, text(3)) == 4
    assert texts(database, run_id) == [
        "[aiinfn: an output was left out: 'comm_open' is no kind of output.]\n",
        "line 3",
    ]


@pytest.mark.parametrize("seq", [None, 0, -1, "1", 1.5, 2**31])
def test_a_frame_without_a_number_is_refused(database: Database, run_id: str, seq: Any) -> None:
    with pytest.raises(InvalidInput, match="sequence number"):
        send(database, run_id, text(1) | {"seq": seq})


SMALL = Limits(head_frames=3, head_bytes=10_000, tail_frames=2, tail_bytes=10_000)


def test_of_too_many_frames_the_first_and_the_latest_remain(database: Database, run_id: str) -> None:
    for n in range(1, 11):
        assert send(database, run_id, text(n), limits=SMALL) == n + 1
    assert texts(database, run_id) == [
        "line 1",
        "line 2",
        "line 3",
        "[aiinfn: 5 outputs are left out here]\n",
        "line 9",
        "line 10",
    ]


def test_the_same_in_one_batch(database: Database, run_id: str) -> None:
    send(database, run_id, *(text(n) for n in range(1, 11)), limits=SMALL)
    assert texts(database, run_id)[3:] == ["[aiinfn: 5 outputs are left out here]\n", "line 9", "line 10"]


def test_a_batch_that_is_sent_again_after_the_cut_changes_nothing(database: Database, run_id: str) -> None:
    send(database, run_id, *(text(n) for n in range(1, 11)), limits=SMALL)
    before = database.run(frames.after, run_id, 0)
    assert send(database, run_id, *(text(n) for n in range(6, 11)), limits=SMALL) == 11
    assert database.run(frames.after, run_id, 0) == before


def test_bytes_are_bounded_as_well(database: Database, run_id: str) -> None:
    limits = Limits(head_bytes=2500, tail_bytes=2500, head_frames=1000, tail_frames=1000)
    for n in range(1, 31):
        send(database, run_id, text(n, f"{n:04d}" + "x" * 1000), limits=limits)
    found = texts(database, run_id)
    assert [line[:4] for line in found if line[:4].isdigit()] == ["0001", "0002", "0029", "0030"]


def test_beyond_all_limits_frames_are_acknowledged_and_forgotten(database: Database, run_id: str) -> None:
    limits = Limits(accepted_bytes=500)
    assert send(database, run_id, *(text(n, "x" * 200) for n in range(1, 8)), limits=limits) == 8
    assert len(texts(database, run_id)) == 1


@pytest.mark.parametrize(
    "words",
    [
        pytest.param("\x00 and \x1b[31m", id="control characters"),
        pytest.param("\ud83d", id="half a surrogate pair"),
        pytest.param("grüße 🚀", id="more than ASCII"),
    ],
)
def test_any_text_can_be_stored_on_both_databases(database: Database, run_id: str, words: str) -> None:
    send(database, run_id, text(1, words))
    assert texts(database, run_id) == [words.encode("utf-8", "replace").decode()]
