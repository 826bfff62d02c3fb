from __future__ import annotations

from typing import Any

import pytest

from aiinfn_hub.sessions.diagnosis import diagnose, refused


def pod(phase: str = "Pending", *, node: str = "", gated: bool = False, **status: Any) -> dict[str, Any]:
    spec: dict[str, Any] = {"nodeName": node} if node else {}
    if gated:
        spec["schedulingGates"] = [{"name": "kueue.x-k8s.io/admission"}]
    return {"metadata": {"name": "jupyter-mrossi"}, "spec": spec, "status": {"phase": phase, **status}}


def condition(kind: str, status: str, reason: str = "", message: str = "") -> dict[str, str]:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def waiting(reason: str, message: str = "") -> list[dict[str, Any]]:
    state = {"waiting": {"reason": reason, "message": message}}
    return [{"name": "notebook", "ready": False, "state": state, "lastState": {}}]


def event(reason: str, message: str = "") -> dict[str, str]:
    return {"reason": reason, "message": message}


GATED = condition("PodScheduled", "False", "SchedulingGated", "Scheduling is blocked due to non-empty scheduling gates")
NOTHING_FREE = condition(
    "PodScheduled", "False", "Unschedulable", "0/4 nodes are available: 4 Insufficient nvidia.com/gpu."
)
PLACED = condition("PodScheduled", "True")
FULL = "couldn't assign flavors to pod set: insufficient unused quota for nvidia.com/gpu in flavor a100, 1 more needed"
RUNNING = [{"name": "notebook", "ready": True, "state": {"running": {}}}]
ENDED = {"reason": "Error", "exitCode": 1, "message": "Traceback"}


def workload(*conditions: dict[str, str]) -> dict[str, Any]:
    return {"status": {"conditions": list(conditions)}}


@pytest.mark.parametrize(
    ("subject", "events", "of_kueue", "cause", "step"),
    [
        pytest.param(None, [], None, "requested", "quota", id="there is no pod yet"),
        pytest.param(pod(), [], None, "scheduling", "node", id="the pod was created a moment ago"),
        pytest.param(pod(gated=True), [], None, "waiting", "queue", id="gated, without any condition yet"),
        pytest.param(pod(gated=True, conditions=[GATED]), [], None, "waiting", "queue", id="gated, no Workload known"),
        pytest.param(
            pod(gated=True, conditions=[GATED]),
            [],
            workload(),
            "waiting",
            "queue",
            id="a Workload without a condition waits",
        ),
        pytest.param(
            pod(gated=True, conditions=[GATED]),
            [],
            workload(condition("QuotaReserved", "False", "Pending", FULL)),
            "waiting-for-quota",
            "queue",
            id="the quota is used up",
        ),
        pytest.param(
            pod(gated=True, conditions=[GATED]),
            [],
            workload(condition("QuotaReserved", "False", "Misconfigured", "LocalQueue nolq doesn't exist")),
            "queue-missing",
            "quota",
            id="the queue does not exist",
        ),
        pytest.param(
            pod(gated=True, conditions=[GATED]),
            [],
            workload(condition("QuotaReserved", "True"), condition("Admitted", "True")),
            "admitted",
            "queue",
            id="admitted a moment ago",
        ),
        pytest.param(pod(conditions=[NOTHING_FREE]), [], None, "device-taken", "node", id="no card is free"),
        pytest.param(
            pod(),
            [event("FailedScheduling", NOTHING_FREE["message"])],
            None,
            "device-taken",
            "node",
            id="the event comes before the condition",
        ),
        pytest.param(
            pod(conditions=[condition("PodScheduled", "False", "Unschedulable", "0/1: the moon")]),
            [],
            None,
            "no-node-fits",
            "node",
            id="the scheduler says something new",
        ),
        pytest.param(pod(node="gpu-1", conditions=[PLACED]), [], None, "placed", "start", id="a node was found"),
        pytest.param(
            pod(node="gpu-1", conditions=[PLACED]),
            [event("FailedScheduling", NOTHING_FREE["message"]), event("Scheduled"), event("Pulling")],
            None,
            "pulling",
            "start",
            id="an old failure to schedule does not count any more",
        ),
        pytest.param(
            pod(node="gpu-1", conditions=[PLACED], containerStatuses=waiting("ContainerCreating")),
            [event("FailedMount", 'MountVolume.SetUp failed for volume "x" : secret "s3-public" not found')],
            None,
            "object-missing",
            "start",
            id="a volume cannot be mounted",
        ),
        pytest.param(
            pod(node="gpu-1", conditions=[PLACED]),
            [event("Started", "Admitted by clusterQueue interactive")],
            None,
            "placed",
            "start",
            id="Kueue's own event named Started is not the container's",
        ),
        pytest.param(
            pod(node="gpu-1", conditions=[PLACED]),
            [event("FailedMount", "the moon"), event("Pulled")],
            None,
            "creating",
            "start",
            id="a mount that worked in the end",
        ),
        pytest.param(
            pod(node="gpu-1", containerStatuses=waiting("ErrImagePull", "x: not found")),
            [],
            None,
            "image-missing",
            "start",
            id="the image does not exist",
        ),
        pytest.param(
            pod(node="gpu-1", containerStatuses=waiting("ImagePullBackOff", 'Back-off pulling image "x"')),
            [event("Failed", 'Failed to pull image "x": unauthorized'), event("BackOff", "Back-off pulling image")],
            None,
            "image-forbidden",
            "start",
            id="an older kubelet gives the cause in an event",
        ),
        pytest.param(
            pod(node="gpu-1", containerStatuses=waiting("ImagePullBackOff", 'Back-off pulling image "x"')),
            [],
            None,
            "image-pull",
            "start",
            id="the cause of a failed pull is not known",
        ),
        pytest.param(
            pod(node="gpu-1", containerStatuses=waiting("CreateContainerError", "the moon")),
            [],
            None,
            "container",
            "start",
            id="a new kind of container error",
        ),
        pytest.param(
            pod(node="gpu-1", initContainerStatuses=waiting("CreateContainerConfigError", 'secret "s" not found')),
            [],
            None,
            "object-missing",
            "start",
            id="an init container lacks its Secret",
        ),
        pytest.param(
            pod(
                node="gpu-1",
                initContainerStatuses=[
                    {"ready": True, "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}
                ],
            ),
            [],
            None,
            "placed",
            "start",
            id="an init container that has ended well is no end",
        ),
        pytest.param(
            pod("Running", node="gpu-1", containerStatuses=[{"ready": False, "state": {"running": {}}}]),
            [],
            None,
            "starting",
            "start",
            id="the container runs, JupyterLab does not answer yet",
        ),
        pytest.param(
            pod("Running", node="gpu-1", containerStatuses=RUNNING), [], None, "started", "start", id="it runs"
        ),
        pytest.param(
            pod("Running", containerStatuses=[{"ready": False, "state": {"terminated": {"reason": "OOMKilled"}}}]),
            [],
            None,
            "out-of-memory",
            "start",
            id="it took too much memory",
        ),
        pytest.param(
            pod("Running", containerStatuses=[{"ready": False, "state": {"terminated": ENDED}}]),
            [],
            None,
            "ended",
            "start",
            id="it ended at once",
        ),
        pytest.param(
            pod("Running", containerStatuses=[waiting("CrashLoopBackOff")[0] | {"lastState": {"terminated": ENDED}}]),
            [],
            None,
            "ended",
            "start",
            id="it ends again and again",
        ),
        pytest.param(
            pod("Failed", reason="Evicted", message="The node was low on resource: memory."),
            [],
            None,
            "evicted-by-node",
            "start",
            id="the node threw it out",
        ),
        pytest.param(pod("Failed", message="the moon"), [], None, "failed", "start", id="it failed for a new reason"),
    ],
)
def test_the_cause_is_found_when(
    subject: Any, events: list[dict[str, str]], of_kueue: Any, cause: str, step: str
) -> None:
    found = diagnose(subject, events, of_kueue)
    assert (found.cause, found.step) == (cause, step)
    assert found.sentence


def test_a_session_that_the_queue_takes_back_says_so() -> None:
    leaving = pod(
        conditions=[condition("TerminationTarget", "True", "WorkloadEvictedDueToPreempted", "Preempted to accommodate")]
    )
    leaving["metadata"]["deletionTimestamp"] = "2026-11-23T10:00:00Z"
    found = diagnose(leaving)
    assert (found.cause, found.final) == ("evicted", True)
    assert "Preempted to accommodate" in found.sentence


def test_a_session_that_is_deleted_is_being_stopped() -> None:
    leaving = pod("Running", containerStatuses=RUNNING)
    leaving["metadata"]["deletionTimestamp"] = "2026-11-23T10:00:00Z"
    assert diagnose(leaving).cause == "stopping"


def test_the_exit_code_of_a_session_that_ended_is_told() -> None:
    found = diagnose(pod("Running", containerStatuses=[{"ready": False, "state": {"terminated": ENDED}}]))
    assert "exit code 1" in found.sentence
    assert found.final


def test_a_crash_loop_may_still_recover() -> None:
    looping = pod("Running", containerStatuses=[waiting("CrashLoopBackOff")[0] | {"lastState": {"terminated": ENDED}}])
    assert not diagnose(looping).final


def test_the_node_is_named_while_it_works() -> None:
    found = diagnose(pod(node="gpu-1", conditions=[PLACED]), [event("Pulling", 'Pulling image "x"')])
    assert found.sentence.startswith("gpu-1 fetches the image")


@pytest.mark.parametrize(
    ("status", "message", "cause", "final"),
    [
        pytest.param(
            403,
            "pods is forbidden: exceeded quota: q, requested: pods=1, used: pods=9, limited: pods=9",
            "namespace-quota",
            True,
            id="the namespace is full",
        ),
        pytest.param(
            500, 'failed calling webhook "mpod.kb.io": connection refused', "queue-down", True, id="Kueue is down"
        ),
        pytest.param(422, "the moon is full", "refused", True, id="an answer that nobody knows"),
        pytest.param(503, "", "refused", False, id="a server that will be back"),
        pytest.param(429, "too many requests", "refused", False, id="a server that is busy"),
        pytest.param(0, "no answer", "refused", False, id="no answer"),
    ],
)
def test_a_refusal_of_the_api_is_explained(status: int, message: str, cause: str, final: bool) -> None:
    found = refused(status, message)
    assert (found.cause, found.final) == (cause, final)


@pytest.mark.parametrize("subject", [{"metadata": {}}, {"metadata": {}, "status": None}, pod(conditions=None)])
def test_an_object_with_holes_is_no_reason_to_fail(subject: dict[str, Any]) -> None:
    assert diagnose(subject).cause == "scheduling"
