"""The follower over a real API: states come from the cluster alone, before and after a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.offload import NOW, request
from support.offload_service import NAMESPACE, World, cluster_api, room, soon, sqlite, world

from aiinfn_hub.contract.jobs import JobState, Why
from aiinfn_hub.errors import Unavailable
from aiinfn_hub.kube.client import JOBS, PODS, WORKLOADS
from aiinfn_hub.offload import capability, runs
from aiinfn_hub.store.engine import Database

S = JobState
pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    found = sqlite(tmp_path)
    yield found
    found.close()


@pytest_asyncio.fixture
async def service(tmp_path: Path, database: Database) -> AsyncIterator[World]:
    async with world(tmp_path, database) as found:
        yield found


async def add_workload(service: World, run_id: str, **conditions: tuple[str, str, str]) -> None:
    """The Workload that Kueue makes for a Job."""
    job = await service.cluster.job(run_id)
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": job["metadata"]["name"], "uid": job["metadata"]["uid"]}
    body = {
        "apiVersion": "kueue.x-k8s.io/v1beta2",
        "kind": "Workload",
        "metadata": {
            "name": f"wl-{run_id}",
            "namespace": NAMESPACE,
            "ownerReferences": [{**owner, "controller": True}],
        },
        "spec": {"queueName": "lhcb-flashsim-batch"},
    }
    await service.client.create(WORKLOADS, body)
    await tell(service, run_id, **conditions)


async def tell(service: World, run_id: str, **conditions: tuple[str, str, str]) -> None:
    since = {"lastTransitionTime": "2026-11-23T10:00:00Z"}
    found = [
        {"type": name, "status": status, "reason": reason, "message": message, **since}
        for name, (status, reason, message) in conditions.items()
    ]  # fmt: skip
    patch = {"status": {"conditions": found}}
    await service.client.patch(WORKLOADS, f"wl-{run_id}", patch, NAMESPACE, subresource="status")


async def reason_holds(service: World, run_id: str, words: str) -> bool:
    return words in (await service.job(run_id)).reason


async def test_the_reason_to_wait_comes_from_the_workload(service: World) -> None:
    view = await service.submit(request())
    message = "insufficient unused quota for nvidia.com/gpu in flavor a100, 1 more needed"
    await add_workload(service, view.id, QuotaReserved=("False", "Pending", message))
    await soon(lambda: reason_holds(service, view.id, "1 more must become free"))
    answer = (await service.call("GET", f"/jobs/{view.id}/why")).json()
    assert "Place 1 of 1" in answer["sentence"]
    assert set(answer) == set(Why.__struct_fields__)


async def test_a_job_that_nobody_reports_on_is_followed_to_its_end(service: World) -> None:
    view = await service.submit(request())
    await service.cluster.start_pod(view.id, "Pending")
    await service.until(view.id, S.STARTING)
    await service.cluster.pod_status(view.id, {"phase": "Running"})
    running = await service.until(view.id, S.RUNNING)
    assert running.started_at is not None
    await service.cluster.end_pod(view.id, 137, reason="OOMKilled")
    await service.cluster.end_job(view.id, "Failed")
    ended = await service.until(view.id, S.FAILED)
    assert (ended.exit_code, ended.verdict) == (137, "Out of memory: it took more than the 2Gi that it asked for.")


async def test_an_evicted_job_runs_again_as_the_second_attempt(service: World) -> None:
    view, token = await service.running(request())
    await add_workload(service, view.id, QuotaReserved=("True", "QuotaReserved", ""))
    await tell(
        service,
        view.id,
        Evicted=("True", "Preempted", "by somebody"),
        Preempted=("True", "InCohortReclamation", "by somebody"),
        QuotaReserved=("False", "Pending", "insufficient unused quota for cpu in flavor x, 1 more needed"),
    )
    await service.cluster.suspend(view.id, suspended=True)
    evicted = await service.until(view.id, S.EVICTED)
    assert "an interactive session needed its place" in evicted.reason
    assert evicted.attempt == 2
    await service.cluster.delete_pod(view.id)
    waiting = await service.until(view.id, S.QUEUED)
    because = "Attempt 2, because an interactive session needed its place."
    assert waiting.reason == f"{because} It waits for cpu: 1 more must become free."
    uid = await service.cluster.start_pod(view.id, number=2)
    second = await service.exchange(view.id, uid)
    assert (await service.until(view.id, S.RUNNING)).attempt == 2
    assert (await service.runner("POST", view.id, "heartbeat", token, json={})).status_code == 409
    report = {"state": "succeeded", "exit_code": 0}
    assert (await service.runner("POST", view.id, "result", second, json=report)).status_code == 200
    assert (await service.until(view.id, S.SUCCEEDED)).attempt == 2


async def test_the_runners_word_counts_and_not_the_watch_behind_it(service: World) -> None:
    view = await service.submit(request())
    uid = await service.cluster.start_pod(view.id, "Pending")
    await service.until(view.id, S.STARTING)
    await service.exchange(view.id, uid)
    await service.follower.sweep()
    await service.follower.work()
    found = await service.job(view.id)
    assert (found.state, found.attempt) == (S.RUNNING, 1)


async def test_a_job_that_succeeded_stays_so_whatever_the_cluster_says(service: World) -> None:
    view, token = await service.running(request())
    await service.runner("POST", view.id, "result", token, json={"state": "succeeded", "exit_code": 0})
    await service.cluster.end_pod(view.id, 137)
    await service.cluster.end_job(view.id, "Failed")
    await asyncio.sleep(0.3)
    assert (await service.job(view.id)).state is S.SUCCEEDED


async def test_a_running_job_that_is_cancelled_ends_with_its_pod(service: World) -> None:
    view, _ = await service.running(request())
    answer = await service.call("POST", f"/jobs/{view.id}/cancel")
    assert answer.json()["state"] == "running"
    await soon(lambda: service.cluster.gone(view.id))
    if not (await service.job(view.id)).final:
        await service.cluster.delete_pod(view.id)
    assert (await service.until(view.id, S.CANCELLED)).reason == "Cancelled by you."


async def test_a_job_that_somebody_deleted_is_lost(
    service: World, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiinfn_hub.offload.observe.LAG_S", 0.2)
    view = await service.submit(request())
    await service.client.delete(JOBS, f"job-{view.id}", NAMESPACE)
    lost = await service.until(view.id, S.LOST)
    assert "Job is gone" in lost.reason
    assert database.run(runs.get, view.id).finished_at is not None


async def test_a_lost_job_whose_node_comes_back_delivers_the_truth(
    service: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiinfn_hub.offload.observe.LAG_S", 0.2)
    view, token = await service.running(request())
    await service.client.delete(JOBS, f"job-{view.id}", NAMESPACE)
    await service.cluster.delete_pod(view.id) if not await _pod_gone(service, view.id) else None
    await service.until(view.id, S.LOST)
    report = {"state": "succeeded", "exit_code": 0}
    assert (await service.runner("POST", view.id, "result", token, json=report)).status_code == 200
    assert (await service.job(view.id)).state is S.SUCCEEDED


async def _pod_gone(service: World, run_id: str) -> bool:
    return not service.follower._pods.get(run_id)


async def test_a_job_that_goes_on_for_a_run_that_is_over_is_deleted(
    service: World, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiinfn_hub.offload.follow.LINGER_S", 0.0)
    view = await service.submit(request())
    database.run(runs.move, view.id, S.FAILED, now=NOW - 10**9)
    await soon(lambda: service.cluster.gone(view.id))


async def test_a_cancel_that_the_cluster_missed_is_carried_out_by_the_sweep(service: World, database: Database) -> None:
    view, _ = await service.running(request())
    database.run(runs.ask_to_cancel, view.id, now=NOW)
    await soon(lambda: service.cluster.gone(view.id))


async def test_a_sweep_follows_only_those_that_a_step_is_due_for(service: World, database: Database) -> None:
    """Of the thousands that wait there is no news, and a transaction for each would keep a core busy."""
    running, _ = await service.running(request(name="running"))
    waiting = await service.submit(request(name="waiting"))
    missed = await service.submit(request(name="missed"))
    for view in (waiting, missed):
        await service.until(view.id, S.QUEUED)
    await soon(lambda: _nothing_marked(service))
    database.run(runs.note, missed.id, now=NOW, reason="what the watch said before it broke")
    await service.follower.sweep()
    assert service.follower._dirty == {missed.id}
    await service.follower.work()
    assert (await service.job(missed.id)).reason != "what the watch said before it broke"
    assert (await service.job(running.id)).state is S.RUNNING


async def _nothing_marked(service: World) -> bool:
    return not service.follower._dirty


async def test_the_contacts_of_open_runs_are_read_together(service: World, database: Database) -> None:
    first, token = await service.running(request(name="first"))
    second, _ = await service.running(request(name="second"))
    found = database.run(capability.contacts)
    assert found == {view.id: database.run(capability.contact, view.id) for view in (first, second)}
    report = {"state": "succeeded", "exit_code": 0}
    await service.runner("POST", first.id, "result", token, json=report)
    assert set(database.run(capability.contacts)) == {second.id}


async def test_after_a_restart_everything_is_derived_again(tmp_path: Path, database: Database) -> None:
    async with cluster_api(tmp_path) as client:
        async with room(tmp_path, database, client) as before:
            queued = await before.submit(request(name="queued"))
            doomed = await before.submit(request(name="doomed"))
            started = await before.submit(request(name="started"))
            cluster = before.cluster
        uid = await cluster.start_pod(started.id)
        await cluster.start_pod(doomed.id)
        await cluster.end_pod(doomed.id, 70)
        await cluster.end_job(doomed.id, "Failed")
        async with room(tmp_path, database, client) as after:
            await after.until(started.id, S.RUNNING)
            await after.until(doomed.id, S.FAILED)
            assert (await after.job(queued.id)).state is S.QUEUED
            token = await after.exchange(started.id, uid)
            report = {"state": "succeeded", "exit_code": 0}
            assert (await after.runner("POST", started.id, "result", token, json=report)).status_code == 200
            await after.until(started.id, S.SUCCEEDED)
            assert (await cluster.objects())["jobs"] == 3


async def test_a_runner_goes_on_with_its_token_after_a_restart(tmp_path: Path, database: Database) -> None:
    async with cluster_api(tmp_path) as client:
        async with room(tmp_path, database, client) as before:
            view, token = await before.running(request())
        async with room(tmp_path, database, client) as after:
            assert (await after.runner("POST", view.id, "heartbeat", token, json={})).json() == {
                    "cancel": False, "limit_s": 3600.0,
                }  # fmt: skip


async def test_a_pod_that_only_wears_our_label_is_not_believed(service: World) -> None:
    view = await service.submit(request())
    await service.cluster.suspend(view.id, suspended=False)
    await service.until(view.id, S.STARTING)
    job = await service.cluster.job(view.id)
    template = job["spec"]["template"]
    for namespace in (NAMESPACE, "default"):
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": "impostor", "namespace": namespace, "labels": template["metadata"]["labels"]},
            "spec": {**template["spec"], "nodeName": "node-1"},
        }
        await service.client.create(PODS, pod)
        status = {"status": {"phase": "Running"}}
        await service.client.patch(PODS, "impostor", status, namespace, subresource="status")
    await asyncio.sleep(0.3)
    assert (await service.job(view.id)).state is S.STARTING


async def test_jobs_of_others_in_the_namespace_are_left_alone(
    service: World, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    view = await service.submit(request())
    with database.engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM run")
    with caplog.at_level(logging.WARNING):
        await service.cluster.start_pod(view.id)
        await service.follower.sweep()
        await service.follower.work()
    assert not await service.cluster.gone(view.id)
    assert "failed" not in caplog.text


async def test_what_happened_while_the_database_was_away_is_not_forgotten(
    service: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    view = await service.submit(request())
    away = True
    real = service.database.read

    async def read(fn: object, *args: object, **options: object) -> object:
        if away and fn in (runs.get, runs.active):
            raise Unavailable("The database does not answer.")
        return await real(fn, *args, **options)  # type: ignore[arg-type]  # passed through

    monkeypatch.setattr(service.database, "read", read)
    await service.cluster.start_pod(view.id)
    await asyncio.sleep(0.3)
    away = False
    await service.until(view.id, S.RUNNING)
