"""Tracebacks as the person should see them: with the lines of their cell, without the runner's own frames."""

from __future__ import annotations

import linecache
import os
import traceback
from typing import Optional

from .frames import Frame

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep
MAX_LINES = 500


def remember_source(source: str, filename: str) -> None:
    """Let tracebacks find the lines of a source that is no file. Without a time, linecache never drops the entry."""
    linecache.cache[filename] = (len(source), None, source.splitlines(keepends=True), filename)


def error_frame(error: BaseException, name: str = "", value: Optional[str] = None, cell: str = "") -> Frame:
    """An exception as an nbformat `error` output; `name` and `value` replace its own.

    With `cell`, the name of a source, frames before the first one of it are left out: those of an event loop, say.
    """
    report = traceback.TracebackException(type(error), error, error.__traceback__)
    places = [frame.filename for frame in report.stack]
    if cell in places:
        report.stack = traceback.StackSummary.from_list(list(report.stack)[places.index(cell) :])
    _hide_runner(report)
    lines = "".join(report.format()).rstrip("\n").split("\n")
    if len(lines) > MAX_LINES:
        lines = [*lines[: MAX_LINES // 2], "  [...]", *lines[-MAX_LINES // 2 :]]
    if name:
        lines[-1] = "%s: %s" % (name, value)
    evalue = str(error) if value is None else value
    return {"output_type": "error", "ename": name or type(error).__name__, "evalue": evalue, "traceback": lines}


def _hide_runner(report: Optional[traceback.TracebackException]) -> None:
    while report is not None:
        kept = [frame for frame in report.stack if not frame.filename.startswith(_HERE)]
        report.stack = traceback.StackSummary.from_list(kept)
        _hide_runner(report.__cause__)
        report = report.__context__
