"""Jobs whose completions are numbered, on the real control plane and on ours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.places import Place
from support.trials import condition, events, history, holds, job, phase, pods_of

from aiinfn_hub.kube.client import JOBS, PODS

pytestmark = pytest.mark.asyncio
Object = dict[str, Any]
INDEX = "batch.kubernetes.io/job-completion-index"


def indexed(script: str, completions: int, **spec: Any) -> Object:
    return job("a", script, completionMode="Indexed", completions=completions, **spec)


async def test_each_pod_knows_its_index(place: Place, tmp_path: Path) -> None:
    async with history(place, JOBS) as jobs:
        await place.create(JOBS, indexed(f"touch {tmp_path}/$JOB_COMPLETION_INDEX", 3, parallelism=2))
        done = await jobs.until("a", holds("Complete"))
    assert {file.name for file in tmp_path.iterdir()} >= {"0", "1", "2"}
    assert done["status"]["completedIndexes"] == "0-2"
    pods = {pod["metadata"]["annotations"][INDEX]: pod for pod in await pods_of(place, "a")}
    assert sorted(pods) == ["0", "1", "2"]
    for index, pod in pods.items():
        assert pod["metadata"]["labels"][INDEX] == index
        assert pod["metadata"]["generateName"] == f"a-{index}-"
        assert pod["spec"]["hostname"] == f"a-{index}"
        assert pod["spec"]["containers"][0]["env"] == [
            {
                "name": "JOB_COMPLETION_INDEX",
                "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": f"metadata.labels['{INDEX}']"}},
            }
        ]


async def test_the_lowest_indexes_run_first_and_what_is_done_stays_done(place: Place, tmp_path: Path) -> None:
    script = f"until [ -e {tmp_path}/$JOB_COMPLETION_INDEX ]; do sleep 0.05; done"
    async with history(place, JOBS) as jobs, history(place, PODS) as pods:
        await place.create(JOBS, indexed(script, 5, parallelism=2))
        await jobs.until("a", lambda one: one["status"].get("ready") == 2)
        assert sorted(_indexes(pods.seen)) == ["0", "1"]
        (tmp_path / "1").touch()
        await jobs.until("a", lambda one: one["status"].get("completedIndexes") == "1")
        await pods.first(lambda one: _index(one) == "2" and phase("Running")(one))
        await place.client.patch(JOBS, "a", {"spec": {"suspend": True}}, place.namespace)
        await jobs.until("a", lambda one: holds("Suspended")(one) and not one["status"].get("terminating"))
        for index in range(5):
            (tmp_path / str(index)).touch()
        await place.client.patch(JOBS, "a", {"spec": {"suspend": False}}, place.namespace)
        done = await jobs.until("a", holds("Complete"))
    assert done["status"]["completedIndexes"] == "0-4"
    assert "failed" not in done["status"]
    ran = [_index(pod) for pod in pods.seen if phase("Succeeded")(pod)]
    assert sorted(set(ran)) == ["0", "1", "2", "3", "4"]
    assert {pod["metadata"]["uid"] for pod in pods.seen if _index(pod) == "1"} == {
        next(pod["metadata"]["uid"] for pod in pods.seen if _index(pod) == "1")
    }


def _index(pod: Object) -> str:
    return str(pod["metadata"]["annotations"][INDEX])


def _indexes(pods: list[Object]) -> set[str]:
    return {_index(pod) for pod in pods}


ODD_FAILS = "exit $((JOB_COMPLETION_INDEX % 2))"


async def test_an_index_that_failed_too_often_fails_the_job_when_the_others_are_done(place: Place) -> None:
    async with history(place, JOBS) as jobs:
        await place.create(JOBS, indexed(ODD_FAILS, 4, parallelism=4, backoffLimitPerIndex=0, backoffLimit=None))
        ended = await jobs.until("a", holds("Failed"))
    assert jobs.turns("a") == ["FailureTarget=True FailedIndexes", "Failed=True FailedIndexes"]
    assert condition(ended, "Failed")["message"] == "Job has failed indexes"
    status = ended["status"]
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0,2", "1,3")
    assert (status["succeeded"], status["failed"]) == (2, 2)
    assert ended["spec"]["backoffLimit"] == 2**31 - 1
    await events(place, "a", "FailedIndexes")


async def test_more_failed_indexes_than_allowed_end_the_job_at_once(place: Place, tmp_path: Path) -> None:
    script = f"[ $JOB_COMPLETION_INDEX = 0 ] && until [ -e {tmp_path}/go ]; do sleep 0.05; done; {ODD_FAILS}"
    async with history(place, JOBS) as jobs:
        limits = {"backoffLimitPerIndex": 0, "maxFailedIndexes": 1, "backoffLimit": None}
        await place.create(JOBS, indexed(script, 4, parallelism=4, **limits))
        ended = await jobs.until("a", holds("Failed"))
    assert jobs.turns("a") == ["FailureTarget=True MaxFailedIndexesExceeded", "Failed=True MaxFailedIndexesExceeded"]
    assert condition(ended, "Failed")["message"] == "Job has exceeded the specified maximal number of failed indexes"
    assert ended["status"]["failedIndexes"] == "1,3"
    assert ended["status"]["completedIndexes"] == "2"
    assert ended["status"]["failed"] == 3


async def test_fewer_failed_indexes_than_allowed_do_not_stop_the_others(place: Place) -> None:
    async with history(place, JOBS) as jobs:
        limits = {"backoffLimitPerIndex": 0, "maxFailedIndexes": 2, "backoffLimit": None}
        await place.create(JOBS, indexed(ODD_FAILS, 4, parallelism=1, **limits))
        ended = await jobs.until("a", holds("Failed"))
    assert condition(ended, "Failed")["reason"] == "FailedIndexes"
    assert ended["status"]["completedIndexes"] == "0,2"


async def test_an_index_has_tries_of_its_own(place: Place, tmp_path: Path) -> None:
    script = (
        f"f={tmp_path}/$JOB_COMPLETION_INDEX; [ $JOB_COMPLETION_INDEX = 0 ] || [ -e $f ] || {{ touch $f; exit 1; }}"
    )
    async with history(place, JOBS) as jobs:
        await place.create(JOBS, indexed(script, 2, parallelism=2, backoffLimitPerIndex=1, backoffLimit=None))
        done = await jobs.until("a", holds("Complete"))
    assert done["status"]["completedIndexes"] == "0,1"
    assert done["status"]["failedIndexes"] == ""
    again = [pod for pod in await pods_of(place, "a") if _index(pod) == "1"]
    counts = [pod["metadata"]["annotations"]["batch.kubernetes.io/job-index-failure-count"] for pod in again]
    assert sorted(counts) == ["0", "1"]


async def test_an_indexed_job_grows_and_shrinks_while_it_runs(place: Place) -> None:
    async with history(place, JOBS) as jobs, history(place, PODS) as pods:
        await place.create(JOBS, indexed("sleep 20", 2, parallelism=2))
        await jobs.until("a", lambda one: one["status"].get("ready") == 2)
        await place.client.patch(JOBS, "a", {"spec": {"parallelism": 3, "completions": 3}}, place.namespace)
        await jobs.until("a", lambda one: one["status"].get("ready") == 3)
        assert _indexes(pods.seen) == {"0", "1", "2"}
        await place.client.patch(JOBS, "a", {"spec": {"parallelism": 1, "completions": 1}}, place.namespace)
        left = await jobs.until("a", lambda one: one["status"].get("active") == 1)
    assert "failed" not in left["status"]
