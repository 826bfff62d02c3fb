"""More time for sessions: asked of the quotas like a start, and counted with what was planned from then on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

import sqlalchemy as sa

from aiinfn_hub.accounting.quotas import Ask
from aiinfn_hub.accounting.spending import decide
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.errors import QuotaExceeded
from aiinfn_hub.store.engine import among, insert, lock
from aiinfn_hub.store.ledger_tables import extension, reservation

#: Seconds that are worth extending a session for.
LEAST_S = 60.0


def extended(connection: sa.Connection, pod_uids: Collection[str]) -> dict[str, float]:
    """By how many seconds these sessions were extended; who is not there was not."""
    query = sa.select(extension).where(among(connection, extension.c.pod_uid, pod_uids))
    return {row.pod_uid: row.seconds for row in connection.execute(query)}


def extend(
    connection: sa.Connection,
    platform: Platform,
    ask: Ask,
    pod_uid: str,
    *,
    more_s: float,
    extended_s: float,
    now: float,
) -> float:
    """Extend a session by at most so many seconds; by how many.

    Args:
        connection: to the database.
        platform: the catalogue.
        ask: of the session, with the seconds that it has left already.
        pod_uid: its pod.
        more_s: seconds that it wants beyond those.
        extended_s: by how many it was extended, as far as who asks knows; 0 is answered if there are others by now.
        now: Unix seconds.

    Raises:
        QuotaExceeded: no quota has room for more than it has already.
    """
    lock(connection, reservation)
    if extended(connection, [pod_uid]).get(pod_uid, 0.0) != extended_s:
        return 0.0  # two tabs, one wish
    verdict = decide(connection, platform, replace(ask, planned_s=ask.planned_s + more_s), now=now).verdict
    given = min(more_s, verdict.seconds - ask.planned_s)
    if given < min(LEAST_S, more_s):
        raise QuotaExceeded(
            verdict.sentence or "No quota has room for more time.",
            hint="Save what you need. When it is over you can go on without an accelerator.",
            details={"quota": verdict.quota.name if verdict.quota else ""},
        )
    row = {"pod_uid": pod_uid, "seconds": given, "at": now}
    statement = insert(connection, extension).values(row)
    changes = {"seconds": extension.c.seconds + statement.excluded.seconds, "at": now}
    connection.execute(statement.on_conflict_do_update(index_elements=["pod_uid"], set_=changes))
    return given
