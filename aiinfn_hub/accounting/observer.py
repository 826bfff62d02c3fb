"""The one writer of the ledger: turns what the pod cache sees into observations.

Two service processes that both observe do no harm, because observations are unique by their natural key: they do the
same work twice. One process is what we run today.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass

from aiinfn_hub.accounting import ledger
from aiinfn_hub.accounting.admissions import Admissions
from aiinfn_hub.accounting.fold import HEARTBEAT_S
from aiinfn_hub.accounting.sighting import TERMINAL, Sighting, absent, of_pod
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.errors import Unavailable
from aiinfn_hub.kube.cache import WatchCache
from aiinfn_hub.kube.slim import Pod
from aiinfn_hub.store.engine import Database

#: Seconds that events are gathered before they are written in one transaction.
GATHER_S = 0.2
#: Events kept in memory while the database is away; the pods' cache holds the rest, and a re-list brings it back.
MAX_QUEUE = 100_000


@dataclass
class Liveness:
    """What tells an operator that the ledger is alive."""

    observations: int = 0
    inferred: int = 0
    last_write: float = 0.0
    failing_since: float | None = None


class Observer:
    """Feeds the ledger from a cache of pods.

    Args:
        clock: Unix seconds; the real one outside of tests.
    """

    def __init__(
        self,
        database: Database,
        platform: Platform,
        pods: WatchCache[Pod],
        *,
        clock: Callable[[], float] = time.time,
        heartbeat_s: float = HEARTBEAT_S,
        log: logging.Logger | None = None,
    ) -> None:
        self.database = database
        self.platform = platform
        self.pods = pods
        self.clock = clock
        self.heartbeat_s = heartbeat_s
        self.log = log or logging.getLogger("aiinfn.ledger")
        self.liveness = Liveness()
        self._queue: list[Sighting] = []
        self._wake = asyncio.Event()
        self._last: dict[str, tuple[object, ...]] = {}
        self.admissions = Admissions(self.note, clock)

    @property
    def queue_depth(self) -> int:
        """Sightings that wait to be written."""
        return len(self._queue)

    def notice(self, event: str, pod: Pod, before: Pod | None = None) -> None:
        """A change of the cache: "ADDED", "MODIFIED" or "DELETED". Cheap; called on the event loop."""
        self.admissions.on_pod(event, pod)
        sighting = of_pod(self.platform, pod, kind="deleted" if event == "DELETED" else "seen", now=self.clock())
        if sighting is not None and event == "DELETED" and before is not None and before.rv == pod.rv:
            # A deletion that the watch saw has a version of its own; this pod was only missing from a new list.
            sighting = absent(pod.uid, now=self.clock())
        if sighting is None or not self._is_news(sighting):
            return
        self.note(sighting)

    def note(self, sighting: Sighting) -> None:
        """Have something written that is news."""
        self._queue.append(sighting)
        if len(self._queue) > MAX_QUEUE:
            del self._queue[: MAX_QUEUE // 10]
            self._last.clear()
            self.log.error("The database has been away for too long: the oldest observations were dropped.")
        self._wake.set()

    def _is_news(self, sighting: Sighting) -> bool:
        """Most updates of a pod change nothing that the ledger keeps."""
        remote_id = sighting.facts.get("remote_id", "")
        state = (remote_id, sighting.kind, sighting.held_from, sighting.ran_from, sighting.ran_to, sighting.terminal)
        if sighting.kind != "seen":
            self._last.pop(sighting.pod_uid, None)
            return True
        if self._last.get(sighting.pod_uid) == state:
            return False
        self._last[sighting.pod_uid] = state
        return True

    async def run(self) -> None:
        """Observe until cancelled: first settle what ended unseen, then write what comes, with a heartbeat."""
        await self.pods.synced.wait()
        for pod in list(self.pods.items.values()):
            self.notice("ADDED", pod)
        settled, next_beat = False, self.clock() + self.heartbeat_s
        while True:
            try:
                if not settled:
                    await self._settle()
                    settled = True
                await self.flush()
                if self.clock() >= next_beat:
                    await self._beat()
                    next_beat = self.clock() + self.heartbeat_s
                await self._pause(next_beat)
            except Unavailable as error:
                # The queue keeps what was seen; writing it again is harmless.
                self.liveness.failing_since = self.liveness.failing_since or self.clock()
                self.log.warning("The ledger cannot be written: %s", error)
                await asyncio.sleep(2)

    async def flush(self) -> None:
        """Write what is queued; on failure it stays queued."""
        batch = list(self._queue)
        if batch:
            self.liveness.observations += await self.database.write(ledger.observe, batch)
            del self._queue[: len(batch)]
        self.liveness.last_write = self.clock()
        self.liveness.failing_since = None

    async def _settle(self) -> None:
        """Close the records of pods that vanished while nobody watched."""
        await self.flush()
        gone = await self.database.write(ledger.close_absent, set(self.pods.items), now=self.clock())
        self.liveness.inferred += gone
        if gone:
            self.log.info("%d pods ended while nobody watched; their records end when they were last seen.", gone)

    async def _beat(self) -> None:
        if self.pods.failing_since is None:
            # Without a working watch nobody knows whether the pods are there: no heartbeat on missing evidence.
            alive = [uid for uid, pod in self.pods.items.items() if pod.phase not in TERMINAL]
            await self.database.write(ledger.heartbeat, alive, now=self.clock())

    async def _pause(self, until: float) -> None:
        """Sleep until there is something to do, and a little longer so that a burst becomes one transaction."""
        try:
            # Not `wait_for`: in Python 3.11 it loses a cancellation that comes in the same moment as the event.
            async with asyncio.timeout(max(0.0, until - self.clock())):
                await self._wake.wait()
        except TimeoutError:
            return
        self._wake.clear()
        await asyncio.sleep(GATHER_S)
