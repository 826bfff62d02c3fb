"""%%offload and %offload in a real IPython shell, against a service with real runs."""

from __future__ import annotations

import base64
import json
import os
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from support.fakeservice import FakeService

from aiinfn_labext.job import Job, JobFailed

FIT = "%%offload fit --cpu 1 --mem 512Mi --time 5m --in x --out total --wait\ntotal = sum(x) * 7\n"


def test_the_first_taste(notebook: Any, service: FakeService) -> None:
    notebook.run("x = [1, 2, 3]")
    notebook.run(FIT)
    assert notebook.error is None
    assert notebook["total"] == 42
    assert notebook.out == "Bound here: total.\n"
    assert notebook.texts()[0] == "fit · starting · on local · cpu · with x (list of 3, 7 B)"
    assert notebook.texts()[-1].startswith("fit · succeeded · on local · cpu")
    run = service.run_of("fit")
    assert (run.request.resources.cpu_millis, run.request.resources.memory_bytes) == (1000, 512 * 1024**2)
    notebook.run("del total")
    notebook.run("%offload get fit")
    assert notebook["total"] == 42
    assert notebook.out == "Bound here: total.\n"


def test_a_cell_finds_what_the_notebook_had(notebook: Any, service: FakeService) -> None:
    notebook.run("import math\nrate = 2\ndef half(x):\n    return math.floor(x) / rate\nclass Net:\n    size = 3\n")
    notebook.run("%%offload fit --out y --wait\ny = [half(n) for n in range(Net.size)]\n")
    assert notebook.error is None
    assert notebook["y"] == [0, 0.5, 1]
    assert notebook.err == ""
    assert notebook.texts()[0].endswith("with Net, half, rate (2, 1 B) · for 1 h at most (--time)")
    assert service.run_of("fit").request.source == "y = [half(n) for n in range(Net.size)]\n"


def test_a_module_beside_the_notebook_travels_with_what_it_imports(
    notebook: Any, service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "mine_one.py").write_text("import json, mine_two\n\ndef f():\n    return mine_two.g() + 1\n")
    (tmp_path / "beside" / "mine_two.py").write_text("def g():\n    return 41\n")
    monkeypatch.syspath_prepend(str(tmp_path / "beside"))
    notebook.run("import mine_one, json\nmax = 3")
    notebook.run("%%offload fit --out answer --wait\nanswer = json.loads(str(mine_one.f())) * max\n")
    assert (notebook.error, notebook.err) == (None, "")
    assert notebook["answer"] == 126
    assert "with max (3, 1 B), mine_one (60 B), mine_two (23 B)" in notebook.texts()[0]
    run = service.run_of("fit")
    assert list(run.request.inputs) == ["max"]
    assert run.request.context == "import json\n\nimport mine_one\n"
    notebook.run("%%offload fit --out answer --wait\nanswer = json.loads(str(mine_one.f())) * max\n")
    assert "unchanged" in notebook.texts()[0]
    (tmp_path / "beside" / "mine_two.py").write_text("def g():\n    return 42\n")
    notebook.run("%%offload fit --out answer --wait\nanswer = json.loads(str(mine_one.f())) * max\n")
    assert notebook["answer"] == 129, "code that has changed is another job"


def test_a_table_travels_and_comes_back(notebook: Any, service: FakeService) -> None:
    notebook.run("import numpy as np\nimport pandas as pd\ndf = pd.DataFrame({'who': ['a', 'b'], 'n': [1, 2]})")
    notebook.run("%%offload fit --out big,hist --wait\nbig = df[df.n > 1]\nhist = {'loss': np.arange(2)}\n")
    assert notebook.error is None
    assert notebook["big"].to_dict("list") == {"who": ["b"], "n": [2]}
    assert notebook["hist"]["loss"].tolist() == [0, 1]
    assert "df (table of 2x2, " in notebook.texts()[0]


def test_what_cannot_travel_is_refused_before_anything_is_sent(notebook: Any, service: FakeService) -> None:
    notebook.run("import threading\nlock = threading.Lock()")
    notebook.run("%%offload fit\nwith lock:\n    pass\n")
    assert "The cell uses what cannot travel: lock: " in str(notebook.error)
    assert service.runs == {}


def test_an_unchanged_cell_finds_its_job_again(notebook: Any, service: FakeService) -> None:
    notebook.run("x = [1, 2, 3]")
    notebook.run(FIT)
    notebook.run("del total")
    notebook.run(FIT)
    assert notebook["total"] == 42
    assert notebook.texts()[0].endswith("· unchanged: --again runs it anew")
    assert len(service.runs) == 1
    notebook.run(FIT.replace(" --wait", " --wait --again"))
    assert len(service.runs) == 2


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(("total = sum(x) * 7", "total = sum(x) * 8"), id="other code"),
        pytest.param(("--mem 512Mi", "--mem 1Gi"), id="other amounts"),
        pytest.param(("offload fit", "offload other"), id="another name"),
    ],
)
def test_a_changed_cell_is_another_job(notebook: Any, service: FakeService, change: tuple[str, str]) -> None:
    notebook.run("x = [1, 2, 3]")
    notebook.run(FIT)
    notebook.run(FIT.replace(*change))
    assert len(service.runs) == 2


def test_another_value_is_another_job(notebook: Any, service: FakeService) -> None:
    for value in ("[1]", "[2]", "[2]"):
        notebook.run(f"x = {value}")
        notebook.run(FIT)
    assert len(service.runs) == 2


def test_a_job_is_tried_again_with_more(notebook: Any, service: FakeService) -> None:
    notebook.run("%%offload bad --wait\n1 / 0\n")
    notebook.run("%offload retry bad --mem 24Gi --gpu=t4")
    assert notebook.out.startswith("bad · ")
    again = list(service.runs.values())[-1].request
    assert (again.resources.memory_bytes, again.resources.gpu, again.source) == (24 * 2**30, "t4", "1 / 0\n")
    notebook.run("%offload retry bad --name x")
    assert "no option '--name'" in str(notebook.error)
    notebook.run("%offload retry bad --mem")
    assert "--mem needs a value" in str(notebook.error)


def test_a_script_runs_elsewhere_with_its_arguments(notebook: Any, service: FakeService, tmp_path: Path) -> None:
    script = tmp_path / "fit.py"
    script.write_text("import sys\nif __name__ == '__main__':\n    rate = float(sys.argv[2])\n    print(sys.argv)\n")
    notebook.run(f"%offload run --cpu 2 --out rate --wait {script} --rate 0.5 'a b'")
    assert notebook.error is None
    assert notebook.out == "['fit.py', '--rate', '0.5', 'a b']\nBound here: rate.\n"
    assert notebook["rate"] == 0.5
    assert service.run_of("fit").request.resources.cpu_millis == 2000
    notebook.run(f"%offload run --plan {script}")
    assert "runs on" in notebook.texts()[-1]
    assert len(service.runs) == 1
    for line, message in (("run --cpu 2", "needs a file"), ("run --cpuu 2 x.py", "no option"), ("run no.py", "read")):
        notebook.run(f"%offload {line}")
        assert message in str(notebook.error)


def test_a_failed_cell_is_tried_again(notebook: Any, service: FakeService) -> None:
    for _ in range(2):
        notebook.run("%%offload bad --wait\n1 / 0\n")
    assert len(service.runs) == 2


def test_the_cell_is_known_by_its_notebook_whatever_its_number(notebook: Any, service: FakeService) -> None:
    service.hold = True
    notebook.shell.get_parent = lambda: {"metadata": {"cellId": "abc"}}
    for _ in range(2):
        notebook.run("%%offload\ny = 1\n")
    assert len(service.runs) == 1


def test_a_plan_sends_nothing(notebook: Any, service: FakeService) -> None:
    notebook.run("x = [1, 2, 3]\ndef half(y):\n    return y / 2")
    notebook.run("%%offload fit --gpu t4 --time 2h --out y --plan\ny = half(sum(x))\n")
    assert notebook.error is None
    [shown] = notebook.shown
    lines = shown["data"]["text/plain"].split("\n")
    assert lines[0].startswith("runs on     local, t4 (0 of 8 units free now, about ")
    assert lines[1:] == [
        "with        1 CPU, 2Gi, for 2 h at most",
        "costs       0.4 GPU-h at most, charged to lhcb, which has 11.5 of 40 left",
        "image       ghcr.io/infn/pytorch:2.9",
        "travels     half, x (list of 3, 7 B): 37 B",
        "comes back  y",
    ]
    page = shown["data"]["text/html"]
    assert "<summary>The Job</summary>" in page
    assert "&lt;b&gt;" in page
    assert service.runs == {}
    assert service.blobs == {}


def test_a_plan_says_what_would_be_refused(notebook: Any, service: FakeService) -> None:
    notebook.run("%%offload --cpu 99 --plan\n1\n")
    [shown] = notebook.shown
    assert shown["data"]["text/plain"].endswith("refused     99 CPU: cpu has at most 16.")
    assert "travels     nothing but the cell" in shown["data"]["text/plain"]
    notebook.run("%%offload --to here --plan\n1\n")
    assert "here, this session's own" in notebook.texts()[-1]
    assert service.runs == {}


def test_without_wait_one_line_is_shown_and_nothing_is_bound(notebook: Any, service: FakeService) -> None:
    service.hold = True
    notebook.run("x = [1]")
    notebook.run(FIT.replace(" --wait", " -o job"))
    assert notebook.texts() == ["fit · queued · cpu · waiting for 1 CPU · with x (list of 1, 3 B)"]
    assert notebook.out == ""
    assert isinstance(notebook["job"], Job)
    assert "total" not in notebook.shell.user_ns
    notebook.run("%offload get fit")
    assert notebook.out == "fit · queued · cpu · waiting for 1 CPU: nothing to get yet.\n"


def test_output_is_shown_as_it_comes(notebook: Any) -> None:
    notebook.run(
        """%%offload show --wait
import sys
import matplotlib.pyplot as plt
print("\\x1b[2J\\x1b[31mout\\x1b[0m")
print("err", file=sys.stderr)
plt.plot([1, 2]);
plt.show()
class Table:
    def _repr_html_(self):
        return "<table><tr onclick='alert(1)'><td>1</td></tr></table><script>alert(1)</script>"
Table()
"""
    )
    assert notebook.error is None
    assert notebook.out == "\x1b[31mout\x1b[0m\n"
    assert notebook.err == "err\n"
    bundles = [output["data"] for output in notebook.shown if len(output["data"]) > 1]
    assert base64.b64decode(bundles[0]["image/png"]).startswith(b"\x89PNG")
    assert bundles[1]["text/html"] == "<table><tr><td>1</td></tr></table>"


def test_a_remote_exception_shows_its_own_traceback_and_stops_the_cell(notebook: Any) -> None:
    notebook.run("%%offload bad --wait --out y\ndef f(x):\n    return 1 / x\ny = f(0)\n")
    assert isinstance(notebook.error, JobFailed)
    assert "y = f(0)" in notebook.out
    assert 'File "<offload bad>", line 2, in f' in notebook.out
    assert notebook.out.count("ZeroDivisionError") == 1
    assert "aiinfn_labext" not in notebook.out + notebook.err


def test_the_rest_of_a_notebook_does_not_run_after_a_failure(notebook: Any) -> None:
    notebook.run("%%offload bad --wait\n1 / 0\n")
    assert str(notebook.error).startswith("bad failed: ZeroDivisionError")


def test_what_does_not_come_back_is_said_and_the_rest_is_bound(notebook: Any) -> None:
    notebook.run("%%offload fit --out a,b,c --wait\na = 1\nb = {1}\n")
    assert notebook.error is None
    assert notebook.out == "Bound here: a.\n"
    assert "Note: c is in --out, and the cell does not assign it." in notebook.err
    assert "Not bound: b: it is set; send sorted(...) of it." in notebook.err
    assert "Not bound: c: the code did not assign it." in notebook.err
    notebook.run("%offload get fit")
    assert "b does not come back: it is set; send sorted(...) of it; c does not come back" in notebook.err


def test_a_name_that_stays_behind_is_noticed_before_it_is_missing(notebook: Any, service: FakeService) -> None:
    service.hold = True
    notebook.run("y = 1")
    notebook.run("%%offload fit\nx = y + z\n")
    assert notebook.err == "Note: z is not in the cell, and is not defined here either.\n"
    assert list(service.run_of("fit").request.inputs) == ["y"]


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        ("%%offload fit --memory 1Gi\n1", "There is no option '--memory'. Did you mean --mem?"),
        ("%%offload fit --in nothing\n1", "nothing is not defined here. Run the cell that defines it first."),
        ("%%offload fit\n!ls", "The cell is no plain Python"),
        ("%offload cancle fit", "There is no verb 'cancle'. Did you mean cancel?"),
        ("%offload get nothing", "You have no job nothing. %offload lists them."),
    ],
)
def test_a_mistake_is_one_sentence_and_no_traceback(notebook: Any, cell: str, sentence: str) -> None:
    notebook.run(cell)
    assert notebook.error is not None
    assert sentence in notebook.err
    assert "Traceback" not in notebook.out + notebook.err


def test_a_cell_without_a_name_is_named_by_its_number(notebook: Any, service: FakeService) -> None:
    service.hold = True
    notebook.run("1")
    notebook.run("%%offload\n1")
    assert [run.request.name for run in service.runs.values()] == ["cell-2"]


def test_to_here_needs_no_service(lonely_notebook: Any) -> None:
    notebook = lonely_notebook
    notebook.run("x = [1, 2, 3]")
    notebook.run(FIT.replace("--wait", "--to here --wait"))
    assert notebook["total"] == 42
    notebook.run("%offload")
    assert "here" in notebook.texts()[0]


def test_the_list_is_a_table_in_both_forms(notebook: Any, service: FakeService) -> None:
    notebook.run("%offload")
    assert "No jobs yet" in notebook.texts()[0]
    service.hold = True
    notebook.run("%%offload fit\n1")
    notebook.run("%offload")
    assert "fit   queued  local" in notebook.texts()[0]
    assert "<td>fit</td><td>queued</td>" in notebook.shown[0]["data"]["text/html"]


def test_the_list_without_a_service_is_what_ran_here(notebook: Any, service: FakeService) -> None:
    notebook.run("%%offload mine --to here --wait\n1;")
    service.down = 10**6
    notebook.run("%offload")
    assert notebook.error is None
    assert "mine" in notebook.texts()[0]
    assert "Only those that ran here: The service restarts." in notebook.texts()[0]


def test_log_why_cancel_and_targets(notebook: Any, service: FakeService) -> None:
    notebook.run("%%offload fit --wait\nprint('a')\ndisplay(7)")
    notebook.run("%offload log fit")
    assert (notebook.out, notebook.texts()) == ("a\n", ["7"])
    notebook.run("%%offload bad\n1 / 0")
    notebook.run("%offload log bad -f")
    assert notebook.error is None
    assert notebook.err.endswith("ZeroDivisionError: division by zero\n")
    service.hold = True
    notebook.run("%%offload late\n1")
    notebook.run("%offload why late")
    assert notebook.out == "queued: It waits for 1 CPU.\nAsk for less.\n  0 of 4 free\n"
    notebook.run("%offload cancel late")
    assert notebook.out.startswith("late · cancelled")
    notebook.run("%offload targets")
    assert notebook.out == "here: a process of this session\nlocal: the cluster (cpu, t4)\n"


def test_an_interruption_detaches_and_the_job_goes_on(notebook: Any, service: FakeService) -> None:
    service.hold = True
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts behind itself ignores it
    threading.Timer(0.7, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    notebook.run("%%offload fit --out a --wait\na = 1")
    signal.signal(signal.SIGINT, before)
    assert notebook.error is None
    assert notebook.out == "Detached: fit goes on without this cell. %offload log fit -f, get fit, cancel fit.\n"
    run = service.run_of("fit")
    assert not run.cancel
    service.start(run)
    service.wait(run)
    notebook.run("%offload get fit")
    assert notebook["a"] == 1


def test_a_job_that_gives_nothing_back_says_so(notebook: Any) -> None:
    notebook.run("%%offload fit --wait\nx = 1")
    assert notebook.out == ""
    notebook.run("%offload get fit")
    assert notebook.out == "fit gave nothing back.\n"


def test_names_are_those_of_python(notebook: Any) -> None:
    notebook.run("größe = 2")
    notebook.run("%%offload fit --in größe --out fläche --wait\nfläche = größe ** 2")
    assert notebook["fläche"] == 4


def test_a_reference_cannot_lead_elsewhere(notebook: Any, service: FakeService) -> None:
    notebook.run("%offload get ../targets")
    asked = {path for _, path in service.requests}
    assert asked == {f"/services/aiinfn/api/{what}/../targets" for what in ("jobs", "sweeps")}
    assert "There is no /services/aiinfn/api/jobs/../targets." in notebook.err


def test_loading_it_twice_is_harmless(notebook: Any, service: FakeService, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook.run("%load_ext aiinfn_labext")
    assert notebook.error is None
    notebook.run("%load_ext aiinfn_labext")
    assert notebook.error is None
    notebook.run("%reload_ext aiinfn_labext")
    assert notebook.error is None
    assert "offload" in notebook.shell.magics_manager.magics["cell"]


KEEPS = """%%offload fit --out attempt --on-evict resume
import os, time
if not os.path.exists("ckpt"):
    with open("ckpt", "w") as file:
        file.write("half of it")
    offload.checkpoint("ckpt")
    print("kept", flush=True)
    while True:
        time.sleep(0.05)
attempt = offload.attempt
with open("ckpt") as file:
    print(file.read())
"""


def test_an_eviction_is_rehearsed_and_more_time_is_given(notebook: Any, service: FakeService) -> None:
    notebook.run("from aiinfn_labext import offload")
    notebook.run(KEEPS)
    assert (notebook.error, notebook.err) == (None, "")
    run = service.run_of("fit")
    assert run.request.context == "from aiinfn_labext import offload as offload\n"
    assert run.request.on_evict == "resume"
    until(lambda: any(frame.get("text") == "kept\n" for frame in run.frames))
    notebook.run("%offload extend fit 2h")
    assert notebook.out == "fit has 3 h in all.\n"
    notebook.run("%offload evict fit --test")
    assert notebook.out.startswith("fit loses its place for a moment")
    notebook.run("%offload log fit -f\n%offload get fit")
    assert notebook["attempt"] == 2
    assert any("half of it" in frame.get("text", "") for frame in run.frames)
    notebook.run("offload.checkpoint('nothing')")
    assert isinstance(notebook.error, FileNotFoundError), "here, a file that is not there is said at once too"
    notebook.run("print(offload.attempt, offload.evicting.is_set(), offload.on_evict(print) is print)")
    assert notebook.out == "1 False True\n"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("extend fit", "Write %offload extend NAME 1h."),
        ("extend", "needs the name of a job"),
        ("extend fit 1h 2h", "'2h' is one word too many"),
        ("extend fit soon", "soon"),
        ("evict fit", "Write %offload evict NAME --test."),
        ("evict --test", "needs the name of a job"),
        ("evikt fit", "Did you mean evict?"),
    ],
)
def test_a_line_that_lacks_something_says_what(notebook: Any, service: FakeService, line: str, said: str) -> None:
    service.hold = True
    notebook.run("%%offload fit\n1")
    notebook.run(f"%offload {line}")
    assert said in str(notebook.error)


def test_tagged_cells_run_first_and_what_they_make_does_not_travel(
    notebook: Any, service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cells = [{"cell_type": "code", "source": "data = [1, 2, 3]", "metadata": {"tags": ["load"]}}]
    (tmp_path / "fit.ipynb").write_text(json.dumps({"cells": cells}))
    monkeypatch.setenv("JPY_SESSION_NAME", str(tmp_path / "fit.ipynb"))
    notebook.run("data = object()  # cannot travel")
    notebook.run("%%offload fit --with load --out total --wait\ntotal = sum(data)\n")
    assert (notebook.error, notebook["total"]) == (None, 6)
    assert service.run_of("fit").request.inputs == {}
    notebook.run("%%offload fit --with lode\n1")
    assert "Did you mean load?" in str(notebook.error)


def test_a_profile_is_used_and_listed(
    notebook: Any, service: FakeService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    notebook.run("%offload profiles")
    assert "You have no profiles" in notebook.out
    (tmp_path / "aiinfn").mkdir()
    (tmp_path / "aiinfn" / "profiles.toml").write_text("[big]\nmem = '24Gi'\ngpu = 't4'\n")
    service.hold = True
    notebook.run("%%offload fit --profile big\n1")
    wanted = service.run_of("fit").request.resources
    assert (wanted.memory_bytes, wanted.gpu) == (24 * 2**30, "t4")
    notebook.run("%offload profiles")
    assert notebook.out == "big: --mem 24Gi --gpu t4\n"
    notebook.run("from aiinfn_labext.calls import options_of\nasked = options_of({'profile': 'big', 'mem': '1Gi'})")
    assert (notebook["asked"].mem, notebook["asked"].gpu) == ("1Gi", "t4")


def test_what_an_eviction_means_is_one_of_three(notebook: Any) -> None:
    notebook.run("%%offload fit --on-evict pause\n1")
    assert "There are: resume, restart, stop." in str(notebook.error)


def until(condition: Any) -> None:
    deadline = time.monotonic() + 15
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
