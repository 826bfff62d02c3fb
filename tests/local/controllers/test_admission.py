"""What the webhooks do at creation, and what a Workload says."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from support.kubefake import a_job, a_pod, raw
from support.queues import QUEUE, cluster_queue, flavor, local_queue

from aiinfn_hub.kube.client import JOBS, PODS, SECRETS
from aiinfn_hub.kube.shapes import ObjectMeta
from aiinfn_hub.local.controllers import workloads
from aiinfn_hub.local.controllers.admission import GATES, MANAGED, ROLE_HASH, admit
from aiinfn_hub.local.controllers.flavors import Flavor
from aiinfn_hub.local.controllers.queue_pods import decode_queued_pod
from aiinfn_hub.local.controllers.queue_shapes import (
    ClusterQueueObject,
    LocalQueue,
    Namespace,
    decode_cluster_queue,
    decode_flavor,
    decode_local_queue,
    decode_namespace,
)
from aiinfn_hub.local.controllers.queue_snapshot import snapshot
from aiinfn_hub.local.controllers.workloads import Workload, decode_workload, workload_for, workload_name

NOW = 1_800_000_000.0


def queued(name: str = "s", **meta: Any) -> dict[str, Any]:
    return a_pod(name, meta={"namespace": "default", "labels": {QUEUE: "sessions"}} | meta)


def test_a_labelled_pod_is_gated_and_held() -> None:
    before = queued()
    untouched = json.dumps(before)
    pod = admit(PODS, before)
    assert [gate["name"] for gate in pod["spec"]["schedulingGates"]] == list(GATES)
    assert pod["metadata"]["labels"][MANAGED] == "true"
    assert pod["metadata"]["finalizers"] == [MANAGED]
    assert len(pod["metadata"]["annotations"][ROLE_HASH]) == 8
    assert json.dumps(before) == untouched


def test_gates_and_finalizers_that_are_there_stay_and_none_comes_twice() -> None:
    pod = queued(finalizers=["theirs"])
    pod["spec"]["schedulingGates"] = [{"name": "ours"}]
    twice = admit(PODS, admit(PODS, pod))
    assert [gate["name"] for gate in twice["spec"]["schedulingGates"]] == ["ours", *GATES]
    assert twice["metadata"]["finalizers"] == ["theirs", MANAGED]


def test_a_labelled_job_is_suspended_whatever_it_says() -> None:
    job = admit(JOBS, a_job("fit", labels={QUEUE: "jobs"}, suspend=False))
    assert job["spec"]["suspend"] is True


@pytest.mark.parametrize(
    ("kind", "obj"),
    [
        pytest.param(PODS, a_pod("p"), id="a pod without a queue"),
        pytest.param(PODS, queued(labels={QUEUE: ""}), id="an empty queue name"),
        pytest.param(JOBS, a_job("fit"), id="a Job without a queue"),
        pytest.param(PODS, queued(namespace="kube-system"), id="a system namespace"),
        pytest.param(
            PODS, queued(ownerReferences=[{"kind": "Job", "controller": True}]), id="a Job's pod runs in its quota"
        ),
        pytest.param(SECRETS, queued(), id="another kind"),
    ],
)
def test_others_are_left_alone(kind: Any, obj: dict[str, Any]) -> None:
    assert admit(kind, obj) == obj


def test_a_workload_name_is_stable_and_belongs_to_one_owner() -> None:
    assert workload_name(JOBS, "fit", "u1") == workload_name(JOBS, "fit", "u1")
    assert workload_name(JOBS, "fit", "u1") != workload_name(JOBS, "fit", "u2")
    assert workload_name(JOBS, "fit", "u1").startswith("job-fit-")
    assert len(workload_name(PODS, "x" * 253, "u")) <= 253


def workload(name: str = "s", queue: str = "sessions", *, gpus: int = 1, count: int = 1, **fields: Any) -> Workload:
    owner = ObjectMeta(name=name, uid=f"uid-{name}", namespace="default")
    found = workload_for(PODS, owner, {"spec": a_pod("x", gpu=gpus)["spec"]}, count, queue, ("", 0))
    found["metadata"] |= {"uid": f"uid-w-{name}", "resourceVersion": "1"} | fields.pop("meta", {})
    found["spec"] |= fields.pop("spec", {})
    return decode_workload(raw(found | fields))


def told(status: dict[str, Any]) -> dict[str, tuple[str, str, str]]:
    return {c["type"]: (c["status"], c["reason"], c["message"]) for c in status["conditions"]}


def after(found: Workload, status: dict[str, Any]) -> Workload:
    """The Workload once a status was written over its own."""
    plain = msgspec.to_builtins(found)
    return decode_workload(raw(plain | {"status": {**plain["status"], **status}}))


def test_a_workload_counts_the_requests_of_all_its_pods() -> None:
    assert workload(gpus=2, count=3).requests() == {"cpu": 3000, "memory": 3 * 2**30, "nvidia.com/gpu": 6}


def test_an_admission_can_be_read_back() -> None:
    fresh = workload(gpus=2)
    status = workloads.admitted(fresh, "interactive", dict.fromkeys(fresh.requests(), "a100"), NOW)
    assert told(status)["QuotaReserved"] == ("True", "QuotaReserved", "Quota reserved in ClusterQueue interactive")
    held = after(fresh, status)
    assert held.holds_quota
    assert held.usage() == {("a100", resource): amount for resource, amount in fresh.requests().items()}


def test_the_way_of_an_evicted_workload() -> None:
    fresh = workload()
    held = after(fresh, workloads.admitted(fresh, "batch", {"cpu": "a100"}, NOW))
    going = after(held, workloads.evicted(held, "Preempted", "Preempted to accommodate", NOW + 1))
    assert going.holds_quota, "until its pods have ended"
    status = workloads.released(going, NOW + 2, comes_back=True)
    assert told(status)["QuotaReserved"] == ("False", "Pending", "Preempted to accommodate")
    assert told(status)["Admitted"] == ("False", "NoReservation", "The workload has no reservation")
    assert told(status)["Requeued"] == ("True", "Preempted", "Preempted to accommodate")
    assert status["admission"] is None
    back = after(going, status)
    again = workloads.admitted(back, "batch", {"cpu": "a100"}, NOW + 3)
    assert told(again)["Evicted"] == ("False", "QuotaReserved", "Previously: Preempted to accommodate")
    assert back.since == fresh.since, "it keeps its place"


def test_a_condition_keeps_its_time_while_its_status_stays() -> None:
    fresh = workload()
    first = after(fresh, workloads.waiting(fresh, "Pending", "2 more needed", NOW))
    status = workloads.waiting(first, "Pending", "1 more needed", NOW + 60)
    assert status["conditions"][0]["lastTransitionTime"] == "2027-01-15T08:00:00Z"
    assert status["conditions"][0]["message"] == "1 more needed"
    (reserved, _) = workloads.admitted(first, "interactive", {"cpu": "a100"}, NOW + 60)["conditions"]
    assert (reserved["status"], reserved["lastTransitionTime"]) == ("True", "2027-01-15T08:01:00Z")


FLAVORS = {"a100": Flavor("a100")}
NAMESPACE = {"metadata": {"name": "default", "uid": "ns", "labels": {"team": "a"}}}


def local(name: str, target: str, **spec: Any) -> LocalQueue:
    return decode_local_queue(raw(local_queue(name, target, **spec)))


def cluster(name: str, **spec: Any) -> ClusterQueueObject:
    return decode_cluster_queue(raw(cluster_queue(name, {"nvidia.com/gpu": 1}, **spec)))


def namespaces() -> list[Namespace]:
    return [decode_namespace(raw(NAMESPACE))]


@pytest.mark.parametrize(
    ("found", "blocked"),
    [
        pytest.param(workload(), None, id="nothing in the way"),
        pytest.param(workload(queue="nolq"), ("Inadmissible", "LocalQueue nolq doesn't exist"), id="no LocalQueue"),
        pytest.param(workload(queue="lost"), ("Inadmissible", "ClusterQueue nosuchcq doesn't exist"), id="no queue"),
        pytest.param(workload(queue="gone"), ("Inadmissible", "ClusterQueue gone is inactive"), id="no flavor"),
        pytest.param(workload(queue="hold"), ("Inadmissible", "ClusterQueue hold is inactive"), id="on hold"),
        pytest.param(workload(queue="shut"), ("Inadmissible", "LocalQueue shut is inactive"), id="LocalQueue on hold"),
        pytest.param(
            workload(queue="picky"),
            ("Pending", "workload namespace doesn't match ClusterQueue selector"),
            id="another namespace",
        ),
        pytest.param(
            workload(meta={"annotations": {"kueue.x-k8s.io/admission-gated-by": "a.org/x,b.org/y"}}),
            ("AdmissionGated", "Admission is gated by: a.org/x,b.org/y"),
            id="gated",
        ),
    ],
)
def test_what_no_quota_would_help(found: Workload, blocked: tuple[str, str] | None) -> None:
    queues = [
        cluster("interactive"),
        cluster("gone", flavor="nosuchflavor"),
        cluster("hold", stopPolicy="Hold"),
        cluster("picky", namespaceSelector={"matchLabels": {"team": "b"}}),
    ]
    names = {"sessions": "interactive", "lost": "nosuchcq", "gone": "gone", "hold": "hold", "picky": "picky"}
    lines = [local(name, target) for name, target in names.items()]
    lines.append(local("shut", "interactive", stopPolicy="Hold"))
    seen = snapshot([found], queues, lines, FLAVORS, namespaces())
    assert seen.blocked.get(found.key) == blocked
    assert bool(seen.pending) is (blocked is None)


def test_one_that_waits_and_is_put_aside_is_told_once_and_neither_waits_nor_gets_a_reason() -> None:
    aside = workload(spec={"active": False})
    told = after(aside, workloads.evicted(aside, "Deactivated", "The workload is deactivated", NOW))
    for found, wanted in ((aside, {aside.key: "Deactivated"}), (told, {})):
        seen = snapshot([found], [cluster("interactive")], [local("sessions", "interactive")], FLAVORS, namespaces())
        assert (seen.told, seen.pending, seen.blocked) == (wanted, [], {})


def test_a_finished_workload_holds_nothing() -> None:
    held = after(workload(), workloads.admitted(workload(), "interactive", {"nvidia.com/gpu": "a100"}, NOW))
    over = after(held, workloads.finished(held, "Succeeded", "Pods succeeded", NOW))
    assert not over.holds_quota
    seen = snapshot([over], [cluster("interactive")], [local("sessions", "interactive")], FLAVORS, namespaces())
    assert (seen.admitted, seen.pending, seen.blocked) == ([], [], {})


def test_an_evicted_workload_holds_its_quota_until_it_has_gone() -> None:
    held = after(workload(), workloads.admitted(workload(), "interactive", {"nvidia.com/gpu": "a100"}, NOW))
    going = after(held, workloads.evicted(held, "Preempted", "make room", NOW))
    for found, evicted in ((held, False), (going, True)):
        seen = snapshot([found], [cluster("interactive")], [local("sessions", "interactive")], FLAVORS, namespaces())
        (one,) = seen.admitted
        assert (one.evicted, one.usage[("a100", "nvidia.com/gpu")], one.since) == (evicted, 1, NOW)
        assert seen.queues[0].usage[("a100", "nvidia.com/gpu")] == 1
        assert seen.pending == []


def test_a_running_workload_that_is_deactivated_is_to_go_once() -> None:
    held = after(workload(spec={"active": False}), workloads.admitted(workload(), "interactive", {"cpu": "a100"}, NOW))
    queues, lines = [cluster("interactive")], [local("sessions", "interactive")]
    assert snapshot([held], queues, lines, FLAVORS, namespaces()).told == {held.key: "Deactivated"}
    going = after(held, workloads.evicted(held, "Deactivated", "The workload is deactivated", NOW))
    assert snapshot([going], queues, lines, FLAVORS, namespaces()).told == {}


@pytest.mark.parametrize(
    ("selector", "answer"),
    [
        pytest.param(None, False, id="no selector takes nobody"),
        pytest.param({}, True, id="an empty one takes everybody"),
        pytest.param({"matchLabels": {"team": "a"}}, True, id="a label"),
        pytest.param({"matchLabels": {"team": "b"}}, False, id="another label"),
        pytest.param(
            {"matchExpressions": [{"key": "team", "operator": "In", "values": ["a", "b"]}]}, True, id="an expression"
        ),
        pytest.param({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}, False, id="its absence"),
    ],
)
def test_whom_a_queue_takes(selector: Any, *, answer: bool) -> None:
    assert cluster("interactive", namespaceSelector=selector).takes({"team": "a"}) is answer


def test_quotas_are_read_in_their_units() -> None:
    found = decode_cluster_queue(raw(cluster_queue("q", {"cpu": "1500m", "memory": "1Gi", "nvidia.com/gpu": 3})))
    quotas = {resource: quota.nominal for (_, resource), quota in found.queue(FLAVORS).quotas.items()}
    assert quotas == {"cpu": 1500, "memory": 2**30, "nvidia.com/gpu": 3}


def test_a_flavor_brings_labels_taints_and_tolerations() -> None:
    taint = {"key": "site", "effect": "NoSchedule"}
    found = decode_flavor(raw(flavor("x", {"gpu": "x"}, nodeTaints=[taint], tolerations=[{"operator": "Exists"}])))
    place = found.flavor()
    assert place.node_labels == {"gpu": "x"}
    assert [one.key for one in place.taints] == ["site"]
    assert [one.operator for one in place.tolerations] == ["Exists"]


DELETED = "2026-01-01T00:00:00Z"


@pytest.mark.parametrize(
    ("meta", "spec", "phase", "over"),
    [
        pytest.param({}, {}, "Pending", False, id="it waits"),
        pytest.param({}, {"nodeName": "n"}, "Running", False, id="it runs"),
        pytest.param({}, {"nodeName": "n"}, "Succeeded", True, id="it has ended"),
        pytest.param({"deletionTimestamp": DELETED}, {}, "Pending", True, id="deleted while gated"),
        pytest.param({"deletionTimestamp": DELETED}, {"nodeName": "n"}, "Running", True, id="it is still ending"),
    ],
)
def test_when_a_queued_pod_gives_its_quota_back(
    meta: dict[str, Any], spec: dict[str, Any], phase: str, *, over: bool
) -> None:
    pod = admit(PODS, queued())
    pod = pod | {"metadata": pod["metadata"] | {"uid": "u"} | meta, "spec": pod["spec"] | spec}
    assert decode_queued_pod(raw(pod | {"status": {"phase": phase}})).over is over
