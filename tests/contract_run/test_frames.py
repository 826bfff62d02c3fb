"""The log of frames: merged, numbered, bounded, kept until acknowledged."""

from __future__ import annotations

import json
import threading

from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.contract.run.frames import MAX_DISPLAY, MAX_TEXT, FrameLog, display_frame

BATCH = st.lists(st.tuples(st.sampled_from(["stdout", "stderr"]), st.text(max_size=30), st.booleans()), max_size=30)


def everything(log: FrameLog) -> list[dict]:
    """Take and acknowledge until nothing is left."""
    frames: list[dict] = []
    while batch := log.take():
        frames += batch
        log.acknowledge(batch[-1]["seq"] + 1)
    return frames


@given(BATCH)
def test_no_text_is_lost_and_numbers_have_no_gap(writes: list[tuple[str, str, bool]]) -> None:
    log = FrameLog()
    frames: list[dict] = []
    for stream, text, take in writes:
        log.write(stream, text)
        if take:
            frames += everything(log)
    frames += everything(log)
    assert [frame["seq"] for frame in frames] == list(range(1, len(frames) + 1))
    for stream in ("stdout", "stderr"):
        written = "".join(text for name, text, _ in writes if name == stream)
        assert "".join(frame["text"] for frame in frames if frame["name"] == stream) == written


def test_text_of_one_stream_is_one_frame_until_another_comes_between() -> None:
    log = FrameLog()
    for stream, text in [("stdout", "a"), ("stdout", "b"), ("stderr", "c"), ("stdout", "d")]:
        log.write(stream, text)
    log.add({"output_type": "display_data", "data": {}, "metadata": {}})
    log.write("stdout", "e")
    assert [frame.get("text") for frame in log.take()] == ["ab", "c", "d", None, "e"]


def test_long_text_becomes_several_frames() -> None:
    log = FrameLog()
    log.write("stdout", "x" * (2 * MAX_TEXT + 10))
    assert [len(frame["text"]) for frame in log.take()] == [MAX_TEXT, MAX_TEXT, 10]


def test_frames_come_again_until_they_are_acknowledged() -> None:
    log = FrameLog()
    log.write("stdout", "a")
    assert log.take() == log.take()
    log.write("stderr", "b")
    log.acknowledge(2)
    assert [frame["text"] for frame in log.take()] == ["b"]
    log.acknowledge(2)
    log.acknowledge(3)
    assert log.take() == []


def test_a_batch_has_at_least_one_frame_and_otherwise_keeps_its_limits() -> None:
    log = FrameLog()
    for _ in range(5):
        log.write("stdout", "x" * 1000)
        log.write("stderr", "y")
    assert len(log.take(frames=3)) == 3
    assert len(log.take(size=10)) == 1
    assert len(log.take(size=1200)) == 2


def test_what_nobody_takes_is_left_out_and_said() -> None:
    log = FrameLog(max_pending=1000)
    log.add(display_frame("display_data", {"text/plain": "a"}))
    log.add(display_frame("display_data", {"text/plain": "b" * 5000}))
    log.add(display_frame("display_data", {"text/plain": "c"}))
    frames = everything(log)
    assert [frame["seq"] for frame in frames] == [1, 2, 3]
    assert frames[1]["name"] == "stderr"
    assert "about 5 kB of output were left out here" in frames[1]["text"]
    assert frames[2]["data"] == {"text/plain": "c"}


def test_room_that_is_acknowledged_can_be_used_again() -> None:
    log = FrameLog(max_pending=1000)
    for _ in range(10):
        log.write("stdout", "x" * 600)
        assert [frame["text"] for frame in everything(log)] == ["x" * 600]


def test_an_error_is_kept_whatever_the_limits() -> None:
    log = FrameLog(max_total=100)
    log.write("stdout", "x" * 1000)
    log.add({"output_type": "error", "ename": "E", "evalue": "", "traceback": ["x" * 1000]}, keep=True)
    log.write("stdout", "y" * 1000)
    log.finish()
    kinds = [(frame["output_type"], frame.get("name")) for frame in everything(log)]
    assert kinds == [("stream", "stderr"), ("error", None), ("stream", "stderr")]


def test_threads_do_not_tear_text() -> None:
    log = FrameLog()
    threads = [threading.Thread(target=lambda: [log.write("stdout", "abc\n") for _ in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert "".join(frame["text"] for frame in everything(log)) == "abc\n" * 2000


def test_a_display_is_an_nbformat_output() -> None:
    assert display_frame("execute_result", {"text/plain": "1"}) == {
        "output_type": "execute_result",
        "data": {"text/plain": "1"},
        "metadata": {},
        "execution_count": None,
    }


def test_a_display_over_the_limit_keeps_its_text_and_says_so() -> None:
    frame = display_frame("display_data", {"text/plain": "<Figure>", "image/png": "A" * (MAX_DISPLAY + 1)})
    assert list(frame["data"]) == ["text/plain"]
    assert frame["data"]["text/plain"].startswith("<Figure>\n[aiinfn: a display of 2.1 MB")
    assert len(json.dumps(frame)) < 300


def test_of_many_changes_of_one_display_the_last_is_sent() -> None:
    log = FrameLog()

    def change(name: str, text: str) -> None:
        log.add({"output_type": "update_display_data", "data": {"text/plain": text}, "transient": {"display_id": name}})

    log.write("stdout", "before")
    for number in range(1000):
        change("bar", str(number))
    change("other", "x")
    log.write("stdout", "after")
    sent = log.take()
    assert [frame.get("text") or frame["data"]["text/plain"] for frame in sent] == ["beforeafter", "999", "x"]
    log.acknowledge(4)
    change("bar", "one")
    log.add({"output_type": "display_data", "data": {}, "transient": {"display_id": "bar"}})
    change("bar", "two")
    log.finish()
    kinds = ["update_display_data", "display_data", "update_display_data"]
    assert [frame["output_type"] for frame in log.take()] == kinds, "in their order"
