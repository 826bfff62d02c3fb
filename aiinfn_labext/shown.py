"""What comes back from a job, made safe to show: frames in a notebook, text on a terminal, tables of jobs.

A frame was written by code that ran elsewhere: pictures, text and cleaned HTML are shown; nothing of it runs here.
"""

from __future__ import annotations

import base64
import html
import re
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from aiinfn_hub.contract.jobs import JobState, JobView, Waiting
from aiinfn_hub.contract.quantities import format_duration
from aiinfn_labext.markup import clean_html

_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")
#: Colours are kept in a notebook; every other control sequence and character goes, but for tab, newline, return.
_ESCAPES = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[PX^_][^\x1b]*(?:\x1b\\)?|[@-Z\\-_]?)"
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f-\x9f]")


def clean_text(text: Any, *, colours: bool) -> str:
    """Text without what could act on a terminal; in a notebook colours may stay."""

    def keep(match: re.Match[str]) -> str:
        return match[0] if colours and _COLOUR.fullmatch(match[0]) else ""

    return _CONTROLS.sub("", _ESCAPES.sub(keep, str(text)))


def clean_bundle(data: Any) -> dict[str, str]:
    """The part of a MIME bundle that may be shown: pictures, cleaned HTML, plain text; SVG as a picture."""
    if not isinstance(data, dict):
        return {}
    kept: dict[str, str] = {}
    for kind in ("image/png", "image/jpeg"):
        picture = _text(data.get(kind))
        if picture and _BASE64.fullmatch(picture):
            kept[kind] = picture
    if "text/html" in data:
        kept["text/html"] = clean_html(_text(data["text/html"]))
    elif "image/svg+xml" in data and not kept:
        svg = base64.b64encode(_text(data["image/svg+xml"]).encode()).decode("ascii")
        # In an <img>, a browser neither runs its scripts nor loads what it refers to.
        kept["text/html"] = f'<img alt="" src="data:image/svg+xml;base64,{svg}">'
    kept["text/plain"] = clean_text(_text(data.get("text/plain")), colours=True)
    return kept


def traceback_lines(frame: dict[str, Any]) -> list[str]:
    """The lines of an `error` frame."""
    lines = frame.get("traceback")
    text = "\n".join(map(str, lines)) if isinstance(lines, list) else f"{frame.get('ename')}: {frame.get('evalue')}"
    return clean_text(text, colours=True).split("\n")


def frame_text(frame: dict[str, Any]) -> str:
    """A frame as text for a terminal: no colours, a picture by its plain text."""
    kind = frame.get("output_type")
    if kind == "stream":
        return clean_text(_text(frame.get("text")), colours=False)
    if kind == "error":
        return clean_text("\n".join(traceback_lines(frame)), colours=False) + "\n"
    if kind in ("display_data", "execute_result"):
        return clean_text(clean_bundle(frame.get("data")).get("text/plain", ""), colours=False) + "\n"
    return ""


def waiting_words(waiting: Waiting) -> list[str]:
    """The place in the queue, and when such jobs have started."""
    place = f"place {waiting.place} of {waiting.number}"
    if waiting.early is None or waiting.late is None:
        return [place, f"too few like it to say when ({waiting.cases})"]
    early, late = (time.strftime("%H:%M", time.localtime(moment)) for moment in (waiting.early, waiting.late))
    return [place, f"usually starts {early} to {late} (of {waiting.cases})"]


def job_line(view: JobView) -> str:
    """One line about a job: name, state, where, since when, why."""
    parts = [view.name, view.state.value]
    if view.state not in (JobState.STAGING, JobState.QUEUED) and view.target:
        parts.append(f"on {view.target}" if view.target != "here" else "here")
    if view.flavour:
        parts.append(view.flavour)
    if view.waiting is not None:
        parts += waiting_words(view.waiting)
    if view.attempt > 1:
        parts.append(f"attempt {view.attempt}")
    if view.finished_at is not None and view.started_at is not None:
        parts.append(format_duration(view.finished_at - view.started_at))
    parts += measured(view)
    reason = view.verdict or view.reason
    return clean_text(" · ".join([*parts, reason] if reason else parts), colours=False)


def measured(view: JobView) -> list[str]:
    """What the code of a job has measured, such as "loss 0.25"."""
    return [f"{name} {'nan' if number is None else format(number, '.6g')}" for name, number in view.metrics.items()]


class JobTable:
    """A table of jobs: text on a terminal, HTML in a notebook."""

    HEAD = ("name", "state", "where", "flavour", "submitted", "took", "note")

    def __init__(self, views: Sequence[JobView], note: str = "") -> None:
        entries: dict[str, list[JobView]] = {}
        for view in views:  # a sweep is one row
            entries.setdefault(view.sweep or view.id, []).append(view)
        self._rows = [_swept(jobs) if jobs[0].sweep else _row(jobs[0]) for jobs in entries.values()]
        self._note = note

    def __repr__(self) -> str:
        if not self._rows:
            return self._note or "No jobs yet. Put %%offload on the first line of a cell to run it elsewhere."
        widths = [max(map(len, column)) for column in zip(self.HEAD, *self._rows, strict=True)]
        lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in self]
        return "\n".join([*lines, self._note] if self._note else lines)

    def bundle(self) -> dict[str, str]:
        """Both forms, by MIME type."""
        return {"text/plain": repr(self), "text/html": self._repr_html_()}

    def _repr_html_(self) -> str:
        if not self._rows:
            return f"<p>{html.escape(repr(self))}</p>"
        head, *rows = ("".join(f"<td>{html.escape(cell)}</td>" for cell in row) for row in self)
        body = "".join(f"<tr>{row}</tr>" for row in rows)
        head = head.replace("td>", "th>")
        note = f"<p>{html.escape(self._note)}</p>" if self._note else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{note}"

    def __iter__(self) -> Any:
        return iter([self.HEAD, *self._rows])


def _row(view: JobView) -> tuple[str, ...]:
    took = ""
    if view.started_at is not None:
        took = format_duration((view.finished_at or time.time()) - view.started_at)
    submitted = time.strftime("%Y-%m-%d %H:%M", time.localtime(view.submitted_at))
    note = view.verdict or view.reason
    cells: Iterable[str] = (view.name, view.state.value, view.target, view.flavour, submitted, took, note)
    return tuple(clean_text(cell, colours=False).replace("\n", " ")[:100] for cell in cells)


def _swept(jobs: Sequence[JobView]) -> tuple[str, ...]:
    """The row of a sweep, as much of it as the list has."""
    first, counts = jobs[0], Counter(job.state.value for job in jobs)
    name = first.name.rpartition("-")[0]
    state = ", ".join(f"{count} {word}" for word, count in counts.items())
    _, _, where, flavour, submitted, _, _ = _row(first)
    return name, state, where, flavour, submitted, "", f"a sweep: %offload table {name}"


def _text(value: Any) -> str:
    # Where nbformat allows text, it allows a list of lines.
    if isinstance(value, list):
        return "".join(map(str, value))
    return value if isinstance(value, str) else ""
