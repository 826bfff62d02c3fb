"""Scripts and notebooks of the session as jobs: their source, with what they are given where they look for it."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from pathlib import Path

from aiinfn_hub.contract.jobs import JOB_NAME, JobRequest
from aiinfn_hub.contract.sweeps import POINT
from aiinfn_hub.errors import InvalidInput
from aiinfn_labext.cells import code_cells, plain, tags_of
from aiinfn_labext.parsing import CellOptions


def script_request(script: Path, arguments: Sequence[str], options: CellOptions) -> JobRequest:
    """What runs a script elsewhere, as `python SCRIPT ARGUMENTS` would; for a point of a sweep, with `--lr 0.1` behind.

    Raises:
        InvalidInput: it cannot be read, or gives no name to the job.
    """
    try:
        source = script.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"{script} cannot be read: {error}.") from error
    context = f"import sys\n\nsys.argv = {[script.name, *arguments]!r}\n"
    if options.points:
        context += f"for __name, __value in {POINT}.items():\n    sys.argv += [f'--{{__name}}', str(__value)]\n"
    return _request(script, source, context, options)


def _request(file: Path, source: str, context: str, options: CellOptions) -> JobRequest:
    name = options.name or file.stem
    if JOB_NAME.fullmatch(name) is None:
        raise InvalidInput(f"{name!r} is not a job name.", hint="Give one: letters, digits, - and _, a letter first.")
    return JobRequest(
        name=name,
        source=source,
        context=context,
        outputs=list(options.outputs),
        resources=options.resources,
        target=options.target,
        image=options.image,
        token=options.token,
        on_evict=options.on_evict,
        drift=options.drift,
    )


def notebook_request(notebook: Path, parameters: Sequence[str], options: CellOptions) -> JobRequest:
    """What runs the code cells of a notebook elsewhere, one after the other, and shows what each of them shows.

    `parameters` are written as NAME=VALUE, VALUE as Python writes it or a plain word; they are set behind the cell with
    the tag "parameters", as papermill has it, or before the first one. The values of a point are set there too.

    Raises:
        InvalidInput: it is no notebook, a cell is no plain Python, or a parameter is none.
    """
    codes = code_cells(notebook)
    lines = [_parameter(one) for one in parameters]
    given = "\n".join([*lines, f"globals().update({POINT})"] if options.points else lines)
    parts: list[str] = []
    place = 0
    for number, cell in enumerate(codes, 1):
        parts.append(f"# {notebook.name}, cell {number}\n{_shown(''.join(cell['source']), number)}")
        if "parameters" in tags_of(cell):
            place = len(parts)
    if given:
        parts.insert(place, f"# Parameters\n{given}")
    if not parts:
        raise InvalidInput(f"{notebook} has no code cells.")
    # The last value is shown by its cell; behind it comes nothing that would be shown again.
    return _request(notebook, "\n\n".join([*parts, "None"]), _SHOW, options)


#: A notebook shows the value of each cell, a script only of its last line.
_SHOW = "def __show__(value):\n    if value is not None:\n        display(value)\n"
#: What makes a notebook nice to work in, and nothing in a job.
_DROPPED = ("%matplotlib", "%load_ext", "%autoreload", "%reload_ext", "%config")


def _shown(source: str, number: int) -> str:
    lines = ["pass  # " + line if line.strip().startswith(_DROPPED) else line for line in source.splitlines()]
    source = "\n".join(lines)
    body = plain(source, f"Cell {number}").body
    if not body or not isinstance(body[-1], ast.Expr) or source.rstrip().endswith(";"):
        return source
    value = ast.get_source_segment(source, body[-1].value) or ""
    before = source.encode().splitlines(keepends=True)
    start = b"".join(before[: body[-1].lineno - 1]) + before[body[-1].lineno - 1][: body[-1].col_offset]
    return f"{start.decode()}__show__({value})"


def _parameter(text: str) -> str:
    name, equals, value = text.partition("=")
    if not equals or not name.isidentifier():
        raise InvalidInput(f"{text!r} is no parameter.", hint="Write -p NAME=VALUE.")
    try:
        return f"{name} = {ast.literal_eval(value)!r}"
    except (ValueError, SyntaxError):
        return f"{name} = {value!r}"
