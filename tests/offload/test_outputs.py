from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.offload.outputs import MAX_FRAME_BYTES, MIME_TYPES, clean, clean_html, notice

RUN = "01run"


def shown(**data: Any) -> dict[str, Any]:
    return {"output_type": "display_data", "data": data, "metadata": {}}


def kept(**data: Any) -> dict[str, Any]:
    found = clean(shown(**data), RUN)
    assert found is not None
    result: dict[str, Any] = found["data"]
    return result


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        pytest.param(
            {"output_type": "stream", "name": "stdout", "text": "a\n", "seq": 4, "evil": 1},
            {"output_type": "stream", "name": "stdout", "text": "a\n"},
            id="a stream keeps its text and nothing unknown",
        ),
        pytest.param(
            {"output_type": "stream", "name": "stdin", "text": ["a", "b"]},
            {"output_type": "stream", "name": "stdout", "text": "ab"},
            id="lines are joined, an unknown stream is stdout",
        ),
        pytest.param(
            {"output_type": "clear_output", "wait": 1}, {"output_type": "clear_output", "wait": True}, id="clearing"
        ),
        pytest.param(
            {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["l", 3]},
            {"output_type": "error", "ename": "E", "evalue": "v", "traceback": ["l", "3"]},
            id="an error",
        ),
        pytest.param(
            {"output_type": "execute_result", "data": {"text/plain": "7"}, "execution_count": 5},
            {"output_type": "execute_result", "data": {"text/plain": "7"}, "metadata": {}, "execution_count": None},
            id="a result",
        ),
    ],
)
def test_known_outputs_keep_what_is_known(frame: dict[str, Any], expected: dict[str, Any]) -> None:
    assert clean(frame, RUN) == expected


@pytest.mark.parametrize(
    "mime",
    [
        "application/javascript",
        "text/javascript",
        "application/vnd.jupyter.widget-view+json",
        "application/vnd.plotly.v1+json",
        "application/vnd.vega.v5+json",
        "application/pdf",
        "text/html; charset=utf-8",
        "TEXT/HTML",
    ],
)
def test_a_type_that_is_not_on_the_list_is_dropped(mime: str) -> None:
    assert kept(**{mime: "alert(1)", "text/plain": "plain"}) == {"text/plain": "plain"}


def test_a_display_of_nothing_known_is_no_frame() -> None:
    assert clean(shown(**{"application/javascript": "alert(1)"}), RUN) is None


@pytest.mark.parametrize(
    ("html", "gone"),
    [
        pytest.param("<script>alert(1)</script><b>x</b>", "alert", id="a script with its content"),
        pytest.param("<b onclick='alert(1)'>x</b>", "onclick", id="a handler"),
        pytest.param("<a href='javascript:alert(1)'>x</a>", "javascript", id="an address that runs code"),
        pytest.param("<a href='data:text/html,<script>1</script>'>x</a>", "data:", id="a page inside an address"),
        pytest.param("<a href='JaVa\tScRiPt:alert(1)'>x</a>", "alert", id="the same, disguised"),
        pytest.param("<iframe src='https://evil.example.org'></iframe>x", "iframe", id="a frame"),
        pytest.param("<img src='https://evil.example.org/p.png'>x", "evil", id="a picture that calls home"),
        pytest.param("<svg onload='alert(1)'></svg>x", "onload", id="a drawing with a handler"),
        pytest.param("<style>body{display:none}</style>x", "display", id="a style with its content"),
        pytest.param("<div style='position:fixed'>x</div>", "position", id="an overlay"),
        pytest.param("<form action='https://evil.example.org'><input>x</form>", "action", id="a form"),
        pytest.param("<base href='https://evil.example.org'>x", "base", id="another base for addresses"),
        pytest.param("<meta http-equiv=refresh content='0;url=x'>x", "refresh", id="a redirect"),
        pytest.param("<math><mtext><script>alert(1)</script></mtext></math>x", "script", id="a script in a formula"),
    ],
)
def test_html_cannot_act(html: str, gone: str) -> None:
    found = kept(**{"text/html": html})["text/html"]
    assert gone.lower() not in found.lower()
    assert "x" in found


def test_a_table_and_a_picture_survive() -> None:
    table = '<table border="1" class="dataframe"><tbody><tr><th>a</th><td>1</td></tr></tbody></table>'
    assert clean_html(table) == table
    assert 'src="data:image/png;base64,AAAA"' in clean_html('<img src="data:image/png;base64,AAAA">')


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "[x](javascript:alert(1))",
        "[x](JAVASCRIPT\\:alert(1))",
        "[x](&#106;avascript:alert(1))",
        "[x](data:text/html,1)",
    ],
)
def test_markdown_that_could_act_is_left_to_its_plain_text(text: str) -> None:
    assert kept(**{"text/markdown": text, "text/plain": "plain"}) == {"text/plain": "plain"}


def test_plain_markdown_stays() -> None:
    text = "# Fit\n\n* chi2 = 1.2\n* [paper](https://arxiv.org)"
    assert kept(**{"text/markdown": text})["text/markdown"] == text


def test_a_display_id_is_of_its_run() -> None:
    frame = shown(**{"text/plain": "x"}) | {"transient": {"display_id": "abc"}}
    assert (clean(frame, RUN) or {})["transient"] == {"display_id": "aiinfn-01run-abc"}


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"image/png": {"width": 3, "height": 4}}, {"image/png": {"width": 3, "height": 4}}),
        ({"image/png": {"width": "3", "isolated": True}}, {}),
        ({"text/html": {"isolated": True}}, {}),
        ({"image/png": {"width": float("nan")}}, {}),
        ("nonsense", {}),
    ],
)
def test_metadata_are_sizes_and_nothing_else(metadata: Any, expected: dict[str, Any]) -> None:
    frame = shown(**{"image/png": "AAAA", "text/html": "x"}) | {"metadata": metadata}
    assert (clean(frame, RUN) or {})["metadata"] == expected


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param({"output_type": "comm_open"}, id="a widget's channel"),
        pytest.param({"output_type": ["stream"]}, id="a kind that is no text"),
        pytest.param({}, id="no kind"),
        pytest.param({"output_type": "display_data", "data": "x"}, id="data that are no bundle"),
        pytest.param({"output_type": "stream", "text": "x" * MAX_FRAME_BYTES}, id="more than a frame may have"),
    ],
)
def test_what_is_no_output_is_refused(frame: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        clean(frame, RUN)


def test_half_a_surrogate_pair_becomes_a_question_mark() -> None:
    assert (clean({"output_type": "stream", "text": "a\udc80b"}, RUN) or {})["text"] == "a?b"


def test_our_own_lines_say_so() -> None:
    assert notice("hello")["text"] == "[aiinfn: hello]\n"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=20), inner, max_size=3),
    max_leaves=10,
)
KINDS = st.sampled_from(["stream", "display_data", "execute_result", "update_display_data", "error", "clear_output"])
FRAMES = st.fixed_dictionaries(
    {"output_type": KINDS},
    optional={
        "data": st.dictionaries(st.sampled_from([*MIME_TYPES, "application/javascript"]), JSON, max_size=4) | JSON,
        "metadata": JSON,
        "text": JSON,
        "name": JSON,
        "traceback": JSON,
        "ename": JSON,
        "evalue": JSON,
        "transient": JSON | st.fixed_dictionaries({"display_id": JSON}),
        "wait": JSON,
    },
)


@given(FRAMES)
def test_whatever_comes_leaves_as_strict_json_of_known_keys(frame: dict[str, Any]) -> None:
    try:
        found = clean(frame, RUN)
    except InvalidInput:
        return
    if found is not None:
        json.dumps(found, allow_nan=False).encode("utf-8")
        assert set(found.get("data", {})) <= MIME_TYPES
        assert "<script" not in str(found.get("data", {}).get("text/html", "")).lower()
        assert clean(found, "x") is not None, "cleaning again finds nothing to refuse"
