"""What a job has said, as a page shows it."""

from __future__ import annotations

from typing import Any

import pytest

from aiinfn_hub.panel.log import Part, parts, settled


def out(text: str, name: str = "stdout") -> dict[str, Any]:
    return {"output_type": "stream", "name": name, "text": text}


def shown(display_id: str = "", kind: str = "display_data", **data: Any) -> dict[str, Any]:
    known = {"transient": {"display_id": display_id}} if display_id else {}
    return {"output_type": kind, "data": {name.replace("_", "/"): value for name, value in data.items()}, **known}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain\n", "plain\n"),
        ("\x1b[31mred\x1b[0m and \x1b]0;title\x07more", "red and more"),
        ("0 %\r50 %\r100 %\ndone", "100 %\ndone"),
        ("a\r\nb\r\n", "a\nb\n"),
        ("100 %\r", "100 %"),
        ("", ""),
    ],
)
def test_text_is_as_a_terminal_shows_it_in_the_end(text: str, expected: str) -> None:
    assert settled(text) == expected


def test_text_is_joined_and_the_streams_are_told_apart() -> None:
    found = parts([out("a"), out("b\r"), out("c\n"), out("no\n", "stderr"), out("d")])
    assert found == [Part("text", "c\n"), Part("stderr", "no\n"), Part("text", "d")]


def test_a_picture_is_its_bytes_and_a_drawing_is_one_too() -> None:
    png, svg = parts([shown(image_png="aGk=", text_plain="<Figure>"), shown(**{"image_svg+xml": "<svg/>"})])
    assert (png.kind, png.text) == ("picture", "data:image/png;base64,aGk=")
    assert svg.text == "data:image/svg+xml;base64,PHN2Zy8+"


def test_a_display_is_shown_in_its_last_form_wherever_it_stands() -> None:
    frames = [
        shown("bar", text_plain="0 of 2"),
        out("between\n"),
        shown("bar", text_plain="0 of 2"),
        shown("bar", "update_display_data", text_plain="2 of 2"),
        shown("unknown", "update_display_data", text_plain="nothing"),
    ]
    assert [part.text for part in parts(frames)] == ["2 of 2\n", "between\n", "2 of 2\n"]


@pytest.mark.parametrize(("wait", "expected"), [(False, ["b"]), (True, ["b"])])
def test_what_was_cleared_is_gone(wait: bool, expected: list[str]) -> None:
    clear = {"output_type": "clear_output", "wait": wait}
    assert [part.text for part in parts([out("a"), clear, out("b")])] == expected
    assert [part.text for part in parts([out("a"), clear])] == (["a"] if wait else [])


def test_a_table_is_html_and_everything_else_is_escaped_text() -> None:
    table, text = parts([shown(text_html="<table></table>"), out("<script>")])
    assert (table.kind, str(table.text)) == ("html", "<table></table>")
    assert (text.kind, hasattr(text.text, "__html__")) == ("text", False)


def test_an_error_is_its_traceback_without_colours() -> None:
    (part,) = parts([{"output_type": "error", "traceback": ["\x1b[31mValueError\x1b[0m", "  x = 1"]}])
    assert part == Part("error", "ValueError\n  x = 1")
