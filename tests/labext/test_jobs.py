"""The Python API: functions go out, values and tracebacks come back."""

from __future__ import annotations

import json
import math
import threading
import time
from typing import Any

import numpy as np
import pytest
from support.fakeservice import FakeService

from aiinfn_hub.contract.jobs import JobRequest, JobState, Resources
from aiinfn_hub.errors import InvalidInput, NotFound, Unavailable
from aiinfn_labext import Job, JobFailed, job
from aiinfn_labext.functions import call_source
from aiinfn_labext.jobs import Offload

SCALE = 3


def add(one: float, other: float) -> float:
    return one + other


def circle(radius: float) -> float:
    return math.pi * radius**2 + len(json.dumps({}))


def scaled(value: float) -> float:
    return value * SCALE


def broken() -> float:
    return 1 / 0


def outer() -> Any:
    inside = 1

    def inner() -> int:
        return inside

    return inner


class Model:
    def fit(self) -> None: ...


def test_a_function_comes_back_with_what_it_returned(offload: Offload) -> None:
    sent = offload(add, 1, 2.5, cpu=1, mem="512Mi", time="5m")
    assert sent.view.resources == Resources(1000, 512 * 1024**2, "", 300)
    assert sent.name == "add"
    assert sent.result(timeout=20) == 3.5
    assert sent.status == JobState.SUCCEEDED
    assert sent.outputs == ["result"]


@pytest.mark.parametrize("to", ["auto", "here"])
def test_arrays_go_and_come_wherever_it_runs(offload: Offload, to: str) -> None:
    result = offload(add, np.arange(3), 1, to=to).result(timeout=20)
    assert isinstance(result, np.ndarray)
    assert result.tolist() == [1, 2, 3]


def test_modules_that_a_function_uses_are_imported_there(alone: Offload) -> None:
    assert alone(circle, 1.0, to="here").result(20) == math.pi + 2


def test_a_remote_exception_has_its_own_traceback(offload: Offload) -> None:
    with pytest.raises(JobFailed) as caught:
        offload(broken).result(20)
    lines = caught.value._render_traceback_()
    assert lines[-1] == "ZeroDivisionError: division by zero"
    assert "    return 1 / 0" in lines
    assert caught.value.message == "broken failed: ZeroDivisionError: division by zero"


def test_a_failure_without_a_traceback_says_where_to_look(service: FakeService, offload: Offload) -> None:
    service.hold = True
    sent = offload.submit(JobRequest("fit", "1"), {})
    sent.cancel()
    with pytest.raises(JobFailed) as caught:
        sent.result(5)
    assert caught.value.lines == []
    assert "%offload why fit" in caught.value._render_traceback_()[0]


def test_waiting_has_an_end_and_the_job_goes_on(service: FakeService, offload: Offload) -> None:
    service.hold = True
    sent = offload(add, 1, 2)
    with pytest.raises(TimeoutError, match=r"add has not ended within 0.2 s; it goes on: add · queued"):
        sent.result(timeout=0.2)
    assert sent.status == JobState.QUEUED


def test_a_job_is_found_again_by_identifier_and_by_name(offload: Offload) -> None:
    first, second = offload(add, 1, 1), offload(add, 2, 2)
    assert offload.job(first.id).result(20) == 2
    assert offload.job("add").id == second.id
    assert [found.id for found in offload.jobs(name="add")] == [second.id, first.id]
    assert offload.jobs(state="failed") == []


def test_jobs_here_and_there_are_one_list(offload: Offload) -> None:
    there, here = offload(add, 1, 1), offload(add, 2, 2, to="here")
    assert [found.id for found in offload.jobs()] == [here.id, there.id]
    assert offload.job("add").id == here.id
    assert offload.job(here.id).wait(20).target == "here"
    assert [target.name for target in offload.targets()] == ["here", "local"]


def test_a_service_that_is_away_does_not_hide_what_ran_here(service: FakeService, offload: Offload) -> None:
    here = offload(add, 2, 2, to="here")
    service.down = 10**6
    assert offload.job("add").id == here.id
    with pytest.raises(Unavailable):
        offload.job("other")


def test_without_a_service_only_here_is_asked(alone: Offload) -> None:
    assert alone.jobs() == []
    assert [target.name for target in alone.targets()] == ["here"]
    with pytest.raises(NotFound, match="No job fit ran here"):
        alone.job("fit")
    with pytest.raises(Unavailable):
        alone(add, 1, 1)


def test_values_by_name_for_a_cell(offload: Offload) -> None:
    sent = offload.submit(JobRequest("fit", "a = 1\nb = 'x'\nc = {1}", outputs=["a", "b", "c", "d"]), {})
    assert sent.result(20) == {"a": 1, "b": "x"}
    assert sent.missing == {"c": "it is set; send sorted(...) of it", "d": "the code did not assign it"}


def test_what_a_function_returns_and_cannot_travel_is_said(offload: Offload) -> None:
    with pytest.raises(NotFound, match="What set returned did not come back: it is set"):
        offload(make_set, name="set").result(20)


def make_set() -> set[int]:
    return {1}


def test_a_delivery_that_was_changed_on_the_way_is_not_decoded(service: FakeService, offload: Offload) -> None:
    sent = offload(add, 1, 1)
    sent.wait(20)
    view = sent.view
    service.run_of("add").outputs["result"] = ("json", b"3", "")
    with pytest.raises(InvalidInput, match="not what the job delivered"):
        Job(offload.service, view).values()


def test_the_log_is_text_without_control_sequences(offload: Offload, capsys: pytest.CaptureFixture[str]) -> None:
    source = "print('\\x1b[2J\\x1b[31ma')\ndisplay(1)\nraise KeyError('k')"
    sent = offload.submit(JobRequest("fit", source), {})
    text = sent.log(follow=True)
    assert text.startswith("a\n1\nTraceback")
    assert text.endswith("KeyError: 'k'\n")
    assert capsys.readouterr().out == text
    assert sent.log() == text
    assert capsys.readouterr().out == ""


def test_a_service_that_restarts_while_somebody_waits_costs_nothing(service: FakeService, offload: Offload) -> None:
    sent = offload.submit(JobRequest("fit", "import time\nfor n in range(6):\n    print(n)\n    time.sleep(0.2)"), {})
    threading.Timer(0.3, lambda: setattr(service, "down", 5)).start()
    assert sent.log(follow=True) == "0\n1\n2\n3\n4\n5\n"


def test_a_service_that_stays_away_ends_the_waiting(
    service: FakeService, offload: Offload, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(job, "PATIENCE_S", 0.1)
    sent = offload(add, 1, 1)
    service.down = 10**6
    with pytest.raises(Unavailable):
        sent.result()


def test_cancel_and_why(service: FakeService, offload: Offload) -> None:
    service.hold = True
    sent = offload(add, 1, 1)
    assert sent.why().sentence == "It waits for 1 CPU."
    assert sent.cancel()
    assert sent.view.state == JobState.CANCELLED
    assert repr(sent) == "add · cancelled · on local · cpu · waiting for 1 CPU"


def test_a_finished_job_is_not_asked_for_again(service: FakeService, offload: Offload) -> None:
    sent = offload(add, 1, 1)
    sent.wait(20)
    service.down = 10**6
    assert sent.refresh().state == JobState.SUCCEEDED


@pytest.mark.parametrize(
    ("function", "message"),
    [
        pytest.param(lambda: 1, "A lambda has no name", id="a lambda"),
        pytest.param(outer(), "inner is defined inside another function, and uses inside of it", id="a closure"),
        pytest.param(Model.fit, "Model.fit is a method", id="a method"),
        pytest.param(len, "no function written in Python", id="a builtin"),
    ],
)
def test_a_function_that_cannot_travel_says_why(function: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        call_source(function, 0)
    assert message in str(caught.value)


def test_a_variable_of_its_module_comes_along() -> None:
    assert call_source(scaled, 1)[1].values == {"SCALE": SCALE}


def test_a_function_without_a_source_says_so() -> None:
    space: dict[str, Any] = {"__name__": "__main__"}
    exec("def f(): pass", space)
    with pytest.raises(InvalidInput, match="The source of f cannot be found"):
        call_source(space["f"], 0)


def test_an_argument_that_cannot_travel_is_named(alone: Offload) -> None:
    with pytest.raises(InvalidInput, match=r"_argument1 cannot travel: it is object"):
        alone(add, 1, object(), to="here")


def test_a_cell_s_own_clock_is_not_needed(offload: Offload) -> None:
    started = time.monotonic()
    sent = offload(add, 1, 1)
    assert time.monotonic() - started < 15
    assert sent.view.name == "add"
