"""Sweeps in a notebook, with a real run for each point."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from support.fakeservice import FakeService

from aiinfn_hub.contract.jobs import JobRequest, JobState, Resources
from aiinfn_hub.contract.sweeps import SweepRequest
from aiinfn_hub.errors import InvalidInput, NotFound
from aiinfn_labext.jobs import Offload
from aiinfn_labext.points import points_of

FIT = """%%offload fit --sweep lr=0.5,0.25 seed=0:2 --out total --time 5m {}
from aiinfn_labext import offload
total = scale(lr) + seed
offload.metric(loss=lr * 2, seed_seen=seed)
"""
DEFINED = "lr = 1000\ndef scale(x):\n    return base * x + 0 * lr\nbase = 10"


def test_a_cell_runs_for_each_point_and_comes_back_as_one_table(notebook: Any, service: FakeService) -> None:
    notebook.run(DEFINED)
    notebook.run(FIT.format("--wait -o fit"))
    assert (notebook.error, notebook.err) == (None, "")
    assert notebook["total"] == [5.0, 6.0, 2.5, 3.5]
    assert notebook.out == "Bound here, with a value for each of the 4 points: total.\n"
    assert notebook["lr"] == 1000, "that of the notebook is its own"
    sweep = notebook["fit"]
    assert sweep.table()[1] == {"lr": 0.5, "seed": 1, "state": "succeeded", "loss": 1.0, "seed_seen": 1.0}
    assert sweep.to_pandas().shape == (4, 5)
    assert notebook.texts()[0].startswith("fit · sweep of 4 · 4 ")
    assert notebook.texts()[-1].splitlines()[0] == "fit · sweep of 4 · 4 succeeded"
    html = notebook.shown[-1]["data"]["text/html"]
    assert html.count("<tr>") == 5
    assert "width: 5.00em" in html
    assert "width: 2.50em" in html
    assert list(service.runs["job0001"].request.inputs) == ["base"]
    assert service.sweeps["sweep1"][0].at_once == 8
    notebook.run(FIT.format(""))
    assert (notebook.out, len(service.sweeps)) == ("Unchanged: --again runs it anew.\n", 1)
    notebook.run(FIT.format("--again --at-once 2"))
    assert [asked.at_once for asked, _ in service.sweeps.values()] == [8, 2]


def test_after_a_restart_of_the_kernel_it_is_found_by_its_name(notebook: Any, service: FakeService) -> None:
    notebook.run(DEFINED)
    notebook.run(FIT.format("--wait"))
    notebook.run("del total\n%offload get fit")
    assert notebook["total"] == [5.0, 6.0, 2.5, 3.5]
    notebook.run("%offload table fit")
    assert "fit-3  0.25  1     succeeded  0.5" in notebook.texts()[0]
    notebook.run("%offload get fit-2")
    assert notebook["total"] == 2.5


def test_what_failed_is_tried_again_and_the_rest_is_kept(notebook: Any, service: FakeService) -> None:
    notebook.run("%%offload fit --sweep n=0:3 --out y --wait\ny = 6 / n\n")
    assert notebook["y"] == [None, 6.0, 3.0]
    assert "2 succeeded, 1 failed: %offload retry fit --failed runs again" in notebook.err
    notebook.run("%offload table fit")
    assert "ZeroDivisionError" in notebook.texts()[0]
    notebook.run("%offload retry fit --failed --mem 4Gi")
    assert notebook.out.startswith("fit · sweep of 3 · 1 ")
    runs = service.sweeps["sweep1"][1]
    assert [run.request.resources.memory_bytes == 4 * 2**30 for run in runs] == [True, False, False]
    service.wait(runs[0])
    notebook.run("%offload retry fit-1 --failed")
    assert "no sweep fit-1" in str(notebook.error)


def test_it_is_ended_by_its_name(notebook: Any, service: FakeService) -> None:
    service.hold = True
    notebook.run("%%offload fit --sweep n=0:3\nn\n")
    notebook.run("%offload cancel fit")
    assert notebook.out == "fit · sweep of 3 · 3 cancelled\n"
    assert all(run.cancel for run in service.sweeps["sweep1"][1])


def test_points_come_from_a_list_or_a_table_of_the_notebook(notebook: Any, service: FakeService) -> None:
    notebook.run("points = [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'y'}]")
    notebook.run("%%offload fit --sweep-from points --out got --wait\ngot = f'{a}{b}'\n")
    assert notebook["got"] == ["1x", "2y"]
    notebook.run("%%offload fit --sweep-from nothing\nx = 1\n")
    assert "nothing is not defined here" in str(notebook.error)
    table = pd.DataFrame({"a": np.arange(2), "b": ["x", "y"]})
    assert points_of("table", table) == [{"a": 0, "b": "x"}, {"a": 1, "b": "y"}]
    assert points_of("one", [{"a": np.float32(0.5)}]) == [{"a": 0.5}]


@pytest.mark.parametrize(
    ("value", "said"),
    [(3, "no list of points"), ([1], r"p\[0\] is no dictionary"), ([{"a": [1]}], r"a of p\[0\] is list")],
)
def test_points_that_are_none_are_named(value: Any, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        points_of("p", value)


def test_a_plan_of_a_sweep_says_what_all_of_it_costs(notebook: Any, service: FakeService) -> None:
    notebook.run("%%offload fit --sweep n=0:3 --gpu t4 --plan\nn\n")
    assert notebook.error is None
    assert "3 points, each a job as below" in notebook.texts()[0]
    assert (service.runs, service.sweeps) == ({}, {})


def test_a_sweep_here_is_refused_because_nobody_counts_its_jobs(notebook: Any, service: FakeService) -> None:
    notebook.run("%%offload fit --sweep n=0:3 --to here\nn\n")
    assert "runs on the platform" in str(notebook.error)


def test_a_script_gets_its_point_as_arguments(notebook: Any, service: FakeService, tmp_path: Any) -> None:
    script = tmp_path / "fit.py"
    script.write_text(
        "import sys\nfrom aiinfn_labext import offload\nprint(sys.argv)\noffload.metric(n=len(sys.argv))\n"
    )
    notebook.run(f"%offload run --sweep lr=0.1 deep=True,False --time 5m {script} --epochs 3")
    assert notebook.error is None
    run = service.sweeps["sweep1"][1][1]
    service.wait(run)
    said = "['fit.py', '--epochs', '3', '--lr', '0.1', '--deep', 'False']\n"
    assert (run.frames[0]["text"], run.view().metrics) == (said, {"n": 7.0})


def test_a_notebook_sets_its_point_behind_its_parameters(notebook: Any, service: FakeService, tmp_path: Any) -> None:
    import nbformat  # noqa: PLC0415  only here

    cells = [nbformat.v4.new_code_cell("lr = 5"), nbformat.v4.new_code_cell("lr * 10")]
    cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), tmp_path / "fit.ipynb")
    notebook.run(f"%offload nb --sweep lr=1,2 --time 5m {tmp_path / 'fit.ipynb'}")
    assert notebook.error is None
    run = service.sweeps["sweep1"][1][1]
    service.wait(run)
    assert [frame["data"]["text/plain"] for frame in run.frames] == ["20"]


def test_a_function_is_called_for_each_point(offload: Offload, notebook: Any, service: FakeService) -> None:
    notebook.run("from aiinfn_labext import offload\nseed = 7\ndef fit(lr, seed=0):\n    return lr * 10 + other()\n")
    notebook.run("def other():\n    return seed")
    sweep = offload.sweep(notebook["fit"], {"lr": [1, 2], "seed": range(2)}, at_once=3, time="5m")
    assert sweep.wait(30).counts == {JobState.SUCCEEDED: 4}
    assert sweep.values("result") == [17, 17, 27, 27], "the seed of the notebook is another one"
    assert offload.sweeps.find("fit").id == sweep.id
    with pytest.raises(NotFound, match="given back 'loss'"):
        sweep.values("loss")
    with pytest.raises(InvalidInput, match="no option 'tme'"):
        offload.sweep(notebook["fit"], [{"lr": 1}], tme="5m")


def test_a_metric_is_a_number_here_too(offload: Offload) -> None:
    offload.metric(loss=np.float32(0.5))
    with pytest.raises(ValueError, match="could not convert"):
        offload.metric(loss="low")


def test_a_task_is_mapped_with_so_many_at_once(offload: Offload, notebook: Any, service: FakeService) -> None:
    notebook.run("def fit(lr, seed=0):\n    return lr * 10 + seed")
    task = offload.task(time="5m")(notebook["fit"])
    jobs = task.map([1, 2], [3, 4], at_once=1)
    assert [job.result(30) for job in jobs] == [13, 24]
    assert service.sweeps["sweep1"][0].at_once == 1
    with pytest.raises(InvalidInput, match="takes 2 arguments, and 3 are given"):
        task.map([1], [2], [3], at_once=1)


def test_the_list_has_one_row_for_a_sweep_and_its_name_is_no_job(notebook: Any, service: FakeService) -> None:
    service.hold = True
    notebook.run("%%offload one\n1\n")
    notebook.run("%%offload fit --sweep n=0:3\nn\n")
    notebook.run("%offload")
    lines = notebook.texts()[0].splitlines()
    assert [line.split()[0] for line in lines] == ["name", "fit", "one"]
    assert "3 queued" in lines[1]
    assert "%offload table fit" in lines[1]
    notebook.run("%offload log fit")
    assert "fit is a sweep of 3 jobs" in str(notebook.error)
    assert "fit-0 to fit-2" in str(notebook.error)


def test_what_a_job_has_measured_is_said_with_it(notebook: Any, service: FakeService) -> None:
    notebook.run(
        "%%offload fit --wait\nfrom aiinfn_labext import offload\noffload.metric(loss=0.25, gain=float('nan'))\n"
    )
    assert notebook.texts()[-1].endswith("loss 0.25 · gain nan")


def test_of_a_job_and_a_sweep_of_one_name_the_later_is_meant(notebook: Any, service: FakeService) -> None:
    notebook.run("%%offload fit --out y --wait\ny = 1\n")
    notebook.run("%%offload fit --sweep n=0:2 --out y --wait\ny = n\n")
    notebook.run("%offload get fit")
    assert notebook["y"] == [0, 1]
    notebook.run("%%offload fit --out y --wait\ny = 2\n")
    notebook.run("%offload get fit")
    assert notebook["y"] == 2


def test_who_waits_for_a_sweep_outlives_a_restart_of_the_service(offload: Offload, service: FakeService) -> None:
    service.hold = True
    asked = SweepRequest(JobRequest("fit", "n", resources=Resources(time_s=300)), [{"n": 1}])
    sweep = offload.sweeps.submit(asked, {})
    service.down = 6  # more than the client tries at once
    with pytest.raises(TimeoutError, match="it goes on: fit · sweep of 1 · 1 queued"):
        sweep.wait(6)
    assert service.down == 0
