"""What a job has said, as parts of a page. Pure: frames in, in the order of their numbers, what is to be shown out.

The service has taken out of the frames what could run, load or cover something (`offload/outputs.py`).
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_]?)")
_PICTURES = ("image/png", "image/jpeg", "image/gif", "image/webp")


@dataclass(frozen=True)
class Part:
    """One output: `kind` is "text", "stderr", "error", "picture" (a data URL) or "html"."""

    kind: str
    text: str | Markup
    name: str = ""


def parts(frames: Iterable[Mapping[str, Any]]) -> list[Part]:
    """What a notebook would show in the end: text joined, displays in their last form, what was cleared gone."""
    found: list[Part] = []
    clear = False
    for frame in frames:
        kind = frame["output_type"]
        if kind == "clear_output":
            clear = bool(frame.get("wait"))
            found = found if clear else []
            continue
        part = _part(frame)
        if kind == "update_display_data":
            found = [part if part.name and one.name == part.name else one for one in found]
            continue
        if clear:
            found, clear = [], False
        if found and part.kind in ("text", "stderr") and found[-1].kind == part.kind and not part.name + found[-1].name:
            part = Part(part.kind, found.pop().text + part.text)
        found.append(part)
    return [Part(one.kind, settled(one.text), one.name) if one.kind in ("text", "stderr") else one for one in found]


def settled(text: str) -> str:
    """Text as a terminal shows it in the end: without colours, lines written over by what came behind a return."""
    plain = _ESCAPES.sub("", text).replace("\r\n", "\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in plain.split("\n"))


def _part(frame: Mapping[str, Any]) -> Part:
    kind = frame["output_type"]
    if kind == "stream":
        return Part("stderr" if frame.get("name") == "stderr" else "text", _text(frame.get("text")))
    if kind == "error":
        return Part("error", settled("\n".join(_text(line) for line in frame.get("traceback", []))))
    data, name = frame.get("data", {}), str(frame.get("transient", {}).get("display_id", ""))
    for picture in _PICTURES:
        if picture in data:
            return Part("picture", f"data:{picture};base64,{_text(data[picture])}", name)
    if "image/svg+xml" in data:  # as an image, a browser neither runs its scripts nor loads what it refers to
        svg = base64.b64encode(_text(data["image/svg+xml"]).encode()).decode("ascii")
        return Part("picture", f"data:image/svg+xml;base64,{svg}", name)
    if "text/html" in data:
        return Part("html", Markup(_text(data["text/html"])), name)  # noqa: S704  sanitised when it came
    return Part("text", _text(data.get("text/plain")) + "\n", name)


def _text(value: Any) -> str:
    # Where nbformat allows text, it allows a list of lines.
    return "".join(map(str, value)) if isinstance(value, list) else str(value or "")
