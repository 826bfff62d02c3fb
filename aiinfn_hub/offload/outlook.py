"""How it stands with jobs that wait: their place in the queue, and when such jobs have started before."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence

import msgspec
import sqlalchemy as sa

from aiinfn_hub.capacity.queue import Lines, waits
from aiinfn_hub.contract.jobs import JobState, JobView, Waiting
from aiinfn_hub.kube.slim import Workload
from aiinfn_hub.offload.follow import Follower
from aiinfn_hub.store import tables
from aiinfn_hub.store.engine import Database

#: Seconds of the past that counts, and the fewest cases of which a range is made.
PAST_S, ENOUGH = 30 * 86400.0, 5
#: Seconds for which the queues and the past are kept: everybody's pages ask.
KEEP_LINES_S, KEEP_PAST_S = 1.0, 60.0
#: The most cases that are looked at, the newest of them.
_MOST = 20_000
_WAITING = frozenset({JobState.QUEUED, JobState.EVICTED})
Past = Mapping[tuple[str, str], Sequence[float]]
_T = tables.run


class Outlook:
    """Adds to views of jobs how it stands with those that wait.

    Args:
        clock: Unix seconds.
    """

    def __init__(self, database: Database, follower: Follower, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._follower = follower
        self._clock = clock
        self._lines, self._lines_at = Lines(()), float("-inf")
        self._past: Past = {}
        self._past_at = float("-inf")

    async def add(self, views: Sequence[JobView]) -> list[JobView]:
        """The views, with the place of those that have one.

        Raises:
            Unavailable: the database does not answer.
        """
        if not any(view.state in _WAITING for view in views):
            return [*views]
        now = self._clock()
        if now - self._lines_at >= KEEP_LINES_S:
            self._lines, self._lines_at = Lines(self._follower.workloads.items.values()), now
        if now - self._past_at >= KEEP_PAST_S:
            self._past, self._past_at = await self._database.read(past, now=now), now
        return [self._added(view, self._follower.workload(view.id), now) for view in views]

    def _added(self, view: JobView, workload: Workload | None, now: float) -> JobView:
        if view.state not in _WAITING or workload is None or not waits(workload):
            return view
        place, number = self._lines.place(workload)
        # One that was evicted is at its old place, and the others were not there twice.
        known = self._past.get((view.target, view.flavour), ()) if view.state is JobState.QUEUED else ()
        early, late, cases = expected(known, now - workload.created)
        since = workload.created
        found = Waiting(place, number, early and since + early, late and since + late, cases)
        return msgspec.structs.replace(view, waiting=found)


def past(connection: sa.Connection, *, now: float) -> dict[tuple[str, str], list[float]]:
    """How many seconds jobs have waited at a place for a flavour until their first attempt began, in rising order."""
    waited = _T.c.started_at - _T.c.placed_at
    began = (_T.c.started_at > now - PAST_S) & _T.c.placed_at.is_not(None) & (_T.c.attempt == 1)
    query = sa.select(_T.c.target, _T.c.flavour, waited).where(began).order_by(_T.c.started_at.desc()).limit(_MOST)
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for target, flavour, seconds in connection.execute(query):
        found[target, flavour].append(max(0.0, float(seconds)))
    return {key: sorted(waits) for key, waits in found.items()}


def expected(known: Sequence[float], waited: float) -> tuple[float | None, float | None, int]:
    """After how many seconds of waiting jobs start that have waited for so long, and of how many that is known. Pure.

    The middle half of those of the past that had waited for longer; no range of fewer than `ENOUGH` of them.
    """
    longer = [seconds for seconds in known if seconds > waited]
    if len(longer) < ENOUGH:
        return None, None, len(longer)
    return longer[len(longer) // 4], longer[(3 * len(longer)) // 4], len(longer)
