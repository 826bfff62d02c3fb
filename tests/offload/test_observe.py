from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.offload import GI, NOW, job, pod, request, run, workload

from aiinfn_hub.contract.jobs import FINAL, TRANSITIONS, JobState
from aiinfn_hub.kube.slim import Condition
from aiinfn_hub.offload.observe import LAG_S, Contact, Sight, Step, observe

S = JobState
RECLAIMED = workload(
    Evicted=("True", "Preempted", "Preempted to accommodate a workload"),
    Preempted=("True", "InCohortReclamation", "reclaimed by alice-secret-session"),
)
WAITING = workload(
    QuotaReserved=("False", "Pending", "insufficient unused quota for nvidia.com/gpu in flavor a100, 1 more needed")
)
DISRUPTED = {"DisruptionTarget": Condition("True", "DeletionByTaintManager", "")}
UNSCHEDULED = {"PodScheduled": Condition("False", "Unschedulable", "0/4 nodes are available")}


def seen(*pods: Any, of: Any = None, wl: Any = None, contact: Contact | None = None, remote: bool = False) -> Sight:
    return Sight(of, pods, wl, contact or Contact(), remote=remote)


TABLE = [
    # run, sight -> state and words of the reason (None: nothing to do)
    pytest.param(
        run(S.QUEUED),
        seen(of=job("Suspended", suspended=True), wl=WAITING),
        S.QUEUED,
        "1 more must become free",
        id="it waits for quota",
    ),
    pytest.param(
        run(S.QUEUED), seen(of=job(suspended=True)), S.QUEUED, "Kueue has not looked", id="Kueue has not seen it"
    ),
    pytest.param(run(S.QUEUED), seen(of=job()), S.STARTING, "pod is being made", id="admitted, no pod yet"),
    pytest.param(
        run(S.QUEUED),
        seen(pod("Pending", node="", conditions=UNSCHEDULED), of=job()),
        S.STARTING,
        "0/4 nodes",
        id="the pod has no node",
    ),
    pytest.param(
        run(S.QUEUED),
        seen(pod("Pending", node=""), of=job()),
        S.STARTING,
        "looking for a node",
        id="nobody looked at the pod",
    ),
    pytest.param(
        run(S.STARTING),
        seen(pod("Pending", waiting="ImagePullBackOff"), of=job()),
        S.STARTING,
        "image cannot be fetched",
        id="no such image",
    ),
    pytest.param(
        run(S.STARTING),
        seen(pod("Pending", waiting="CreateContainerConfigError"), of=job()),
        S.STARTING,
        "CreateContainerConfigError",
        id="no such Secret",
    ),
    pytest.param(
        run(S.STARTING),
        seen(pod("Pending", waiting="ContainerCreating"), of=job()),
        S.STARTING,
        "started on node-1",
        id="the container is being made",
    ),
    pytest.param(
        run(S.QUEUED, target="leonardo"),
        seen(pod("Pending", node="leonardo"), of=job(), remote=True),
        S.PENDING_REMOTE,
        "queue of leonardo",
        id="a virtual node queues it again",
    ),
    pytest.param(run(S.STARTING), seen(pod(), of=job()), S.RUNNING, "on node-1", id="it runs"),
    pytest.param(
        run(S.RUNNING, reason="on node-1"),
        seen(pod("Failed", uid="pod-0", exit_code=72), pod(), of=job("Failed")),
        None,
        "",
        id="the Job has failed, and the watch of its last pod is behind: that one has the verdict",
    ),
    pytest.param(run(S.RUNNING, reason="on node-1"), seen(pod(), of=job()), None, "", id="it still runs"),
    pytest.param(
        run(S.RUNNING, reason="on node-1"),
        seen(pod(), of=job(), contact=Contact("pod-1", NOW - 125)),
        S.RUNNING,
        "no sign of life for 2 min",
        id="its runner is silent",
    ),
    pytest.param(
        run(S.RUNNING, reason="on node-1"),
        seen(pod(), of=job(), contact=Contact("pod-0", NOW - 125)),
        None,
        "",
        id="silence of an earlier attempt means nothing",
    ),
    pytest.param(
        run(S.RUNNING),
        seen(pod("Pending"), of=job(), contact=Contact("pod-1", NOW)),
        None,
        "",
        id="the runner spoke before the kubelet did",
    ),
    pytest.param(
        run(S.RUNNING),
        seen(
            pod("Failed", exit_code=72), pod("Pending", "pod-2", created=NOW), of=job(), contact=Contact("pod-1", NOW)
        ),
        S.EVICTED,
        "inputs could not be fetched",
        id="another attempt follows a failed one",
    ),
    pytest.param(
        run(S.RUNNING),
        seen(pod("Pending", "pod-2"), of=job()),
        S.EVICTED,
        "pod is gone",
        id="another attempt follows a vanished pod",
    ),
    pytest.param(run(S.RUNNING), seen(of=job()), None, "", id="the pod is gone and the Job decides"),
    pytest.param(
        run(S.RUNNING),
        seen(pod("Failed", exit_code=70), of=job()),
        None,
        "",
        id="the pod has failed and the Job decides",
    ),
    pytest.param(
        run(S.RUNNING),
        seen(pod(deleted_at=NOW), of=job(suspended=True), wl=RECLAIMED),
        S.EVICTED,
        "an interactive session needed its place",
        id="reclaimed by a session",
    ),
    pytest.param(
        run(S.STARTING),
        seen(of=job(suspended=True), wl=RECLAIMED),
        S.EVICTED,
        "interactive session",
        id="reclaimed before it ran",
    ),
    pytest.param(run(S.RUNNING), seen(of=job(suspended=True)), S.EVICTED, "it was suspended", id="suspended by hand"),
    pytest.param(
        run(S.EVICTED, reason="gone"),
        seen(pod(deleted_at=NOW), of=job(suspended=True)),
        None,
        "",
        id="the old pod still ends",
    ),
    pytest.param(
        run(S.EVICTED, attempt=2),
        seen(of=job(suspended=True), wl=WAITING),
        S.QUEUED,
        "Attempt 2, because it was suspended. It waits",
        id="then it waits again",
    ),
    pytest.param(
        run(S.EVICTED),
        seen(pod(deleted_at=NOW), of=job()),
        S.STARTING,
        "pod is being made",
        id="an old pod that ends is not the new one",
    ),
    pytest.param(
        run(S.EVICTED, attempt=2), seen(pod(uid="pod-2"), of=job()), S.RUNNING, "on node-1", id="then it runs again"
    ),
    pytest.param(
        run(S.RUNNING), seen(of=job("Complete")), S.LOST, "result never came", id="completed without a result"
    ),
    pytest.param(run(S.RUNNING), seen(), S.LOST, "Job is gone", id="the Job was deleted by somebody"),
    pytest.param(run(S.QUEUED, updated_at=NOW - LAG_S + 1), seen(), None, "", id="the Job was made a moment ago"),
    pytest.param(run(S.RUNNING), seen(pod()), None, "", id="the Job is gone and its pod is on the way out"),
    pytest.param(
        run(S.RUNNING, cancel_requested=True),
        seen(pod(deleted_at=NOW)),
        S.RUNNING,
        "being cancelled",
        id="cancelled, still ending",
    ),
    pytest.param(
        run(S.RUNNING, cancel_requested=True),
        seen(pod(), of=job()),
        S.RUNNING,
        "being cancelled",
        id="cancelled, not yet deleted",
    ),
    pytest.param(run(S.RUNNING, cancel_requested=True), seen(), S.CANCELLED, "by you", id="cancelled and gone"),
    pytest.param(
        run(S.RUNNING, cancel_requested=True),
        seen(pod("Failed", exit_code=143), of=job("Failed")),
        S.CANCELLED,
        "by you",
        id="cancelled and failed of it",
    ),
    pytest.param(run(S.STAGING), seen(of=job(suspended=True)), None, "", id="staging belongs to the submit flow"),
    *(
        pytest.param(run(state), seen(of=job("Failed")), None, "", id=f"{state.value} is over")
        for state in sorted(FINAL)
    ),
]


@pytest.mark.parametrize(("before", "sight", "state", "words"), TABLE)
def test_the_evidence_asks_for_a_step(before: Any, sight: Sight, state: JobState | None, words: str) -> None:
    step = observe(before, sight, now=NOW)
    assert (step.state if step else None) is state
    assert words in (step.reason if step else "")


def failed(pod_: Any, **of: str) -> Step:
    step = observe(
        run(S.RUNNING, request(memory_bytes=2 * GI, time_s=300)), seen(pod_, of=job("Failed", **of)), now=NOW
    )
    assert step is not None
    assert step.state is S.FAILED
    return step


@pytest.mark.parametrize(
    ("pod_", "of", "words"),
    [
        pytest.param(pod("Failed", exit_code=70), {}, "Your code raised", id="70 is the person's exception"),
        pytest.param(pod("Failed", exit_code=71), {}, "environment", id="71 is the environment"),
        pytest.param(pod("Failed", exit_code=72), {}, "inputs could not be fetched", id="72 is the way in"),
        pytest.param(pod("Failed", exit_code=73), {}, "results could not be delivered", id="73 is the way out"),
        pytest.param(pod("Failed", exit_code=124), {}, "time limit of 5 min", id="124 is the time"),
        pytest.param(pod("Failed", exit_code=127), {}, "no Python", id="127 is the image"),
        pytest.param(pod("Failed", exit_code=137), {}, "killed from outside", id="137 is a kill"),
        pytest.param(
            pod("Failed", exit_code=137, exit_reason="OOMKilled"),
            {},
            "more than the 2Gi",
            id="137 with its reason is memory",
        ),
        pytest.param(pod("Failed", exit_code=143), {}, "stopped from outside", id="143 is SIGTERM"),
        pytest.param(pod("Failed", exit_code=3), {}, "exit code 3", id="another code is told"),
        pytest.param(pod("Failed", exit_code=None), {}, "without a word", id="no code at all"),
        pytest.param(pod("Failed", reason="DeadlineExceeded"), {}, "time limit", id="the pod's own deadline"),
        pytest.param(
            pod("Failed", reason="Evicted", message="DiskPressure"),
            {},
            "put it out: DiskPressure",
            id="evicted by the kubelet",
        ),
        pytest.param(pod("Failed", reason="NodeLost"), {}, "node node-1 was lost", id="the node is gone"),
        pytest.param(pod("Failed", exit_code=137, conditions=DISRUPTED), {}, "node node-1 was lost", id="drained"),
        pytest.param(
            pod("Succeeded"),
            {"reason": "BackoffLimitExceeded", "message": "Job has reached the limit"},
            "BackoffLimitExceeded: Job has reached",
            id="the pod is gone",
        ),
    ],
)
def test_a_failure_that_nobody_reported_gets_a_verdict(pod_: Any, of: dict[str, str], words: str) -> None:
    step = failed(pod_, **of)
    assert words in step.reason
    assert step.changes["verdict"] == step.reason


def test_the_last_attempt_gives_the_verdict() -> None:
    first = pod("Failed", "pod-1", exit_code=72, finished=NOW - 50)
    last = pod("Failed", "pod-2", exit_code=70, finished=NOW - 5)
    step = observe(run(S.RUNNING), seen(last, first, of=job("Failed")), now=NOW)
    assert step is not None
    assert step.changes["exit_code"] == 70


def test_the_time_starts_when_the_container_does() -> None:
    step = observe(run(S.STARTING), seen(pod(ran_from=NOW - 7), of=job()), now=NOW)
    assert step is not None
    assert step.changes == {"started_at": NOW - 7}


def test_nobody_is_named_to_the_one_who_had_to_go() -> None:
    step = observe(run(S.RUNNING), seen(of=job(suspended=True), wl=RECLAIMED), now=NOW)
    assert step is not None
    assert "alice" not in step.reason


PODS = st.builds(
    pod,
    st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
    st.sampled_from(["pod-1", "pod-2"]),
    exit_code=st.none() | st.sampled_from([0, 70, 72, 137, 143]),
    deleted_at=st.none() | st.just(NOW),
    node=st.sampled_from(["", "node-1"]),
    created=st.floats(NOW - 100, NOW),
)
JOBS = st.none() | st.builds(
    job, st.sampled_from(["Suspended", "Complete", "Failed", "SuccessCriteriaMet"]), suspended=st.booleans()
)
SIGHTS = st.builds(
    Sight,
    JOBS,
    st.lists(PODS, max_size=3),
    st.sampled_from([None, WAITING, RECLAIMED]),
    st.builds(Contact, st.sampled_from(["", "pod-1"]), st.none() | st.floats(NOW - 500, NOW)),
    remote=st.booleans(),
)


@given(st.sampled_from(JobState), st.booleans(), st.lists(SIGHTS, min_size=1, max_size=4))
def test_every_step_is_legal_and_the_same_evidence_ends_in_rest(
    state: JobState,
    cancel: bool,
    sights: list[Sight],
) -> None:
    current = run(state, cancel_requested=cancel)
    for sight in sights:
        for _ in range(6):
            step = observe(current, sight, now=NOW)
            if step is None:
                break
            assert step.state is current.state or step.state in TRANSITIONS[current.state]
            current = run(step.state, cancel_requested=cancel, reason=step.reason)
        else:
            pytest.fail(f"it never rests: {current.state}, {sight}")
