"""More time for a job, and a rehearsal of its eviction, over HTTP."""

from __future__ import annotations

from typing import Any

import pytest
from support.offload import request
from support.offload_service import World

from aiinfn_hub.contract.jobs import JobState
from aiinfn_hub.errors import QuotaExceeded

S = JobState
pytestmark = pytest.mark.asyncio


async def extend(service: World, job: str, time_s: int, **options: Any) -> Any:
    return await service.call("POST", f"/jobs/{job}/extend", json={"time_s": time_s}, **options)


async def test_a_running_job_gets_more_time_and_its_runner_hears_of_it(service: World) -> None:
    view, token = await service.running(request(time_s=600))
    answer = await extend(service, "fit", 7200)
    assert (answer.status_code, answer.json()["resources"]["time_s"]) == (200, 7200)
    assert (await service.runner("POST", view.id, "heartbeat", token, json={})).json()["limit_s"] == 7200
    assert (await extend(service, "fit", 7200)).status_code == 200, "the same again is no change"
    again = await service.submit(request(time_s=600), key="a")
    assert again.digest == view.digest, "it is the same work, whatever time it got since"


async def test_what_cannot_be_extended_says_why(service: World) -> None:
    view, token = await service.running(request(time_s=600))
    for time_s, said in ((60, "has 600 s already"), (10**9, "may last")):
        answer = await extend(service, view.id, time_s)
        assert (answer.status_code, said in answer.text) == (400, True), answer.text
    assert (await extend(service, view.id, 900, who="bob")).status_code == 404
    report = {"state": "succeeded", "exit_code": 0, "verdict": ""}
    await service.runner("POST", view.id, "result", token, json=report)
    answer = await extend(service, view.id, 900)
    assert (answer.status_code, "is over" in answer.text) == (409, True)


async def test_without_room_in_the_quota_nothing_is_extended(service: World) -> None:
    view, _ = await service.running(request(time_s=600))

    class Full:
        def check(self, _connection: Any, run: Any, *, now: float) -> None:
            assert (run.wanted.resources.time_s, now > 0) == (7200, True), "it is asked for all of it"
            raise QuotaExceeded("The quota of lhcb-flashsim has no room.")

    full: Any = Full()
    service.submitter.budget = full
    assert (await extend(service, view.id, 7200)).status_code == 429
    assert (await service.job(view.id)).resources.time_s == 600


async def test_only_what_runs_can_be_evicted(service: World) -> None:
    view = await service.submit(request())
    answer = await service.call("POST", f"/jobs/{view.id}/evict")
    assert (answer.status_code, "does not run" in answer.text) == (409, True)
    assert (await service.call("POST", f"/jobs/{view.id}/evict", who="bob")).status_code == 404


async def test_a_job_that_failed_goes_on_from_what_it_kept_when_it_is_tried_again(service: World) -> None:
    import hashlib  # noqa: PLC0415  only here

    view, token = await service.running(request())
    name = hashlib.sha256(b"piece").hexdigest()
    await service.runner("PUT", view.id, f"pieces/{name}", token, content=b"piece")
    about = {"path": "x", "pieces": [{"sha256": name, "size": 5}]}
    await service.runner("POST", view.id, "checkpoints", token, json=about)
    report = {"state": "failed", "exit_code": 124, "verdict": "The time limit was over."}
    await service.runner("POST", view.id, "result", token, json=report)
    again = (await service.call("POST", f"/jobs/{view.id}/retry", json={"time_s": 7200})).json()
    uid = await service.cluster.start_pod(again["id"])
    capability = await service.cluster.capability(again["id"])
    answer = (await service.runner("POST", again["id"], "exchange", capability, json={"pod_uid": uid})).json()
    assert answer["restore"]
    assert (await service.runner("GET", again["id"], f"pieces/{name}", answer["token"])).content == b"piece"
