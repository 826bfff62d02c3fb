"""Work that outlives an attempt: kept, restored, and given the time for it when the place is lost."""

from __future__ import annotations

import contextlib
import io
import os
import signal
import tarfile
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakeservice import FakeService

from aiinfn_hub.contract.run import checkpoints
from aiinfn_hub.contract.run.channel import Refused
from aiinfn_hub.contract.run.checkpoints import PIECE, Checkpoints
from aiinfn_hub.contract.run.directory import DirectoryChannel

#: Counts steps, keeps each, and is told to go after the third.
COUNTS = """
import os, time
from aiinfn_labext import offload
step = int(open("step").read()) if os.path.exists("step") else 0
print("attempt", offload.attempt, "from", step)
while step < limit:
    step += 1
    with open("step", "w") as file:
        file.write(str(step))
    offload.checkpoint("step")
    if step == 3 and offload.attempt == 1:
        print("ready")
        while True:
            time.sleep(0.05)
"""


class Store:
    """The channel of checkpoints, in memory."""

    def __init__(self) -> None:
        self.pieces: dict[str, bytes] = {}
        self.kept: list[dict[str, Any]] = []
        self.sent: list[str] = []
        self.refuse: Refused | None = None

    def keep_piece(self, sha256: str, data: bytes, _patience_s: float) -> None:
        if self.refuse:
            raise self.refuse
        self.pieces[sha256] = data
        self.sent.append(sha256)

    def keep_checkpoint(self, about: dict[str, Any], _patience_s: float) -> None:
        if any(piece["sha256"] not in self.pieces for piece in about["pieces"]):
            raise Refused(404, "a piece is not here")
        self.kept.insert(0, {**about, "attempt": len(self.kept) + 1})

    def checkpoints(self, _patience_s: float) -> list[dict[str, Any]]:
        return self.kept

    def piece(self, sha256: str, _patience_s: float) -> bytes:
        if sha256 not in self.pieces:
            raise Refused(404, "it is gone")
        return self.pieces[sha256]


@pytest.fixture
def store() -> Store:
    return Store()


def of(store: Any) -> Checkpoints:
    return Checkpoints(store, 1.0)


def test_a_file_and_a_folder_are_where_they_were(store: Store, tmp_path: Path) -> None:
    file, folder = tmp_path / "model.pt", tmp_path / "run" / "epoch"
    folder.mkdir(parents=True)
    file.write_bytes(b"weights")
    file.chmod(0o640)
    (folder / "a").write_text("1")
    (folder / "sub").mkdir()
    (folder / "sub" / "b").write_text("2")
    (folder / "link").symlink_to(file)
    kept = of(store)
    kept.keep(str(file))
    kept.keep(str(folder))
    assert kept.flush(5)
    (folder / "sub" / "b").unlink()
    (folder / "a").write_text("changed")
    (folder / "other").write_text("stays")
    file.unlink()
    of(store).restore()
    assert file.read_bytes() == b"weights"
    assert file.stat().st_mode & 0o777 == 0o640
    assert {path.name: path.read_text() for path in folder.rglob("*") if path.is_file()} == {
        "a": "1", "b": "2", "link": "weights", "other": "stays",
    }  # fmt: skip


def test_it_is_copied_at_the_call(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("then")
    kept = of(store)
    kept.keep(str(file))
    file.write_text("later")
    assert kept.flush(5)
    of(store).restore()
    assert file.read_text() == "then"


def test_pieces_that_have_not_changed_are_not_sent_again(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_bytes(os.urandom(2 * PIECE))
    kept = of(store)
    kept.keep(str(file))
    assert kept.flush(10)
    first = len(store.sent)
    with file.open("r+b") as there:
        there.seek(PIECE + 10)
        there.write(b"changed")
    kept.keep(str(file))
    assert kept.flush(10)
    assert first == 3
    assert len(store.sent) <= first + 2  # the one that changed, and that with the times of the file


def test_the_one_before_is_restored_where_the_last_is_damaged(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x"
    kept = of(store)
    for text in ("first", "second"):
        file.write_text(text)
        kept.keep(str(file))
        assert kept.flush(5)
    del store.pieces[store.kept[0]["pieces"][0]["sha256"]]
    of(store).restore()
    assert file.read_text() == "first"
    said = capsys.readouterr().err
    assert "from attempt 2 cannot be restored" in said
    assert "is restored, as attempt 1 has kept it" in said


def test_what_the_service_has_lost_is_sent_again(store: Store, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("same")
    kept = of(store)
    kept.keep(str(file))
    assert kept.flush(5)
    store.pieces.clear()
    kept.keep(str(file))
    assert kept.flush(5)
    assert len(store.kept) == 2


def test_a_refusal_is_said_and_the_work_goes_on(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "x").write_text("1")
    store.refuse = Refused(429, "no room")
    kept = of(store)
    kept.keep(str(tmp_path / "x"))
    assert kept.flush(5)
    assert "was not kept: the service answered 429: no room" in capsys.readouterr().err
    store.refuse = None
    kept.keep(str(tmp_path / "x"))
    assert kept.flush(5)
    assert len(store.kept) == 1


def test_what_is_not_there_cannot_be_kept(store: Store, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        of(store).keep(str(tmp_path / "nothing"))


@given(st.binary(max_size=600))
def test_bytes_that_are_no_checkpoint_write_nothing(data: bytes) -> None:
    target = Path("/nowhere/at/all")
    with contextlib.suppress(tarfile.TarError):  # zeros are an empty archive
        checkpoints._unpack(io.BytesIO(data), str(target))
    assert not target.parent.exists()


@pytest.mark.parametrize("name", ["it/../../x", "/it/x", "other", "it//x", "it/./x", "../it"])
def test_no_checkpoint_writes_beside_its_path(tmp_path: Path, name: str) -> None:
    copy = io.BytesIO()
    with tarfile.open(fileobj=copy, mode="w") as tar:
        member = tarfile.TarInfo(name)
        member.size = 1
        tar.addfile(member, io.BytesIO(b"x"))
    copy.seek(0)
    with pytest.raises(tarfile.TarError, match="no path of a checkpoint"):
        checkpoints._unpack(copy, str(tmp_path / "in" / "it"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices_are_not_made(tmp_path: Path, kind: bytes) -> None:
    copy = io.BytesIO()
    with tarfile.open(fileobj=copy, mode="w") as tar:
        member = tarfile.TarInfo("it/x")
        member.type, member.linkname = kind, "it/none"
        tar.addfile(member)
    copy.seek(0)
    with pytest.raises((tarfile.TarError, KeyError)):
        checkpoints._unpack(copy, str(tmp_path / "it"))
    assert not os.path.lexists(tmp_path / "it" / "x")


def test_a_run_goes_on_where_the_one_before_was_told_to_go(service: FakeService, start: Any) -> None:
    started = start(COUNTS, "step", limit=5)
    until(lambda: "ready" in started.text())
    started.run.process.send_signal(signal.SIGTERM)
    assert service.wait(started.run) == 143
    assert started.run.result is None, "an eviction is no end"
    service.start_again(started.run)
    assert service.wait(started.run) == 0, started.log
    assert "attempt 2 from 3" in started.text()
    assert "step is restored, as attempt 1 has kept it" in started.text("stderr")
    assert started.run.outputs["step"][1] == b"5"


def test_code_that_listens_ends_by_itself(service: FakeService, start: Any) -> None:
    source = """
from aiinfn_labext import offload
print("ready")
offload.evicting.wait(20)
with open("x", "w") as file: file.write("saved")
offload.checkpoint("x")
"""
    started = start(source)
    until(lambda: "ready" in started.text())
    started.run.process.send_signal(signal.SIGTERM)
    assert service.wait(started.run) == 143
    assert [kept["path"] for kept in started.run.checkpoints] == ["x"]
    assert "KeyboardInterrupt" not in started.log


def test_a_hook_is_called_when_the_code_was_interrupted(service: FakeService, start: Any) -> None:
    source = """
import time
from aiinfn_labext import offload

@offload.on_evict
def broken(): raise ValueError("mine")

@offload.on_evict
def save():
    with open("x", "w") as file: file.write(str(done))
    offload.checkpoint("x")

done = 7
print("ready")
while True: time.sleep(0.05)
"""
    started = start(source)
    until(lambda: "ready" in started.text())
    started.run.process.send_signal(signal.SIGTERM)
    assert service.wait(started.run) == 143
    assert [kept["path"] for kept in started.run.checkpoints] == ["x"]
    assert "ValueError: mine" in started.log


def test_a_run_that_is_cancelled_calls_no_hook(service: FakeService, start: Any) -> None:
    source = """
import time
from aiinfn_labext import offload
offload.on_evict(lambda: print("hook"))
print("ready")
while True: time.sleep(0.05)
"""
    started = start(source)
    until(lambda: "ready" in started.text())
    started.run.cancel = True
    assert service.wait(started.run) == 143
    assert "hook" not in started.log


def test_what_was_kept_before_an_exception_is_sent(service: FakeService, ended: Any) -> None:
    source = """
from aiinfn_labext import offload
with open("x", "wb") as file: file.write(bytes(3_000_000))
offload.checkpoint("x")
raise ValueError("later")
"""
    failed = ended(source)
    assert failed.run.result["state"] == "failed"
    assert [kept["path"] for kept in failed.run.checkpoints] == ["x"]
    service.start_again(failed.run)


def test_a_damaged_service_is_no_reason_to_begin_anew(service: FakeService, start: Any) -> None:
    """Its answer is missing, and work of hours with it: another attempt may find it."""
    started = start(COUNTS, "step", limit=5)
    until(lambda: "ready" in started.text())
    started.run.process.send_signal(signal.SIGTERM)
    assert service.wait(started.run) == 143
    service.spec_extra["patience_s"] = 0
    service.silent_about = "/checkpoints"
    service.start_again(started.run)
    assert service.wait(started.run) == 72
    assert "step is restored" not in started.log


def test_the_limit_is_what_the_service_says_and_may_grow(service: FakeService, start: Any) -> None:
    started = start("import time\nprint('ready')\nwhile True: time.sleep(0.05)\n", time_s=600)
    started.run.limit_s = 600.0
    until(lambda: "ready" in started.text())
    started.run.limit_s = 0.5
    time.sleep(1)  # the guard sleeps until the old limit, which only an extension changes
    assert started.run.process.poll() is None
    started.run.process.kill()
    assert service.wait(started.run) < 0

    short = start("import time\nprint('ready')\ntime.sleep(4)\n", time_s=3)
    until(lambda: "ready" in short.text())
    short.run.limit_s = 30.0
    assert service.wait(short.run) == 0, short.log


def test_an_attempt_after_the_time_is_over_is_no_longer_run(service: FakeService, start: Any) -> None:
    service.hold = True
    started = start("print('never')\nimport time\ntime.sleep(5)\n", time_s=600)
    started.run.limit_s = 0.0
    service.start(started.run)
    assert service.wait(started.run) == 124
    assert started.run.result["verdict"] == "The time limit of 0 s was over."


def test_the_memory_of_a_run_is_reported(ended: Any) -> None:
    run = ended("x = bytearray(200 * 1024**2)\nfor index in range(0, len(x), 4096): x[index] = 1\n").run
    assert 200 * 1024**2 < run.result["memory"] < 500 * 1024**2


def test_an_image_needs_no_package_of_ours_and_a_job_sends_no_jobs(ended: Any) -> None:
    source = """
from aiinfn_labext import offload

@offload.task(gpu="1")
def f(x): return x + 1

@offload.task
def g(x): return x + 2

total = f(1) + g(1)
try:
    offload(f, 1)
except RuntimeError as error:
    said = str(error)
try:
    offload.jobs()
except AttributeError as error:
    lacks = str(error)
"""
    outputs = ended(source, "total", "said", "lacks").run.outputs
    assert outputs["total"][1] == b"5"
    assert outputs["said"][1].startswith(b"A job sends no jobs")
    assert b"offload.jobs is for notebooks" in outputs["lacks"][1]


def test_here_the_files_stay_where_they_are(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("1")
    channel = DirectoryChannel(str(tmp_path / "run"))
    kept = Checkpoints(channel, 1.0)
    kept.keep(str(tmp_path / "x"))
    assert kept.flush(5)
    assert channel.checkpoints(1.0) == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x"]


def until(condition: Any, seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
