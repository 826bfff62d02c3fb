"""Jobs as futures: tasks, an executor, and everything of `concurrent.futures` and asyncio that waits for such."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import time
from typing import Any

import pytest
from support.fakeservice import FakeService

from aiinfn_hub.contract.jobs import JobState
from aiinfn_hub.errors import InvalidInput
from aiinfn_labext.functions import call_source
from aiinfn_labext.job import Job, JobFailed
from aiinfn_labext.jobs import Offload

RATE = 2


def double(x: int, *, plus: int = 0) -> int:
    return RATE * x + plus


def broken(_x: int) -> None:
    raise ValueError("no")


for one in (double, broken):
    one.__module__ = "__main__"


@pytest.fixture(autouse=True)
def _quick(offload: Offload) -> None:
    offload.watcher._look_s = 0.05


def test_a_decorated_function_runs_here_when_it_is_called(offload: Offload, service: FakeService) -> None:
    task = offload.task(cpu=2, name="twice")(double)
    assert task(4, plus=1) == 9
    assert (task.__name__, service.runs) == ("double", {})


def test_it_is_sent_with_its_options_and_its_keywords(offload: Offload, service: FakeService) -> None:
    job = offload.task(cpu=2, name="twice")(double).submit(4, plus=1)
    assert job.result(20) == 9
    assert service.run_of("twice").request.resources.cpu_millis == 2000
    assert offload.task(double).submit(1).result(20) == 2


def test_map_is_a_job_for_each(offload: Offload) -> None:
    jobs = offload.task(double).map(range(3))
    assert [job.result(20) for job in jobs] == [0, 2, 4]


def test_an_option_with_a_typing_mistake_is_refused_when_it_is_written(offload: Offload) -> None:
    with pytest.raises(InvalidInput, match="no option 'memm'") as refused:
        offload.task(memm="16Gi")
    assert refused.value.hint == "Did you mean mem?"
    with pytest.raises(InvalidInput):
        offload.Executor(where="here")


def test_a_decorator_of_somebody_else_that_is_called_so_does(notebook: Any) -> None:
    notebook.run("class app:\n    def task(f):\n        return f")
    notebook.run("@app.task\ndef f():\n    return 1")
    assert "@app.task" in call_source(notebook["f"], 0)[1].source


@pytest.mark.parametrize("decorator", ["@offload.task", "@offload.task(\n    gpu='t4',\n)"])
def test_the_decorator_does_not_travel(notebook: Any, decorator: str) -> None:
    notebook.run(f"from aiinfn_labext import offload\n{decorator}\ndef f(x):\n    return g(x)")
    notebook.run("@offload.task\ndef g(x):\n    return x + 1")
    source, context = call_source(notebook["f"].function, 1)
    assert "offload" not in context.source
    space: dict[str, Any] = {"_argument0": 1}
    exec(context.source + source, space)
    assert space["result"] == 2


def test_a_job_is_a_future(offload: Offload, service: FakeService) -> None:
    service.hold = True
    job = offload(double, 3)
    told: list[Any] = []
    job.add_done_callback(told.append)
    assert isinstance(job, concurrent.futures.Future)
    assert (job.done(), job.running(), job.cancelled()) == (False, False, False)
    with pytest.raises(TimeoutError):
        job.result(0.1)
    done, waiting = concurrent.futures.wait([job], timeout=0.1)
    assert (done, waiting) == (set(), {job})
    service.start(service.run_of("double"))
    assert [one.result() for one in concurrent.futures.as_completed([job], timeout=20)] == [6]
    assert (job.done(), told) == (True, [job])
    assert job.exception() is None


def test_a_job_that_fails_has_an_exception(offload: Offload) -> None:
    job = offload(broken, 1)
    assert isinstance(job.exception(20), JobFailed)
    with pytest.raises(JobFailed, match="ValueError: no"):
        job.result(20)


def test_cancelling_says_whether_there_was_anything_to_cancel(offload: Offload, service: FakeService) -> None:
    service.hold = True
    job = offload(double, 1)
    assert job.cancel() is True
    assert job.cancelled()
    assert job.cancel() is False


@pytest.mark.asyncio
async def test_a_job_can_be_awaited(offload: Offload) -> None:
    jobs = [await asyncio.to_thread(offload, double, number) for number in (1, 2)]
    assert await asyncio.gather(*jobs) == [2, 4]
    failed = await asyncio.to_thread(offload, broken, 1)
    with pytest.raises(JobFailed):
        await failed


@pytest.mark.asyncio
async def test_who_stops_waiting_does_not_end_it(offload: Offload, service: FakeService) -> None:
    service.hold = True
    job = await asyncio.to_thread(offload, double, 5)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(job, 0.2)
    assert job.view.state != JobState.CANCELLED
    assert not service.run_of("double").cancel
    service.start(service.run_of("double"))
    assert await asyncio.wait_for(job, 20) == 10


def test_an_executor_is_one_of_concurrent_futures(offload: Offload) -> None:
    with offload.Executor(cpu=1) as executor:
        assert isinstance(executor, concurrent.futures.Executor)
        single = executor.submit(double, 1, plus=1)
        assert list(executor.map(double, [1, 2, 3])) == [2, 4, 6]
    assert single.done()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(double, 1)


def test_an_executor_can_give_up(offload: Offload, service: FakeService) -> None:
    service.hold = True
    executor = offload.Executor()
    job = executor.submit(double, 1)
    executor.shutdown(wait=False, cancel_futures=True)
    assert job.cancelled()


def test_nobody_is_watched_for_nobody(offload: Offload, service: FakeService) -> None:
    service.hold = True
    job: Job | None = offload(double, 1)
    assert offload.watcher._thread is not None
    assert job is not None
    time.sleep(0.5)  # some looks at it, which must not keep it
    del job
    gc.collect()
    deadline = time.monotonic() + 20
    while offload.watcher._thread is not None:
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_service_that_is_away_for_a_moment_is_asked_again(offload: Offload, service: FakeService) -> None:
    service.hold = True
    job = offload(double, 2)
    service.down = 8
    service.start(service.run_of("double"))
    assert concurrent.futures.wait([job], timeout=30).done == {job}
    assert job.result() == 4


def test_a_job_that_is_found_again_is_a_future_too(offload: Offload) -> None:
    offload(double, 2).result(20)
    again = offload.job("double")
    assert concurrent.futures.wait([again], timeout=5).done == {again}
    assert again.result() == 4
