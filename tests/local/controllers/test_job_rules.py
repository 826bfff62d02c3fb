"""The rules of Jobs, step by step and as a state machine."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from support.kubefake import a_job, raw

from aiinfn_hub.local.controllers.indexes import format_indexes, parse_indexes
from aiinfn_hub.local.controllers.job_failures import verdict
from aiinfn_hub.local.controllers.job_pods import pod_of
from aiinfn_hub.local.controllers.job_rules import step
from aiinfn_hub.local.controllers.job_shapes import (
    Exit,
    FailurePolicy,
    Job,
    JobPod,
    Uncounted,
    decode_job,
    decode_job_pod,
)
from aiinfn_hub.local.controllers.job_step import Plan

T0 = 1_800_000_000.0


def job(status: dict[str, Any] | None = None, **spec: Any) -> Job:
    found = a_job("fit", **spec)
    found["metadata"] |= {"uid": "job-uid", "resourceVersion": "1"}
    return decode_job(raw(found | {"status": status or {}}))


def pod(name: str, phase: str = "Running", **fields: Any) -> JobPod:
    return JobPod(uid=f"uid-{name}", name=name, namespace="default", owner_uid="job-uid", phase=phase, **fields)


STARTED = {"startTime": "2027-01-15T08:00:00Z"}


@pytest.mark.parametrize(
    ("text", "indexes"),
    [
        pytest.param("", set(), id="none"),
        pytest.param("3", {3}, id="one"),
        pytest.param("0,1", {0, 1}, id="two neighbours have a comma"),
        pytest.param("0-2,5", {0, 1, 2, 5}, id="three have a dash"),
    ],
)
def test_indexes(text: str, indexes: set[int]) -> None:
    assert parse_indexes(text) == indexes
    assert format_indexes(indexes) == text


@given(st.sets(st.integers(0, 200)))
def test_indexes_survive_writing(indexes: set[int]) -> None:
    assert parse_indexes(format_indexes(indexes)) == indexes


RULES = [
    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]},
    {"action": "FailJob", "onExitCodes": {"containerName": "main", "operator": "In", "values": [70, 71]}},
    {"action": "FailJob", "onExitCodes": {"operator": "NotIn", "values": [1, 72, 143]}},
]
POLICY = msgspec.convert({"rules": RULES}, FailurePolicy)


@pytest.mark.parametrize(
    ("exits", "conditions", "outcome"),
    [
        pytest.param([("main", 70)], [], ("FailJob", "exit code 70 matching FailJob rule at index 1"), id="listed"),
        pytest.param([("side", 70)], [], ("FailJob", "exit code 70 matching FailJob rule at index 2"), id="NotIn"),
        pytest.param([("main", 72)], [], ("Count", ""), id="no rule"),
        pytest.param([("main", 0)], [], ("Count", ""), id="an exit code of 0 matches nothing, also not NotIn"),
        pytest.param([("main", 70)], ["DisruptionTarget"], ("Ignore", ""), id="the first rule that matches decides"),
        pytest.param([], [], ("Count", ""), id="a pod that never ran"),
    ],
)
def test_failure_policy(exits: list[tuple[str, int]], conditions: list[str], outcome: tuple[str, str]) -> None:
    failed = pod(
        "p", "Failed", exits=tuple(Exit(*one) for one in exits), conditions=frozenset((c, "True") for c in conditions)
    )
    action, message = verdict(POLICY, failed)
    assert action == outcome[0]
    if action == "FailJob":
        assert message.endswith(outcome[1])


def test_a_new_job_gets_its_pods_and_its_start() -> None:
    plan = step(job(parallelism=3, completions=5), [], T0)
    assert plan.create == [None] * 3
    assert plan.status.active == 3
    assert plan.status.start_time == "2027-01-15T08:00:00Z"


def test_no_pod_is_created_for_work_that_is_nearly_done() -> None:
    plan = step(job({**STARTED, "succeeded": 4}, parallelism=3, completions=5), [pod("a")], T0)
    assert plan.create == []


def test_an_ended_pod_is_noted_before_it_is_let_go_and_counted_after() -> None:
    done = pod("a", "Succeeded")
    first = step(job(STARTED, completions=2), [done], T0)
    assert first.status.succeeded == 0
    assert first.status.uncounted_terminated_pods is not None
    assert first.status.uncounted_terminated_pods.succeeded == [done.uid]
    assert first.release == [done]
    noted = job(msgspec.to_builtins(first.status), completions=2)
    again = step(noted, [done], T0)
    assert again.status.succeeded == 0, "counted while it still has its finalizer, it would count twice after a crash"
    counted = step(noted, [msgspec.structs.replace(done, tracked=False)], T0)
    assert counted.status.succeeded == 1
    assert counted.status.uncounted_terminated_pods == Uncounted()


def test_a_vanished_pod_counts_if_it_was_noted() -> None:
    noted = job(STARTED | {"uncountedTerminatedPods": {"failed": ["gone"]}}, backoffLimit=6)
    assert step(noted, [], T0).status.failed == 1


def test_a_failed_pod_is_replaced_after_a_pause_that_doubles() -> None:
    failed = [pod("a", "Failed", finished=T0 - 8, tracked=False), pod("b", "Failed", finished=T0 - 5, tracked=False)]
    one = step(job(STARTED | {"failed": 1}, completions=1), failed[:1], T0)
    assert (one.create, one.wake_at) == ([], T0 + 2)
    two = step(job(STARTED | {"failed": 2}, completions=1), failed, T0)
    assert (two.create, two.wake_at) == ([], T0 + 15)
    later = step(job(STARTED | {"failed": 2}, completions=1), failed, T0 + 15)
    assert later.create == [None]


def test_a_job_fails_first_in_intention_then_in_fact() -> None:
    bad = job(STARTED, backoffLimit=0, parallelism=2, completions=2)
    pods = [pod("a", "Failed"), pod("b")]
    first = step(bad, pods, T0)
    assert [c.type for c in first.status.conditions] == ["FailureTarget"]
    assert first.delete == [pods[1]]
    assert first.events == []
    noted = job(msgspec.to_builtins(first.status), backoffLimit=0, parallelism=2, completions=2)
    ended = [pod("a", "Failed", tracked=False), pod("b", "Failed", tracked=False)]
    last = step(noted, ended, T0)
    assert [c.type for c in last.status.conditions] == ["FailureTarget", "Failed"]
    assert last.events == [("Warning", "BackoffLimitExceeded", "Job has reached the specified backoff limit")]


def test_an_ignored_failure_uses_up_nothing() -> None:
    lost = pod("a", "Failed", conditions=frozenset({("DisruptionTarget", "True")}))
    plan = step(job(STARTED, backoffLimit=0, podFailurePolicy={"rules": RULES}), [lost], T0)
    assert plan.status.conditions == []
    assert plan.status.uncounted_terminated_pods == Uncounted()
    assert plan.release == [lost]
    assert plan.create == [None]


def test_while_a_pod_is_ending_a_failure_policy_waits_and_the_default_does_not() -> None:
    ending = pod("a", deleting=True)
    assert step(job(STARTED, completions=1, podFailurePolicy={"rules": RULES}), [ending], T0).create == []
    assert step(job(STARTED, completions=1), [ending], T0).create == [None]


def test_suspending_lets_go_of_the_pods_first() -> None:
    pods = [pod("a"), pod("b", "Pending")]
    plan = step(job(STARTED, suspend=True, parallelism=2), pods, T0)
    assert plan.delete == plan.release == pods
    assert plan.status.start_time is None
    assert plan.status.active == 0
    assert plan.events == [("Normal", "Suspended", "Job suspended")]


def test_resuming_starts_the_clock_anew() -> None:
    held = job({"conditions": [{"type": "Suspended", "status": "True"}]}, activeDeadlineSeconds=60)
    plan = step(held, [], T0)
    assert plan.status.start_time == "2027-01-15T08:00:00Z"
    assert plan.wake_at == T0 + 60
    assert [(c.type, c.status, c.reason) for c in plan.status.conditions] == [("Suspended", "False", "JobResumed")]
    assert plan.events == [("Normal", "Resumed", "Job resumed")]


def test_a_suspended_job_has_no_deadline() -> None:
    plan = step(job(STARTED, suspend=True, activeDeadlineSeconds=1), [], T0 + 100)
    assert not plan.status.condition("FailureTarget")


def test_lowering_the_parallelism_ends_those_that_are_least_far_and_counts_none() -> None:
    pods = [pod("a", ready=True), pod("b", "Pending"), pod("c", ready=True)]
    plan = step(job(STARTED, parallelism=2, completions=9), pods, T0)
    assert plan.delete == [pods[1]]
    assert pods[1] in plan.release


def test_indexes_that_are_done_or_running_are_not_started_again() -> None:
    indexed = job(STARTED | {"completedIndexes": "0-2", "succeeded": 3}, completions=6, parallelism=3)
    indexed.spec.completion_mode = "Indexed"
    assert step(indexed, [pod("a", index=4)], T0).create == [3, 5]


def test_a_second_success_of_an_index_does_not_count() -> None:
    indexed = job(STARTED | {"completedIndexes": "0", "succeeded": 1}, completions=2, completionMode="Indexed")
    twin = pod("b", "Succeeded", index=0)
    plan = step(indexed, [twin], T0)
    assert plan.release == [twin]
    assert plan.status.uncounted_terminated_pods == Uncounted()


def test_a_work_queue_is_done_when_one_succeeded_and_none_runs() -> None:
    spec: dict[str, Any] = {"parallelism": 2}
    still = step(job(STARTED | {"succeeded": 1}, **spec), [pod("a")], T0)
    assert still.create == []
    assert not still.status.condition("SuccessCriteriaMet")
    assert step(job(STARTED | {"succeeded": 1}, **spec), [], T0).status.condition("Complete")


def test_a_finished_job_goes_after_its_time() -> None:
    over = {"conditions": [{"type": "Complete", "status": "True", "lastTransitionTime": "2027-01-15T08:00:00Z"}]}
    early = step(job(over, ttlSecondsAfterFinished=60), [], T0 + 59)
    assert (early.expired, early.wake_at) == (False, T0 + 60)
    assert step(job(over, ttlSecondsAfterFinished=60), [], T0 + 60).expired
    assert not step(job(over), [], T0 + 1e6).expired


def test_restarts_in_place_count_towards_the_limit() -> None:
    spec: dict[str, Any] = {"pod": {"restartPolicy": "OnFailure"}, "backoffLimit": 2}
    assert not step(job(STARTED, **spec), [pod("a", restarts=1)], T0).status.condition("FailureTarget")
    assert step(job(STARTED, **spec), [pod("a", restarts=2)], T0).status.condition("FailureTarget")


def test_a_pod_of_an_index_knows_its_index() -> None:
    made = pod_of(job(completions=3, completionMode="Indexed"), 2)
    assert made["metadata"]["generateName"] == "fit-2-"
    assert made["metadata"]["labels"]["batch.kubernetes.io/job-completion-index"] == "2"
    assert made["spec"]["hostname"] == "fit-2"
    made |= {"metadata": made["metadata"] | {"uid": "u", "name": "fit-2-x"}}
    seen = decode_job_pod(raw(made))
    assert (seen.index, seen.tracked, seen.owner_uid) == (2, True, "job-uid")


def test_making_a_pod_leaves_the_template_alone() -> None:
    indexed = job(completions=3, completionMode="Indexed")
    before = msgspec.json.encode(indexed.spec.template)
    pod_of(indexed, 1)
    assert msgspec.json.encode(indexed.spec.template) == before


class JobLife(RuleBasedStateMachine):
    """A Job whose pods end, fail, are deleted, whose controller is suspended, resumed and dies between two writes."""

    completions, parallelism, backoff_limit = 4, 2, 2

    def __init__(self) -> None:
        super().__init__()
        self.job = job(
            completions=self.completions,
            parallelism=self.parallelism,
            backoffLimit=self.backoff_limit,
            completionMode="Indexed",
        )
        self.pods: dict[str, JobPod] = {}
        self.now = T0
        self.made = 0
        self.truly_failed: set[str] = set()
        self.truly_done: set[str] = set()

    def _let_go(self, found: JobPod) -> None:
        if found.deleting:
            self.pods.pop(found.uid, None)
        else:
            self.pods[found.uid] = msgspec.structs.replace(found, tracked=False)

    def _end(self, found: JobPod, phase: str) -> None:
        self.pods[found.uid] = msgspec.structs.replace(found, phase=phase, finished=self.now)
        if found.tracked:
            (self.truly_done if phase == "Succeeded" else self.truly_failed).add(found.uid)

    def _delete(self, plan: Plan) -> None:
        let_go = {found.uid for found in plan.release}
        for found in plan.delete:
            if found.uid in let_go:
                self._let_go(found)
            kept = self.pods.get(found.uid)
            if kept is None:
                continue
            if kept.tracked:
                self.truly_failed.add(found.uid)  # what a failing Job ends counts as failed, as in Kubernetes
            self.pods[found.uid] = msgspec.structs.replace(kept, deleting=True)

    @rule(survives=st.integers(0, 3))
    def reconcile(self, survives: int) -> None:
        """One step; `survives` is how many of its four writes are done before the controller dies."""
        plan = step(self.job, list(self.pods.values()), self.now, backoff_s=1.0)
        self._delete(plan)
        if survives < 1:
            return
        for index in plan.create:
            self.made += 1
            fresh = pod(f"p{self.made}", index=index)
            self.pods[fresh.uid] = fresh
        if survives < 2:
            return
        self.job.status = plan.status
        if survives < 3:
            return
        for found in plan.release:
            if found.uid in self.pods:
                self._let_go(self.pods[found.uid])

    def _alive(self) -> list[JobPod]:
        return [found for found in self.pods.values() if found.phase == "Running"]

    @precondition(lambda self: self._alive())
    @rule(which=st.integers(0, 9), phase=st.sampled_from(["Succeeded", "Succeeded", "Failed"]))
    def a_pod_ends(self, which: int, phase: str) -> None:
        alive = self._alive()
        found = alive[which % len(alive)]
        self._end(found, "Failed" if found.deleting else phase)

    @precondition(lambda self: self._alive())
    @rule(which=st.integers(0, 9))
    def somebody_deletes_a_pod(self, which: int) -> None:
        alive = self._alive()
        found = alive[which % len(alive)]
        self.pods[found.uid] = msgspec.structs.replace(found, deleting=True)
        if found.tracked and not found.deleting:
            self.truly_failed.add(found.uid)

    @rule()
    def somebody_suspends_or_resumes(self) -> None:
        self.job.spec.suspend = not self.job.spec.suspend

    @rule(seconds=st.integers(1, 20))
    def time_passes(self, seconds: int) -> None:
        self.now += seconds

    @invariant()
    def no_more_than_the_parallelism_runs(self) -> None:
        active = [found for found in self._alive() if not found.deleting]
        assert len(active) <= self.parallelism

    @invariant()
    def an_index_runs_once_at_a_time(self) -> None:
        active = [found.index for found in self._alive() if not found.deleting]
        assert len(active) == len(set(active))

    @invariant()
    def nothing_counts_twice(self) -> None:
        status = self.job.status
        waiting = status.uncounted_terminated_pods
        failed = status.failed + (len(waiting.failed) if waiting else 0)
        assert status.succeeded + (len(waiting.succeeded) if waiting else 0) <= len(self.truly_done)
        assert failed <= len(self.truly_failed)
        assert len(parse_indexes(status.completed_indexes)) <= self.completions

    @invariant()
    def failures_stay_within_the_limit(self) -> None:
        # The step that sees one too many also ends what still runs; after that nothing is started any more.
        assert self.job.status.failed <= self.backoff_limit + self.parallelism

    @invariant()
    def a_job_ends_one_way_only(self) -> None:
        status = self.job.status
        assert not (status.condition("Complete") and status.condition("Failed"))
        if status.condition("Complete"):
            assert status.succeeded == self.completions
        if status.condition("Complete") or status.condition("Failed"):
            assert not [found for found in self._alive() if not found.deleting]


JobLife.TestCase.settings = settings(max_examples=60, stateful_step_count=50, deadline=None)
TestJobLife = JobLife.TestCase
