"""What the person's code writes and shows comes back whole and in order, whoever wrote it."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
from support.fakeservice import FakeService


def test_prints_displays_child_processes_and_errors_keep_their_order(ended: Any) -> None:
    run = ended(
        """
import os, subprocess, sys
print("one")
os.system("echo two")
print("three")
display({"four": 4})
os.write(1, b"five\\n")
subprocess.run(["sh", "-c", "echo six >&2"])
print("seven", file=sys.stderr)
sys.stdout.buffer.write(b"eight \\xe2\\x82\\xac\\n")
raise ValueError("nine")
"""
    )
    assert [(frame.get("name"), frame.get("text")) for frame in run.frames if "text" in frame] == [
        ("stdout", "one\ntwo\nthree\n"),
        ("stdout", "five\n"),
        ("stderr", "six\nseven\n"),
        ("stdout", "eight €\n"),
    ]
    assert [frame["output_type"] for frame in run.frames][1::4] == ["display_data", "error"]
    assert run.code == 70


def test_the_pod_s_log_has_all_of_it_too(ended: Any) -> None:
    run = ended("import os, sys\nprint('one')\nos.system('echo two')\nprint('three', file=sys.stderr)")
    assert run.log == "one\ntwo\nthree\n"


def test_nothing_is_lost_of_much(ended: Any) -> None:
    run = ended(
        """
import subprocess, sys
for number in range(20000):
    print(number)
subprocess.run([sys.executable, "-c", "for n in range(20000): print(n)"])
"""
    )
    assert run.text() == "".join(f"{number}\n" for number in range(20000)) * 2


def test_workers_of_a_pool_print_and_their_end_is_not_ours(ended: Any) -> None:
    run = ended(
        """
import multiprocessing
def square(number):
    print("square of", number)
    return number ** 2
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(pool.map(square, range(4)))
""",
    )
    assert run.code == 0
    lines = run.text().splitlines()
    assert sorted(lines[:-1]) == [f"square of {number}" for number in range(4)]
    assert lines[-1] == "[0, 1, 4, 9]"


def test_text_that_is_cut_in_the_middle_of_a_character_is_whole(ended: Any) -> None:
    run = ended("import os, time\nfor byte in '€'.encode():\n    os.write(1, bytes([byte]))\n    time.sleep(0.3)")
    assert run.text() == "€"


def test_output_appears_while_the_code_runs(start: Any) -> None:
    run = start("import time\nprint('now')\ntime.sleep(30)")
    deadline = time.monotonic() + 10
    while not run.text() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert run.text() == "now\n"
    assert run.run.process.poll() is None


def test_the_last_expression_is_the_result(ended: Any) -> None:
    run = ended("x = 20\nx + 1")
    assert run.frames[-1]["output_type"] == "execute_result"
    assert run.data() == [{"text/plain": "21"}]


@pytest.mark.parametrize("source", ["x = 1", "None", "1;", "1; # no", "print()"], ids=repr)
def test_some_cells_have_no_result(ended: Any, source: str) -> None:
    run = ended(source)
    shown = [] if source != "1; # no" else [{"text/plain": "1"}]
    assert run.data() == shown


def test_await_works_at_the_top_with_one_loop(ended: Any) -> None:
    run = ended("import asyncio\nevent = asyncio.Event()\nevent.set()\nawait asyncio.sleep(0)\nawait event.wait()")
    assert run.data() == [{"text/plain": "True"}]


def test_figures_come_back_as_png_at_show_and_at_the_end(ended: Any) -> None:
    run = ended(
        """
import matplotlib.pyplot as plt
plt.plot([1, 2])
plt.show()
print("between")
fig, ax = plt.subplots()
ax.plot([2, 1])
display(fig)
plt.close(fig)
plt.figure();
""",
    )
    kinds = [sorted(frame["data"]) if "data" in frame else frame["text"] for frame in run.frames]
    assert kinds == [["image/png", "text/plain"], "between\n", *[["image/png", "text/plain"]] * 2]
    for data in run.data():
        assert base64.b64decode(data["image/png"]).startswith(b"\x89PNG")


def test_figures_of_a_failing_cell_come_too(ended: Any) -> None:
    run = ended("import matplotlib.pyplot as plt\nplt.plot([1, 2])\n1 / 0")
    assert [frame["output_type"] for frame in run.frames] == ["error", "display_data"]


def test_display_of_ipython_is_ours(ended: Any) -> None:
    run = ended("from IPython.display import HTML, Markdown, display\ndisplay(HTML('<b>1</b>'), Markdown('*2*'))")
    assert [data.get("text/html", data.get("text/markdown")) for data in run.data()] == ["<b>1</b>", "*2*"]


def test_a_picture_that_fails_does_not_cost_the_result(ended: Any) -> None:
    run = ended(
        """
class Broken:
    def _repr_html_(self):
        return 1 / 0
    def __repr__(self):
        return "<Broken>"
total = 1
Broken()
""",
        "total",
    )
    assert run.code == 0
    assert run.data() == [{"text/plain": "<Broken>"}]
    assert "ZeroDivisionError" in run.text("stderr")
    assert "/display.py" not in run.text("stderr")
    assert "total" in run.run.outputs


def test_frames_that_the_service_refuses_do_not_stop_the_run(service: FakeService, ended: Any) -> None:
    service.refuse_frames = True
    run = ended("print('much')\ntotal = 1", "total")
    assert run.code == 0
    assert run.frames == []
    assert "total" in run.run.outputs
    assert run.log.startswith("much\n")
