"""What is let go changes no record and no sum."""

from __future__ import annotations

import sqlalchemy as sa
from support.sightings import T0, life, seen

from aiinfn_hub.accounting import ledger, reports, retention, rollups, usage
from aiinfn_hub.accounting.quotas import Ask
from aiinfn_hub.accounting.refusals import note_refusal
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.ledger_tables import observation, record, refusal, rolled, rollup

H, DAY = 3600.0, 86400.0
WINDOW = {"since": T0 - 40 * DAY, "until": T0 + 90 * DAY}


def count(database: Database, table: sa.Table, *where: sa.ColumnElement[bool]) -> int:
    query = sa.select(sa.func.count()).select_from(table).where(*where)
    return int(database.run(lambda connection: connection.execute(query).scalar_one()))


def old_and_new(database: Database) -> None:
    """A record of T0, one of sixty days later, and one that is open since T0; sums of all of it."""
    database.run(
        ledger.observe,
        [*life("old", end=2 * H), *life("new", start=60 * DAY, end=60 * DAY + H), seen("open", held_from=0)],
    )
    database.run(ledger.heartbeat, ["open"], now=T0 + 70 * DAY)
    for at in (T0, T0 + 60 * DAY):
        database.run(note_refusal, Ask("job", "alice", "a", "t4", 1, 1.0, H), "", now=at)
    while database.run(rollups.roll, now=T0 + 70 * DAY):
        pass


def test_what_is_old_goes_and_every_answer_stays(database: Database) -> None:
    old_and_new(database)
    before = (database.run(usage.by_group, **WINDOW), database.run(reports.records, **WINDOW))
    hours = count(database, rolled, rolled.c.grain == "hour")
    while database.run(retention.let_go, now=T0 + 70 * DAY, keep_days=30):
        pass
    assert (database.run(usage.by_group, **WINDOW), database.run(reports.records, **WINDOW)) == before
    assert count(database, observation, observation.c.pod_uid == "old") == 0
    assert count(database, observation, observation.c.pod_uid == "new") == 5
    assert count(database, observation, observation.c.pod_uid == "open") == 1, "it has not ended"
    assert count(database, refusal) == 1
    left = count(database, rolled, rolled.c.grain == "hour")
    assert 29 * 24 <= left < hours
    assert count(database, rollup, rollup.c.grain == "hour", rollup.c.start < T0 + 39 * DAY) == 0
    assert database.run(retention.let_go, now=T0 + 70 * DAY, keep_days=30) is False


def test_news_of_a_record_whose_past_is_gone_does_not_rewrite_it(database: Database) -> None:
    old_and_new(database)
    database.run(retention.let_go, now=T0 + 70 * DAY, keep_days=30)
    query = sa.select(record).where(record.c.pod_uid == "old")
    before = database.run(lambda connection: connection.execute(query).one())
    late = seen("old", at=71 * DAY, kind_="deleted", rv="late", held_from=100.0, ran_to=200.0, terminal=True)
    assert database.run(ledger.observe, [late]) == 1, "it is written down all the same"
    assert database.run(lambda connection: connection.execute(query).one()) == before


def test_a_day_whose_hours_are_gone_is_summed_again_when_news_come(database: Database) -> None:
    old_and_new(database)
    while database.run(retention.let_go, now=T0 + 70 * DAY, keep_days=30):
        pass
    database.run(ledger.observe, life("late", start=5 * H, end=6 * H, person="bob"))
    while database.run(rollups.roll, now=T0 + 70 * DAY):
        pass
    rows = {row["person"]: row["held_hours"] for row in database.run(usage.by_group, by=("person",), **WINDOW)}
    assert round(rows["bob"], 6) == 1.0
    assert database.run(rollups.cover, T0 // DAY * DAY, T0 // DAY * DAY + DAY)[0].grain == "day"
