"""Sweeps over HTTP: so many at once, one table, and what did not succeed once more."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import msgspec
import pytest
from support.offload import request
from support.offload_service import World

from aiinfn_hub.contract.jobs import JobState, JobView
from aiinfn_hub.contract.sweeps import SweepRequest, SweepView
from aiinfn_hub.errors import QuotaExceeded
from aiinfn_hub.offload import sweeps

S = JobState
pytestmark = pytest.mark.asyncio
POINTS = [{"lr": number / 10} for number in range(5)]


async def submit(service: World, *, at_once: int = 2, key: str = "", **changes: Any) -> SweepView:
    asked = SweepRequest(request(**changes), POINTS, at_once)
    headers = {"Idempotency-Key": key} if key else {}
    answer = await service.call("POST", "/sweeps", content=msgspec.json.encode(asked), headers=headers)
    assert answer.status_code in (200, 201), answer.text
    return msgspec.json.decode(answer.content, type=SweepView)


async def look(service: World, name: str = "fit", **options: Any) -> SweepView:
    answer = await service.call("GET", f"/sweeps/{name}", **options)
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=SweepView)


def states(view: SweepView) -> list[str]:
    return [job.state.value for job in view.jobs]


async def until(service: World, *wanted: str) -> SweepView:
    deadline = time.monotonic() + 5
    while states(view := await look(service)) != list(wanted):
        assert time.monotonic() < deadline, states(view)
        await asyncio.sleep(0.02)
    return view


async def end(service: World, job: JobView, state: str = "succeeded", **more: Any) -> None:
    """A pod of the job starts, says how it ends, and is gone."""
    uid = await service.cluster.start_pod(job.id)
    token = await service.exchange(job.id, uid)
    report = {"state": state, "exit_code": 0 if state == "succeeded" else 70, **more}
    assert (await service.runner("POST", job.id, "result", token, json=report)).status_code == 200
    await service.cluster.end_pod(job.id, report["exit_code"])


async def test_only_so_many_are_in_the_queue_and_the_next_follows_at_once(service: World) -> None:
    view = await submit(service)
    assert [(job.name, job.point) for job in view.jobs] == [(f"fit-{n}", point) for n, point in enumerate(POINTS)]
    view = await until(service, "queued", "queued", "staging", "staging", "staging")
    assert "2 of its sweep are under way" in view.jobs[2].reason
    assert (await service.cluster.objects())["jobs"] == 2
    await end(service, view.jobs[1], metrics={"loss": 0.25})
    view = await until(service, "queued", "succeeded", "queued", "staging", "staging")
    assert view.table()[1] == {"lr": 0.1, "state": "succeeded", "loss": 0.25}


async def test_the_same_key_is_the_same_sweep_and_nobody_else_s(service: World) -> None:
    first, again = await submit(service, key="k"), await submit(service, key="k")
    assert (first.id, [job.id for job in first.jobs]) == (again.id, [job.id for job in again.jobs])
    other = SweepRequest(request(), POINTS[:2])
    headers = {"Idempotency-Key": "k"}
    answer = await service.call("POST", "/sweeps", content=msgspec.json.encode(other), headers=headers)
    assert (answer.status_code, "another one" in answer.text) == (409, True)
    for method, path in (("GET", ""), ("POST", "/cancel"), ("POST", "/retry")):
        answer = await service.call(method, f"/sweeps/{first.id}{path}", who="bob", content=b"{}")
        assert answer.status_code == 404, path


async def test_all_of_it_is_refused_where_the_quota_has_no_room_for_all(service: World) -> None:
    class Small:
        refusals = 0

        def check(self, connection: Any, run: Any, *, now: float) -> None:
            if len(sweeps.latest_of(connection, run.sweep)) > 4:
                raise QuotaExceeded("The quota of lhcb-flashsim has no room.")

        def refused(self, *_about: Any, now: float) -> None:
            self.refusals += int(now > 0)

    small: Any = Small()
    service.submitter.budget = small
    asked = msgspec.json.encode(SweepRequest(request(), POINTS, 2))
    answer = await service.call("POST", "/sweeps", content=asked)
    assert (answer.status_code, small.refusals) == (429, 1)
    assert (await service.call("GET", "/jobs")).json() == {"jobs": []}
    assert (await service.call("GET", "/sweeps/fit")).status_code == 404


async def test_a_sweep_is_ended_as_a_whole(service: World) -> None:
    await submit(service)
    view = await until(service, "queued", "queued", "staging", "staging", "staging")
    await end(service, view.jobs[0])
    await until(service, "succeeded", "queued", "queued", "staging", "staging")
    assert (await service.call("POST", "/sweeps/fit/cancel")).status_code == 200
    view = await until(service, "succeeded", *["cancelled"] * 4)
    answer = await service.call("POST", "/sweeps/fit/cancel")
    assert (answer.status_code, "is over" in answer.text) == (409, True)


async def test_what_failed_runs_again_in_its_place_with_other_amounts(service: World) -> None:
    view = await submit(service, at_once=5)
    view = await until(service, *["queued"] * 5)
    for job in view.jobs[:3]:
        await end(service, job, "failed" if job.name == "fit-1" else "succeeded", metrics={"loss": 1.0})
    await until(service, "succeeded", "failed", "succeeded", "queued", "queued")
    change = {"change": {"memory_bytes": 2**31}}
    answer = await service.call("POST", "/sweeps/fit/retry", json=change)
    assert answer.status_code == 201, answer.text
    after = await until(service, "succeeded", "queued", "succeeded", "queued", "queued")
    assert (after.jobs[1].id != view.jobs[1].id, after.jobs[1].name) == (True, "fit-1")
    assert (after.jobs[1].resources.memory_bytes, after.jobs[1].point) == (2**31, {"lr": 0.1})
    answer = await service.call("POST", "/sweeps/fit/retry", json={})
    assert (answer.status_code, "Some go on" in answer.text) == (409, True)


async def test_one_point_that_is_tried_again_is_in_the_table(service: World) -> None:
    view = await submit(service, at_once=5)
    await until(service, *["queued"] * 5)
    await end(service, view.jobs[4], "failed")
    await until(service, *["queued"] * 4, "failed")
    assert (await service.call("POST", "/jobs/fit-4/retry", json={})).status_code == 201
    await until(service, *["queued"] * 5)


async def test_a_service_that_was_killed_goes_on_with_the_sweep(service: World) -> None:
    """The rows are there and no object is: what a kill in the moment of the submission leaves."""
    submitter = service.submitter
    stage, submitter.go_on = submitter.go_on, lambda _sweep: asyncio.sleep(0)  # type: ignore[method-assign]
    await submit(service)
    submitter.go_on = stage  # type: ignore[method-assign]
    await submitter.sweep()
    await until(service, "queued", "queued", "staging", "staging", "staging")
