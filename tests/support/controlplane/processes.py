"""One program of the control plane as a process: started, killed, started again, stopped."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from aiinfn_hub.local.supervise import die_with_parent


class Program:
    """A process with a log file and an answer to "are you ready?".

    `ready` may raise OSError for "not yet".
    """

    def __init__(self, name: str, command: Sequence[str], folder: Path, ready: Callable[[], bool]) -> None:
        self.name = name
        self.command = list(command)
        self.log = folder / f"{name}.log"
        self.ready = ready
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Begin; `wait` tells when it is of use."""
        assert not self.running, f"{self.name} runs already"
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command,
                cwd=self.log.parent,
                env={"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.log.parent)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent(),  # noqa: PLW1509  it only calls prctl; a killed run leaves no servers
            )

    def wait(self, timeout_s: float = 90) -> None:
        """Until it is ready.

        Raises:
            AssertionError: it died, or took too long; with the end of its log.
        """
        deadline = time.monotonic() + timeout_s
        while not self._is_ready():
            assert self.running, f"{self.name} ended:\n{self.tail()}"
            assert time.monotonic() < deadline, f"{self.name} is not ready after {timeout_s} s:\n{self.tail()}"
            time.sleep(0.1)

    def kill(self) -> None:
        """As `kill -9` does."""
        self._end(signal.SIGKILL, 10)

    def stop(self, patience_s: float = 20) -> None:
        """Ask it to end; kill it if it does not."""
        self._end(signal.SIGTERM, patience_s)

    def pause(self) -> None:
        """Freeze it: connections stay open and nobody answers, as in an outage of the network."""
        assert self.process
        os.kill(self.process.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        assert self.process
        os.kill(self.process.pid, signal.SIGCONT)

    def tail(self, lines: int = 30) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def _is_ready(self) -> bool:
        try:
            return self.ready()
        except OSError:
            return False

    def _end(self, number: signal.Signals, patience_s: float) -> None:
        process = self.process
        if process is None or process.poll() is not None:
            return
        os.kill(process.pid, number)
        os.kill(process.pid, signal.SIGCONT)
        try:
            process.wait(patience_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)
