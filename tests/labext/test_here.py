"""Jobs of `--to here`: the same runner with a directory, which outlives the kernel."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from aiinfn_hub.contract.jobs import JobRequest, JobState, JobView, Resources, Retry, ValueRef
from aiinfn_hub.contract.run.channel import Refused
from aiinfn_hub.contract.run.directory import DirectoryChannel
from aiinfn_hub.errors import Conflict, InvalidInput, NotFound
from aiinfn_labext import here
from aiinfn_labext.client import sha256_of
from aiinfn_labext.here import HereJobs, default_root


@pytest.fixture
def jobs(tmp_path: Path) -> HereJobs:
    return HereJobs(tmp_path / "here")


def until(look: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := look()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


def ended(jobs: HereJobs, view: JobView) -> JobView:
    return until(lambda: (now := jobs.job(view.id)).final and now)


def text(jobs: HereJobs, view: JobView) -> str:
    return "".join(frame.get("text", "") for frame in jobs.frames(view.id, 0).frames)


def test_a_job_runs_with_its_input_and_gives_its_output(jobs: HereJobs) -> None:
    reference = ValueRef("json", sha256_of(b"[1,2]"), 5, "list of 2")
    request = JobRequest("fit", "print('hi')\ntotal = sum(x)", {"x": reference}, ["total"])
    view = ended(jobs, jobs.submit(request, {reference.sha256: b"[1,2]"}))
    assert (view.name, view.state, view.target, view.exit_code) == ("fit", JobState.SUCCEEDED, "here", 0)
    assert view.outputs == {"total": ValueRef("json", sha256_of(b"3"), 1, "3")}
    assert jobs.output(view.id, "total") == ("json", b"3")
    assert text(jobs, view) == "hi\n"
    assert view.started_at is not None
    assert view.submitted_at <= view.finished_at  # type: ignore[operator]


def test_another_kernel_finds_it_again(jobs: HereJobs, tmp_path: Path) -> None:
    view = jobs.submit(JobRequest("fit", "import time\nprint('up')\ntime.sleep(0.5)\ntotal = 1", outputs=["total"]), {})
    other = HereJobs(tmp_path / "here")
    until(lambda: other.job("fit").state == JobState.RUNNING)
    assert ended(other, view).state == JobState.SUCCEEDED
    assert other.output(view.id, "total") == ("json", b"1")


def test_a_failure_has_its_verdict(jobs: HereJobs) -> None:
    view = ended(jobs, jobs.submit(JobRequest("fit", "1 / 0"), {}))
    assert (view.state, view.exit_code, view.verdict) == (JobState.FAILED, 70, "ZeroDivisionError: division by zero")
    assert jobs.why(view.id).sentence == view.verdict


def test_the_time_limit_holds_here_too(jobs: HereJobs) -> None:
    request = JobRequest("fit", "import time\ntime.sleep(60)", resources=Resources(time_s=1))
    assert ended(jobs, jobs.submit(request, {})).exit_code == 124


def test_a_cancelled_job_is_cancelled(jobs: HereJobs) -> None:
    view = jobs.submit(JobRequest("fit", "import time\nprint('up')\ntime.sleep(60)"), {})
    until(lambda: text(jobs, view))
    assert not jobs.cancel(view.id).final
    assert ended(jobs, view).state == JobState.CANCELLED
    with pytest.raises(Conflict, match="is over: cancelled"):
        jobs.cancel(view.id)


@pytest.mark.parametrize("known", [True, False], ids=["by this kernel", "by another kernel"])
def test_a_process_that_was_killed_is_lost(jobs: HereJobs, tmp_path: Path, known: bool) -> None:
    source = "import os, time\nprint(os.getpid())\ntime.sleep(60)"
    view = jobs.submit(JobRequest("fit", source), {})
    os.kill(int(until(lambda: text(jobs, view))), 9)
    jobs._processes[view.id].wait(10)
    view = ended(jobs if known else HereJobs(tmp_path / "here"), view)
    assert view.state == JobState.LOST
    assert view.verdict.startswith("Its process ended without a result")
    assert ("-9" in view.verdict) == known


def test_a_process_that_does_not_start_is_lost(tmp_path: Path) -> None:
    jobs = HereJobs(tmp_path / "here", python="/bin/false")
    assert ended(jobs, jobs.submit(JobRequest("fit", "1"), {})).verdict.endswith("(exit code 1).")


def test_a_missing_output_says_why(jobs: HereJobs) -> None:
    view = ended(jobs, jobs.submit(JobRequest("fit", "bad = {1}", outputs=["bad"]), {}))
    assert view.outputs["bad"].codec == ""
    with pytest.raises(NotFound) as caught:
        jobs.output(view.id, "bad")
    assert caught.value.hint == "it is set; send sorted(...) of it"


def test_frames_come_as_soon_as_they_are_there(jobs: HereJobs) -> None:
    view = jobs.submit(JobRequest("fit", "import time\nprint('a')\ntime.sleep(1)\nprint('b')\ntime.sleep(60)"), {})
    page = jobs.frames(view.id, 0, wait_s=10)
    while not page.frames:
        page = jobs.frames(view.id, 0, wait_s=10)
    assert [frame["text"] for frame in page.frames] == ["a\n"]
    page = jobs.frames(view.id, 1, wait_s=10)
    assert [frame["text"] for frame in page.frames] == ["b\n"]
    started = time.monotonic()
    assert jobs.frames(view.id, 2, wait_s=0.2).frames == []
    assert 0.2 <= time.monotonic() - started < 15
    jobs.cancel(view.id)


def test_a_line_that_is_still_being_written_waits(jobs: HereJobs, tmp_path: Path) -> None:
    view = ended(jobs, jobs.submit(JobRequest("fit", "print('a')"), {}))
    with (tmp_path / "here" / view.id / "frames.jsonl").open("a") as file:
        file.write('{"output_type": "str')
    assert text(jobs, view) == "a\n"


def test_jobs_are_listed_newest_first_and_found_by_name(jobs: HereJobs) -> None:
    views = [jobs.submit(JobRequest(name, "1"), {}) for name in ("a", "b", "a")]
    assert [view.id for view in jobs.jobs()] == [view.id for view in reversed(views)]
    assert [view.id for view in jobs.jobs(name="b")] == [views[1].id]
    assert jobs.job("a").id == views[2].id
    for view in views:
        ended(jobs, view)
    assert len(jobs.jobs(state="succeeded", limit=2)) == 2


@pytest.mark.parametrize("reference", ["none", "here-none", "here-/../..", "../x"])
def test_what_is_not_there_is_not_found(jobs: HereJobs, reference: str) -> None:
    with pytest.raises(NotFound):
        jobs.job(reference)


def test_old_jobs_make_room(jobs: HereJobs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(here, "KEPT_JOBS", 2)
    views = [ended(jobs, jobs.submit(JobRequest("fit", "1"), {})) for _ in range(3)]
    assert [view.id for view in jobs.jobs()] == [views[2].id, views[1].id]


def test_its_directory_is_private_and_its_process_has_no_token(
    jobs: HereJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTERHUB_API_TOKEN", "secret-1")
    view = ended(jobs, jobs.submit(JobRequest("fit", "import os\nprint(dict(os.environ))"), {}))
    assert "secret-1" not in text(jobs, view)
    assert stat.S_IMODE((tmp_path / "here" / view.id).stat().st_mode) == 0o700


def test_it_runs_where_the_kernel_is(jobs: HereJobs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text("value = 42")
    monkeypatch.chdir(tmp_path)
    view = ended(jobs, jobs.submit(JobRequest("fit", "import mine\nprint(mine.value)"), {}))
    assert text(jobs, view) == "42\n"


def test_a_request_that_no_target_could_run_is_refused(jobs: HereJobs) -> None:
    with pytest.raises(InvalidInput):
        jobs.submit(JobRequest("not a name", "1"), {})
    assert jobs.jobs() == []


def test_it_is_one_target(jobs: HereJobs) -> None:
    assert [target.name for target in jobs.targets()] == ["here"]


def test_the_state_of_the_person_is_kept_where_xdg_says() -> None:
    assert default_root({"XDG_STATE_HOME": "/s"}) == Path("/s/aiinfn/here")
    assert default_root({}).parts[-4:] == (".local", "state", "aiinfn", "here")


def test_an_input_that_is_not_in_the_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="404"):
        DirectoryChannel(str(tmp_path)).fetch("0" * 64, 0)


def test_a_job_is_tried_again_here_too(jobs: HereJobs) -> None:
    value = ValueRef("json", sha256_of(b"[1,2]"), 5)
    first = jobs.submit(JobRequest("fit", "y = sum(x)", {"x": value}, ["y"]), {value.sha256: b"[1,2]"})
    with pytest.raises(Conflict, match="is not over"):
        jobs.retry(first.id, Retry())
    until(lambda: jobs.job(first.id).final)
    again = jobs.retry(first.id, Retry(time_s=60))
    assert again.id != first.id
    until(lambda: jobs.job(again.id).final)
    assert jobs.output(again.id, "y") == ("json", b"3")


def test_more_time_is_given_here_too_and_nobody_evicts(jobs: HereJobs) -> None:
    view = jobs.submit(
        JobRequest("fit", "import time\nprint('on', flush=True)\ntime.sleep(4)\n", resources=Resources(time_s=3)), {}
    )
    jobs.frames(view.id, 0, wait_s=10)
    jobs.more_time(view.id, 60)
    with pytest.raises(InvalidInput, match="has 60 s already"):
        jobs.more_time(view.id, 0)
    with pytest.raises(Conflict, match="nobody evicts it"):
        jobs.evict(view.id)
    assert ended(jobs, view).state is JobState.SUCCEEDED
    with pytest.raises(Conflict, match="is over"):
        jobs.more_time(view.id, 60)
