"""What a session's processes use: real processes that work, end, and go into the background."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from aiinfn_labext.processor import MARK, Processor

BURN = "import time\nend = time.monotonic() + 30\nwhile time.monotonic() < end: sum(range(1000))"


@contextmanager
def working(mark: str, *, orphan: bool = False) -> Iterator[None]:
    """A process that keeps one core busy; as an orphan it is nobody's child."""
    environ = {**os.environ, MARK: mark}
    if orphan:
        command = ["sh", "-c", 'exec setsid "$0" -c "$1" >/dev/null & echo $!', sys.executable, BURN]
        pid = int(
            subprocess.run(command, env=environ, stdout=subprocess.PIPE, check=True, timeout=10).stdout.split()[0]
        )
        try:
            yield
        finally:
            os.kill(pid, 9)
        return
    process = subprocess.Popen([sys.executable, "-c", BURN], env=environ)
    try:
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("orphan", [False, True])
def test_what_a_session_left_in_the_background_counts(orphan: bool) -> None:
    processor = Processor("/user/ada/")
    with working("/user/ada/", orphan=orphan):
        time.sleep(1.5)  # what is measured is the time of the processor in it
        assert 0.2 < processor.cores() < 1.6


def test_another_session_does_not() -> None:
    processor = Processor("/user/ada/")
    with working("/user/ada/two/"):
        time.sleep(0.5)
        assert processor.cores() == 0


def test_without_a_hub_it_is_what_this_process_started() -> None:
    processor = Processor("")
    with working(""):
        time.sleep(1.0)
        assert processor.cores() > 0.2


def test_two_looks_at_once() -> None:
    assert Processor("", clock=lambda: 5.0).cores() == 0.0


def test_what_ends_takes_nothing_from_the_others() -> None:
    """Its time is gone with it; the mean is never below zero."""
    with working("/user/eve/"):
        time.sleep(0.7)
        processor = Processor("/user/eve/")
    assert processor.cores() == 0
