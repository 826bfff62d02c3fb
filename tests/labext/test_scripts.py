"""Scripts and notebooks become one source that shows and raises what they would."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.fakeservice import FakeService

from aiinfn_hub.errors import InvalidInput
from aiinfn_labext.parsing import CellOptions
from aiinfn_labext.scripts import notebook_request


def written(folder: Path, *cells: Any, name: str = "train.ipynb") -> Path:
    """A notebook of these code cells; a pair has its tags too."""
    made = [(cell, ()) if isinstance(cell, str) else cell for cell in cells]
    body = [
        {
            "cell_type": "code",
            "source": source.splitlines(keepends=True),
            "metadata": {"tags": list(tags)},
            "outputs": [],
        }
        for source, tags in made
    ]
    text = {"cell_type": "markdown", "source": ["# %not code"], "metadata": {}}
    (folder / name).write_text(json.dumps({"cells": [text, *body], "nbformat": 4, "nbformat_minor": 5, "metadata": {}}))
    return folder / name


def ran(request: Any) -> list[Any]:
    """What the source shows."""
    shown: list[Any] = []
    exec(request.context + request.source, {"display": shown.append, "__name__": "__main__"})
    return shown


def test_each_cell_shows_its_value(tmp_path: Path) -> None:
    notebook = written(
        tmp_path,
        "%matplotlib inline\nx = 1",
        "x + 1",
        "x + 2;",
        "None",
        "print('\u00e9'); [x,\n  '\u00e9',\n]  # two lines",
        "if x:\n    x = 7",
        "",
        "x",
    )
    request = notebook_request(notebook, [], CellOptions())
    assert ran(request) == [2, [1, "\u00e9"], 7]
    assert (request.name, request.outputs) == ("train", [])


@pytest.mark.parametrize(
    ("given", "values"),
    [
        ([], (1, "a")),
        (["rate=0.5"], (0.5, "a")),
        (["rate=2", "name=my run", "name='1'"], (2, "1")),
        (["rate=[1, 2]"], ([1, 2], "a")),
        (["name=__import__('os').getcwd()"], (1, "__import__('os').getcwd()")),
    ],
)
def test_parameters_are_set_behind_the_cell_that_has_them(tmp_path: Path, given: list[str], values: Any) -> None:
    notebook = written(tmp_path, "import os", ("rate = 1\nname = 'a'", ["parameters"]), "(rate, name)")
    assert ran(notebook_request(notebook, given, CellOptions())) == [values]


def test_without_such_a_cell_they_come_first(tmp_path: Path) -> None:
    assert ran(notebook_request(written(tmp_path, "rate * 2"), ["rate=3"], CellOptions())) == [6]


@pytest.mark.parametrize(
    ("cells", "given", "message"),
    [
        (["x = 1", "!ls"], [], "Cell 2 is no plain Python: !ls"),
        (["%%bash\nls"], [], "Cell 1 is no plain Python: %%bash"),
        (["x = ("], [], "Cell 1 is no plain Python: .*, line 1"),
        (["x"], ["1x=2"], "'1x=2' is no parameter"),
        (["x"], ["x"], "'x' is no parameter"),
        ([], [], "no code cells"),
    ],
)
def test_what_cannot_run_is_named(tmp_path: Path, cells: list[str], given: list[str], message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        notebook_request(written(tmp_path, *cells), given, CellOptions())


@pytest.mark.parametrize("text", ["", "[]", '{"cells": [1]}', '{"cells": [{}]}'])
def test_a_file_that_is_no_notebook_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.ipynb").write_text(text)
    with pytest.raises(InvalidInput, match="is no notebook"):
        notebook_request(tmp_path / "a.ipynb", [], CellOptions())


def test_a_notebook_runs_elsewhere(notebook: Any, service: FakeService, tmp_path: Path) -> None:
    file = written(tmp_path, ("rate = 1", ["parameters"]), "rate * 2", "total = rate + 1\ntotal")
    notebook.run(f"%offload nb --out total --wait {file} -p rate=4")
    assert notebook.error is None
    assert notebook["total"] == 5
    assert [text for text in notebook.texts() if text.isdigit()] == ["8", "5"]
    notebook.run(f"%offload nb {file} rate=4")
    assert "parameters only" in str(notebook.error)
    assert service.run_of("train").request.outputs == ["total"]
