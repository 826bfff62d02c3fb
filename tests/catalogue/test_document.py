"""YAML with line numbers, and the mistakes of YAML itself."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.catalogue.document import Document, read_document, spell

TEXT = """\
# a comment
name: x
list:
  - a: 1
  -
    b:
      - 2
      - {c: 3,
         d: 4}
"""


@pytest.mark.parametrize(
    ("location", "line"),
    [
        ((), 2),
        (("name",), 2),
        (("list",), 3),
        (("list", 0), 4),
        (("list", 0, "a"), 4),
        (("list", 1), 6),
        (("list", 1, "b"), 6),
        (("list", 1, "b", 0), 7),
        (("list", 1, "b", 1, "d"), 9),
        (("list", 1, "missing"), 6),
        (("missing", 3, "deep"), 2),
    ],
)
def test_each_location_has_its_line_and_what_is_missing_that_of_what_is_around(
    location: tuple[str | int, ...], line: int
) -> None:
    assert read_document(TEXT).line(location) == line


def test_the_data_are_plain() -> None:
    assert read_document(TEXT).data == {"name": "x", "list": [{"a": 1}, {"b": [2, {"c": 3, "d": 4}]}]}


def test_a_key_written_twice_is_found_wherever_it_is() -> None:
    document = read_document("a: 1\nb:\n  - c: 1\n    c: 2\na: 3\na: 4\n")
    assert [(finding.location, finding.message, finding.line) for finding in document.findings] == [
        (("b", 0, "c"), "is written twice; the first is on line 3", 4),
        (("a",), "is written twice; the first is on line 1", 5),
        (("a",), "is written twice; the first is on line 1", 6),
    ]


def test_a_key_that_overrides_a_merged_one_is_not_written_twice() -> None:
    document = read_document("base: &b {x: 1}\nmore:\n  <<: *b\n  x: 2\n")
    assert document.findings == ()
    assert document.data["more"] == {"x": 2}


def test_a_merged_key_stands_on_the_line_where_it_was_written() -> None:
    document = read_document("base: &b\n  x: 1\nmore:\n  <<: *b\n  y: 2\n")
    assert (document.line(("more", "x")), document.line(("more", "y"))) == (2, 5)


BROKEN = {
    "nothing": ("", "the file is empty", 1),
    "a comment only": ("# nothing\n", "the file is empty", 1),
    "a bracket that stays open": ("a: 1\nb: [\n", "not YAML: while parsing a flow node", 3),
    "a tab as indentation": ("a:\n\tb: 1\n", "not YAML: while scanning for the next token", 2),
    "two documents": ("a: 1\n---\nb: 2\n", "not YAML: expected a single document", 2),
    "an object of Python": ("a: !!python/object:os.system x\n", "not YAML: could not determine a constructor", 1),
    "a list as key": ("a: 1\n? [b]\n: 2\n", "not YAML: while constructing a mapping, found unhashable key", 2),
    "an alias of nothing": ("a: 1\nb: *c\n", "not YAML: found undefined alias", 2),
    "a date that does not exist": ("a: 2024-13-45\n", "not YAML: month must be in 1..12", 1),
    "a control character": ("a: 1\nb: \x00\n", "not YAML: the character U+0000 is not allowed", 2),
    "a thousand brackets": ("[" * 5000, "the file is nested too deeply", 1),
}


@pytest.mark.parametrize(("text", "message", "line"), BROKEN.values(), ids=BROKEN)
def test_what_is_not_yaml_is_said_with_its_line(text: str, message: str, line: int) -> None:
    document = read_document(text)
    assert document.data is None
    (finding,) = document.findings
    assert finding.message.startswith(message)
    assert (finding.line or document.line(finding.location)) == line


def test_an_alias_of_what_contains_it_ends() -> None:
    document = read_document("a: &a\n  b: *a\n")
    assert document.line(("a", "b")) == 2


@given(st.text())
def test_any_text_is_read_or_has_a_finding(text: str) -> None:
    document = read_document(text)
    assert isinstance(document, Document)
    assert document.findings or document.lines


@given(st.dictionaries(st.text(), st.lists(st.integers() | st.text(), max_size=3), max_size=4))
def test_every_place_of_the_data_has_a_line(data: dict[str, list[int | str]]) -> None:

    document = read_document(yaml.safe_dump(data))
    assert document.data == data
    for key, values in data.items():
        assert (key,) in document.lines
        assert all((key, index) in document.lines for index in range(len(values)))


@pytest.mark.parametrize(
    ("location", "text"),
    [
        ((), ""),
        (("flavours", 3, "nod_selector"), "flavours[3].nod_selector"),
        (("a", "b"), "a.b"),
        (("a", 0, 1), "a[0][1]"),
        (("node_selector", "nvidia.com/gpu.product"), 'node_selector["nvidia.com/gpu.product"]'),
        (("1",), '["1"]'),
        (("a", 'q"'), 'a["q\\""]'),
    ],
)
def test_a_location_is_spelled_as_people_write_it(location: tuple[str | int, ...], text: str) -> None:
    assert spell(location) == text
