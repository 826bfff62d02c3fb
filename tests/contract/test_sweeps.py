"""What a sweep is, and what it says of its points."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.contract.jobs import JobRequest, JobState, JobView, Resources
from aiinfn_hub.contract.sweeps import MAX_POINTS, SweepRequest, SweepView
from aiinfn_hub.errors import InvalidInput


def sweep(points: list[dict[str, Any]], **changes: Any) -> SweepRequest:
    work = JobRequest("fit", "loss = train(lr)", context="def train(x):\n    return x\n")
    return SweepRequest(work, points, **changes)


def test_each_point_is_a_job_whose_code_begins_with_its_values() -> None:
    asked = sweep([{"lr": 1e-3, "kind": "a'b\n"}, {"lr": 0.1, "kind": None}])
    asked.check()
    first, second = asked.of(0), asked.of(1)
    assert (first.name, second.name, first.source) == ("fit-0", "fit-1", "loss = train(lr)")
    names: dict[str, Any] = {}
    exec(first.context + first.source, names)
    assert (names["lr"], names["kind"], names["loss"]) == (1e-3, "a'b\n", 1e-3)
    assert first.digest != second.digest


@given(st.none() | st.booleans() | st.integers(-(2**63), 2**63) | st.text(max_size=50) | st.floats(-1e300, 1e300))
def test_every_value_arrives_as_it_was(value: Any) -> None:
    asked = msgspec.json.decode(msgspec.json.encode(sweep([{"x": value}])), type=SweepRequest)
    asked.check()
    names: dict[str, Any] = {}
    exec(asked.of(0).context, names)
    assert (names["x"], type(names["x"])) == (value, type(value))


@pytest.mark.parametrize(
    ("points", "changes", "said"),
    [
        ([], {}, "0 points"),
        ([{"x": 1}] * (MAX_POINTS + 1), {}, f"{MAX_POINTS + 1} points"),
        ([{}], {}, "no values"),
        ([{"x": 1}, {"y": 1}], {}, "Point 1 has y"),
        ([{"for": 1}], {}, "'for' is not a Python name"),
        ([{"x y": 1}], {}, "not a Python name"),
        ([{"x": float("inf")}], {}, "x of point 0 is inf"),
        ([{"x": "a" * 501}], {}, "longer than 500"),
        ([{"x": 2**70}], {}, "x of point 0 is larger"),
        ([{"x": 1}], {"at_once": 0}, "0 points at once"),
        ([{"x": 1}], {"at_once": 2**70}, "points at once"),
    ],
)
def test_what_is_no_sweep_is_said(points: list[dict[str, Any]], changes: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        sweep(points, **changes).check()


def test_a_long_name_is_refused_before_the_jobs_have_none() -> None:
    with pytest.raises(InvalidInput, match="too long"):
        SweepRequest(JobRequest("a" * 37, "1"), [{"x": 1}]).check()


def test_the_digest_is_of_code_and_points() -> None:
    one = sweep([{"x": 1}, {"x": 2}])
    assert one.digest == sweep([{"x": 1}, {"x": 2}], at_once=3).digest
    assert one.digest != sweep([{"x": 2}, {"x": 1}]).digest


def view(place: int, state: JobState, **metrics: float | None) -> JobView:
    return JobView(
        id=f"{place}", name=f"fit-{place}", state=state, reason="", target="local", activity="a", flavour="cpu",
        resources=Resources(), submitted_at=1.0, metrics=dict(metrics), sweep="0s", point={"lr": place / 10},
    )  # fmt: skip


def test_the_table_is_there_before_all_have_ended() -> None:
    jobs = [
        view(0, JobState.SUCCEEDED, loss=0.5),
        view(1, JobState.RUNNING, loss=None, step=3),
        view(2, JobState.STAGING),
    ]
    found = SweepView("0s", "fit", 2, 1.0, jobs)
    assert found.table() == [
        {"lr": 0.0, "state": "succeeded", "loss": 0.5, "step": None},
        {"lr": 0.1, "state": "running", "loss": None, "step": 3},
        {"lr": 0.2, "state": "staging", "loss": None, "step": None},
    ]
    assert (found.final, found.metrics) == (False, ["loss", "step"])
    assert found.counts == {JobState.STAGING: 1, JobState.RUNNING: 1, JobState.SUCCEEDED: 1}
