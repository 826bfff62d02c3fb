"""Phases and conditions follow from what containers do."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.local.agent.status import (
    ContainerView,
    PodView,
    Running,
    Terminated,
    Verdict,
    Waiting,
    container_id,
    phase_of,
    pod_status,
)

NOW = 1_800_000_000.0
OK, BAD = Terminated(0, "Completed", NOW - 9, NOW), Terminated(1, "Error", NOW - 9, NOW)
RUNS, WAITS = Running(NOW), Waiting("ContainerCreating")
CRASHES = Waiting("CrashLoopBackOff")


def view(state: Waiting | Running | Terminated, last: Terminated | None = None, **more: Any) -> ContainerView:
    return ContainerView("main", "image:1", state, last, **more)


BETWEEN = view(CRASHES, BAD)


@pytest.mark.parametrize(
    ("policy", "init", "containers", "phase"),
    [
        pytest.param("Never", [], [view(WAITS)], "Pending", id="nothing has started"),
        pytest.param("Never", [], [view(RUNS)], "Running", id="it runs"),
        pytest.param("Never", [], [view(OK)], "Succeeded", id="it ended well"),
        pytest.param("Never", [], [view(BAD)], "Failed", id="it ended badly"),
        pytest.param("Never", [], [view(OK), view(BAD)], "Failed", id="one of two ended badly"),
        pytest.param("Never", [], [view(BAD), view(RUNS)], "Running", id="the other one still runs"),
        pytest.param("Never", [], [view(RUNS), view(WAITS)], "Running", id="the other one has not started"),
        pytest.param("Never", [], [view(OK), view(WAITS)], "Pending", id="one ended before the other has started"),
        pytest.param("OnFailure", [], [view(BAD)], "Running", id="it will be started again"),
        pytest.param("OnFailure", [], [BETWEEN], "Running", id="it waits to be started again"),
        pytest.param("OnFailure", [], [view(OK)], "Succeeded", id="it will not be started again"),
        pytest.param("Always", [], [view(OK)], "Running", id="it will always be started again"),
        pytest.param("Never", [view(RUNS)], [view(WAITS)], "Pending", id="an init container runs"),
        pytest.param("Never", [view(BAD)], [view(WAITS)], "Failed", id="an init container failed for good"),
        pytest.param("OnFailure", [view(BAD)], [view(WAITS)], "Pending", id="an init container failed for now"),
        pytest.param("Always", [view(OK)], [view(RUNS)], "Running", id="init containers are done"),
    ],
)
def test_phase(policy: str, init: list[ContainerView], containers: list[ContainerView], phase: str) -> None:
    assert phase_of(policy, init, containers) == phase


def status_of(*containers: ContainerView, pod: dict | None = None, now: float = NOW, **more: Any) -> dict[str, Any]:
    base = {"metadata": {}, "spec": {"restartPolicy": "Never"}}
    view_of_pod = PodView([], list(containers), "127.77.0.1", "127.0.0.1", NOW - 60, **more)
    return pod_status(base | (pod or {}), view_of_pod, now)


def conditions(status: dict[str, Any]) -> dict[str, Any]:
    return {c["type"]: c for c in status["conditions"]}


def test_over_ends_what_the_policy_would_start_again() -> None:
    spec = {"spec": {"restartPolicy": "Always"}}
    assert status_of(view(BAD), pod=spec, over=True)["phase"] == "Failed"
    assert status_of(view(OK), pod=spec, over=True)["phase"] == "Succeeded"
    assert status_of(view(WAITS), pod=spec, over=True)["phase"] == "Failed"


def test_a_container_between_two_runs_shows_its_last_one_when_the_pod_is_over() -> None:
    status = status_of(BETWEEN, over=True)
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 1


def test_a_verdict_fails_the_pod_and_says_why() -> None:
    status = status_of(view(OK), verdict=Verdict("DeadlineExceeded", "too long"))
    assert (status["phase"], status["reason"], status["message"]) == ("Failed", "DeadlineExceeded", "too long")
    assert "DisruptionTarget" not in conditions(status)


def test_a_disruption_is_a_condition() -> None:
    status = status_of(view(BAD), verdict=Verdict("Terminated", "shutdown", disrupted=True))
    assert conditions(status)["DisruptionTarget"]["reason"] == "TerminationByKubelet"


def test_unready_containers_are_named() -> None:
    ready = conditions(status_of(view(RUNS, ready=False)))["Ready"]
    assert ready["message"] == "containers with unready status: [main]"
    assert conditions(status_of(view(RUNS, ready=True)))["Ready"]["status"] == "True"


def test_a_condition_that_stays_keeps_its_time_and_one_that_changes_gets_a_new_one() -> None:
    old = [
        {"type": "Ready", "status": "False", "lastTransitionTime": "old", "reason": "ContainersNotReady"},
        {"type": "Initialized", "status": "True", "lastTransitionTime": "old"},
    ]
    found = conditions(status_of(view(RUNS, ready=True), pod={"status": {"conditions": old}}))
    assert found["Initialized"]["lastTransitionTime"] == "old"
    assert found["Ready"]["lastTransitionTime"] != "old"
    assert found["Ready"]["reason"] is None  # the merge removes what it said before


def test_a_pod_that_was_refused_has_no_address_of_containers() -> None:
    status = pod_status(
        {"metadata": {}, "spec": {}}, PodView([], [], "", "127.0.0.1", NOW, verdict=Verdict("X", "y")), NOW
    )
    assert "podIP" not in status
    assert status["containerStatuses"] == []


def test_each_run_has_its_own_name() -> None:
    names = {container_id("u", name, attempt) for name in ("a", "b") for attempt in (0, 1)}
    assert len(names) == 4
    assert all(name.startswith("process://") for name in names)


STATES = st.sampled_from([WAITS, RUNS, OK, BAD, CRASHES])
VIEWS = st.builds(view, STATES, st.sampled_from([None, BAD, OK]))


@given(
    st.sampled_from(["Never", "OnFailure", "Always"]),
    st.lists(VIEWS, max_size=2),
    st.lists(VIEWS, min_size=1, max_size=3),
    st.booleans(),
)
def test_a_finished_pod_is_never_ready_and_runs_nothing(
    policy: str, init: list[ContainerView], containers: list[ContainerView], over: bool
) -> None:
    pod = {"metadata": {}, "spec": {"restartPolicy": policy}}
    status = pod_status(pod, PodView(init, containers, "127.77.0.1", "127.0.0.1", NOW, over), NOW)
    running = any(isinstance(each.state, Running) for each in containers)
    if over and not running:
        assert status["phase"] in ("Succeeded", "Failed")
    if status["phase"] in ("Succeeded", "Failed"):
        assert conditions(status)["Ready"]["status"] == "False"
        assert not any(each["ready"] for each in status["containerStatuses"])
    if status["phase"] == "Succeeded":
        assert all(isinstance(v.state, Terminated) and v.state.exit_code == 0 for v in (*init, *containers))
