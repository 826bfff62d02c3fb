"""The thread that carries frames out and brings the wish to cancel back, whatever the person's code does meanwhile."""

from __future__ import annotations

import threading
import time
import traceback
from typing import Callable, Optional

from .channel import MAX_PAUSE_S, Channel, Gone, Orders, Refused, Unreachable
from .frames import FrameLog
from .vitals import Vitals

INTERVAL_S = 0.2


class Courier(threading.Thread):
    """Sends frames every `INTERVAL_S`, and a heartbeat when there was nothing to send.

    Args:
        log: where the frames come from.
        channel: where they go.
        heartbeat_s: seconds of silence after which the service gets a heartbeat.
        vitals: asked at each step, and reported.
        stop: called with "cancelled", or "gone" when the service no longer knows this attempt.
        limit: called with the seconds that the attempt may take, when the service says them.
    """

    def __init__(
        self,
        log: FrameLog,
        channel: Channel,
        heartbeat_s: float,
        vitals: Vitals,
        *,
        stop: Callable[[str], None],
        limit: Callable[[float], None],
    ) -> None:
        super().__init__(name="aiinfn-courier", daemon=True)
        self._log = log
        self._channel = channel
        self._heartbeat_s = heartbeat_s
        self._vitals = vitals
        self._stop_run = stop
        self._limit = limit
        self._heard = time.monotonic()
        self._ending = threading.Event()
        self._deadline = 0.0
        self._left = False

    def run(self) -> None:
        """Until `finish`, or until the service wants no more."""
        try:
            pause = INTERVAL_S
            while not self._ending.wait(pause) and not self._left:
                pause = min(2 * pause, MAX_PAUSE_S) if self._tried() is None else INTERVAL_S
            self._last_words()
        except Exception:  # noqa: BLE001  a background loop: the run goes on without it
            traceback.print_exc()

    def _last_words(self) -> None:
        pause = INTERVAL_S
        while not self._left:
            empty = self._tried()
            left_s = self._deadline - time.monotonic()
            if empty or left_s <= 0:
                return
            if empty is None:
                time.sleep(min(pause, left_s))
                pause = min(2 * pause, MAX_PAUSE_S)

    def _tried(self) -> Optional[bool]:
        """One exchange with the service: whether there is nothing left to send; None if it did not answer."""
        try:
            return self._step()
        except Unreachable:
            return None

    def finish(self, patience_s: float) -> bool:
        """Send what is left, for so many seconds at most: whether all of it was taken."""
        self._deadline = time.monotonic() + patience_s
        self._ending.set()
        self.join(patience_s + 1)
        return not self._log.take()

    def _step(self) -> bool:
        batch, vitals = self._log.take(), self._vitals.report()
        orders = Orders(cancel=False)
        try:
            if batch:
                following, orders = self._channel.frames(batch, vitals)
                self._log.acknowledge(following)
            elif time.monotonic() - self._heard >= self._heartbeat_s:
                orders = self._channel.heartbeat(vitals)
            else:
                return True
        except Gone:
            self._left = True
            self._stop_run("gone")
            return True
        except Refused:
            # Too many or too large for the service's limits: the pod's log still has them.
            if batch:
                self._log.acknowledge(batch[-1]["seq"] + 1)
        self._heard = time.monotonic()
        if orders.limit_s is not None:
            self._limit(orders.limit_s)
        if orders.cancel:
            self._stop_run("cancelled")
        return not batch
