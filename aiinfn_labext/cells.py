"""Cells of the notebook that a kernel belongs to, by their tags: `%%offload --with load,features`."""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from aiinfn_hub.errors import InvalidInput

#: Set by the Jupyter server for the kernel of a notebook: its path.
SESSION = "JPY_SESSION_NAME"


def notebook_of(environ: Mapping[str, str]) -> Path:
    """The file of the notebook that this kernel was started for.

    Raises:
        InvalidInput: it was started for something else.
    """
    path = Path(environ.get(SESSION, ""))
    if path.suffix != ".ipynb":
        raise InvalidInput("This kernel belongs to no notebook, so there are no cells to run --with.")
    return path


def code_cells(notebook: Path) -> list[dict[str, Any]]:
    """The code cells of a notebook, as it was saved last.

    Raises:
        InvalidInput: it is no notebook.
    """
    try:
        cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
        return [cell for cell in cells if cell["cell_type"] == "code"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(f"{notebook} is no notebook that can be read: {error!r}.") from error


def tags_of(cell: Mapping[str, Any]) -> Sequence[str]:
    """The tags of a cell."""
    return list(cell.get("metadata", {}).get("tags", ()))


def plain(source: str, where: str) -> ast.Module:
    """A cell as Python.

    Raises:
        InvalidInput: it is none, or has lines with % and !.
    """
    strange = next((line for line in source.splitlines() if line.lstrip()[:1] in ("%", "!")), None)
    if strange is not None:
        raise InvalidInput(
            f"{where} is no plain Python: {strange.strip()[:60]}", hint="Lines with % and ! stay in the notebook."
        )
    try:
        return ast.parse(source)
    except SyntaxError as error:
        raise InvalidInput(f"{where} is no plain Python: {error.msg}, line {error.lineno}.") from error


def with_cells(notebook: Path, tags: Sequence[str], source: str) -> str:
    """A source behind all cells of a notebook that have one of these tags, in the order of the notebook.

    Raises:
        InvalidInput: no cell has a tag (the hint has the nearest), or one is no plain Python.
    """
    cells = code_cells(notebook)
    known = sorted({tag for cell in cells for tag in tags_of(cell)})
    for tag in tags:
        if tag not in known:
            near = get_close_matches(tag, known, n=1)
            there = f"Tags: {', '.join(known)}." if known else "No cell has a tag: the property inspector gives them."
            hint = f"Did you mean {near[0]}?" if near else there
            raise InvalidInput(f"No code cell of {notebook.name}, as last saved, has the tag {tag!r}.", hint=hint)
    parts = []
    for number, cell in enumerate(cells, 1):
        shared = [tag for tag in tags_of(cell) if tag in tags]
        if shared:
            text = "".join(cell["source"])
            plain(text, f"Cell {number} ({shared[0]})")
            parts.append(f"# {notebook.name}, cell {number}\n{text}")
    return "\n\n".join([*parts, source])
