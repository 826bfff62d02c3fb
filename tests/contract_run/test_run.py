"""The life of a run over real HTTP: values in and out, exit codes, faults, ends from outside."""

from __future__ import annotations

import hashlib
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.fakeservice import FakeService

from aiinfn_hub.contract.jobs import JobRequest, JobState, ValueRef
from aiinfn_hub.contract.run.codecs import decode


def until(condition: Callable[[], Any], seconds: float = 10) -> Any:
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return value


def test_values_go_in_and_come_out(ended: Any) -> None:
    run = ended(
        "total = sum(x) * 7\nsquares = a ** 2\nname = name.upper()",
        "total",
        "squares",
        "name",
        x=[1, 2],
        a=np.arange(3),
        name="é",
    )
    assert run.code == 0
    values = {name: decode(codec, data, len(data)) for name, (codec, data, _) in run.run.outputs.items()}
    assert values.pop("squares").tolist() == [0, 1, 4]
    assert values == {"total": 21, "name": "É"}
    assert run.run.result.pop("memory") > 1024**2
    assert run.run.result == {"state": "succeeded", "exit_code": 0, "verdict": "", "missing": {}, "metrics": {}}


@pytest.mark.parametrize(
    ("about", "said"),
    [
        pytest.param('{"missing": ["storage.modify:/"]}', "lacks storage.modify:/\n", id="less than was asked for"),
        pytest.param('{"missing": []}', "", id="all of it"),
        pytest.param(None, "there is no token of the login provider", id="none"),
        pytest.param("{", "there is no token of the login provider", id="none that can be read"),
    ],
)
def test_what_the_token_of_a_job_lacks_is_said_first(
    ended: Any, service: FakeService, tmp_path: Path, about: str | None, said: str
) -> None:
    service.spec_extra["token"] = True
    service.environment["BEARER_TOKEN_FILE"] = str(tmp_path / "token")
    if about is not None:
        (tmp_path / "about.json").write_text(about)
    run = ended("x = 1", "x")
    assert run.code == 0
    assert said in run.text("stderr") if said else run.text("stderr") == ""


def test_an_exception_is_the_person_s_own_traceback_with_its_lines(ended: Any) -> None:
    run = ended(
        """def f(x):
    return 1 / x

def g():
    try:
        f(0)
    except ZeroDivisionError as e:
        raise KeyError('k') from e
g()"""
    )
    assert run.code == 70
    error = run.frames[-1]
    assert (error["ename"], error["evalue"]) == ("KeyError", "'k'")
    text = "\n".join(error["traceback"])
    assert '  File "<offload fit>", line 2, in f\n    return 1 / x' in text
    assert "direct cause" in text
    assert text.endswith("KeyError: 'k'")
    assert "runner.py" not in text
    assert "execute.py" not in text
    assert run.run.result.pop("memory") > 1024**2
    assert run.run.result == {
        "state": "failed",
        "exit_code": 70,
        "verdict": "KeyError: 'k'",
        "missing": {},
        "metrics": {},
    }


def test_a_syntax_error_points_at_the_person_s_line(ended: Any) -> None:
    run = ended("x = 1\ny = (")
    assert run.code == 70
    assert run.frames[-1]["ename"] == "SyntaxError"
    assert run.frames[-1]["traceback"][0] == '  File "<offload fit>", line 2'


@pytest.mark.parametrize(
    ("source", "code"),
    [("import sys\nsys.exit()", 0), ("exit(0)", 0), ("raise SystemExit(3)", 70), ("import sys\nsys.exit('no')", 70)],
)
def test_leaving_early_succeeds_or_fails_as_a_program_does(ended: Any, source: str, code: int) -> None:
    assert ended(source).code == code


def test_an_output_that_cannot_travel_or_is_not_there_does_not_fail_the_job(ended: Any) -> None:
    run = ended("good = 1\nbad = {1, 2}", "good", "bad", "none")
    assert run.code == 0
    assert list(run.run.outputs) == ["good"]
    missing = {"bad": "it is set; send sorted(...) of it", "none": "the code did not assign it"}
    assert run.run.result["missing"] == missing
    assert run.text("stderr") == "".join(f"aiinfn: {name} does not come back: {why}\n" for name, why in missing.items())


def test_an_input_that_is_not_there_is_72_and_nothing_is_run(service: FakeService) -> None:
    missing = ValueRef("json", "0" * 64, 1)
    run = service.submit(JobRequest("fit", "print('ran')", {"x": missing}))
    assert service.wait(run) == 72
    assert "The input x could not be fetched" in run.frames[-1]["text"]
    # No result: another attempt may find it.
    assert run.result is None


@pytest.mark.parametrize(
    ("codec", "size", "reason"),
    [("json", 3, "2 bytes came instead of 3"), ("arrow", 2, "no codec 'arrow'"), ("npy", 2, "no valid npy")],
)
def test_an_input_that_this_environment_cannot_read_is_71(
    service: FakeService, codec: str, size: int, reason: str
) -> None:
    sha256 = hashlib.sha256(b"12").hexdigest()
    run = service.submit(JobRequest("fit", "print('ran')", {"x": ValueRef(codec, sha256, size)}), {"x": b"12"})
    assert service.wait(run) == 71
    assert run.result["state"] == "failed"
    assert reason in run.result["verdict"]


def test_a_service_that_restarts_costs_nothing(service: FakeService, start: Any) -> None:
    run = start("import time\nfor n in range(8):\n    print(n)\n    time.sleep(0.25)\ntotal = n", "total")
    until(run.text)
    service.down = 4
    run.end()
    assert run.code == 0
    assert service.down == 0
    assert run.text() == "".join(f"{n}\n" for n in range(8))
    assert "total" in run.run.outputs


def test_a_service_that_stays_away_is_73_and_the_log_has_it(service: FakeService, start: Any) -> None:
    service.spec_extra["patience_s"] = 0.5
    run = start("import time\nprint('done')\ntime.sleep(0.5)\ntotal = 1", "total")
    until(run.text)
    service.down = 10**6
    run.end()
    assert run.code == 73
    assert "the results could not be delivered" in run.log


def test_a_full_quota_does_not_fail_the_job_or_hold_it_up(service: FakeService, ended: Any) -> None:
    service.full = True
    service.spec_extra["patience_s"] = 60
    run = ended("total = 1", "total")
    assert run.code == 0
    assert run.run.result["missing"] == {"total": "the service answered 429: You keep 500 MiB here, of 500 MiB."}


def test_a_service_that_is_not_there_at_the_start_is_72(service: FakeService, start: Any) -> None:
    service.spec_extra["patience_s"] = 0.5
    service.down = 10**6
    assert start("print('ran')").end().code == 72


def test_a_spent_capability_is_refused(service: FakeService) -> None:
    service.hold = True
    run = service.submit(JobRequest("fit", "print('ran')"))
    run.pods.add(f"uid-{run.id}-1")
    service.start(run)
    assert service.wait(run) == 72
    assert "exchanged before" in (run.folder / "log").read_text()


def test_a_capability_that_a_site_has_left_in_base64_is_understood(service: FakeService, ended: Any) -> None:
    service.wrap_capability = True
    assert ended("print('ran')").text() == "ran\n"


def test_no_secret_is_in_the_environment_the_log_or_the_frames(service: FakeService, ended: Any) -> None:
    run = ended("import os\nfor item in os.environ.items(): print(*item)")
    for secret in (run.run.capability, run.run.token):
        assert secret not in run.log
        assert secret not in run.text()


def test_cancel_interrupts_the_code_and_lets_it_clean_up(start: Any) -> None:
    run = start("import time\ntry:\n    print('up')\n    time.sleep(60)\nfinally:\n    print('cleaned')")
    until(lambda: run.text() == "up\n")
    run.run.cancel = True
    run.end()
    assert run.code == 143
    assert run.text() == "up\ncleaned\n"
    assert run.text("stderr") == "aiinfn: cancelled\n"
    assert [frame["output_type"] for frame in run.frames if frame["output_type"] == "error"] == []
    assert run.run.state() == JobState.CANCELLED


def test_sigterm_flushes_and_is_143(start: Any) -> None:
    run = start("import time\ntry:\n    print('up')\n    time.sleep(60)\nfinally:\n    print('saved')")
    until(lambda: run.text() == "up\n")
    run.run.process.send_signal(signal.SIGTERM)
    run.end()
    assert run.code == 143
    assert run.text() == "up\nsaved\n"
    assert run.run.result is None


@pytest.mark.parametrize(
    "stubborn",
    [
        "try:\n    time.sleep(60)\nexcept KeyboardInterrupt:\n    time.sleep(60)",
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ntime.sleep(60)",
        "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\nsum(0 for _ in iter(int, 1))",
    ],
    ids=["catches the interruption", "ignores the signal", "never comes to rest"],
)
@pytest.mark.parametrize("how", ["sigterm", "time"])
def test_code_that_does_not_react_is_left_with_what_it_said(start: Any, stubborn: str, how: str) -> None:
    run = start("import time\nprint('up', flush=True)\n" + stubborn, time_s=1 if how == "time" else 60)
    until(lambda: run.text() == "up\n")
    if how == "sigterm":
        run.run.process.send_signal(signal.SIGTERM)
    run.end()
    assert run.code == (143 if how == "sigterm" else 124)
    assert (run.run.result is None) == (how == "sigterm")


def test_the_time_limit_is_124_and_shows_where_the_code_was(start: Any) -> None:
    run = start("import time\ndef wait():\n    time.sleep(60)\nwait()", time_s=1).end()
    assert run.code == 124
    error = run.frames[0]
    assert error["ename"] == "TimeLimitExceeded"
    assert "    time.sleep(60)" in error["traceback"]
    assert error["traceback"][-1] == "TimeLimitExceeded: The time limit of 1 s was over."
    assert run.run.result["verdict"] == "The time limit of 1 s was over."


def test_the_time_limit_counts_from_the_start_of_the_code(service: FakeService, start: Any) -> None:
    service.down = 3
    assert start("import time\ntime.sleep(0.6)", time_s=1).end().code == 0


def test_an_attempt_that_was_replaced_stops(start: Any) -> None:
    run = start("import time\nprint('up')\ntime.sleep(60)", "x")
    until(lambda: run.text() == "up\n")
    run.run.stolen = True
    assert run.end().code == 143
    assert "replaced by a newer attempt" in run.log


def test_heartbeats_come_while_the_code_says_nothing(start: Any) -> None:
    run = start("import time\ntime.sleep(60)")
    until(lambda: run.run.heartbeats >= 2)


def test_the_working_folder_is_the_scratch(ended: Any) -> None:
    run = ended("import os, tempfile\nopen('x', 'w').close()\nprint(os.getcwd(), tempfile.gettempdir())")
    scratch = str(run.run.folder / "scratch")
    assert run.text() == f"{scratch} {scratch}\n"
    assert (run.run.folder / "scratch" / "x").exists()


def test_the_traceback_of_a_coroutine_starts_in_the_cell(ended: Any) -> None:
    run = ended("async def f():\n    1 / 0\nawait f()")
    assert run.code == 70
    assert run.frames[-1]["traceback"][1] == '  File "<offload fit>", line 3, in <module>'


def test_somebody_without_a_home_gets_one(service: FakeService, ended: Any) -> None:
    service.home = "/nonexistent"
    run = ended("from pathlib import Path\nprint(Path.home())")
    assert run.text() == f"{run.run.folder}/scratch\n"


def test_a_signal_of_the_person_s_own_code_is_theirs(ended: Any) -> None:
    run = ended("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport time; time.sleep(1)")
    assert run.code == 70
    assert run.frames[-1]["ename"] == "KeyboardInterrupt"


def test_ipythons_displays_are_changed_in_place(ended: Any) -> None:
    pytest.importorskip("IPython", reason="the images of sessions have it; the runner does not need it")
    run = ended("""
from IPython.display import DisplayHandle, clear_output, display, update_display
bar = display("0", display_id="bar")
for step in range(50):
    bar.update(str(step))
update_display("done", display_id="bar")
handle = DisplayHandle("own")
handle.display("shown")
handle.update("changed")
clear_output(wait=True)
""")
    assert run.code == 0, run.log
    last = {frame["transient"]["display_id"]: frame["data"]["text/plain"] for frame in run.frames if "data" in frame}
    assert last == {"bar": "'done'", "own": "'changed'"}
    assert run.frames[-1]["output_type"] == "clear_output"
