"""Ends the person's code from outside: the time limit, a cancel, SIGTERM; politely first, then for good."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from typing import Any, Callable, NamedTuple, Optional

#: Exit codes, as the Job's failure policy knows them.
RAISED, MISMATCH, NO_INPUTS, NO_DELIVERY, TIME_OVER, TERMINATED = 70, 71, 72, 73, 124, 143
#: Seconds between two interruptions, as long as none has arrived.
AGAIN_S = 0.2


class Ending(NamedTuple):
    """How a run ended; without a state the service is not told, because another attempt may follow."""

    code: int
    state: str
    verdict: str


SUCCEEDED = Ending(0, "succeeded", "")
STOPS = {
    "terminated": Ending(TERMINATED, "", "stopped by the platform"),
    "cancelled": Ending(TERMINATED, "", "cancelled"),
    "gone": Ending(TERMINATED, "", "replaced by a newer attempt, or already over"),
}


class Watch:
    """Watches over the main thread.

    Args:
        grace_s: how long the person's code may take to end after it was interrupted.
        abandon: called in another thread when it did not end; must leave the process.
        warn: called in another thread before an interruption by SIGTERM, with what is set when the code has ended.
    """

    def __init__(
        self, grace_s: float, abandon: Callable[[Ending], None], warn: Callable[[threading.Event], None]
    ) -> None:
        self.ending: Optional[Ending] = None
        self._grace_s = grace_s
        self._abandon = abandon
        self._warn = warn
        self._began = 0.0
        self._limit_s = 0.0
        self._phase = "before"
        self._interrupted = False
        self._wake = threading.Event()
        self._over = threading.Event()

    def install(self) -> None:
        """Receive SIGTERM from now on; as process 1 of a container we would not even die of it otherwise."""
        reader, writer = os.pipe()
        os.set_blocking(writer, False)
        # The handler of C writes the number there at once, also while the main thread is deep in C code.
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        signal.signal(signal.SIGTERM, lambda *_: self.stop(STOPS["terminated"]))
        # A forked worker shares that pipe: the end of its pool, which is a SIGTERM to it, would look like ours.
        os.register_at_fork(after_in_child=_forget_signals)
        threading.Thread(target=self._signals, args=(reader,), name="aiinfn-signals", daemon=True).start()

    def begin(self, limit_s: float) -> None:
        """The person's code starts now, in this (the main) thread, and has so many seconds."""
        signal.signal(signal.SIGINT, self._on_interrupt)
        self._began, self._limit_s = time.monotonic(), limit_s
        self._phase = "running"
        main = threading.get_ident()
        threading.Thread(target=self._guard, args=(main,), name="aiinfn-watch", daemon=True).start()

    def limit(self, limit_s: float) -> None:
        """It has so many seconds in all, from now on: somebody has extended it."""
        self._limit_s = limit_s

    def end(self) -> None:
        """The person's code is over: a late interruption finds nobody, and SIGTERM no longer stops the delivery."""
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._phase = "after"
        self._over.set()
        self._wake.set()

    def stop(self, ending: Ending) -> None:
        """End the person's code; the first reason counts. Before it has started, there is nothing to save."""
        if self._phase == "before" and ending.code == TERMINATED:
            os._exit(TERMINATED)
        if self._phase == "running" and self.ending is None:
            self.ending = ending
            self._wake.set()

    def _signals(self, reader: int) -> None:
        while True:
            for number in os.read(reader, 64):
                if number == signal.SIGTERM:
                    self.stop(STOPS["terminated"])

    def _guard(self, main: int) -> None:
        while not self._wake.wait(max(0.0, self._left_s())):
            if self._left_s() <= 0:  # it may have been extended meanwhile
                self.stop(Ending(TIME_OVER, "failed", "The time limit of %g s was over." % self._limit_s))
        ending = self.ending
        if ending is STOPS["terminated"]:
            self._warn(self._over)
        if ending is not None and not self._interrupt(main):
            self._abandon(ending)

    def _left_s(self) -> float:
        return self._began + self._limit_s - time.monotonic()

    def _interrupt(self, main: int) -> bool:
        """Interrupt the main thread, and whether it has come to its end in time."""
        deadline = time.monotonic() + self._grace_s
        while not self._over.is_set() and time.monotonic() < deadline:
            if not self._interrupted:
                with contextlib.suppress(OSError):  # the thread has just ended
                    # A signal wakes it from a sleep or a read, which `interrupt_main` does not; but one that comes
                    # just before the sleep begins is noticed after it only: hence again, until the handler has run.
                    signal.pthread_kill(main, signal.SIGINT)
            self._over.wait(AGAIN_S)
        return self._over.is_set()

    def _on_interrupt(self, _number: int, _frame: Any) -> None:
        self._interrupted = self.ending is not None
        raise KeyboardInterrupt


def _forget_signals() -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
