"""What the ledger lets go of: the observations behind records that ended long ago, and sums that longer ones have.

Records and the sums of days and months stay. A record whose observations are gone is not derived again: what comes
so late would be taken for all that there ever was.
"""

from __future__ import annotations

import sqlalchemy as sa

from aiinfn_hub.accounting.rollups import DAY
from aiinfn_hub.store.ledger_tables import observation, record, refusal, rolled, rollup

#: Days after the end of a record.
KEEP_DAYS = 400
#: Observations or hours at a time, because whoever writes meanwhile waits.
BATCH = 2000


def let_go(connection: sa.Connection, *, now: float, keep_days: float = KEEP_DAYS) -> bool:
    """Forget some of what is older; whether there may be more."""
    before = now - keep_days * DAY
    # From the oldest observations on: among records one would look through all that have none any more, each time.
    oldest = sa.select(observation.c.pod_uid).order_by(observation.c.id).limit(BATCH).subquery()
    ended = sa.select(record.c.pod_uid).where(record.c.held_to < before, record.c.pod_uid.in_(sa.select(oldest)))
    gone = connection.execute(ended).scalars().all()
    connection.execute(sa.delete(observation).where(observation.c.pod_uid.in_(gone)))
    connection.execute(sa.delete(refusal).where(refusal.c.at < before))
    day = rolled.alias()
    in_a_day = sa.exists().where(
        day.c.grain == "day", day.c.start <= rolled.c.start, day.c.start > rolled.c.start - DAY
    )
    old = (rolled.c.grain == "hour", rolled.c.start < before, in_a_day)
    hours = connection.execute(sa.select(rolled.c.start).where(*old).limit(BATCH)).scalars().all()
    for table in (rollup, rolled):
        connection.execute(sa.delete(table).where(table.c.grain == "hour", table.c.start.in_(hours)))
    return bool(gone) or len(hours) == BATCH
