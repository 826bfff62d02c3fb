"""`aiinfn offload` on a terminal."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.fakeservice import FakeService

from aiinfn_hub.contract.jobs import JobRequest
from aiinfn_hub.errors import InvalidInput, NotFound
from aiinfn_labext.command import register


@pytest.fixture
def offload(service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Runs `aiinfn offload ...` in this process: its exit code."""
    for name, value in {**service.environ, "XDG_STATE_HOME": str(tmp_path / "state")}.items():
        monkeypatch.setenv(name, value)

    def run(*words: str) -> int:
        parser = argparse.ArgumentParser()
        register(parser.add_subparsers())
        args = parser.parse_args(["offload", *words])
        return int(args.func(args))

    return run


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "fit.py"
    path.write_text("print('a')\nx = 1\n")
    return path


def test_a_script_runs_elsewhere(
    offload: Callable[..., int], service: FakeService, script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert offload("run", str(script), "--cpu", "2", "--time", "5m", "--wait") == 0
    shown = capsys.readouterr()
    assert shown.out == "a\n"
    assert shown.err.splitlines()[0].startswith("fit · starting")
    assert shown.err.splitlines()[-1].startswith("fit · succeeded")
    resources = service.run_of("fit").request.resources
    assert (resources.cpu_millis, resources.time_s) == (2000, 300)


def test_the_exit_code_of_a_waiting_run_is_that_of_the_job(offload: Callable[..., int], script: Path) -> None:
    script.write_text("1 / 0")
    assert offload("run", str(script), "--to", "here", "--wait") == 70


def test_a_run_that_is_not_waited_for_ends_at_once(
    offload: Callable[..., int], service: FakeService, script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    service.hold = True
    assert offload("run", str(script), "--name", "mine", "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == "mine"


def test_what_is_behind_args_is_the_scripts(
    offload: Callable[..., int], script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.write_text("import sys\nprint(sys.argv[1:])")
    assert offload("run", str(script), "--to", "here", "--wait", "--args", "--rate", "0.5") == 0
    assert "['--rate', '0.5']" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "message"),
    [(["nothing.py"], "nothing.py cannot be read"), (["1 fit.py"], "'1 fit' is not a job name")],
)
def test_a_script_that_cannot_run_is_named(
    offload: Callable[..., int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("1 fit.py").write_text("1")
    with pytest.raises(InvalidInput) as caught:
        offload("run", *words)
    assert message in caught.value.message


def test_list_log_get_why_and_cancel(
    offload: Callable[..., int], service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    run = service.submit(JobRequest("fit", "print('\\x1b[31ma')\nx = [1]\nz = {1}", outputs=["x", "z"]))
    service.wait(run)

    def shown(*words: str) -> tuple[int, str]:
        return offload(*words), capsys.readouterr().out

    assert shown("list")[1].splitlines()[1].startswith("fit   succeeded  local  cpu")
    assert shown("list", "--state", "failed")[1].startswith("No jobs yet")
    assert shown("log", "fit") == (0, "a\naiinfn: z does not come back: it is set; send sorted(...) of it\n")
    assert shown("get", "fit") == (1, "x = [1]\n")
    assert shown("why", "fit")[1].startswith("succeeded: It waits for 1 CPU.\nAsk for less.")
    service.hold = True
    service.submit(JobRequest("late", "1"))
    assert shown("cancel", "late")[1].startswith("late · cancelled")


def test_programs_get_json(
    offload: Callable[..., int], service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    run = service.submit(JobRequest("fit", "import numpy\nprint('a')\nx = 1\na = numpy.arange(2)", outputs=["x", "a"]))
    service.wait(run)

    def shown(*words: str) -> Any:
        assert offload(*words, "--json") == 0
        return json.loads(capsys.readouterr().out)

    assert shown("list")["jobs"][0]["name"] == "fit"
    assert shown("log", "fit")["text"] == "a\n"
    assert shown("get", "fit") == {"values": {"x": 1, "a": "array([0, 1])"}, "missing": {}, "verdict": ""}
    assert shown("why", "fit")["next_step"] == "Ask for less."


def test_a_job_can_be_followed(
    offload: Callable[..., int], service: FakeService, capsys: pytest.CaptureFixture[str]
) -> None:
    service.submit(JobRequest("fit", "import time\nfor n in range(3):\n    print(n)\n    time.sleep(0.3)"))
    assert offload("log", "fit", "-f") == 0
    assert capsys.readouterr().out == "0\n1\n2\n"


def test_what_is_not_there_is_not_found(offload: Callable[..., int]) -> None:
    with pytest.raises(NotFound):
        offload("log", "nothing")


def test_wrong_usage_is_2(offload: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        offload("fly")
    assert caught.value.code == 2
    assert "invalid choice: 'fly'" in capsys.readouterr().err


def test_a_sweep_of_a_script_is_a_table(
    offload: Callable[..., int], service: FakeService, script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    script.write_text("import sys\nfrom aiinfn_labext import offload\noffload.metric(x=6 / float(sys.argv[2]))\n")
    sweep = ("--sweep", "n=0,3", "--sweep", "k=1", "--time", "5m")
    assert offload("run", str(script), *sweep, "--plan") == 0
    assert "2 points" in capsys.readouterr().out
    assert offload("run", str(script), *sweep, "--at-once", "1", "--wait") == 1
    assert capsys.readouterr().out.startswith("fit · sweep of 2 · 1 succeeded, 1 failed")
    assert offload("table", "fit", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert [(job["point"], job["metrics"]) for job in found["jobs"]] == [
        ({"n": 0, "k": 1}, {}),
        ({"n": 3, "k": 1}, {"x": 2.0}),
    ]
    assert offload("retry", "fit", "--failed", "--mem", "3Gi") == 0
    assert service.runs["job0003"].request.resources.memory_bytes == 3 * 2**30
    service.wait(service.runs["job0003"])
    capsys.readouterr()
    assert offload("cancel", "fit") == 0
    assert "sweep of 2" in capsys.readouterr().out
