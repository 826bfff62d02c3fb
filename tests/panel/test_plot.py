"""The stacked area."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.panel.plot import _round_up, legend, stacked

SVG = "{http://www.w3.org/2000/svg}"


def figure(series: dict[str, list[float]]) -> ET.Element:
    return ET.fromstring(str(stacked(series, since=0, until=86400, title="held")))


def test_one_layer_a_flavour_with_its_name() -> None:
    root = figure({"t4": [1, 2], "a30": [0, 1]})
    assert [path.find("title").text for path in root.iter("path")] == ["a30", "t4"]  # type: ignore[union-attr]
    assert root.get("role") == "img"
    assert root.get("aria-label") == "held"


def test_a_name_cannot_become_markup() -> None:
    root = figure({"<script>alert(1)</script>": [1.0]})
    assert root.find(".//script") is None
    assert next(root.iter("path")).find("title").text == "<script>alert(1)</script>"  # type: ignore[union-attr]


def test_layers_stand_on_each_other() -> None:
    root = figure({"a": [2.0], "b": [3.0]})
    lower, upper = (path.get("d", "") for path in root.iter("path"))
    assert lower.removeprefix("M").split("L")[0] in upper, "the lower layer's top is the upper one's bottom"


def test_nothing_held_is_an_empty_frame() -> None:
    assert list(figure({}).iter("path")) == []


@pytest.mark.parametrize(("value", "top"), [(0, 1), (1, 1), (1.2, 2), (2.1, 5), (7, 10), (10, 10), (11, 20), (64, 100)])
def test_the_axis_ends_at_a_round_number(value: float, top: float) -> None:
    assert _round_up(value) == top


@given(st.floats(0, 1e6))
def test_the_axis_holds_every_value(value: float) -> None:
    assert _round_up(value) >= value


def test_the_legend_has_the_order_of_the_layers_and_what_is_held_now() -> None:
    assert [(name, value) for name, _, value in legend({"b": [1, 2], "a": [3, 4]}, {"a": 4})] == [("a", 4), ("b", 0)]
