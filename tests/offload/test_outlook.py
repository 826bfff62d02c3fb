"""How it stands with a job that waits: its place, and when such jobs have started before."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from support.offload import new_run, request
from support.offload_service import World

from aiinfn_hub.contract.jobs import JobState
from aiinfn_hub.kube.client import WORKLOADS
from aiinfn_hub.offload import outlook, runs
from aiinfn_hub.store import tables
from aiinfn_hub.store.engine import Database

NOW = 1_700_000_000.0
DAY = 86400.0


@pytest.mark.parametrize(
    ("known", "waited", "said"),
    [
        pytest.param([], 0, (None, None, 0), id="nothing is known"),
        pytest.param([60.0] * 4, 0, (None, None, 4), id="too little is known"),
        pytest.param([60.0, 120.0, 180.0, 240.0, 300.0], 0, (120.0, 240.0, 5), id="the middle half"),
        pytest.param(
            [10.0] * 50 + [100.0, 110, 120, 130, 140], 60, (110.0, 130.0, 5), id="of those that waited so long"
        ),
        pytest.param([10.0] * 50, 60, (None, None, 0), id="longer than anybody"),
    ],
)
def test_what_is_expected_of_the_past(known: list[float], waited: float, said: tuple[Any, ...]) -> None:
    assert outlook.expected(known, waited) == said


def test_the_past_is_of_first_attempts_of_a_month_by_place_and_flavour(database: Database) -> None:
    def fill(connection: sa.Connection) -> None:
        cases = [
            ("local", "cpu", NOW - 100, NOW - 40, 1),
            ("local", "cpu", NOW - 500, NOW - 470, 1),
            ("local", "t4", NOW - 100, NOW - 90, 1),
            ("leonardo", "cpu", NOW - 9000, NOW - 1000, 1),
            ("local", "cpu", NOW - 9000, NOW - 8000, 2),
            ("local", "cpu", NOW - 40 * DAY, NOW - 39 * DAY, 1),
            ("local", "cpu", NOW - 100, None, 1),
        ]
        for number, (target, flavour, placed, started, attempt) in enumerate(cases):
            new = new_run(target=target, flavour=flavour, idempotency_key=str(number))
            run, _ = runs.create(connection, new, now=placed)
            values = {"placed_at": placed, "started_at": started, "attempt": attempt}
            connection.execute(tables.run.update().where(tables.run.c.id == run.id).values(values))

    database.run(fill)
    found = database.run(outlook.past, now=NOW)
    assert found == {("local", "cpu"): [30.0, 60.0], ("local", "t4"): [10.0], ("leonardo", "cpu"): [8000.0]}


async def queued(service: World, run_id: str, number: int) -> None:
    """Kueue has taken a Job up, and it has a place."""
    job = await service.cluster.job(run_id)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    waits = {"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": "no room"}
    waits["lastTransitionTime"] = "2026-01-01T00:00:00Z"
    await service.client.create(
        WORKLOADS,
        {
            "apiVersion": "kueue.x-k8s.io/v1beta2",
            "kind": "Workload",
            "metadata": {"name": f"w{number}", "namespace": "aiinfn", "ownerReferences": [owner]},
            "spec": {"queueName": "lhcb-flashsim-batch", "active": True, "podSets": []},
            "status": {"conditions": [waits]},
        },
    )


@pytest.mark.asyncio
async def test_one_that_waits_says_its_place_wherever_it_is_shown(service: World) -> None:
    first = await service.submit(request("one"))
    second = await service.submit(request("two"))
    assert first.waiting is None, "Kueue has not taken it up yet"
    for number, view in enumerate((first, second)):
        await queued(service, view.id, number)
    for _ in range(100):
        view = await service.job(second.id)
        if view.waiting is not None and view.waiting.number == 2:
            break
        import asyncio  # noqa: PLC0415  only here

        await asyncio.sleep(0.05)
    assert view.waiting is not None
    assert view.waiting.number == 2
    assert (view.waiting.early, view.waiting.late, view.waiting.cases) == (None, None, 0)
    listed = (await service.call("GET", "/jobs")).json()["jobs"]
    assert sorted(job["waiting"]["place"] for job in listed) == [1, 2]
    page = await service.frames(second.id)
    assert page.job.waiting == view.waiting
    await service.call("POST", f"/jobs/{second.id}/cancel")
    assert (await service.until(second.id, JobState.CANCELLED)).waiting is None
