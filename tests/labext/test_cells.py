"""Tagged cells that run before the one that is sent."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aiinfn_hub.errors import InvalidInput
from aiinfn_labext.cells import SESSION, notebook_of, with_cells


def cell(source: str, *tags: str, kind: str = "code") -> dict[str, Any]:
    return {"cell_type": kind, "source": source.splitlines(keepends=True), "metadata": {"tags": list(tags)}}


@pytest.fixture
def notebook(tmp_path: Path) -> Path:
    cells = [
        cell("import math"),
        cell("data = [1, 2]\nmore = 3", "load"),
        cell("# a title", "load", kind="markdown"),
        cell("%time x", "slow"),
        cell("total = sum(data)", "features", "load"),
        cell("x = (", "broken"),
    ]
    path = tmp_path / "fit.ipynb"
    path.write_text(json.dumps({"cells": cells}))
    return path


def test_they_come_in_the_order_of_the_notebook_and_once(notebook: Path) -> None:
    found = with_cells(notebook, ["features", "load"], "print(total)")
    assert found == (
        "# fit.ipynb, cell 2\ndata = [1, 2]\nmore = 3\n\n# fit.ipynb, cell 4\ntotal = sum(data)\n\nprint(total)"
    )


@pytest.mark.parametrize(
    ("tag", "said"),
    [
        ("lode", "Did you mean load?"),
        ("zzz", "Tags: broken, features, load, slow."),
        ("slow", "Cell 3 (slow) is no plain Python: %time x"),
        ("broken", "Cell 5 (broken) is no plain Python"),
    ],
)
def test_what_cannot_go_first_says_why(notebook: Path, tag: str, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        with_cells(notebook, [tag], "1")
    assert said in refused.value.message + refused.value.hint


def test_a_notebook_without_tags_says_where_they_are_made(tmp_path: Path) -> None:
    path = tmp_path / "x.ipynb"
    path.write_text(json.dumps({"cells": [{"cell_type": "code", "source": "1"}]}))
    with pytest.raises(InvalidInput) as refused:
        with_cells(path, ["load"], "1")
    assert "property inspector" in refused.value.hint


@pytest.mark.parametrize("session", ["", "/home/a/console-1", "/home/a/x.py"])
def test_a_kernel_of_no_notebook_has_no_cells(session: str) -> None:
    with pytest.raises(InvalidInput, match="belongs to no notebook"):
        notebook_of({SESSION: session} if session else {})


def test_a_notebook_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="is no notebook that can be read"):
        with_cells(notebook_of({SESSION: str(tmp_path / "gone.ipynb")}), ["load"], "1")
