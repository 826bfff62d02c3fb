from __future__ import annotations

from typing import Any

import pytest
from support.offload import NOW, job, pod, request, run, workload

from aiinfn_hub.contract.jobs import JobState
from aiinfn_hub.offload.observe import Sight
from aiinfn_hub.offload.why import why

S = JobState
RECLAIMED = workload(
    Evicted=("True", "Preempted", "by somebody"),
    Preempted=("True", "InCohortReclamation", "by somebody"),
    QuotaReserved=("False", "Pending", "insufficient unused quota for cpu in flavor x, 1 more needed"),
)
WAITING = workload(
    QuotaReserved=("False", "Pending", "insufficient unused quota for nvidia.com/gpu in flavor a100, 1 more needed")
)
NEVER = workload(QuotaReserved=("False", "Pending", "insufficient quota for nvidia.com/gpu in flavor a100, 9 > 3"))
NOTHING = Sight(None, (), None)
OUTPUTS = request(outputs=["total"])


@pytest.mark.parametrize(
    ("of", "sight", "sentence", "step"),
    [
        pytest.param(
            run(S.QUEUED),
            Sight(job(suspended=True), (), WAITING),
            "Place 1 of 1 in lhcb-flashsim-batch",
            "Wait",
            id="waiting has a place",
        ),
        pytest.param(
            run(S.QUEUED),
            Sight(job(suspended=True), (), NEVER),
            "can ever give",
            "less",
            id="what will never start says so",
        ),
        pytest.param(run(S.QUEUED), NOTHING, "Kueue has not looked", "tell the operators", id="no Workload"),
        pytest.param(
            run(S.EVICTED, reason="A session came."),
            Sight(job(suspended=True), (), WAITING),
            "A session came. It waits",
            "Wait",
            id="evicted tells both",
        ),
        pytest.param(
            run(S.QUEUED, attempt=2),
            Sight(job(suspended=True), (), RECLAIMED),
            "Attempt 2, because an interactive session needed its place. It waits",
            "Wait",
            id="evicted and queued again still says why it had to go",
        ),
        pytest.param(run(S.STAGING), NOTHING, "put in place", "seconds", id="staging"),
        pytest.param(
            run(S.STARTING),
            Sight(job(), (pod("Pending", waiting="ErrImagePull"),), None),
            "image cannot",
            "--image",
            id="no image",
        ),
        pytest.param(run(S.STARTING, reason="soon"), NOTHING, "soon", "", id="starting, no pod"),
        pytest.param(
            run(S.PENDING_REMOTE, target="leonardo", reason="It waits."),
            NOTHING,
            "It waits",
            "leonardo decides",
            id="another queue",
        ),
        pytest.param(
            run(S.RUNNING, reason="on node-1", attempt=2), NOTHING, "on node-1, attempt 2", "1 h", id="running"
        ),
        pytest.param(run(S.SUCCEEDED, OUTPUTS), NOTHING, "It succeeded.", "%offload get fit", id="succeeded"),
        pytest.param(
            run(S.SUCCEEDED, missing={"total": "not assigned"}),
            NOTHING,
            "total: not assigned",
            "--out",
            id="succeeded in part",
        ),
        pytest.param(
            run(S.FAILED, exit_code=70, verdict="ValueError: x", started_at=NOW),
            NOTHING,
            "ValueError: x",
            "%offload log fit",
            id="the person's exception",
        ),
        pytest.param(
            run(S.FAILED, exit_code=137, verdict="Out of memory: it took more", started_at=NOW),
            NOTHING,
            "Out of memory",
            "--mem 4Gi",
            id="out of memory gets twice as much",
        ),
        pytest.param(
            run(S.FAILED, exit_code=124, verdict="The time", started_at=NOW),
            NOTHING,
            "The time",
            "--time 2h",
            id="out of time gets twice as much",
        ),
        pytest.param(
            run(S.FAILED, reason="refused", started_at=None), NOTHING, "refused", "never started", id="never started"
        ),
        pytest.param(run(S.FAILED, exit_code=3, started_at=NOW), NOTHING, "", "%offload log fit", id="an unknown code"),
        pytest.param(run(S.CANCELLED), NOTHING, "Cancelled by you", "%offload retry fit", id="cancelled"),
        pytest.param(run(S.LOST, reason="Its Job is gone."), NOTHING, "Its Job is gone", "still taken", id="lost"),
    ],
)
def test_there_is_a_sentence_and_a_next_step(of: Any, sight: Sight, sentence: str, step: str) -> None:
    found = why(of, sight, [sight.workload] if sight.workload else [])
    assert sentence in found.sentence
    assert step in found.next_step
    assert found.state is of.state


@pytest.mark.parametrize("state", JobState)
def test_every_state_has_an_answer(state: JobState) -> None:
    assert why(run(state, reason="r"), NOTHING).sentence


def test_the_evidence_is_word_for_word() -> None:
    sight = Sight(job("Failed", reason="BackoffLimitExceeded", message="m"), (pod("Failed", exit_code=70),), WAITING)
    evidence = why(run(S.FAILED, exit_code=70), sight).evidence
    assert "exit code 70" in evidence
    assert "Job Failed=True (BackoffLimitExceeded: m)" in evidence
    assert any(line.startswith("Workload QuotaReserved=False (Pending: insufficient unused") for line in evidence)
    assert any("Failed on node-1, exit code 70" in line for line in evidence)
    assert evidence[0].startswith("submitted 2027-01-15 07:50:00Z, attempt 1, queue lhcb-flashsim-batch")
