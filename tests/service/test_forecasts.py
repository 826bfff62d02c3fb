"""What the offer says of what is taken: for who asks now, and for who waits."""

from __future__ import annotations

import msgspec
import pytest
import sqlalchemy as sa
from support.sightings import T0, life, seen

from aiinfn_hub.accounting import ledger
from aiinfn_hub.capacity.forecast import ENOUGH, Holder
from aiinfn_hub.catalogue import example_path, load_platform
from aiinfn_hub.contract.offer import Expected, FlavourOffer, Offer, TicketOffer
from aiinfn_hub.kube.slim import Pod
from aiinfn_hub.service.forecasts import KEEP_S, Forecasts, expected, similar
from aiinfn_hub.sessions.tickets import Ticket
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.ledger_tables import record

H = 3600.0
NOW = T0 + 10 * H
PLATFORM = load_platform(example_path())


def ticket(uid: str, flavour: str = "t4", *, admitted: bool = False) -> Ticket:
    offer = TicketOffer(uid, "", flavour, "lhcb", NOW, admitted=admitted, place=1, of=1)
    return Ticket(Pod(uid=uid, name=uid, namespace="aiinfn"), offer)


def offer(*flavours: FlavourOffer, tickets: tuple[Ticket, ...] = ()) -> Offer:
    return Offer("alice", NOW, list(flavours), [], [one.offer for one in tickets])


TAKEN = FlavourOffer("t4", 2, 0, "unit")


def hold(database: Database) -> None:
    """Two sessions of eight hours that began two and one hours ago, and eight that lasted for half of their time."""
    for number, ago in enumerate((2, 1)):
        one = seen(f"u{number}", at=(10 - ago) * H, held_from=(10 - ago) * H, flavour="t4", planned_s=8 * H)
        database.run(ledger.observe, [one])
    for number in range(ENOUGH):
        database.run(ledger.observe, life(f"old{number}", end=4 * H, flavour="t4", planned_s=8 * H))


def at(hours: float, limit: float) -> Expected:
    return Expected(NOW + hours * H, NOW + hours * H, NOW + limit * H, ENOUGH)


@pytest.mark.asyncio
async def test_who_asks_now_stands_behind_those_who_wait(database: Database) -> None:
    hold(database)
    forecasts = Forecasts(database, PLATFORM)
    found = await forecasts.add(offer(TAKEN), [], NOW)
    assert found.flavours[0].expected == at(2, 6), "the older one, after half of its time"
    behind = await forecasts.add(offer(TAKEN), [ticket("a"), ticket("b", "a30"), ticket("c", admitted=True)], NOW)
    assert behind.flavours[0].expected == at(3, 7), "the first one is for who waits"
    third = await forecasts.add(offer(TAKEN), [ticket("a"), ticket("b")], NOW)
    assert third.flavours[0].expected is None, "only two are held"


@pytest.mark.asyncio
async def test_each_ticket_has_the_time_of_its_own_place(database: Database) -> None:
    hold(database)
    line = [ticket("hers"), ticket("mine")]
    found = await Forecasts(database, PLATFORM).add(offer(TAKEN, tickets=(line[1],)), line, NOW)
    assert found.tickets[0].expected == at(3, 7)
    let_in = ticket("mine", admitted=True)
    again = await Forecasts(database, PLATFORM).add(offer(TAKEN, tickets=(let_in,)), [let_in], NOW)
    assert again.tickets[0].expected is None


@pytest.mark.asyncio
async def test_what_is_free_unknown_or_not_there_is_left_alone_and_costs_nothing() -> None:
    away = Forecasts(Database("sqlite:////nowhere/at/all.sqlite"), PLATFORM)
    known = offer(
        FlavourOffer("t4", 2, 1, "unit"),
        FlavourOffer("a30", 0, 0, "unit"),
        FlavourOffer("cpu", 64, 0, "core"),
        msgspec.structs.replace(TAKEN, unknown_since=NOW),
    )
    assert await away.add(known, [ticket("somebody's")], NOW) == known


@pytest.mark.asyncio
async def test_it_is_looked_up_once_in_a_while(database: Database) -> None:
    forecasts = Forecasts(database, PLATFORM)
    assert (await forecasts.add(offer(TAKEN), [], NOW)).flavours[0].expected is None
    hold(database)
    assert (await forecasts.add(offer(TAKEN), [], NOW + KEEP_S - 1)).flavours[0].expected is None
    later = await forecasts.add(offer(TAKEN), [], NOW + KEEP_S)
    assert later.flavours[0].expected == Expected(None, None, NOW + 6 * H), "cases are kept for longer"


def test_cases_of_other_flavours_stand_in_for_those_that_are_few() -> None:
    many, few = [0.5] * ENOUGH, [0.1] * (ENOUGH - 1)
    known = {("t4", "session"): many, ("a30", "session"): few, ("a30", "job"): few}
    assert similar(known, "t4") == {"session": many, "job": few}
    assert similar(known, "a30") == {"session": sorted(many + few), "job": few}
    assert similar({}, "t4") == {}


def test_a_job_gives_way_at_once_and_to_one_only() -> None:
    known = [Holder("job", 1, T0, 2 * H), Holder("session", 1, NOW - 2 * H, 8 * H)]
    past = {("t4", "session"): [0.5] * ENOUGH}
    assert expected(known, past, "t4", place=1, now=NOW) == Expected(gives_way=True)
    assert expected(known, past, "t4", place=2, now=NOW) == at(2, 6)
    assert expected(known, past, "t4", place=3, now=NOW) is None


@pytest.mark.asyncio
async def test_what_a_job_has_at_another_site_is_not_given_back_here(database: Database) -> None:
    elsewhere = next(site.name for site in PLATFORM.sites if site.kind != "local")
    jobs = [seen(uid, held_from=0, flavour="t4", kind="job", run_id=uid) for uid in ("here", "there")]
    await database.write(ledger.observe, jobs)
    places = {"here": "local", "there": elsewhere}
    for uid, site in places.items():
        statement = sa.update(record).where(record.c.pod_uid == uid).values(site=site)
        await database.write(lambda connection, one=statement: connection.execute(one).rowcount)
    found = await Forecasts(database, PLATFORM).add(offer(TAKEN), [], NOW)
    assert found.flavours[0].expected == Expected(gives_way=True)
    behind = await Forecasts(database, PLATFORM).add(offer(TAKEN), [ticket("a")], NOW)
    assert behind.flavours[0].expected is None
