"""What comes from elsewhere is shown and does nothing."""

from __future__ import annotations

import base64
import html.parser
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.contract.jobs import JobState, JobView, Resources
from aiinfn_labext.markup import TAGS, clean_html
from aiinfn_labext.shown import JobTable, clean_bundle, clean_text, frame_text, job_line, traceback_lines

VIEW = JobView("id1", "fit", JobState.RUNNING, "", "local", "lhcb", "t4", Resources(), 1_700_000_000.0, started_at=1e9)


@pytest.mark.parametrize(
    ("text", "notebook", "terminal"),
    [
        pytest.param("\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m", "red", id="a colour"),
        pytest.param("\x1b[2Jx", "x", "x", id="clear the screen"),
        pytest.param("\x1b]0;title\x07x", "x", "x", id="set the title"),
        pytest.param("\x1b]52;c;ZXZpbA==\x1b\\x", "x", "x", id="write the clipboard"),
        pytest.param("\x1bP+q544e\x1b\\x", "x", "x", id="a device string"),
        pytest.param("\x9b2Jx", "2Jx", "2Jx", id="an eight-bit control sequence"),
        pytest.param("a\x08b\x00c\x7f", "abc", "abc", id="control characters"),
        pytest.param("50%\r100%\tdone\n", "50%\r100%\tdone\n", "50%\r100%\tdone\n", id="return, tab and newline stay"),
        pytest.param("\x1b", "", "", id="an escape alone"),
    ],
)
def test_control_sequences_do_not_reach_the_terminal(text: str, notebook: str, terminal: str) -> None:
    assert clean_text(text, colours=True) == notebook
    assert clean_text(text, colours=False) == terminal


@given(st.text(alphabet=st.sampled_from("\x1b[]0;m\x07\\PXab\x9b"), max_size=30))
def test_no_escape_survives_on_a_terminal(text: str) -> None:
    assert "\x1b" not in clean_text(text, colours=False)


@pytest.mark.parametrize(
    ("markup", "cleaned"),
    [
        ("<b>a</b> & <i>b</i>", "<b>a</b> &amp; <i>b</i>"),
        ("<script>alert(1)</script>x", "x"),
        ("<style>.jp-Cell { display: none }</style>x", "x"),
        ("<ScRiPt>alert(1)</sCrIpT >x", "x"),
        ("<script>never closed", ""),
        ("<b onclick=alert(1) style='position:fixed'>x</b>", "<b>x</b>"),
        ("<img src=x onerror=alert(1)>x", "<img>x"),
        ("<img src='http://tracker/pixel'>", "<img>"),
        ("<img src='data:image/png;base64,AAAA' width=10>", '<img src="data:image/png;base64,AAAA" width="10">'),
        ("<img src='data:image/svg+xml;base64,AAAA'>", "<img>"),
        ("<a href='javascript:alert(1)'>x</a>", "<a>x</a>"),
        ("<a href=' JAVA\tSCRIPT:alert(1)'>x</a>", "<a>x</a>"),
        ("<a href='https://infn.it/?a=1&b=\"'>x</a>", '<a href="https://infn.it/?a=1&amp;b=&quot;">x</a>'),
        ("<iframe src=//evil></iframe>x<object></object>", "x"),
        ("<svg><script>alert(1)</script></svg>x", "x"),
        ("<form action=//evil><input name=p></form>x", "x"),
        ("<math><mtext><table><mglyph><style><img src=x onerror=alert(1)>", ""),
        ("<!-- <b> --><![CDATA[x]]><?php x ?>y", "y"),
        ("&lt;script&gt;alert(1)&lt;/script&gt;", "&lt;script&gt;alert(1)&lt;/script&gt;"),
        ("<table border=1 class=dataframe><tr><td colspan=2>1</td></tr></table>",) * 2,
        ("<table class='jp-Dialog'><tr><td>1", "<table><tr><td>1</td></tr></table>"),
        ("<div>a</b></div></div>b", "<div>a</div>b"),
    ],
)
def test_html_keeps_its_meaning_and_loses_its_powers(markup: str, cleaned: str) -> None:
    assert clean_html(markup) == cleaned.replace("border=1 class=dataframe", 'border="1" class="dataframe"').replace(
        "colspan=2", 'colspan="2"'
    )


class Tags(html.parser.HTMLParser):
    def __init__(self, markup: str) -> None:
        super().__init__()
        self.found: list[tuple[str, Any]] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.found.append((tag, dict(attrs)))


PIECES = st.sampled_from(
    [
        "<",
        ">",
        "</",
        "/>",
        "script",
        "b",
        "a href=",
        "'",
        '"',
        "javascript:1",
        "onload=x",
        "svg",
        "style",
        "<!--",
        "-->",
        " ",
        "&lt;",
        "=",
        "table",
        "img src=",
    ]
)


@given(st.lists(PIECES, max_size=25).map("".join))
def test_no_markup_brings_more_than_is_allowed(markup: str) -> None:
    for tag, attributes in Tags(clean_html(markup)).found:
        assert tag in TAGS
        assert set(attributes) <= {
            "href",
            "src",
            "alt",
            "width",
            "height",
            "colspan",
            "rowspan",
            "scope",
            "border",
            "class",
            "start",
        }
        assert not attributes.get("href", "http").lower().startswith("javascript")


@given(st.text())
def test_text_stays_text(text: str) -> None:
    shown = Tags(clean_html(text.replace("<", "&lt;")))
    assert shown.found == []


PNG = base64.b64encode(b"\x89PNG...").decode()


@pytest.mark.parametrize(
    ("data", "kept"),
    [
        pytest.param({"text/plain": "a"}, {"text/plain": "a"}, id="text"),
        pytest.param({"text/plain": ["a", "b"]}, {"text/plain": "ab"}, id="text in lines"),
        pytest.param({"image/png": PNG}, {"image/png": PNG, "text/plain": ""}, id="a picture"),
        pytest.param({"image/png": "x'><script>"}, {"text/plain": ""}, id="a picture that is none"),
        pytest.param({"application/javascript": "alert(1)"}, {"text/plain": ""}, id="JavaScript"),
        pytest.param({"application/vnd.jupyter.widget-view+json": {}}, {"text/plain": ""}, id="a widget"),
        pytest.param({"text/html": "<b>x<script>y"}, {"text/html": "<b>x</b>", "text/plain": ""}, id="HTML"),
        pytest.param({"text/latex": "$x$", "text/plain": "x"}, {"text/plain": "x"}, id="another type: its text"),
        pytest.param("no bundle", {}, id="no bundle"),
    ],
)
def test_a_bundle_keeps_what_may_be_shown(data: Any, kept: dict[str, str]) -> None:
    assert clean_bundle(data) == kept


def test_svg_is_a_picture_and_no_markup() -> None:
    bundle = clean_bundle({"image/svg+xml": "<svg onload='alert(1)'/>"})
    assert list(bundle) == ["text/html", "text/plain"]
    assert bundle["text/html"].startswith('<img alt="" src="data:image/svg+xml;base64,')
    assert "onload" not in bundle["text/html"]


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        ({"output_type": "stream", "name": "stdout", "text": "\x1b[1ma\n"}, "a\n"),
        ({"output_type": "display_data", "data": {"image/png": PNG, "text/plain": "<Figure>"}}, "<Figure>\n"),
        ({"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["x", "\x1b[2JE: v"]}, "x\nE: v\n"),
        ({"output_type": "error", "ename": "E", "evalue": "v"}, "E: v\n"),
        ({"output_type": "comm_open", "data": {}}, ""),
        ({}, ""),
        ({"output_type": "stream", "text": {"not": "text"}}, ""),
    ],
)
def test_a_frame_on_a_terminal(frame: dict[str, Any], text: str) -> None:
    assert frame_text(frame) == text


def test_a_traceback_is_a_list_of_lines() -> None:
    assert traceback_lines({"traceback": ["a\nb", "c"]}) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({}, "fit · running · on local · t4"),
        ({"state": JobState.QUEUED, "reason": "place 2 of 3"}, "fit · queued · t4 · place 2 of 3"),
        ({"target": "here", "flavour": ""}, "fit · running · here"),
        ({"attempt": 2}, "fit · running · on local · t4 · attempt 2"),
        (
            {"state": JobState.FAILED, "finished_at": 1e9 + 90, "verdict": "E: \x1b[2Jx"},
            "fit · failed · on local · t4 · 1 min 30 s · E: x",
        ),
    ],
)
def test_a_job_in_one_line(changes: dict[str, Any], line: str) -> None:
    assert job_line(msgspec.structs.replace(VIEW, **changes)) == line


def test_a_table_has_a_row_a_job() -> None:
    done = msgspec.structs.replace(VIEW, state=JobState.FAILED, finished_at=1e9 + 5, verdict="<b>E</b>\nmore")
    table = JobTable([done])
    assert [line.split()[:2] for line in repr(table).splitlines()] == [["name", "state"], ["fit", "failed"]]
    assert table.bundle()["text/html"].count("<tr>") == 2
    assert "&lt;b&gt;E&lt;/b&gt; more" in table.bundle()["text/html"]


def test_an_empty_table_says_how_to_begin() -> None:
    assert "Put %%offload on the first line" in JobTable([]).bundle()["text/html"]
    assert repr(JobTable([], "No answer.")) == "No answer."
    assert repr(JobTable([VIEW], "Old.")).splitlines()[-1] == "Old."
