"""How much of the processor a session uses: its server, kernels, terminals, and what they left in the background."""

from __future__ import annotations

import os
import time
from collections.abc import Callable

import psutil

#: JupyterHub gives it to the server of a session, and everything that is started there inherits it: no two sessions
#: have the same.
MARK = "JUPYTERHUB_SERVICE_PREFIX"


class Processor:
    """Compares two looks.

    Args:
        mark: the value of MARK in this session; "" counts the server and what came from it.
        clock: seconds.
    """

    def __init__(self, mark: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._mark = mark
        self._clock = clock
        self._at, self._spent = clock(), self._now()

    def cores(self) -> float:
        """Cores used since the last look, in the mean."""
        at, spent = self._clock(), self._now()
        used, span = spent - self._spent, at - self._at
        self._at, self._spent = at, spent
        # What ends takes its time along, unless who started it waited for it.
        return max(0.0, used) / span if span > 0 else 0.0

    def _now(self) -> float:
        """Seconds of the processor that everything in the session has used so far."""
        me = psutil.Process()
        found = psutil.process_iter() if self._mark else [me, *me.children(recursive=True)]
        return sum(_spent(one) for one in found if not self._mark or self._mine(one))

    def _mine(self, process: psutil.Process) -> bool:
        try:
            return bool(process.uids().real == os.getuid() and process.environ().get(MARK) == self._mark)
        except (psutil.Error, OSError):
            return False  # it has ended, or is not ours to look at


def _spent(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.Error:
        return 0.0  # it has ended
    return float(times.user + times.system + times.children_user + times.children_system)
