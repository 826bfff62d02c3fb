"""Tracebacks with the person's lines, without ours; and the cell that they come from."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from aiinfn_hub.contract.run import execute, traces
from aiinfn_hub.contract.run.execute import Cell
from aiinfn_hub.contract.run.traces import error_frame


@pytest.fixture(autouse=True)
def _main(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A cell becomes `__main__`; afterwards pytest is again."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


def run(source: str, **values: Any) -> tuple[Cell, list[Any]]:
    cell, results = Cell(source, "<offload test>", values), []
    cell.run(results.append)
    return cell, results


def error(source: str) -> list[str]:
    try:
        run(source)
    except BaseException as found:  # noqa: BLE001  whatever the cell raises
        return list(error_frame(found, cell="<offload test>")["traceback"])
    raise AssertionError("it did not raise")


def test_a_cell_has_its_values_and_leaves_its_names() -> None:
    cell, results = run("y = x + 1\ny * 2", x=20)
    assert results == [42]
    assert (cell.names["y"], cell.names["__name__"]) == (21, "__main__")


CONTEXT = """import math

rate = 3

def area(r):
    return math.floor(rate * r * r)

def broken(r):
    return 1 / r
"""


def test_definitions_of_the_notebook_share_the_names_of_the_cell() -> None:
    cell, results = Cell("rate = scale\narea(10)", "<offload test>", {"scale": 2}, CONTEXT), []
    cell.run(results.append)
    assert results == [200], "what the cell assigns, its functions see"


def test_their_lines_are_in_the_traceback() -> None:
    cell = Cell("broken(0)", "<offload test>", {}, CONTEXT)
    with pytest.raises(ZeroDivisionError) as raised:
        cell.run(print)
    text = "\n".join(error_frame(raised.value, cell="<offload test>")["traceback"])
    assert 'notebook.py", line 9, in broken' in text
    assert "return 1 / r" in text


def test_a_worker_that_is_started_anew_finds_them(tmp_path: Path) -> None:
    """As a loader of data starts them where fork is not safe: the worker imports `__main__` by its file."""
    source = """import multiprocessing
with multiprocessing.get_context("spawn").Pool(1) as pool:
    print(pool.map(area, [1, 2]))
"""
    program = f"""from aiinfn_hub.contract.run.execute import Cell
Cell({source!r}, "<offload test>", {{}}, {CONTEXT!r}).run(print)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "[3, 12]\n", done.stderr


def test_functions_of_a_cell_can_be_pickled() -> None:
    cell, results = run("import pickle\ndef f():\n    return 7\npickle.loads(pickle.dumps(f))()")
    assert results == [7]
    assert sys.modules["__main__"] is cell.module


def test_our_own_future_is_not_the_person_s() -> None:
    _, results = run("def f(x: 1 + 1): ...\nf.__annotations__['x']")
    assert results == [2]
    assert "annotations" in vars(execute)


def test_the_person_s_own_future_is() -> None:
    _, results = run("from __future__ import annotations\ndef f(x: 1 + 1): ...\nf.__annotations__['x']")
    assert results == ["1 + 1"]


@pytest.mark.parametrize("source", ["", "x = 1", "# only a comment", "None", "1;"])
def test_no_value_is_no_result(source: str) -> None:
    assert run(source)[1] == []


def test_two_awaits_share_a_loop_that_is_closed_afterwards() -> None:
    source = """import asyncio
loop = asyncio.get_running_loop()
await asyncio.sleep(0)
await asyncio.sleep(0, loop is asyncio.get_running_loop())"""
    cell, results = run(source)
    assert results == [True]
    assert cell.names["loop"].is_closed()


def test_the_lines_of_the_cell_are_shown_and_ours_are_not() -> None:
    lines = error("def f():\n    return [][0]\n\nf()")
    assert lines[0] == "Traceback (most recent call last):"
    assert [line for line in lines if line.startswith("  File")] == [
        '  File "<offload test>", line 4, in <module>',
        '  File "<offload test>", line 2, in f',
    ]
    assert "    return [][0]" in lines
    assert lines[-1] == "IndexError: list index out of range"


def test_frames_of_libraries_stay() -> None:
    lines = error("import json\njson.loads('{')")
    assert any("json/decoder.py" in line for line in lines)


@pytest.mark.parametrize(
    ("source", "word"),
    [
        ("try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ValueError('b') from e", "direct cause"),
        ("try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise ValueError('b')", "During handling"),
    ],
)
def test_what_came_before_is_told(source: str, word: str) -> None:
    text = "\n".join(error(source))
    assert word in text
    assert text.count("    1 / 0") == 1
    assert text.endswith("ValueError: b")


def test_an_endless_recursion_is_short() -> None:
    lines = error("def f():\n    f()\nf()")
    assert len(lines) < 50
    assert lines[-1].startswith("RecursionError")


def test_a_long_traceback_keeps_both_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(traces, "MAX_LINES", 10)
    lines = error("raise ValueError('\\n'.join(map(str, range(100))))")
    assert len(lines) == 11
    assert lines[0].startswith("Traceback")
    assert lines[-1] == "99"


def test_another_name_can_be_given() -> None:
    try:
        run("raise KeyboardInterrupt")
    except KeyboardInterrupt as found:
        frame = error_frame(found, "TimeLimitExceeded", "It was over.", "<offload test>")
    assert (frame["ename"], frame["evalue"]) == ("TimeLimitExceeded", "It was over.")
    assert frame["traceback"][-1] == "TimeLimitExceeded: It was over."
