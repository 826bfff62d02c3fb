"""How Jobs begin, are suspended, and end, on the real control plane and on ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.places import Place
from support.trials import JOB_NAME, condition, events, history, holds, job, phase, pods_of, says, until

from aiinfn_hub.kube.client import JOBS, PODS

pytestmark = pytest.mark.asyncio
Object = dict[str, Any]


async def test_a_job_is_complete_after_its_pod_is_counted(place: Place) -> None:
    async with history(place, JOBS) as jobs:
        made = await place.create(JOBS, job("a"))
        done = await jobs.until("a", holds("Complete"))
    assert jobs.turns("a") == ["SuccessCriteriaMet=True CompletionsReached", "Complete=True CompletionsReached"]
    status = done["status"]
    assert {key: status[key] for key in status.keys() - {"conditions", "startTime", "completionTime"}} == {
        "succeeded": 1,
        "ready": 0,
        "terminating": 0,
        "uncountedTerminatedPods": {},
    }
    assert status["startTime"] <= status["completionTime"]
    messages = {one["message"] for one in status["conditions"]}
    assert messages == {"Reached expected number of succeeded pods"}
    (pod,) = await pods_of(place, "a")
    assert "finalizers" not in pod["metadata"]
    assert await events(place, "a", "Completed") == [
        ("SuccessfulCreate", f"Created pod: {pod['metadata']['name']}"),
        ("Completed", "Job completed"),
    ]
    assert made["spec"]["template"]["metadata"]["labels"].keys() == _tags(made).keys()


async def test_the_statuses_on_the_way_say_how_many_pods_run(place: Place, tmp_path: Path) -> None:
    async with history(place, JOBS) as jobs:
        await place.create(JOBS, job("a", until(tmp_path / "go"), parallelism=2, completions=3))
        await jobs.until("a", lambda one: one["status"].get("ready") == 2)
        (tmp_path / "go").touch()
        done = await jobs.until("a", holds("Complete"))
    seen = [one["status"] for one in jobs.of("a") if one["status"]]
    assert {key: seen[0].get(key) for key in ("active", "ready", "terminating", "uncountedTerminatedPods")} == {
        "active": 2,
        "ready": 0,
        "terminating": 0,
        "uncountedTerminatedPods": {},
    }
    uncounted = {uid for one in seen for uid in one["uncountedTerminatedPods"].get("succeeded", ())}
    assert uncounted == {pod["metadata"]["uid"] for pod in await pods_of(place, "a")}
    assert done["status"]["succeeded"] == 3
    assert "active" not in done["status"]


def _tags(owner: Object) -> dict[str, str]:
    name, uid = owner["metadata"]["name"], owner["metadata"]["uid"]
    return {JOB_NAME: name, "job-name": name, "batch.kubernetes.io/controller-uid": uid, "controller-uid": uid}


async def test_a_pod_carries_its_job_and_a_finalizer(place: Place, tmp_path: Path) -> None:
    async with history(place, PODS) as pods:
        made = await place.create(JOBS, job("a", until(tmp_path / "go")))
        pod = await pods.first(lambda one: one)
    meta = pod["metadata"]
    assert meta["generateName"] == "a-"
    assert meta["labels"] == _tags(made)
    assert meta["finalizers"] == ["batch.kubernetes.io/job-tracking"]
    assert meta["ownerReferences"] == [
        {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": "a",
            "uid": made["metadata"]["uid"],
            "controller": True,
            "blockOwnerDeletion": True,
        }
    ]
    assert made["spec"]["selector"] == {
        "matchLabels": {"batch.kubernetes.io/controller-uid": made["metadata"]["uid"]},
    }


async def test_one_failure_too_many_fails_the_job(place: Place) -> None:
    async with history(place, JOBS) as jobs:
        await place.create(JOBS, job("a", "exit 3"))
        ended = await jobs.until("a", holds("Failed"))
    assert jobs.turns("a") == ["FailureTarget=True BackoffLimitExceeded", "Failed=True BackoffLimitExceeded"]
    assert condition(ended, "Failed")["message"] == "Job has reached the specified backoff limit"
    assert ended["status"]["failed"] == 1
    assert "completionTime" not in ended["status"]
    told = await events(place, "a", "BackoffLimitExceeded")
    assert told[-1] == ("BackoffLimitExceeded", "Job has reached the specified backoff limit")


async def test_a_failed_pod_is_replaced_after_a_pause(place: Place, tmp_path: Path) -> None:
    script = f"[ -e {tmp_path}/again ] || {{ touch {tmp_path}/again; exit 1; }}"
    async with history(place, JOBS) as jobs:
        await place.create(JOBS, job("a", script, backoffLimit=1))
        await jobs.until("a", holds("Complete"))
    failed, good = await pods_of(place, "a")
    assert [failed["status"]["phase"], good["status"]["phase"]] == ["Failed", "Succeeded"]
    assert failed["metadata"]["creationTimestamp"] < good["metadata"]["creationTimestamp"]


async def test_a_job_whose_time_is_over_ends_its_pods(place: Place, tmp_path: Path) -> None:
    async with history(place, JOBS) as jobs, history(place, PODS) as pods:
        await place.create(JOBS, job("a", until(tmp_path / "go"), activeDeadlineSeconds=1))
        ended = await jobs.until("a", holds("Failed"))
        pod = pods.seen[0]["metadata"]["name"]
        await pods.until_gone(pod)
    assert jobs.turns("a") == ["FailureTarget=True DeadlineExceeded", "Failed=True DeadlineExceeded"]
    assert condition(ended, "Failed")["message"] == "Job was active longer than specified deadline"
    assert ended["status"]["failed"] == 1
    told = await events(place, "a", "DeadlineExceeded")
    assert ("SuccessfulDelete", f"Deleted pod: {pod}") in told


async def test_a_finished_job_vanishes_with_its_pods_when_its_time_is_over(place: Place) -> None:
    async with history(place, JOBS) as jobs, history(place, PODS) as pods:
        await place.create(JOBS, job("a", ttlSecondsAfterFinished=1))
        await jobs.until_gone("a")
        await pods.until_gone(pods.seen[0]["metadata"]["name"])
    assert holds("Complete")(jobs.of("a")[-1])


async def test_a_job_that_is_deleted_in_the_background_takes_its_pods_along(place: Place, tmp_path: Path) -> None:
    async with history(place, PODS) as pods:
        await place.create(JOBS, job("a", until(tmp_path / "go")))
        pod = await pods.first(phase("Running"))
        await place.client.delete(JOBS, "a", place.namespace)
        await place.until_gone(JOBS, "a")
        await pods.until_gone(pod["metadata"]["name"])


async def test_an_orphan_outlives_its_job(place: Place, tmp_path: Path) -> None:
    async with history(place, PODS) as pods:
        await place.create(JOBS, job("a", until(tmp_path / "go")))
        pod = await pods.first(phase("Running"))
        await place.client.delete(JOBS, "a", place.namespace, propagation="Orphan")
        await place.until_gone(JOBS, "a")
        (tmp_path / "go").touch()
        left = await pods.until(pod["metadata"]["name"], phase("Succeeded"))
    assert "ownerReferences" not in left["metadata"]


async def test_a_job_that_begins_suspended_waits_without_pods(place: Place) -> None:
    async with history(place, JOBS) as jobs:
        await place.create(JOBS, job("a", suspend=True))
        waits = await jobs.until("a", holds("Suspended"))
        assert {key: waits["status"].get(key) for key in ("startTime", "active", "ready")} == {
            "startTime": None,
            "active": None,
            "ready": 0,
        }
        assert await pods_of(place, "a") == []
        await place.client.patch(JOBS, "a", {"spec": {"suspend": False}}, place.namespace)
        done = await jobs.until("a", holds("Complete"))
    assert jobs.turns("a") == [
        "Suspended=True JobSuspended",
        "Suspended=False JobResumed",
        "SuccessCriteriaMet=True CompletionsReached",
        "Complete=True CompletionsReached",
    ]
    assert done["status"]["startTime"] >= condition(waits, "Suspended")["lastTransitionTime"]
    told = await events(place, "a", "Completed")
    assert [reason for reason, _ in told] == ["Suspended", "SuccessfulCreate", "Resumed", "Completed"]
    assert [message for reason, message in told if reason in ("Suspended", "Resumed")] == [
        "Job suspended",
        "Job resumed",
    ]


async def test_a_suspended_job_loses_its_pods_and_none_of_its_tries(place: Place, tmp_path: Path) -> None:
    async with history(place, JOBS) as jobs, history(place, PODS) as pods:
        await place.create(JOBS, job("a", until(tmp_path / "go")))
        pod = (await pods.first(phase("Running")))["metadata"]["name"]
        await place.client.patch(JOBS, "a", {"spec": {"suspend": True}}, place.namespace)
        quiet = await jobs.until("a", lambda one: holds("Suspended")(one) and not one["status"].get("terminating"))
        await pods.until_gone(pod)
        (tmp_path / "go").touch()
        await place.client.patch(JOBS, "a", {"spec": {"suspend": False}}, place.namespace)
        done = await jobs.until("a", holds("Complete"))
    assert "startTime" not in quiet["status"]
    assert "failed" not in done["status"]
    assert done["status"]["succeeded"] == 1
    assert jobs.turns("a")[:2] == ["Suspended=True JobSuspended", "Suspended=False JobResumed"]
    released = next(one for one in pods.of(pod) if "finalizers" not in one["metadata"])
    assert "deletionTimestamp" not in released["metadata"]  # let go of first, so that its end counts for nothing
    told = await events(place, "a", "Completed")
    assert ("SuccessfulDelete", f"Deleted pod: {pod}") in told


async def test_a_job_that_is_suspended_stays_so_however_it_is_resumed_and_suspended(place: Place) -> None:
    async with history(place, JOBS) as jobs:
        await place.create(JOBS, job("a", "sleep 20", suspend=True))
        await jobs.until("a", says("Suspended", "True"))
        for wanted, word in ((False, "False"), (True, "True"), (False, "False")):
            before = len(jobs.turns("a"))
            await place.client.patch(JOBS, "a", {"spec": {"suspend": wanted}}, place.namespace)
            await jobs.until("a", lambda _, before=before: len(jobs.turns("a")) > before)
            assert jobs.turns("a")[-1].startswith(f"Suspended={word}")


TEMPLATE_CHANGES = {
    "image": {"spec": {"containers": [{"name": "main", "image": "i:2", "command": ["true"]}]}},
    "nodeSelector": {"spec": {"nodeSelector": {"a": "b"}}},
    "tolerations": {"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}},
    "affinity": {"spec": {"affinity": {"nodeAffinity": {}}}},
    "schedulingGates": {"spec": {"schedulingGates": [{"name": "a/b"}]}},
    "labels": {"metadata": {"labels": {"a": "b"}}},
    "annotations": {"metadata": {"annotations": {"a": "b"}}},
    "priorityClassName": {"spec": {"priorityClassName": "system-node-critical"}},
}
#: What Kueue changes in the template of a Job that has not started.
PLACING = {"nodeSelector", "tolerations", "affinity", "schedulingGates", "labels", "annotations"}
PATCH = "application/merge-patch+json"


async def _changeable(place: Place) -> set[str]:
    """The parts of the template of "a" that the API lets go through, without changing any."""
    found = set()
    for part, template in TEMPLATE_CHANGES.items():
        patch = {"spec": {"template": template}}
        answer = await place.call(
            "PATCH", "/apis/batch/v1/namespaces/{ns}/jobs/a?dryRun=All", patch, content_type=PATCH
        )
        if answer.status == 200:
            found.add(part)
        else:
            assert answer.status == 422, part
            assert answer.json["details"]["causes"][-1]["message"].endswith("field is immutable"), part
    return found


async def test_the_template_is_fixed_but_for_the_placement_of_a_job_that_has_not_started(
    place: Place, tmp_path: Path
) -> None:
    await place.create(JOBS, job("a", until(tmp_path / "go"), suspend=True))
    await place.until(JOBS, "a", holds("Suspended"))
    assert await _changeable(place) == PLACING
    await place.client.patch(JOBS, "a", {"spec": {"suspend": False}}, place.namespace)
    await place.until(JOBS, "a", lambda one: one["status"].get("ready") == 1)
    assert await _changeable(place) == set()
    await place.client.patch(JOBS, "a", {"spec": {"suspend": True}}, place.namespace)
    await place.until(JOBS, "a", lambda one: holds("Suspended")(one) and not one["status"].get("terminating"))
    assert await _changeable(place) == PLACING


async def test_what_may_change_of_a_job_that_runs(place: Place) -> None:
    await place.create(JOBS, job("a", "sleep 20"))
    changes = {
        "parallelism": 2,
        "backoffLimit": 3,
        "activeDeadlineSeconds": 600,
        "ttlSecondsAfterFinished": 600,
        "suspend": True,
        "podReplacementPolicy": "Failed",
        "completions": 2,
        "completionMode": "Indexed",
        "podFailurePolicy": {"rules": []},
        "managedBy": "example.org/other",
        "selector": {"matchLabels": {"a": "b"}},
        "backoffLimitPerIndex": 1,
    }
    allowed = set()
    for name, value in changes.items():
        answer = await place.call(
            "PATCH", "/apis/batch/v1/namespaces/{ns}/jobs/a?dryRun=All", {"spec": {name: value}}, content_type=PATCH
        )
        if answer.status == 200:
            allowed.add(name)
        else:
            assert answer.status == 422
            last = answer.json["details"]["causes"][-1]
            assert (last["field"], last["message"].endswith("field is immutable")) == (f"spec.{name}", True)
    assert allowed == set(list(changes)[:6])
