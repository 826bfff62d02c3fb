"""The ledger beside the bare database: what deriving records costs, and what kept sums save.

    make bench ARGS="ledger --records 1000000"

ingest     sightings through the ledger, in batches of 1000  |  the same rows put into the same tables, nothing derived
again      the same sightings a second time: rows that changed
scrape     `/metrics` with 10000 pods  |  one series a pod and figure, as prometheus_client is used at first
reserve    a session's reservation, 8 who ask at once  |  the bare insert of its row
report     12 months by three groupings, at the 95th percentile, from kept sums  |  from the records
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import random
import statistics
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from bench.figures import Sheet, memory, p
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from support.databases import fresh_database, running_postgres
from support.sightings import FACTS, T0, seen

from aiinfn_hub.accounting import ledger, rollups, spending, usage
from aiinfn_hub.accounting.observer import Liveness
from aiinfn_hub.accounting.quotas import Ask
from aiinfn_hub.accounting.sighting import Sighting
from aiinfn_hub.catalogue import example_path, load_platform
from aiinfn_hub.kube.slim import Pod
from aiinfn_hub.pods import names
from aiinfn_hub.service.metrics import Snapshot, exposition
from aiinfn_hub.store.engine import Database, insert
from aiinfn_hub.store.ledger_tables import observation, record, reservation, rolled, rollup, subject
from aiinfn_hub.store.tables import metadata

BATCH = 1000
ROUNDS = 5
YEAR = 365 * 86400.0
PEOPLE, ACTIVITIES = 300, 12
FLAVOURS = (("t4", 0.4), ("a100-40", 1.0), ("a100-40-1g.5gb", 0.15), ("cpu", 0.0))
QUESTIONS = (("activity", "flavour", "kind"), ("person",), ("activity", "person", "model", "kind"))


def main(arguments: list[str], folder: Path) -> None:
    parser = argparse.ArgumentParser(prog="bench ledger")
    parser.add_argument("--records", type=int, default=200_000, help="in the year that is reported")
    parser.add_argument("--ingest", type=int, default=20_000, help="sightings that are ingested")
    parser.add_argument("--only", choices=("sqlite", "postgresql"))
    given = parser.parse_args(arguments)
    _scrape(Sheet())
    for name, opened in (("sqlite", _sqlite(folder)), ("postgresql", _postgresql())):
        if given.only in (None, name):
            with opened as database:
                print(f"--- {name}", flush=True)
                sheet = Sheet()
                _ingest(database, sheet, given.ingest)
                _report(database, sheet, given.records)
                _reserve(database, sheet)
                sheet.say("memory of this process, most", memory(os.getpid(), "VmHWM"), "MiB")


@contextmanager
def _sqlite(folder: Path) -> Iterator[Database]:
    with _opened(f"sqlite:///{folder}/ledger.sqlite") as database:
        yield database


@contextmanager
def _postgresql() -> Iterator[Database]:
    with running_postgres() as server, _opened(fresh_database(server)) as database:
        yield database


@contextmanager
def _opened(url: str) -> Iterator[Database]:
    database = Database(url)
    database.migrate()
    try:
        yield database
    finally:
        database.close()


def batched(items: Iterable[Any], size: int) -> Iterator[tuple[Any, ...]]:
    """As `itertools.batched` of Python 3.12."""
    rest = iter(items)
    while part := tuple(islice(rest, size)):
        yield part


def _facts(number: int) -> dict[str, Any]:
    flavour, weight = FLAVOURS[number % len(FLAVOURS)]
    return {
        "person": f"user{number % PEOPLE}",
        "activity": f"activity-{number % ACTIVITIES}",
        "flavour": flavour,
        "weight": weight,
        "units": int(weight > 0),
        "kind": "job" if number % 3 else "session",
        "model": flavour.split("-")[0],
    }


def _sightings(count: int) -> list[Sighting]:
    return [
        seen(f"i{n}", at=n, held_from=n, ran_from=n + 2, ran_to=n + 600, terminal=True, **_facts(n))
        for n in range(count)
    ]


def _clear(connection: sa.Connection) -> None:
    for table in reversed(metadata.sorted_tables):
        connection.execute(sa.delete(table))


def _timed(work: Callable[[], Any]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _ingest(database: Database, sheet: Sheet, count: int) -> None:
    """Rounds of each, one after the other, because the machine is not the same all the time."""
    sightings = _sightings(count)
    # As the service does at its start: what is there stays, and the garbage collector need not look at it again.
    gc.collect()
    gc.freeze()
    ours, bare = [], []
    for _ in range(ROUNDS):
        database.run(_clear)
        ours.append(_timed(lambda: [database.run(ledger.observe, part) for part in batched(sightings, BATCH)]))
        rows = database.run(
            lambda c: [[dict(r) for r in c.execute(sa.select(t)).mappings()] for t in (observation, record)]
        )
        database.run(_clear)
        bare.append(_timed(lambda rows=rows: _bare(database, rows)))
    mine, other = count / statistics.median(ours), count / statistics.median(bare)
    sheet.say("ingest", mine, "records/s", f"bare upsert {other:.0f}, ratio {mine / other:.2f} (>= 0.7)")
    database.run(_clear)
    for part in batched(sightings, BATCH):
        database.run(ledger.observe, part)
    before = database.run(_dump)
    new = sum(database.run(ledger.observe, part) for part in batched(sightings, BATCH))
    changed = len(before ^ database.run(_dump))
    sheet.say("ingested again: rows that changed", new + changed, "rows", "0")


def _bare(database: Database, rows: list[list[dict[str, Any]]]) -> None:
    def put(connection: sa.Connection, table: sa.Table, part: tuple[dict[str, Any], ...]) -> None:
        statement = insert(connection, table)
        changes = {c.name: statement.excluded[c.name] for c in table.c if not c.primary_key}
        keys = [c.name for c in table.primary_key]
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changes), list(part))

    def both(connection: sa.Connection, first: tuple[Any, ...], second: tuple[Any, ...]) -> None:
        put(connection, observation, first)
        put(connection, record, second)

    for first, second in zip(batched(rows[0], BATCH), batched(rows[1], BATCH), strict=True):
        database.run(both, first, second)


def _dump(connection: sa.Connection) -> set[tuple[Any, ...]]:
    return {tuple(row) for row in connection.execute(sa.select(record))}


def _report(database: Database, sheet: Sheet, count: int) -> None:
    database.run(_clear)
    sheet.say("a year written", _timed(lambda: _year(database, count)), "s", f"{count} records")
    now = T0 + YEAR
    sheet.say("and summed by hour, day and month", _timed(lambda: _roll(database, now)), "s", "once")
    kept = database.run(lambda c: c.execute(sa.select(sa.func.count()).select_from(rollup)).scalar_one())
    sheet.say("rows of sums", kept, "rows")
    asked = [(by, now - day * 86400) for by in QUESTIONS for day in range(15)]
    from_sums = [_timed(lambda one=one: _ask(database, *one)) for one in asked]
    from_records = [_without_sums(database, by, now) for by in QUESTIONS]
    ratio = statistics.median(from_records) / statistics.median(from_sums)
    sheet.say("12 months reported, p95", p(from_sums, 95), "s", "<= 0.2 at 1000000 records")
    sheet.say("  median", statistics.median(from_sums), "s", f"of the records {ratio:.0f} times as long")


def _without_sums(database: Database, by: tuple[str, ...], until: float) -> float:
    with database.engine.connect() as connection:
        connection.execute(sa.delete(rolled))
        since = rollups.begin_of("hour", until - YEAR)
        took = _timed(lambda: usage.by_group(connection, since=since, until=until, by=by))
        connection.rollback()
    return took


def _ask(database: Database, by: tuple[str, ...], until: float) -> None:
    since = rollups.begin_of("hour", until - YEAR)
    assert database.run(usage.by_group, since=since, until=until, by=by)


def _roll(database: Database, now: float) -> None:
    while database.run(rollups.roll, now=now):
        pass


def _year(database: Database, count: int) -> None:
    chance = random.Random(1)
    base = {c.name: None for c in record.c} | FACTS | {"site": "", "end_source": "container", "uncertainty_s": 0.0}
    base |= {"quarantine": "", "exit_code": 0}

    def rows(numbers: tuple[int, ...]) -> list[dict[str, Any]]:
        found = []
        for number in numbers:
            begin = T0 + chance.random() * YEAR
            times = {"created_at": begin - 5, "held_from": begin, "ran_from": begin + 5}
            end = begin + chance.expovariate(1 / 7200)
            ends = {"held_to": end, "ran_to": end, "last_seen": end, "length_s": end - begin}
            found.append(base | _facts(number) | times | ends | {"pod_uid": f"y{number}"})
        return found

    def people(connection: sa.Connection) -> None:
        names = [{"alias": f"user{n}", "name": f"user{n}", "since": T0} for n in range(PEOPLE)]
        connection.execute(sa.insert(subject), names)

    database.run(people)
    for part in batched(range(count), 10_000):
        found = rows(part)
        database.run(lambda connection, found=found: connection.execute(sa.insert(record), found))
    database.run(lambda connection: connection.exec_driver_sql("ANALYZE record"))  # as autovacuum does in a year


def _scrape(sheet: Sheet) -> None:
    """CPU seconds of one text, of all activities, flavours and kinds of the example with 10000 pods."""
    platform = load_platform(example_path())
    flavours, activities = [f.name for f in platform.flavours], [a.name for a in platform.activities]
    pods = [
        Pod(
            uid=f"u{n}", name=f"jupyter-user{n}", namespace="aiinfn", phase="Running",
            labels={
                names.KIND: "job" if n % 2 else "session",
                names.ACTIVITY: activities[n % len(activities)],
                names.FLAVOUR: flavours[n % len(flavours)],
                names.PERSON: f"user{n}",
            },
        )
        for n in range(10_000)
    ]  # fmt: skip
    hours = {(a, f, k): 1.0 for a in activities for f in flavours for k in ("session", "job")}
    snapshot = Snapshot(
        platform=platform, stock={}, pods=pods, jobs={}, records={}, weighted_hours=hours, liveness=Liveness(),
        queue_depth=0, watches={}, unknown_since=None,
    )  # fmt: skip
    registry = CollectorRegistry()
    gauge = Gauge("pod", "x", ("kind", "activity", "flavour", "person", "pod"), registry=registry)
    for pod in pods:
        gauge.labels(*pod.labels.values(), pod.name).set(1)
    ours = [_cpu(lambda: exposition(snapshot)) for _ in range(9)]
    naive = [_cpu(lambda: generate_latest(registry)) for _ in range(9)]
    text = exposition(snapshot)
    series = sum(1 for line in text.splitlines() if not line.startswith(b"#"))
    mine, other = statistics.median(ours), statistics.median(naive)
    sheet.say("scrape with 10000 pods", mine, "CPU s", f"naive {other:.3f}, ratio {mine / other:.2f} (<= 0.1 s)")
    sheet.say("  series", series, "series", "<= 5000")
    sheet.say("  size", len(text) / 2**20, "MiB", "<= 3")


def _cpu(work: Callable[[], Any]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def _reserve(database: Database, sheet: Sheet) -> None:
    """Eight at once, over the ledger of a year: each is refused or granted by the same hours."""
    platform = load_platform(example_path())
    row = {"activity": "cms-ml", "flavour": "t4", "units": 1, "weight": 0.4, "planned_s": 3600.0, "made_at": T0}
    now = T0 + YEAR
    bare = [
        _timed(
            lambda n=n: database.run(lambda c: c.execute(sa.insert(reservation), row | {"person": "x", "server": n}))
        )
        for n in map(str, range(40))
    ]

    async def all_at_once() -> list[float]:
        took: list[float] = []

        async def one(number: int) -> None:
            for turn in range(5):
                ask = Ask("session", f"user{number}", "cms-ml", "t4", 1, 0.4, 3600.0, server=str(turn))
                began = time.perf_counter()
                await database.write(spending.reserve, platform, ask, now=now)
                took.append(time.perf_counter() - began)

        await asyncio.gather(*(one(number) for number in range(8)))
        return took

    took = asyncio.run(all_at_once())
    other = statistics.median(bare)
    sheet.say("reservation, 8 at once, median", statistics.median(took), "s", f"bare insert, alone {other:.4f} s")
    sheet.say("  p95", p(took, 95), "s")
