"""The courier: frames out, the wish to cancel back, whatever the service does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from aiinfn_hub.contract.run.channel import Gone, Orders, Refused, Unreachable
from aiinfn_hub.contract.run.courier import Courier
from aiinfn_hub.contract.run.frames import FrameLog
from aiinfn_hub.contract.run.memory import Memory
from aiinfn_hub.contract.run.vitals import Vitals


class Service:
    """A channel that takes frames, or raises what the test wants next."""

    def __init__(self) -> None:
        self.faults: list[Exception] = []
        self.fault: Exception | None = None
        self.frames_taken: list[dict[str, Any]] = []
        self.heartbeats = 0
        self.cancel = False
        self.limit_s: float | None = None
        self.vitals: dict[str, Any] = {}

    def frames(self, batch: list[dict[str, Any]], vitals: dict[str, Any]) -> tuple[int, Orders]:
        self._fail()
        self.frames_taken += batch
        self.vitals = vitals
        return batch[-1]["seq"] + 1, Orders(self.cancel, self.limit_s)

    def heartbeat(self, vitals: dict[str, Any]) -> Orders:
        self._fail()
        self.heartbeats += 1
        self.vitals = vitals
        return Orders(self.cancel, self.limit_s)

    def _fail(self) -> None:
        if self.faults:
            raise self.faults.pop(0)
        if self.fault is not None:
            raise self.fault

    def text(self) -> str:
        return "".join(frame["text"] for frame in self.frames_taken)


class Setting:
    def __init__(self, heartbeat_s: float) -> None:
        self.service, self.log, self.stops, self.limits = Service(), FrameLog(), list[str](), list[float]()
        channel: Any = self.service  # as much of one as a courier needs
        self.vitals = Vitals(Memory(0))
        self.courier = Courier(
            self.log, channel, heartbeat_s, self.vitals, stop=self.stops.append, limit=self.limits.append
        )
        self.courier.start()

    def until(self, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + 10
        while not condition():
            assert time.monotonic() < deadline, "it did not happen"
            time.sleep(0.01)


@pytest.fixture
def setting() -> Setting:
    return Setting(heartbeat_s=60)


def test_frames_go_out_while_the_run_lasts(setting: Setting) -> None:
    setting.log.write("stdout", "a")
    setting.until(lambda: setting.service.text() == "a")
    setting.log.write("stdout", "b")
    assert setting.courier.finish(5)
    assert setting.service.text() == "ab"
    assert setting.service.heartbeats == 0


def test_silence_is_filled_with_heartbeats() -> None:
    setting = Setting(heartbeat_s=0.05)
    setting.until(lambda: setting.service.heartbeats >= 3)
    assert setting.courier.finish(1)


def test_a_cancel_comes_back_with_frames_and_with_heartbeats() -> None:
    for heartbeat_s, text in ((60, "a"), (0.05, "")):
        setting = Setting(heartbeat_s)
        setting.service.cancel = True
        setting.log.write("stdout", text)
        setting.until(lambda setting=setting: "cancelled" in setting.stops)
        setting.courier.finish(1)


def test_what_it_says_of_itself_goes_out_and_a_new_limit_comes_back() -> None:
    for heartbeat_s, text in ((60, "a"), (0.05, "")):
        setting = Setting(heartbeat_s)
        setting.service.limit_s = 7200.0
        setting.vitals.set({"loss": 0.5})
        setting.log.write("stdout", text)
        setting.until(lambda setting=setting: setting.limits)
        setting.courier.finish(1)
        assert set(setting.limits) == {7200.0}
        assert setting.service.vitals["memory"] > 1024**2  # a Python process
        assert setting.service.vitals["metrics"] == {"loss": 0.5}


def test_a_service_that_does_not_answer_gets_the_same_frames_later(setting: Setting) -> None:
    setting.service.faults = [Unreachable("away")] * 3
    setting.log.write("stdout", "a")
    setting.until(lambda: setting.service.text() == "a")
    assert setting.courier.finish(1)
    assert setting.service.text() == "a"


def test_the_last_words_are_tried_until_the_patience_is_over(setting: Setting) -> None:
    setting.service.fault = Unreachable("away")
    setting.log.write("stdout", "a")
    started = time.monotonic()
    assert not setting.courier.finish(0.5)
    assert 0.4 < time.monotonic() - started < 20


def test_the_last_words_arrive_when_the_service_comes_back(setting: Setting) -> None:
    """However long the pauses have become while the service was away."""
    setting.service.faults = [Unreachable("away")] * 6
    setting.log.write("stdout", "a")
    setting.until(lambda: len(setting.service.faults) <= 2)
    assert setting.courier.finish(10)
    assert setting.service.text() == "a"


def test_frames_that_are_refused_are_let_go(setting: Setting) -> None:
    setting.service.faults = [Refused(413, "too many")]
    setting.log.write("stdout", "a")
    setting.until(lambda: not setting.service.faults)
    setting.log.write("stdout", "b")
    assert setting.courier.finish(5)
    assert setting.service.text() == "b"


def test_an_attempt_that_was_replaced_stops_and_sends_no_more(setting: Setting) -> None:
    setting.service.fault = Gone(409, "a newer attempt")
    setting.log.write("stdout", "a")
    setting.until(lambda: setting.stops == ["gone"])
    started = time.monotonic()
    setting.courier.finish(30)
    assert time.monotonic() - started < 5


def test_a_fault_of_ours_ends_the_courier_and_not_the_run(setting: Setting, capfd: pytest.CaptureFixture[str]) -> None:
    setting.service.fault = ValueError("a bug")
    setting.log.write("stdout", "a")
    setting.courier.join(5)
    assert not setting.courier.is_alive()
    assert "ValueError: a bug" in capfd.readouterr().err
    assert not setting.courier.finish(1)


def test_much_goes_out_in_several_batches(setting: Setting) -> None:
    for number in range(1000):
        setting.log.add({"output_type": "stream", "name": "stdout", "text": f"{number}\n"})
    assert setting.courier.finish(10)
    assert setting.service.text() == "".join(f"{number}\n" for number in range(1000))
