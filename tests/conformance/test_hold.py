"""What happens when operators stop a queue or put a workload aside, on the real control plane and on ours."""

from __future__ import annotations

from typing import Any

import pytest
from support.lines import Lines, of, revisions, ways
from support.places import Place
from support.trials import condition, events, history, holds, phase, says

from aiinfn_hub.kube.client import CLUSTER_QUEUES, JOBS, LOCAL_QUEUES, PODS, WORKLOADS

pytestmark = pytest.mark.asyncio
Object = dict[str, Any]


async def stop(lines: Lines, kind: Any, policy: str, queue: str = "jobs") -> None:
    """Stop a queue, or start it again ("None"), and wait until it says so."""
    place = lines.place
    name, namespace = (lines.named(queue), None) if kind == CLUSTER_QUEUES else (queue, place.namespace)
    await place.client.patch(kind, name, {"spec": {"stopPolicy": policy}}, namespace)
    await place.until(kind, name, says("Active", "True" if policy == "None" else "False"))


KINDS = [
    pytest.param(CLUSTER_QUEUES, "ClusterQueue", "Can't admit new workloads: is stopped.", id="ClusterQueue"),
    pytest.param(LOCAL_QUEUES, "LocalQueue", "LocalQueue is stopped", id="LocalQueue"),
]


@pytest.mark.parametrize(("kind", "title", "message"), KINDS)
async def test_a_queue_on_hold_lets_nobody_in_and_leaves_what_runs(
    place: Place, kind: Any, title: str, message: str
) -> None:
    lines = Lines(place)
    await lines.usual(2)
    async with history(place, WORKLOADS) as workloads:
        await lines.job("a")
        await workloads.first(of("a", holds("Admitted")))
        await stop(lines, kind, "Hold")
        name = lines.named("jobs") if kind == CLUSTER_QUEUES else "jobs"
        active = condition(await place.get(kind, name), "Active")
        assert (active["reason"], active["message"]) == ("Stopped", message)
        if kind == CLUSTER_QUEUES:
            below = await place.until(LOCAL_QUEUES, "jobs", says("Active", "False"))
            assert condition(below, "Active")["reason"] == "ClusterQueueIsInactive"
            assert condition(below, "Active")["message"] == "Can't submit new workloads to clusterQueue"
        await lines.job("b")
        waits = condition(await workloads.first(of("b", says("QuotaReserved", "False"))), "QuotaReserved")
        assert (waits["reason"], waits["message"]) == ("Inadmissible", f"{title} {name} is inactive")
        await stop(lines, kind, "None")
        await workloads.first(of("b", holds("Admitted")))
    assert "Evicted" not in ways(revisions(workloads, "a"))


@pytest.mark.parametrize(("kind", "title", "message"), KINDS)
async def test_a_job_of_a_drained_queue_waits_and_starts_again(
    place: Place, kind: Any, title: str, message: str
) -> None:
    del message
    lines = Lines(place)
    await lines.usual(2)
    async with history(place, WORKLOADS) as workloads, history(place, JOBS) as jobs:
        await lines.job("a")
        await jobs.until("a", lambda one: one["status"].get("active"))
        await stop(lines, kind, "HoldAndDrain")
        gone = await workloads.first(of("a", says("Requeued", "False")))
        evicted = condition(gone, "Evicted")
        assert (evicted["reason"], evicted["message"]) == (f"{title}Stopped", f"The {title} is stopped")
        await stop(lines, kind, "None")
        back = await workloads.first(of("a", says("Evicted", "False")))
        await jobs.until("a", lambda one: len(jobs.turns("a")) == 4)
        again = await workloads.first(of("a", says("Requeued", "True", f"{title}Restarted")))
    assert condition(back, "Evicted")["message"] == f"Previously: The {title} is stopped"
    assert condition(again, "Requeued")["message"] == f"The {title} was restarted after being stopped"
    assert all("failed" not in one["status"] for one in jobs.of("a"))


async def test_a_session_of_a_drained_queue_is_deleted_for_good(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(1)
    async with history(place, WORKLOADS) as workloads, history(place, PODS) as pods:
        await lines.session("a")
        await pods.until("a", phase("Running"))
        await stop(lines, CLUSTER_QUEUES, "HoldAndDrain", "sessions")
        await pods.until_gone("a")
        await workloads.until_gone(revisions(workloads, "a")[0]["metadata"]["name"])
    found = ways(revisions(workloads, "a"))
    assert found.pop("QuotaReserved")[:2] == ["True QuotaReserved", "False Pending"]
    assert found == {
        "Admitted": ["True Admitted", "False NoReservation"],
        "Evicted": ["True ClusterQueueStopped"],
        "Requeued": ["False ClusterQueueStopped"],
        "Finished": ["True OwnerNotFound"],
    }
    target = next(found for one in pods.of("a") if (found := condition(one, "TerminationTarget")))
    assert target["reason"] == "WorkloadEvictedDueToClusterQueueStopped"
    assert ("Stopped", "The ClusterQueue is stopped") in await events(place, "a", "Stopped")


async def _active(lines: Lines, owner: str, *, active: bool) -> None:
    name = (await lines.workload(owner))["metadata"]["name"]
    await lines.place.client.patch(WORKLOADS, name, {"spec": {"active": active}}, lines.place.namespace)


async def test_a_job_that_is_put_aside_gives_way_and_starts_again_when_it_may(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(1)
    async with history(place, WORKLOADS) as workloads, history(place, JOBS) as jobs:
        await lines.job("a")
        await jobs.until("a", lambda one: one["status"].get("active"))
        await _active(lines, "a", active=False)
        await workloads.first(of("a", says("Requeued", "False")))
        await lines.job("b")  # lets us know that the queue has looked at all that wait
        await workloads.first(of("b", holds("Admitted")))
        assert len(jobs.turns("a")) == 3
        await place.client.delete(JOBS, "b", place.namespace)
        await _active(lines, "a", active=True)
        await jobs.until("a", lambda one: len(jobs.turns("a")) == 4)
    found = ways(revisions(workloads, "a"))
    assert found.pop("QuotaReserved")[:2] == ["True QuotaReserved", "False Pending"]
    assert found == {
        "Admitted": ["True Admitted", "False NoReservation", "True Admitted"],
        "Evicted": ["True Deactivated", "False QuotaReserved"],
        "Requeued": ["False Deactivated", "True Reactivated"],
    }
    put = next(one for one in revisions(workloads, "a") if holds("Evicted")(one))
    assert condition(put, "Evicted")["message"] == "The workload is deactivated"


async def test_a_session_that_is_put_aside_goes_and_one_that_waits_stays_gated(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(1)
    async with history(place, WORKLOADS) as workloads, history(place, PODS) as pods:
        await lines.session("a")
        await pods.until("a", phase("Running"))
        await lines.session("b")
        await workloads.first(of("b", says("QuotaReserved", "False")))
        await _active(lines, "b", active=False)
        put = await workloads.first(of("b", holds("Evicted", "Deactivated")))
        assert condition(put, "QuotaReserved")["reason"] == "Pending"
        await _active(lines, "a", active=False)
        await pods.until_gone("a")
        await lines.session("c")
        await workloads.first(of("c", holds("Admitted")))
    assert "b" not in pods.gone
    target = next(found for one in pods.of("a") if (found := condition(one, "TerminationTarget")))
    assert target["reason"] == "WorkloadEvictedDueToDeactivated"
