"""Jobs and offers on the wire: what is refused, what survives, and the states between."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from aiinfn_hub.contract import images, jobs, life, notices, offer, plans, reservation, sweeps
from aiinfn_hub.contract.jobs import (
    FINAL,
    JOB_NAME,
    MAX_NAMES,
    MAX_SOURCE_BYTES,
    TRANSITIONS,
    FramePage,
    JobRequest,
    JobState,
    JobView,
    Resources,
    ValueRef,
    Why,
    Wire,
)
from aiinfn_hub.contract.offer import ActivityOffer, FlavourOffer, Offer, TicketOffer
from aiinfn_hub.contract.plans import Target
from aiinfn_hub.errors import InvalidInput

S = JobState
STRUCTS = [
    value
    for module in (images, jobs, life, notices, offer, plans, reservation, sweeps)
    for value in vars(module).values()
    if isinstance(value, type) and issubclass(value, Wire) and value.__module__ == module.__name__
]


def request(**changes: Any) -> JobRequest:
    return JobRequest(**{"name": "fit", "source": "total = 1", **changes})


def view(**changes: Any) -> JobView:
    base: dict[str, Any] = {
        "id": "r1",
        "name": "fit",
        "state": S.RUNNING,
        "reason": "",
        "target": "local",
        "activity": "cms",
        "flavour": "cpu",
        "resources": Resources(),
        "submitted_at": 1.0,
    }
    return JobView(**{**base, **changes})


GOOD = {
    "a plain cell": {},
    "the longest name": {"name": "a" * 40},
    "dashes and underscores": {"name": "Fit_2-b"},
    "values in and out": {"inputs": {"x": ValueRef("json", "0" * 64, 3)}, "outputs": ["total"]},
    "a name in another script": {"outputs": ["π"]},
    "an empty source": {"source": ""},
    "the longest source": {"source": "#" * MAX_SOURCE_BYTES},
    "as many names as may be": {"outputs": [f"x{i}" for i in range(MAX_NAMES)]},
}
BAD = {
    "no name": ({"name": ""}, "is not a job name"),
    "a name that starts with a digit": ({"name": "2fit"}, "is not a job name"),
    "a name with a blank": ({"name": "my fit"}, "is not a job name"),
    "a name with a line end": ({"name": "fit\n"}, "is not a job name"),
    "a name that is a path": ({"name": "../fit"}, "is not a job name"),
    "a name that is too long": ({"name": "a" * 41}, "is not a job name"),
    "a name with accents": ({"name": "fité"}, "is not a job name"),
    "a source that is too long": ({"source": "#" * (MAX_SOURCE_BYTES + 1)}, "longer than 256 KiB"),
    "a source that is too long in bytes": ({"source": "é" * (MAX_SOURCE_BYTES // 2 + 1)}, "longer than 256 KiB"),
    "an output that is an expression": ({"outputs": ["a.b"]}, "'a.b' is not a Python name"),
    "an output that is empty": ({"outputs": [""]}, "'' is not a Python name"),
    "an input that is a path": ({"inputs": {"../x": ValueRef("json", "0" * 64, 3)}}, "is not a Python name"),
    "too many names": ({"outputs": [f"x{i}" for i in range(MAX_NAMES + 1)]}, "More than 100 values"),
}


@pytest.mark.parametrize("changes", GOOD.values(), ids=GOOD)
def test_a_request_that_can_run(changes: dict[str, Any]) -> None:
    request(**changes).check()


@pytest.mark.parametrize(("changes", "message"), BAD.values(), ids=BAD)
def test_a_request_that_no_target_could_run(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        request(**changes).check()


def test_a_request_needs_a_name_and_a_source_only() -> None:
    decoded = msgspec.json.decode(b'{"name": "fit", "source": "x = 1"}', type=JobRequest)
    assert decoded == JobRequest("fit", "x = 1")
    assert (decoded.resources.cpu_millis, decoded.resources.memory_bytes, decoded.resources.time_s) == (
        1000,
        2**31,
        3600,
    )


@pytest.mark.parametrize("key", ["activity", "person", "namespace", "env", "Name"])
def test_a_request_cannot_say_who_asks_or_more_than_we_know(key: str) -> None:
    body = msgspec.json.encode({"name": "fit", "source": "", key: "x"})
    with pytest.raises(msgspec.ValidationError, match="unknown field"):
        msgspec.json.decode(body, type=JobRequest)


@pytest.mark.parametrize(
    "body", ['{"name": 1, "source": ""}', '{"name": "a"}', '{"name": "a", "source": "", "outputs": "x"}', "[]", "{"]
)
def test_a_request_of_another_shape_is_refused(body: str) -> None:
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(body, type=JobRequest)


@pytest.mark.parametrize("struct", STRUCTS, ids=lambda struct: struct.__name__)
def test_every_struct_is_frozen_strict_and_explained(struct: type[Wire]) -> None:
    config = struct.__struct_config__
    assert config.frozen
    assert config.forbid_unknown_fields
    assert struct.__doc__


SAMPLES: list[Wire] = [
    offer.Expected(1.5, 2.5, 3.5, 23),
    offer.StockOffer(7, 1.5, [offer.FlavourOffer("t4", 8, 3, "unit")]),
    offer.QuotaOffer("week", "GPU-hours of a week", 12.0, 7, 3.5, 1.0, ["lhcb"], ["t4"], 1.5),
    offer.OnNodes(2, 3, 6_000_000_000),
    offer.Reserved("School", "teaching", 4, 1.5, 2.5, 3),
    images.ImageFound("ghcr.io/infn/x:1@sha256:" + "ab" * 32, 2_000_000_000),
    life.SessionUse(1, 0.5, 0.25),
    plans.Plan(
        target="auto",
        site="local",
        activity="lhcb",
        flavour="t4",
        units=1,
        queue="lhcb-batch",
        image="x/y:1",
        cpu_millis=1000,
        memory_bytes=2**31,
        time_s=3600,
        gpu_hours=0.4,
        warnings=["a"],
        refusals=["b"],
        manifest={"kind": "Job"},
    ),
    jobs.Retry(1000, 2**31, "t4", 60, "local"),
    jobs.Extend(7200),
    jobs.Waiting(3, 7, 1.5, 2.5, 23),
    sweeps.SweepRequest(request(), [{"lr": 0.5, "kind": "a", "on": True, "none": None}], 3, bind=False),
    sweeps.SweepRetry(jobs.Retry(time_s=60)),
    sweeps.SweepView("01k", "fit", 3, 1.5, [view(sweep="01k", point={"lr": 0.5}, metrics={"loss": None})], "d", "c"),
    jobs.Vitals(2**30, {"loss": 0.5, "gain": None}),
    life.MountedVolume("activity", "activity", "/shared/activity", "storage@example.org"),
    life.SessionLife("NVIDIA T4", 1.5, 2.5, 3600.0, 7200.0, None, "the session does not say what it does"),
    life.Extension(2.5),
    notices.Notice("a", "error", "It ends at {due}.", "Save.", 1.5, 2.5, "", "extend"),
    reservation.ReservationRequest("two", "lhcb", "t4", 3600),
    reservation.Reservation(1800.0, "0.5 of 12 are left."),
    ValueRef("npy", "0" * 64, 80, "float64 (10,)"),
    Resources(500, 2**20, "a100-40-1g.5gb", 60),
    request(inputs={"x": ValueRef("json", "1" * 64, 2)}, outputs=["y"], origin={"cell": "c1"}),
    view(outputs={"y": ValueRef("json", "1" * 64, 2)}, exit_code=0, finished_at=2.5),
    FramePage(view(), [{"seq": 1, "output_type": "stream", "name": "stdout", "text": "hello\n"}]),
    Why(S.QUEUED, "Place 2.", "Use T4.", ["Workload job-r1: QuotaReserved=False"]),
    Target("local", "local", "This cluster", ["cpu"]),
    FlavourOffer("t4", 8, 5, "cards", unknown_since=1700000000.0, reason="node gpu-2 does not answer"),
    ActivityOffer("cms", 12.5, None),
    TicketOffer("u1", "", "a30", "cms", 1700000000.0, place=2, of=3),
    Offer("ada", 1.0, [FlavourOffer("cpu", 192, 64, "cores")], [ActivityOffer("cms", 0.0, 40.0)]),
]


@pytest.mark.parametrize(
    "change",
    [
        {"drift": "ignore"},
        {"packages": {"numpy": ["--index-url", "1"]}},
        {"packages": {"numpy": ["numpy", "1 --pre"]}},
        {"packages": {"numpy": ["numpy"]}},
        {"packages": {"num py": ["numpy", "1"]}},
        {"packages": {f"m{number}": ["x", "1"] for number in range(101)}},
    ],
)
def test_packages_are_names_and_versions_and_nothing_else(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        request(**change).check()


def test_there_is_a_sample_of_every_struct() -> None:
    assert {type(sample) for sample in SAMPLES} == {struct for struct in STRUCTS if struct is not Wire}


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: type(sample).__name__)
def test_it_survives_the_trip(sample: Wire) -> None:
    assert msgspec.json.decode(msgspec.json.encode(sample), type=type(sample)) == sample


@pytest.mark.parametrize("state", S)
def test_a_state_is_written_as_its_word(state: JobState) -> None:
    assert msgspec.to_builtins(view(state=state))["state"] == str(state) == state.value


@pytest.mark.parametrize("state", S)
def test_a_job_is_final_in_the_states_that_end(state: JobState) -> None:
    assert view(state=state).final is (state in {S.SUCCEEDED, S.FAILED, S.CANCELLED, S.LOST})


def test_every_state_has_its_followers() -> None:
    assert set(TRANSITIONS) == set(S)


def test_nothing_follows_an_end_but_the_truth_about_what_was_lost() -> None:
    assert {state: TRANSITIONS[state] for state in FINAL} == {
        S.SUCCEEDED: frozenset(),
        S.FAILED: frozenset(),
        S.CANCELLED: frozenset(),
        S.LOST: frozenset({S.SUCCEEDED, S.FAILED}),
    }


@pytest.mark.parametrize("state", [state for state in S if state not in FINAL])
def test_a_job_on_its_way_can_always_end_badly_and_never_stays_for_itself(state: JobState) -> None:
    assert {S.FAILED, S.CANCELLED, S.LOST} <= TRANSITIONS[state]
    assert state not in TRANSITIONS[state]


@pytest.mark.parametrize("state", [state for state in S if state not in FINAL])
def test_success_can_be_reached_from_every_state_on_the_way(state: JobState) -> None:
    reached, new = {state}, {state}
    while new:
        new = {follower for one in new for follower in TRANSITIONS[one]} - reached
        reached |= new
    assert S.SUCCEEDED in reached


def test_nothing_runs_before_its_inputs_are_there() -> None:
    assert not {S.RUNNING, S.STARTING, S.SUCCEEDED, S.PENDING_REMOTE} & TRANSITIONS[S.STAGING]
    assert all(S.STAGING not in followers for followers in TRANSITIONS.values())


class Life(RuleBasedStateMachine):
    """Any walk along the transitions."""

    def __init__(self) -> None:
        super().__init__()
        self.walk = [S.STAGING]

    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        followers = sorted(TRANSITIONS[self.walk[-1]])
        if followers:
            self.walk.append(data.draw(st.sampled_from(followers)))

    @invariant()
    def it_ends_once(self) -> None:
        ends = [state for state in self.walk if state in FINAL]
        assert len(ends) <= 2
        if len(ends) == 2:
            assert ends[0] is S.LOST
        assert all(state in FINAL for state in self.walk[self.walk.index(ends[0]) :]) if ends else True

    @invariant()
    def an_eviction_comes_after_a_start(self) -> None:
        if S.EVICTED in self.walk:
            before = self.walk[: self.walk.index(S.EVICTED)]
            assert {S.STARTING, S.RUNNING, S.PENDING_REMOTE} & set(before)


TestLife = Life.TestCase


@given(st.text(max_size=50))
def test_a_job_name_is_safe_in_a_file_name_and_a_label(name: str) -> None:
    if JOB_NAME.fullmatch(name):
        assert name.isascii()
        assert not set(name) & set("/\\. \n\0")
        assert len(name) <= 40


def test_the_contract_is_light() -> None:
    """It is installed in user images, where none of these is."""
    code = (
        "import sys; import aiinfn_hub.contract.jobs, aiinfn_hub.contract.offer, aiinfn_hub.contract.quantities;"
        "heavy = {'jupyterhub', 'kubernetes_asyncio', 'sqlalchemy', 'pydantic', 'yaml', 'tornado', 'traitlets'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert result.stdout == "[]\n"


@pytest.mark.parametrize(
    ("change", "resources", "target"),
    [
        (jobs.Retry(), Resources(2000, 2**30, "t4", 60), "auto"),
        (jobs.Retry(memory_bytes=2**34), Resources(2000, 2**34, "t4", 60), "auto"),
        (jobs.Retry(gpu="", target="local"), Resources(2000, 2**30, "", 60), "local"),
    ],
)
def test_a_retry_changes_what_it_says(change: jobs.Retry, resources: Resources, target: str) -> None:
    found = change.of(request(resources=Resources(2000, 2**30, "t4", 60)))
    assert (found.resources, found.target) == (resources, target)
    assert found.source == request().source
