"""What the integrations do in each state of a Job or a pod and its Workload: one step, one request."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from support.kubefake import a_job, a_pod, raw
from support.queues import QUEUE

from aiinfn_hub.kube.client import JOBS, PODS, Kind
from aiinfn_hub.kube.shapes import ObjectMeta
from aiinfn_hub.kube.slim import Taint
from aiinfn_hub.local.controllers import workloads
from aiinfn_hub.local.controllers.admission import GATES, MANAGED, admit
from aiinfn_hub.local.controllers.constraints import Toleration
from aiinfn_hub.local.controllers.flavors import Flavor
from aiinfn_hub.local.controllers.job_shapes import Job, decode_job
from aiinfn_hub.local.controllers.owners import STOPPING, JobOwner, PodOwner, granted
from aiinfn_hub.local.controllers.queue_pods import QueuedPod, decode_queued_pod
from aiinfn_hub.local.controllers.workloads import Workload, decode_workload, workload_for

pytestmark = pytest.mark.asyncio

NOW = 1_800_000_000.0
SITE = Flavor(
    "leonardo",
    {"site": "leonardo"},
    (Taint("virtual-node", "", "NoSchedule"),),
    (Toleration("virtual-node", "Exists", "", "NoSchedule"),),
)
FLAVORS = {"leonardo": SITE}
Object = dict[str, Any]


class Recorder:
    """Stands for client, store, caches and events: keeps what was asked of it."""

    def __init__(self, workload: Workload | None) -> None:
        self.workload = workload
        self.said: list[str] = []
        self.requests: list[tuple[str, str, Object]] = []
        self.written: list[Object] = []
        self.created: list[int] = []
        self.followed = 0

    def of(self, uid: str) -> Workload | None:
        return self.workload

    async def create(self, kind: Kind, owner: ObjectMeta, template: Object, count: int) -> None:
        self.created.append(count)

    async def follow(self, owner: ObjectMeta, workload: Workload) -> None:
        self.followed += 1

    async def write(self, workload: Workload, status: Object) -> None:
        self.written.append(status)

    async def patch(self, kind: Kind, name: str, patch: Object, namespace: str, **more: Any) -> Object:
        self.requests.append(("PATCH", more.get("subresource", ""), patch))
        return {"metadata": {}}

    async def delete(self, kind: Kind, name: str, namespace: str, **more: Any) -> Object:
        self.requests.append(("DELETE", "", more))
        return {}

    def learn(self, obj: Object) -> None:
        """The caches' part."""

    async def record(self, about: Any, reason: str, message: str, **more: Any) -> None:
        self.said.append(reason)


def job(status: Object | None = None, annotations: Object | None = None, **spec: Any) -> Job:
    found = a_job("fit", labels={QUEUE: "jobs"}, annotations=annotations, **({"suspend": True} | spec))
    found["metadata"] |= {"uid": "u", "resourceVersion": "7"}
    return decode_job(raw(found | {"status": status or {}}))


def pod(phase: str = "Pending", meta: Object | None = None, **spec: Any) -> QueuedPod:
    found = admit(PODS, a_pod("s", meta={"namespace": "default", "labels": {QUEUE: "sessions"}}, **spec))
    found["metadata"] |= {"uid": "u", "resourceVersion": "7"} | (meta or {})
    return decode_queued_pod(raw(found | {"status": {"phase": phase}}))


def workload(kind: Kind = JOBS, *states: str) -> Workload:
    """A Workload that went through these states."""
    owner = ObjectMeta(name="fit", uid="u", namespace="default")
    spec = a_pod("x")["spec"] | {"nodeSelector": {"own": "label"}}
    found = workload_for(kind, owner, {"spec": spec}, 1, "jobs", ("", 0))
    found["metadata"] |= {"uid": "w", "resourceVersion": "1"}
    result = decode_workload(raw(found))
    for state in states:
        match state:
            case "admitted":
                status = workloads.admitted(result, "batch", {"cpu": "leonardo", "memory": "leonardo"}, NOW)
            case "evicted":
                status = workloads.evicted(result, "Preempted", "make room", NOW)
            case "finished":
                status = workloads.finished(result, "Succeeded", "done", NOW)
            case _:
                status = workloads.released(result, NOW, comes_back=True)
        plain = msgspec.to_builtins(result)
        result = decode_workload(raw(plain | {"status": plain["status"] | status}))
    return result


async def look_at_job(found: Job, state: Workload | None) -> Recorder:
    seen = Recorder(state)
    await JobOwner(seen, seen, seen, seen, lambda: NOW).look(found, FLAVORS)  # type: ignore[arg-type]
    return seen


async def look_at_pod(found: QueuedPod, state: Workload | None) -> Recorder:
    seen = Recorder(state)
    await PodOwner(seen, seen, seen, seen, lambda: NOW).look(found, FLAVORS)  # type: ignore[arg-type]
    return seen


def conditions(seen: Recorder) -> dict[str, tuple[str, str]]:
    (status,) = seen.written
    return {c["type"]: (c["status"], c["reason"]) for c in status["conditions"]}


COMPLETE = {"conditions": [{"type": "Complete", "status": "True", "message": "Reached"}]}
FAILED = {"conditions": [{"type": "Failed", "status": "True", "message": "too often"}]}


@pytest.mark.parametrize(
    ("spec", "count"),
    [
        pytest.param({}, 1, id="one pod"),
        pytest.param({"parallelism": 4, "completions": 20}, 4, id="as many as run at once"),
        pytest.param({"parallelism": 4, "completions": 2}, 2, id="never more than are to be done"),
    ],
)
async def test_a_new_job_gets_a_workload(spec: Object, count: int) -> None:
    seen = await look_at_job(job(**spec), None)
    assert seen.created == [count]
    assert seen.requests == []


async def test_a_label_that_comes_later_suspends_first() -> None:
    seen = await look_at_job(job(suspend=False), None)
    assert seen.requests == [("PATCH", "", {"spec": {"suspend": True}, "metadata": {"resourceVersion": "7"}})]


async def test_an_admitted_job_is_started_where_its_flavor_is() -> None:
    seen = await look_at_job(job(pod={"nodeSelector": {"own": "label"}}), workload(JOBS, "admitted"))
    ((_, _, patch),) = seen.requests
    assert patch["spec"]["suspend"] is False
    template = patch["spec"]["template"]
    assert template["spec"]["nodeSelector"] == {"own": "label", "site": "leonardo"}
    assert [t["key"] for t in template["spec"]["tolerations"]] == ["virtual-node"]
    assert template["metadata"]["labels"]["kueue.x-k8s.io/podset"] == "main"
    assert patch["metadata"] == {"resourceVersion": "7"}
    assert seen.said == ["Started"]


async def test_an_admitted_job_that_runs_is_left_alone() -> None:
    seen = await look_at_job(job(suspend=False), workload(JOBS, "admitted"))
    assert (seen.requests, seen.written) == ([], [])


async def test_a_waiting_job_is_followed_and_one_that_sneaked_out_brought_back() -> None:
    assert (await look_at_job(job(), workload())).requests == []
    sneaked = await look_at_job(job(suspend=False), workload())
    assert sneaked.followed == 1
    assert sneaked.requests[0][2]["spec"] == {"suspend": True}


EVICTED = ("admitted", "evicted")
UNPLACED = {"nodeSelector": {"own": "label", "site": None}, "tolerations": None}
UNMARKED = {
    "labels": {f"kueue.x-k8s.io/{key}": None for key in ("cluster-queue-name", "local-queue-name", "podset")},
    "annotations": {"kueue.x-k8s.io/workload": None},
}


@pytest.mark.parametrize(
    ("found", "patched", "path"),
    [
        pytest.param(
            job(suspend=False),
            {"metadata": {"annotations": {STOPPING: "true"}, "resourceVersion": "7"}, "spec": {"suspend": True}},
            "",
            id="first it is suspended",
        ),
        pytest.param(job({"active": 1}, {STOPPING: "true"}), None, "", id="then its pods may end"),
        pytest.param(
            job({"startTime": "2027-01-15T08:00:00Z"}, {STOPPING: "true"}),
            {"metadata": {"resourceVersion": "7"}, "status": {"startTime": None}},
            "status",
            id="then it has never started",
        ),
        pytest.param(
            job({}, {STOPPING: "true"}, pod={"nodeSelector": {"own": "label", "site": "leonardo"}}),
            {
                "metadata": {"annotations": {STOPPING: None}, "resourceVersion": "7"},
                "spec": {"template": {"metadata": UNMARKED, "spec": UNPLACED}},
            },
            "",
            id="then its template is what it was",
        ),
    ],
)
async def test_the_way_out_of_an_evicted_job(found: Job, patched: Object | None, path: str) -> None:
    seen = await look_at_job(found, workload(JOBS, *EVICTED))
    assert seen.requests == ([("PATCH", path, patched)] if patched else [])
    assert seen.written == []


async def test_in_the_end_its_quota_is_free_and_it_waits_again() -> None:
    seen = await look_at_job(job(), workload(JOBS, *EVICTED))
    assert seen.requests == []
    assert conditions(seen)["QuotaReserved"] == ("False", "Pending")
    assert conditions(seen)["Requeued"] == ("True", "Preempted")


@pytest.mark.parametrize(
    ("status", "reason"), [pytest.param(COMPLETE, "Succeeded", id="well"), pytest.param(FAILED, "Failed", id="badly")]
)
async def test_a_job_that_ended_ends_its_workload_once(status: Object, reason: str) -> None:
    assert conditions(await look_at_job(job(status), workload(JOBS, "admitted")))["Finished"] == ("True", reason)
    again = await look_at_job(job(status), workload(JOBS, "admitted", "finished"))
    assert again.written == []


async def test_a_job_that_ended_before_it_was_seen_needs_no_workload() -> None:
    assert (await look_at_job(job(COMPLETE), None)).created == []


async def test_a_job_that_is_being_deleted_is_left_to_the_garbage_collector() -> None:
    found = job()
    found.metadata.deletion_timestamp = datetime.fromtimestamp(NOW, UTC)
    seen = await look_at_job(found, None)
    assert (seen.created, seen.requests, seen.written) == ([], [], [])


async def test_an_admitted_pod_loses_kueues_gates_and_no_other() -> None:
    found = pod(schedulingGates=[{"name": "ours"}])
    seen = await look_at_pod(found, workload(PODS, "admitted"))
    ((_, _, patch),) = seen.requests
    assert patch["spec"]["schedulingGates"] == [{"name": "ours"}]
    assert patch["spec"]["nodeSelector"] == {"site": "leonardo"}
    assert patch["metadata"]["annotations"] == {"kueue.x-k8s.io/workload": workload(PODS).metadata.name}
    assert seen.said == ["Started"]


async def test_a_pod_without_gates_is_not_started_again() -> None:
    found = pod()
    found.spec["schedulingGates"] = []
    assert (await look_at_pod(found, workload(PODS, "admitted"))).requests == []


async def test_an_evicted_pod_is_told_before_it_is_deleted() -> None:
    seen = await look_at_pod(pod("Running", nodeName="n"), workload(PODS, *EVICTED))
    (method, path, patch), (deletion, _, options) = seen.requests
    assert (method, path, deletion) == ("PATCH", "status", "DELETE")
    assert patch["status"]["conditions"][0]["reason"] == "WorkloadEvictedDueToPreempted"
    assert options == {"uid": "u"}


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        pytest.param(pod("Succeeded", nodeName="n"), "Succeeded", id="it succeeded"),
        pytest.param(pod("Failed", nodeName="n"), "Failed", id="it failed"),
        pytest.param(
            pod(meta={"deletionTimestamp": "2027-01-15T08:00:00Z"}), "OwnerNotFound", id="deleted while gated"
        ),
    ],
)
async def test_a_pod_that_is_over_frees_its_quota_and_is_let_go(found: QueuedPod, reason: str) -> None:
    seen = await look_at_pod(found, workload(PODS, "admitted"))
    assert conditions(seen)["Finished"] == ("True", reason)
    assert seen.requests == [("PATCH", "", {"metadata": {"finalizers": None, "resourceVersion": "7"}})]


async def test_other_finalizers_stay() -> None:
    found = pod("Failed", {"finalizers": ["theirs", MANAGED]})
    seen = await look_at_pod(found, None)
    assert seen.requests[0][2]["metadata"]["finalizers"] == ["theirs"]


async def test_a_pod_that_was_evicted_gives_its_quota_back_before_its_end_is_told() -> None:
    found = pod("Running", {"deletionTimestamp": "2027-01-15T08:00:00Z"}, nodeName="n")
    seen = await look_at_pod(found, workload(PODS, *EVICTED))
    assert seen.requests == []
    assert conditions(seen)["Requeued"] == ("False", "Preempted")
    assert "Finished" not in conditions(seen)


async def test_a_new_pod_gets_a_workload_and_a_waiting_one_is_followed() -> None:
    assert (await look_at_pod(pod(), None)).created == [1]
    waiting = await look_at_pod(pod(), workload(PODS))
    assert (waiting.followed, waiting.requests) == (1, [])
    assert [gate["name"] for gate in pod().spec["schedulingGates"]] == list(GATES)


async def test_what_a_flavor_that_is_gone_would_add_is_nothing() -> None:
    assert granted(workload(JOBS, "admitted"), {}).node_labels == {}
    assert granted(workload(JOBS, "admitted"), FLAVORS).node_labels == {"site": "leonardo"}
