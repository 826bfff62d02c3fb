"""How much of what was held did anything: measured by DCGM's exporter, asked from Prometheus when a record has ended.

A measurement enriches a record and never makes or stretches one. What was not measured is not known, and not zero.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from aiinfn_hub.accounting import ledger
from aiinfn_hub.accounting.admissions import witness
from aiinfn_hub.accounting.amounts import GOOD
from aiinfn_hub.accounting.fold import SKEW_S
from aiinfn_hub.accounting.prometheus import Prometheus
from aiinfn_hub.accounting.rollups import DAY, spoil, touched
from aiinfn_hub.errors import AiinfnError, RemoteFailed
from aiinfn_hub.store.engine import Database, lock
from aiinfn_hub.store.ledger_tables import record, rolled

#: Seconds between two rounds, and between an end and its measurement: the exporter is read every 15 to 30 s.
EVERY_S, AFTER_S = 60.0, 120.0
#: Seconds after an end at which Prometheus is no longer asked: it keeps 15 to 30 days.
GIVE_UP_S = 10 * DAY
#: Records in a round, and seconds between two looks of a query.
BATCH, STEP_S = 50, 30
#: The share of time in which the graphics engine did anything, 0 to 1; it works on MIG slices too.
ACTIVE = "DCGM_FI_PROF_GR_ENGINE_ACTIVE"
#: Millijoules of a whole card since boot.
ENERGY = "DCGM_FI_DEV_TOTAL_ENERGY_CONSUMPTION"


#: `Sighting.source` of what the exporter says.
PROMETHEUS = "prometheus"


@dataclass(frozen=True)
class Held:
    """A record that has ended, as far as it is measured; `next_from` is when the next pod of its name began."""

    pod_uid: str
    namespace: str
    pod_name: str
    resource: str
    units: int
    held_from: float
    held_to: float
    next_from: float | None = None


def queries(held: Held) -> dict[str, str]:
    """What is asked, by column: seconds that devices were active and were measured, and joules of whole cards.

    Prometheus calls the pod's labels `exported_...` unless its target says honorLabels: both are asked.
    """
    over = f"[{max(1, round(held.held_to - held.held_from))}s:{STEP_S}s]"
    active = " or ".join(_series(ACTIVE, held.namespace, held.pod_name))
    found = {
        "active_s": f"sum(sum_over_time(({active}){over})) * {STEP_S}",
        "measured_s": f"sum(count_over_time(({active}){over})) * {STEP_S}",
    }
    if held.resource.endswith("/gpu"):
        # Of a slice nobody can say what part of its card's energy it took.
        found["energy_j"] = (
            f"sum(increase(({' or '.join(_series(ENERGY, held.namespace, held.pod_name))}){over})) / 1000"
        )
    return found


def last_active(held: Held) -> tuple[str, float]:
    """What is asked for the last moment at which something used its devices in its name, and at what time.

    A kubelet may go on naming a pod that has ended, so that only what is active counts.
    """
    at = min(held.held_to + AFTER_S, held.next_from or float("inf"))
    moments = " or ".join(
        f"(timestamp({series}) * ({series} > bool 0))" for series in _series(ACTIVE, held.namespace, held.pod_name)
    )
    return f"max(max_over_time(({moments})[{max(1, round(at - held.held_from))}s:{STEP_S}s]))", at


def _series(metric: str, namespace: str, pod: str) -> list[str]:
    """What the exporter says of a pod, under either name of its labels."""
    return [f'{metric}{{{prefix}namespace="{namespace}",{prefix}pod="{pod}"}}' for prefix in ("exported_", "")]


def busiest(namespace: str, pod: str, over_s: float) -> tuple[str, str]:
    """What is asked for the largest share of time in which any device of a pod did something, and for its looks.

    Both over the last seconds: a device that was not looked at all the time may have worked meanwhile.
    """
    active, over = " or ".join(_series(ACTIVE, namespace, pod)), f"[{round(over_s)}s:{STEP_S}s]"
    return f"max(max_over_time(({active}){over}))", f"min(count_over_time(({active}){over}))"


def measured(held: Held, answers: dict[str, float | None]) -> dict[str, float | None]:
    """The columns of a record from the answers: never more than was held, and None for what nobody measured."""
    most = (held.held_to - held.held_from) * held.units
    seen = answers.get("measured_s")
    if not seen:
        return {"active_s": None, "measured_s": 0.0, "energy_j": None}
    within = min(seen, most)
    # A look counts for the seconds until the next one, which may be beyond the end.
    active = (answers.get("active_s") or 0.0) * within / seen
    return {"active_s": min(max(active, 0.0), within), "measured_s": within, "energy_j": answers.get("energy_j")}


def due(connection: sa.Connection, *, now: float) -> list[Held]:
    """The newest records that have ended and were not measured yet."""
    columns = [record.c[name] for name in Held.__dataclass_fields__ if name != "next_from"]
    other = record.alias("other")
    # By its person first, for which there is an index.
    same = (other.c.person == record.c.person, other.c.namespace == record.c.namespace)
    later = (other.c.pod_name == record.c.pod_name, other.c.held_from > record.c.held_from)
    next_from = sa.select(sa.func.min(other.c.held_from)).where(*same, *later).scalar_subquery()
    query = (
        sa.select(*columns, next_from.label("next_from"))
        .where(record.c.held_to <= now - AFTER_S, record.c.held_to > now - GIVE_UP_S, record.c.measured_s.is_(None))
        .where(record.c.units > 0, record.c.resource.like("nvidia.com/%"), record.c.pod_name != "")
        .where(GOOD, record.c.length_s > 0)
        .order_by(record.c.held_to.desc())
        .limit(BATCH)
    )
    return [Held(**row) for row in connection.execute(query).mappings()]


def note(connection: sa.Connection, held: Held, found: dict[str, float | None], last: float | None = None) -> None:
    """Put a measurement into its record; the sums that have it are made again.

    That its devices were active later than it ended changes nothing: it is noted for whoever reconciles.
    """
    lock(connection, rolled)
    if last is not None and last > held.held_to + SKEW_S:
        ledger.observe(connection, [witness(PROMETHEUS, "ended", held.pod_uid, last)])
    mine = sa.select(record).where(record.c.pod_uid == held.pod_uid)
    before: Any = connection.execute(mine).mappings().one()
    connection.execute(sa.update(record).where(record.c.pod_uid == held.pod_uid).values(found))
    span = touched(before, {**before, **found})
    spoil(connection, [span] if span is not None and found["active_s"] is not None else [])


class Measurer:
    """Background work: asks Prometheus about what has ended."""

    def __init__(self, database: Database, prometheus: Prometheus, *, clock: Callable[[], float] = time.time) -> None:
        self._database = database
        self._prometheus = prometheus
        self._clock = clock
        self._log = logging.getLogger("aiinfn.ledger")

    async def run(self) -> None:
        """Measure for ever."""
        while True:
            try:
                await self.look()
            except AiinfnError as error:
                # It is asked again as long as Prometheus remembers; until then the record says that nobody measured.
                self._log.warning("Activity is measured later: %s", error)
            await asyncio.sleep(EVERY_S)

    async def look(self) -> int:
        """Once; how many were measured.

        Raises:
            Unavailable: Prometheus or the database does not answer.
            RemoteFailed: Prometheus answers something else about some; the others are measured.
        """
        held = await self._database.read(due, now=self._clock())
        refused: RemoteFailed | None = None
        for one in held:
            try:
                answers = {
                    name: await self._prometheus.value(query, at=one.held_to) for name, query in queries(one).items()
                }
                query, at = last_active(one)
                last = await self._prometheus.value(query, at=at) if answers["measured_s"] else None
            except RemoteFailed as error:  # of one that is too long for it, say; the others are not to wait for that
                refused = error
                continue
            await self._database.write(note, one, measured(one, answers), last)
        if refused is not None:
            raise refused
        return len(held)
