"""Who gives way to whom, how, and what it keeps, on the real control plane and on ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.lines import OWNER, Lines, of, revisions, ways
from support.places import Place
from support.trials import JOB_NAME, condition, events, history, holds, phase

from aiinfn_hub.kube.client import JOBS, PODS, WORKLOADS

pytestmark = pytest.mark.asyncio
Object = dict[str, Any]


def of_job(name: str, wanted: str = "Running") -> Any:
    return lambda one: one["metadata"]["labels"].get(JOB_NAME) == name and phase(wanted)(one)


async def test_a_job_gives_back_what_it_borrowed_and_comes_back(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(1)
    async with history(place, WORKLOADS) as workloads, history(place, JOBS) as jobs, history(place, PODS) as pods:
        await lines.job("j")
        first = await pods.first(of_job("j"))
        await lines.session("s")
        await pods.until("s", phase("Running"))
        evicted = await workloads.first(of("j", holds("Requeued")))
        await place.client.delete(PODS, "s", place.namespace)
        await pods.first(lambda one: of_job("j")(one) and one["metadata"]["uid"] != first["metadata"]["uid"])
        await jobs.until("j", lambda one: len(jobs.turns("j")) == 4)
    assert ways(revisions(workloads, "j")) == {
        "QuotaReserved": ["True QuotaReserved", "False Pending", "True QuotaReserved"],
        "Admitted": ["True Admitted", "False NoReservation", "True Admitted"],
        "Evicted": ["True Preempted", "False QuotaReserved"],
        "Preempted": ["True InCohortReclamation", "False QuotaReserved"],
        "Requeued": ["True Preempted"],
    }
    taker = revisions(workloads, "s")[0]["metadata"]["uid"]
    session = await _uid(pods, "s")
    why = (
        f"Preempted to accommodate a workload (UID: {taker}, JobUID: {session}) due to reclamation within the cohort; "
        f"preemptor path: /{lines.named('all')}/{lines.named('sessions')}; "
        f"preemptee path: /{lines.named('all')}/{lines.named('jobs')}"
    )
    assert {condition(evicted, name)["message"] for name in ("Evicted", "Preempted", "Requeued")} == {why}
    assert condition(revisions(workloads, "j")[-1], "Evicted")["message"] == f"Previously: {why}"
    assert evicted["status"]["schedulingStats"]["evictions"] == [
        {"reason": "Preempted", "underlyingCause": "", "count": 1}
    ]
    assert "admission" not in evicted["status"]
    told = await events(place, "j", "Stopped")
    assert ("Stopped", why) in told
    about = await events(place, evicted["metadata"]["name"], "EvictedDueToPreempted", "Preempted")
    assert ("EvictedDueToPreempted", why) in about
    ranks = "; preemptor effective priority: 0 (base: 0, boost: 0); preemptee effective priority: 0 (base: 0, boost: 0)"
    assert ("Preempted", why + ranks) in about
    _check_the_job(jobs.of("j"), place)


def _check_the_job(revised: list[Object], place: Place) -> None:
    """The order of the steps, and that nothing of the admission is left."""
    stopped = next(n for n, one in enumerate(revised) if "kueue.x-k8s.io/stopping" in _notes(one))
    assert revised[stopped]["spec"]["suspend"]
    assert "startTime" in revised[stopped]["status"]
    forgot = next(n for n, one in enumerate(revised) if n > stopped and "startTime" not in one["status"])
    restored = next(n for n, one in enumerate(revised) if n > stopped and not _notes(one))
    assert stopped < forgot < restored
    template = revised[restored]["spec"]["template"]
    assert "nodeSelector" not in template["spec"]
    assert not [key for key in template["metadata"]["labels"] if "kueue" in key]
    assert not template["metadata"].get("annotations")
    assert all("failed" not in one["status"] for one in revised)
    assert revised[-1]["spec"]["template"]["spec"]["nodeSelector"] == {"test": place.unique}


def _notes(one: Object) -> Object:
    return one["metadata"].get("annotations") or {}


async def _uid(pods: Any, name: str) -> str:
    return str(pods.of(name)[0]["metadata"]["uid"])


async def test_one_that_reclaims_waits_with_a_word_of_it(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(1)
    async with history(place, WORKLOADS) as workloads, history(place, PODS) as pods:
        await lines.job("j")
        await pods.first(of_job("j"))
        await lines.session("s")
        waits = await workloads.first(of("s", lambda one: condition(one, "QuotaReserved").get("status") == "False"))
    assert condition(waits, "QuotaReserved")["message"] == (
        "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu in flavor "
        f"{lines.named('gpu')}, 1 more needed. Pending the preemption of 1 workload(s)"
    )


async def test_the_latest_admitted_goes_and_no_more_than_needed(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(3)
    async with history(place, WORKLOADS) as workloads, history(place, PODS) as pods:
        moments = set()
        for name in ("a", "b", "c"):
            while True:  # conditions count seconds: each is to be admitted in one of its own
                await lines.job(name)
                admitted = await workloads.first(of(name, holds("Admitted")))
                moment = condition(admitted, "Admitted")["lastTransitionTime"]
                if moment not in moments:
                    break
                await place.client.delete(JOBS, name, place.namespace)
                await workloads.until_gone(admitted["metadata"]["name"])
                workloads.seen = [one for one in workloads.seen if one["metadata"]["name"] not in workloads.gone]
            moments.add(moment)
        await lines.session("s")
        await pods.until("s", phase("Running"))
    evicted = {name for name in "abc" if "Evicted" in ways(revisions(workloads, name))}
    assert evicted == {"c"}


async def test_an_evicted_job_is_again_before_those_that_came_later(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(1)
    async with history(place, WORKLOADS) as workloads, history(place, PODS) as pods:
        await lines.job("first")
        created = (await workloads.first(of("first", holds("Admitted"))))["metadata"]["creationTimestamp"]
        name = "later"
        later = await lines.job(name)
        while later["metadata"]["creationTimestamp"] <= created:
            await place.client.delete(JOBS, name, place.namespace)
            name += "r"
            later = await lines.job(name)
        await workloads.first(of(name, lambda one: condition(one, "QuotaReserved").get("status") == "False"))
        await lines.session("s")
        await pods.until("s", phase("Running"))
        await workloads.first(of("first", holds("Requeued")))
        await place.client.delete(PODS, "s", place.namespace)
        await workloads.first(of("first", lambda one: condition(one, "Evicted").get("status") == "False"))
        assert not holds("QuotaReserved")(await lines.workload(name))


async def test_a_session_that_borrowed_is_deleted_for_good_and_told_why(place: Place) -> None:
    lines = Lines(place)
    await lines.flavor()
    await lines.cluster_queue("owner", 1, **OWNER)
    await lines.cluster_queue("sessions", 0)
    await lines.local_queue("owner")
    await lines.local_queue("sessions")
    async with history(place, WORKLOADS) as workloads, history(place, PODS) as pods:
        await lines.session("s")
        await pods.until("s", phase("Running"))
        await lines.session("o", queue="owner")
        await pods.until("o", phase("Running"))
        await pods.until_gone("s")
        await workloads.until_gone(revisions(workloads, "s")[0]["metadata"]["name"])
    assert ways(revisions(workloads, "s")) == {
        "QuotaReserved": ["True QuotaReserved", "False Pending"],
        "Admitted": ["True Admitted", "False NoReservation"],
        "Evicted": ["True Preempted"],
        "Preempted": ["True InCohortReclamation"],
        "Requeued": ["False Preempted"],
        "Finished": ["True OwnerNotFound"],
    }
    target = next(found for one in pods.of("s") if (found := condition(one, "TerminationTarget")))
    why = condition(revisions(workloads, "s")[-1], "Preempted")["message"]
    assert (target["status"], target["reason"], target["message"]) == ("True", "WorkloadEvictedDueToPreempted", why)
    assert ("Stopped", why) in await events(place, "s", "Stopped")


async def test_what_an_evicted_sweep_has_done_stays_done(place: Place, tmp_path: Path) -> None:
    lines = Lines(place)
    await lines.usual(2)
    wait = f"[ $JOB_COMPLETION_INDEX -lt 2 ] || [ -e {tmp_path}/go ] || sleep 60"
    script = f"echo x >>{tmp_path}/$JOB_COMPLETION_INDEX; {wait}"
    async with history(place, WORKLOADS) as workloads, history(place, JOBS) as jobs, history(place, PODS) as pods:
        await lines.job("j", script=script, completionMode="Indexed", completions=5, parallelism=2)
        await jobs.until("j", lambda one: one["status"].get("completedIndexes") == "0,1")
        await jobs.until("j", lambda one: one["status"].get("ready") == 2 and one["status"].get("completedIndexes"))
        await lines.session("s")
        await pods.until("s", phase("Running"))
        await workloads.first(of("j", holds("Requeued")))
        (tmp_path / "go").touch()
        await place.client.delete(PODS, "s", place.namespace)
        done = await jobs.until("j", holds("Complete"))
    assert done["status"]["completedIndexes"] == "0-4"
    assert "failed" not in done["status"]
    runs = {file.name: len(file.read_text().split()) for file in tmp_path.iterdir() if file.name.isdigit()}
    assert runs == {"0": 1, "1": 1, "2": 2, "3": 2, "4": 1}
