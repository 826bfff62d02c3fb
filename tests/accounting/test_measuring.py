"""Active time and energy, from something that speaks like Prometheus; what was not measured is not zero."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import sqlalchemy as sa
from support.sightings import T0, life, seen
from tornado.httpserver import HTTPServer
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from aiinfn_hub.accounting import ledger, rollups, usage
from aiinfn_hub.accounting.fold import SKEW_S
from aiinfn_hub.accounting.measuring import (
    AFTER_S,
    ENERGY,
    GIVE_UP_S,
    Held,
    Measurer,
    due,
    last_active,
    measured,
    queries,
)
from aiinfn_hub.accounting.prometheus import Prometheus
from aiinfn_hub.errors import RemoteFailed, Unavailable
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.ledger_tables import observation, record

H, DAY = 3600.0, 86400.0
CARD: dict[str, Any] = {"resource": "nvidia.com/gpu", "flavour": "a100-40", "weight": 1.0}
ONE = Held("u1", "aiinfn", "jupyter-alice", "nvidia.com/gpu", 1, T0, T0 + H)
#: One series of a vector, as Prometheus writes it.
Series = list[dict[str, Any]]


def vector(*values: object) -> dict[str, Any]:
    series: Series = [{"metric": {}, "value": [T0, str(value)]} for value in values]
    return {"status": "success", "data": {"resultType": "vector", "result": series}}


@asynccontextmanager
async def speaking(answer: Callable[[str, float], Any], status: int = 200) -> AsyncIterator[Prometheus]:
    """A server that answers each query by a function."""

    class Handler(RequestHandler):
        def get(self) -> None:
            self.set_status(status)
            self.finish(answer(self.get_query_argument("query"), float(self.get_query_argument("time"))))

    server = HTTPServer(Application([("/api/v1/query", Handler)]))
    socket, port = bind_unused_port()
    server.add_socket(socket)
    prometheus = Prometheus(f"http://127.0.0.1:{port}/")
    try:
        yield prometheus
    finally:
        await prometheus.close()
        server.stop()
        await server.close_all_connections()


def dcgm(active: object, count: object, energy: object = 3.6e6) -> Callable[[str, float], Any]:
    """An exporter of whose looks so many were seen, and so many were active."""

    def answer(query: str, _at: float) -> Any:
        if "timestamp(" in query:
            return vector()
        value = energy if ENERGY in query else active if "sum_over_time" in query else count
        return vector() if value is None else vector(value)

    return answer


def rows(connection: sa.Connection) -> dict[str, Any]:
    return {row["pod_uid"]: row for row in connection.execute(sa.select(record)).mappings()}


def test_it_is_asked_by_the_names_of_either_kind_of_scrape_and_over_the_life_of_the_pod() -> None:
    found = queries(ONE)
    assert set(found) == {"active_s", "measured_s", "energy_j"}
    for query in found.values():
        assert 'exported_namespace="aiinfn",exported_pod="jupyter-alice"' in query
        assert re.search(r'[^_]namespace="aiinfn",pod="jupyter-alice"', query)
        assert "[3600s:30s]" in query
    assert "energy_j" not in queries(Held("u1", "n", "p", "nvidia.com/mig-1g.5gb", 1, T0, T0 + H))


@pytest.mark.parametrize(
    ("answers", "expected"),
    [
        pytest.param({"active_s": 1800, "measured_s": 3600, "energy_j": 9}, (1800, 3600, 9), id="all of it"),
        pytest.param({"active_s": 900, "measured_s": 1800}, (900, 1800, None), id="half of the looks are missing"),
        pytest.param(
            {"active_s": 1830, "measured_s": 3660}, (1800, 3600, None), id="the last look goes beyond the end"
        ),
        pytest.param({"active_s": 0.0, "measured_s": 3600}, (0, 3600, None), id="it did nothing"),
        pytest.param({}, (None, 0, None), id="nobody measured"),
        pytest.param({"energy_j": 7.0}, (None, 0, None), id="energy alone is of somebody else's card"),
        pytest.param({"active_s": 9999, "measured_s": 3600}, (3600, 3600, None), id="more than there is"),
    ],
)
def test_a_measurement_is_never_more_than_what_was_held(
    answers: dict[str, float | None], expected: tuple[float | None, ...]
) -> None:
    assert tuple(measured(ONE, answers).values()) == expected


@pytest.mark.parametrize(
    ("change", "asked"),
    [
        pytest.param({}, True, id="a card that was given back"),
        pytest.param({"resource": "amd.com/xilinx_u55c"}, False, id="DCGM knows no FPGA"),
        pytest.param({"units": 0, "resource": ""}, False, id="no accelerator"),
        pytest.param({"pod_name": ""}, False, id="of somebody who was erased"),
    ],
)
def test_what_is_to_be_measured(database: Database, change: dict[str, Any], asked: bool) -> None:
    database.run(ledger.observe, [*life("u1", end=H, **CARD | change), seen("open", held_from=0, **CARD)])
    assert [one.pod_uid for one in database.run(due, now=T0 + H + AFTER_S)] == (["u1"] if asked else [])
    assert database.run(due, now=T0 + H + AFTER_S - 1) == [], "the exporter is not read yet"
    assert database.run(due, now=T0 + H + GIVE_UP_S) == [], "Prometheus has forgotten"


@pytest.mark.asyncio
async def test_active_time_and_energy_come_into_record_and_sums(database: Database) -> None:
    database.run(ledger.observe, [*life("u1", end=2 * H, **CARD), *life("u2", end=2 * H, person="bob", **CARD)])
    while database.run(rollups.roll, now=T0 + DAY):
        pass

    def answer(query: str, at: float) -> Any:
        assert at == T0 + 2 * H + (AFTER_S if "timestamp(" in query else 0)
        return dcgm(1800, 7200)(query, at)

    async with speaking(answer) as prometheus:
        measurer = Measurer(database, prometheus, clock=lambda: T0 + DAY)
        assert await measurer.look() == 2
        assert await measurer.look() == 0, "once is enough"
    [row] = database.run(usage.by_group, since=T0, until=T0 + H, by=("activity",))
    assert row["active_device_hours"] == pytest.approx(0.5), "half of each lies in the first hour"
    assert (row["measured_device_hours"], row["device_hours"]) == (pytest.approx(2), pytest.approx(2))
    [row] = database.run(usage.by_group, since=T0 - DAY, until=T0 + DAY, by=("activity",), person="bob")
    assert (row["active_device_hours"], row["energy_kwh"]) == (pytest.approx(0.5), pytest.approx(1.0))


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("last", "noted"),
    [
        pytest.param(T0 + H, [], id="as it ended"),
        pytest.param(T0 + H + SKEW_S + 1, [("ended", T0 + H + SKEW_S + 1)], id="well after"),
    ],
)
async def test_activity_after_the_end_is_noted_beside_the_record(
    database: Database, last: float, noted: list[tuple[str, float]]
) -> None:
    database.run(ledger.observe, life("u1", end=H, **CARD))
    asked: list[float] = []

    def answer(query: str, at: float) -> Any:
        if "timestamp(" not in query:
            return dcgm(60, 3600)(query, at)
        asked.append(at)
        return vector(last)

    async with speaking(answer) as prometheus:
        await Measurer(database, prometheus, clock=lambda: T0 + DAY).look()
    assert asked == [T0 + H + AFTER_S]
    assert database.run(said) == noted
    assert database.run(rows)["u1"]["held_to"] == T0 + H, "it stretches no record"


def said(connection: sa.Connection) -> list[tuple[str, float]]:
    query = sa.select(observation.c.kind, observation.c.observed_at).where(observation.c.source == "prometheus")
    return [tuple(row) for row in connection.execute(query)]


@pytest.mark.asyncio
async def test_what_the_next_pod_of_the_name_does_is_not_asked(database: Database) -> None:
    """A person's server has the same pod name each time, and DCGM's exporter says no uid."""
    again = life("u2", start=H + 40, end=3 * H, **CARD)
    others = life("u3", start=H + 20, end=3 * H, person="bob", **CARD | {"pod_name": "jupyter-bob"})
    database.run(ledger.observe, [*life("u1", end=H, **CARD), *again, *others])
    [first] = [one for one in database.run(due, now=T0 + H + AFTER_S) if one.pod_uid == "u1"]
    assert last_active(first)[1] == T0 + H + 40


@pytest.mark.asyncio
async def test_what_nobody_measured_is_not_zero_and_is_not_asked_again(database: Database) -> None:
    database.run(ledger.observe, life("u1", end=H, **CARD))
    async with speaking(lambda _query, _at: vector()) as prometheus:
        measurer = Measurer(database, prometheus, clock=lambda: T0 + DAY)
        assert [await measurer.look(), await measurer.look()] == [1, 0]
    [row] = database.run(usage.by_group, since=T0, until=T0 + DAY)
    assert (row["active_device_hours"], row["energy_kwh"], row["measured_device_hours"]) == (None, None, 0)


@pytest.mark.asyncio
async def test_an_end_that_was_another_one_is_measured_again(database: Database) -> None:
    database.run(ledger.observe, life("u1", end=2 * H, **CARD))
    async with speaking(dcgm(1800, 7200)) as prometheus:
        measurer = Measurer(database, prometheus, clock=lambda: T0 + DAY)
        await measurer.look()
        database.run(ledger.observe, [seen("u1", at=H, rv="again", held_from=0, **CARD)])
        assert database.run(rows)["u1"]["active_s"] == 1800, "what changes no time keeps it"
        database.run(ledger.observe, [seen("u1", at=3 * H, held_from=0, ran_to=3 * H, terminal=True, **CARD)])
        assert database.run(rows)["u1"]["active_s"] is None
        assert await measurer.look() == 1


@pytest.mark.parametrize(
    ("answer", "status", "error", "words"),
    [
        pytest.param("<html>", 200, RemoteFailed, "cannot read", id="something else"),
        pytest.param({"status": "error", "error": "parse error"}, 400, RemoteFailed, "parse error", id="a refusal"),
        pytest.param("", 503, Unavailable, "answers 503", id="it is ill"),
        pytest.param(vector("many"), 200, RemoteFailed, "cannot read", id="no number"),
    ],
)
@pytest.mark.asyncio
async def test_an_answer_that_is_none_leaves_the_record_as_it_is(
    database: Database, answer: Any, status: int, error: type[Exception], words: str
) -> None:
    database.run(ledger.observe, life("u1", end=H, **CARD))
    async with speaking(lambda _query, _at: answer, status) as prometheus:
        with pytest.raises(error, match=words):
            await Measurer(database, prometheus, clock=lambda: T0 + DAY).look()
    assert database.run(rows)["u1"]["measured_s"] is None


@pytest.mark.asyncio
async def test_values_that_are_no_numbers_are_nothing() -> None:
    async with speaking(lambda _query, _at: vector("NaN", "+Inf")) as prometheus:
        assert await prometheus.value("x", at=T0) is None
    with pytest.raises(Unavailable, match="does not answer"):
        await Prometheus("http://127.0.0.1:1").value("x", at=T0)


@pytest.mark.asyncio
async def test_it_is_asked_again_when_prometheus_is_back(database: Database) -> None:
    measurer = Measurer(database, Prometheus("http://127.0.0.1:1"), clock=lambda: T0 + DAY)
    database.run(ledger.observe, life("u1", end=H, **CARD))
    with pytest.raises(Unavailable):
        await measurer.look()
    async with speaking(dcgm(60, 3600)) as prometheus:
        assert await Measurer(database, prometheus, clock=lambda: T0 + DAY).look() == 1


@pytest.mark.asyncio
async def test_one_that_prometheus_refuses_does_not_keep_the_others(database: Database) -> None:
    database.run(ledger.observe, [*life("long", end=3 * H, **CARD), *life("short", end=H, **CARD)])

    def answer(query: str, at: float) -> Any:
        too_much = {"status": "error", "error": "too many samples"}
        return too_much if at > T0 + 2 * H else dcgm(60, 3600)(query, at)

    async with speaking(answer) as prometheus:
        with pytest.raises(RemoteFailed, match="too many samples"):
            await Measurer(database, prometheus, clock=lambda: T0 + DAY).look()
    found = database.run(rows)
    assert (found["long"]["measured_s"], found["short"]["measured_s"]) == (None, 3600)
