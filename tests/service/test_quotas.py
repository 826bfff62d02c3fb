"""Quotas over HTTP, by the hub's key, and in the transaction that makes a job."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio
import sqlalchemy as sa
from support.offload import request
from support.service import HUB_KEY, RunningService, running_service
from support.sightings import T0, life

from aiinfn_hub.accounting import ledger
from aiinfn_hub.catalogue import example_path, load_platform
from aiinfn_hub.contract.offer import TicketOffer
from aiinfn_hub.errors import QuotaExceeded
from aiinfn_hub.kube.slim import Pod
from aiinfn_hub.offload import runs
from aiinfn_hub.offload.entry import enter
from aiinfn_hub.offload.runs import NewRun
from aiinfn_hub.pods import names
from aiinfn_hub.service.budget import QuotaBudget, full
from aiinfn_hub.sessions.tickets import Ticket
from aiinfn_hub.store.engine import Database
from aiinfn_hub.store.ledger_tables import refusal

H = 3600.0
WANTED = {"server": "", "activity": "teaching", "flavour": "a100-40", "planned_s": 8 * 3600}


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[RunningService]:
    async with running_service(tmp_path) as running:
        running.hub.add("alice", "/aiinfn", "/aiinfn/teaching")
        running.hub.add("root", "/aiinfn", "/aiinfn/admins")
        yield running


async def post(service: RunningService, key: str, person: str = "alice", **changes: Any) -> httpx.Response:
    headers = {"Authorization": key} if key else {}
    async with httpx.AsyncClient(headers=headers) as http:
        url = f"{service.url}/api/reservations"
        return await http.post(url, params={"person": person}, json=WANTED | changes)


@pytest.mark.asyncio
async def test_the_hub_reserves_until_nothing_is_left(service: RunningService) -> None:
    """The example gives a participant of a school ten hours in a week."""
    first = await post(service, f"Bearer {HUB_KEY}")
    assert (first.status_code, first.json()) == (200, {"seconds": 8 * H, "sentence": ""})
    second = (await post(service, f"Bearer {HUB_KEY}", server="two", flavour="t4")).json()
    assert second["seconds"] == pytest.approx(5 * H, abs=5), "two hours of a whole card are five of a T4"
    assert "of 10 GPU-hours of one participant in a week are left" in second["sentence"]
    third = await post(service, f"Bearer {HUB_KEY}", server="three", flavour="a30")
    assert third.status_code == 429
    error = third.json()["error"]
    assert error["code"] == "quota-exceeded"
    assert error["hint"].startswith("You may start again on ")
    assert error["details"]["again_at"] > time.time() + 6 * 86400
    cpu = await post(service, f"Bearer {HUB_KEY}", server="three", flavour="cpu")
    assert cpu.json()["seconds"] == 8 * H, "what has no accelerator is not counted"
    another = await post(service, f"Bearer {HUB_KEY}", server="four")
    assert "1 of 1 units of NVIDIA A100" in another.json()["error"]["message"]


@pytest.mark.asyncio
async def test_a_person_sees_the_own_limits_in_the_offer_and_in_the_panel(service: RunningService) -> None:
    await service.service.database.write(
        ledger.observe,
        life("u1", person="alice", activity="teaching", flavour="a100-40", weight=1.0, start=time.time() - T0 - 3 * H,
             end=time.time() - T0 - H),
    )  # fmt: skip
    await post(service, f"Bearer {HUB_KEY}", flavour="t4", planned_s=3600)
    async with service.person("token-of-alice") as http:
        offered = {quota["name"]: quota for quota in (await http.get("/api/offer")).json()["quotas"]}
        page = await http.get("/")
    own = offered["school-hours"]
    assert (own["used"], own["committed"], own["gpu_hours"]) == pytest.approx((2.0, 0.4, 10.0), abs=0.01)
    assert own["out_at"] is None, "two hours in a week are less than ten"
    assert offered["activity-teaching"]["activities"] == ["teaching"]
    assert "GPU-hours of one participant in a week" in page.text
    assert "2.0 of 10 GPU-h in 7 days" in page.text


@pytest.mark.parametrize(
    ("key", "status"),
    [
        pytest.param("", 401, id="a stranger"),
        pytest.param("token token-of-alice", 403, id="the person herself"),
        pytest.param("token token-of-root", 403, id="an operator"),
        pytest.param(f"Bearer {HUB_KEY}x", 401, id="another key"),
    ],
)
@pytest.mark.asyncio
async def test_nobody_but_the_hub_reserves(service: RunningService, key: str, status: int) -> None:
    assert (await post(service, key)).status_code == status


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"flavour": "a100-41"}, "no flavour 'a100-41'"),
        ({"activity": "teachin"}, "no activity 'teachin'"),
        ({"planned_s": 0}, "does not run for 0 s"),
        ({"planned_s": 10**9}, "does not run for"),
        ({"more": 1}, "cannot be used"),
    ],
)
@pytest.mark.asyncio
async def test_what_cannot_be_reserved_is_named(service: RunningService, changes: dict[str, Any], words: str) -> None:
    answer = await post(service, f"Bearer {HUB_KEY}", **changes)
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]


def new_run(key: str, hours: float) -> NewRun:
    wanted = request()
    resources = msgspec.structs.replace(wanted.resources, gpu="a100-40", time_s=int(hours * H))
    return NewRun(
        owner="alice",
        activity="teaching",
        activity_reason="chosen",
        request=msgspec.structs.replace(wanted, inputs={}, resources=resources),
        target="local",
        flavour="a100-40",
        units=1,
        queue="teaching-batch",
        image="x",
        idempotency_key=key,
    )


def test_a_job_that_is_refused_leaves_no_run_and_a_note(database: Database) -> None:
    budget = QuotaBudget(load_platform(example_path()))
    database.run(ledger.observe, life("u1", start=0, end=3 * H, activity="teaching", flavour="a100-40", weight=1.0))
    now = T0 + 4 * H
    first, created = database.run(enter, new_run("one", 4), budget, now=now)
    assert created
    with pytest.raises(QuotaExceeded, match=r"3\.0 of 10 .* it asks for 4\.0.*You may start again on .* UTC") as caught:
        database.run(enter, new_run("two", 4), budget, now=now)
    database.run(budget.refused, new_run("two", 4), caught.value, now=now)
    assert [run.id for run in database.run(runs.active)] == [first.id]
    again, created = database.run(enter, new_run("one", 4), budget, now=now)
    assert (again.id, created) == (first.id, False), "what was let in is not judged again"
    database.run(enter, new_run("three", 3), budget, now=now)
    with database.engine.connect() as connection:
        noted = connection.execute(sa.select(refusal.c.kind, refusal.c.gpu_hours, refusal.c.quota)).all()
    assert [tuple(row) for row in noted] == [("job", 4.0, "school-hours")]


@pytest.mark.parametrize(
    ("flavour", "lifetime", "words"),
    [
        pytest.param("a100-40", "28800", "are left; it asks for 8.0", id="no room"),
        pytest.param("cpu", "28800", "", id="what is not counted"),
        pytest.param("a100-41", "28800", "", id="what the catalogue has no more is for the hub to refuse"),
        pytest.param("a100-40", "", "", id="a pod of an older version"),
    ],
)
@pytest.mark.asyncio
async def test_a_turn_in_the_queue_comes_with_a_look_at_the_quotas(
    database: Database, flavour: str, lifetime: str, words: str
) -> None:
    database.run(ledger.observe, life("u1", start=0, end=10 * H, activity="teaching", flavour="a100-40", weight=1.0))
    offer = TicketOffer("t", "", flavour, "teaching", T0)
    notes = {names.PERSON_NAME: "alice", names.LIFETIME: lifetime}
    ticket = Ticket(Pod(uid="t", name="jupyter-alice", namespace="aiinfn", annotations=notes), offer)
    found = await full(database, load_platform(example_path()), ticket, now=T0 + 11 * H)
    assert (words in found) if words else found == ""
