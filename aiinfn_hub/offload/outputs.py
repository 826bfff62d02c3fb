"""What a run shows, cleaned: known kinds of output, known MIME types, bounded sizes, no code. Pure.

A frame comes from a process that runs a person's code, perhaps on another site, and is shown inside that person's
JupyterLab, where HTML that carries a script would act with all their rights.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import nh3

from aiinfn_hub.errors import InvalidInput

Frame = dict[str, Any]

#: What a notebook may show of a run. No JavaScript, no widgets; a front end shows SVG as an image.
MIME_TYPES = frozenset(
    {
        "text/plain",
        "text/html",
        "text/markdown",
        "text/latex",
        "image/png",
        "image/jpeg",
        "image/gif",
        "image/webp",
        "image/svg+xml",
    }
)
#: Bytes of one frame as JSON; the runner makes none as large.
MAX_FRAME_BYTES = 8 * 1024**2
MAX_LINES = 2000
_SEPARATE_TAGS = frozenset({"style", "script", "template", "noscript"})
_TABLE_ATTRIBUTES = {"border", "class", "colspan", "rowspan", "align", "title", "alt", "width", "height", "scope"}


def clean(frame: Mapping[str, Any], run_id: str) -> Frame | None:
    """The frame with nothing in it but what is known, or None if nothing is left.

    Raises:
        InvalidInput: it is no nbformat output, or too large.
    """
    kind = frame.get("output_type")
    rule = _RULES.get(kind) if isinstance(kind, str) else None
    if rule is None:
        raise InvalidInput(f"{str(kind)[:40]!r} is no kind of output.", hint=f"Kinds: {', '.join(_RULES)}.")
    cleaned = rule(frame)
    if cleaned is None:
        return None
    display = _display_id(frame, run_id)
    found = {"output_type": kind, **cleaned, **({"transient": {"display_id": display}} if display else {})}
    if size(found) > MAX_FRAME_BYTES:
        raise InvalidInput(f"An output is larger than {MAX_FRAME_BYTES // 1024**2} MiB.")
    return found


def size(frame: Mapping[str, Any]) -> int:
    """Bytes that a frame takes."""
    return len(json.dumps(frame))


def notice(text: str) -> Frame:
    """A line of ours among the outputs."""
    return {"output_type": "stream", "name": "stderr", "text": f"[aiinfn: {text}]\n"}


def _text(value: Any) -> str:
    """Text that any encoder takes: half a surrogate pair becomes a question mark. nbformat may split it into lines."""
    text = "".join(str(line) for line in value) if isinstance(value, list) else str(value)
    return text.encode("utf-8", "replace").decode()


def _stream(frame: Mapping[str, Any]) -> Frame:
    return {"name": "stderr" if frame.get("name") == "stderr" else "stdout", "text": _text(frame.get("text", ""))}


def _display(frame: Mapping[str, Any]) -> Frame | None:
    data = frame.get("data")
    if not isinstance(data, Mapping):
        raise InvalidInput("A display without data.")
    texts = {kind: _text(value) for kind, value in data.items() if kind in MIME_TYPES}
    if "text/html" in texts:
        texts["text/html"] = clean_html(texts["text/html"])
    if not _harmless_markdown(texts.get("text/markdown", "")):
        del texts["text/markdown"]
    if not texts:
        return None
    return {"data": texts, "metadata": _metadata(frame.get("metadata"), texts)}


def _harmless_markdown(text: str) -> bool:
    """Markdown may hold HTML and addresses that run code, and a front end shows what a live cell brings unfiltered.

    Cleaning it would need the front end's own parser, so what could hold either is left to its plain text.
    """
    folded = text.casefold()
    return not any(part in folded for part in ("<", "&", "javascript", "vbscript", "data:", "data\\:"))


def clean_html(html: str) -> str:
    """Tables, text and pictures; no scripts, no handlers, no styles, nothing fetched from elsewhere."""
    return nh3.clean(
        html,
        attributes={"*": _TABLE_ATTRIBUTES, "img": {"src", *_TABLE_ATTRIBUTES}, "a": {"href", *_TABLE_ATTRIBUTES}},
        attribute_filter=_local_pictures,
        clean_content_tags=set(_SEPARATE_TAGS),
        url_schemes={"http", "https", "data", "mailto"},
        link_rel="noopener noreferrer nofollow",
    )


def _local_pictures(_tag: str, attribute: str, value: str) -> str | None:
    """A picture brings its bytes along: one fetched from elsewhere would tell somebody who looks, and when."""
    if attribute == "src":
        return value if value.startswith("data:image/") else None
    if attribute == "href" and value.lstrip().lower().startswith("data:"):
        return None
    return value


def _metadata(metadata: Any, data: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes of pictures; nothing else has a meaning here ("isolated" frames, for instance, would run scripts)."""
    if not isinstance(metadata, Mapping):
        return {}
    found = {}
    for kind in data:
        about = metadata.get(kind)
        if isinstance(about, Mapping):
            sizes = {key: about[key] for key in ("width", "height") if isinstance(about.get(key), int)}
            found.update({kind: sizes} if sizes else {})
    return found


def _result(frame: Mapping[str, Any]) -> Frame | None:
    shown = _display(frame)
    return {**shown, "execution_count": None} if shown is not None else None


def _error(frame: Mapping[str, Any]) -> Frame:
    lines = frame.get("traceback")
    return {
        "ename": _text(frame.get("ename", "Error"))[:200],
        "evalue": _text(frame.get("evalue", ""))[:10_000],
        "traceback": [_text(line) for line in lines[:MAX_LINES]] if isinstance(lines, list) else [],
    }


def _clear(frame: Mapping[str, Any]) -> Frame:
    return {"wait": bool(frame.get("wait", False))}


def _display_id(frame: Mapping[str, Any], run_id: str) -> str:
    """Of this run: a job must not write over the displays of another one, or of the notebook itself."""
    transient = frame.get("transient")
    name = transient.get("display_id") if isinstance(transient, Mapping) else None
    return f"aiinfn-{run_id}-{_text(name[:100])}" if isinstance(name, str) and name else ""


_RULES: dict[str, Callable[[Mapping[str, Any]], Frame | None]] = {
    "stream": _stream,
    "display_data": _display,
    "update_display_data": _display,
    "execute_result": _result,
    "clear_output": _clear,
    "error": _error,
}
