"""Quantities: their value and their canonical spelling."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.local.api import quantity


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("1024Mi", "1Gi"),
        ("1Gi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("0.5", "500m"),
        (0.5, "500m"),
        (1, "1"),
        ("1000m", "1"),
        ("1500m", "1500m"),
        ("1e3", "1k"),
        ("1000000", "1M"),
        ("512Ki", "512Ki"),
        ("1Ki", "1Ki"),
        ("0.5Ki", "512"),
        ("0", "0"),
        ("0Mi", "0"),
        ("100n", "100n"),
        ("0.1n", "1n"),
        ("16G", "16G"),
        ("16Gi", "16Gi"),
        ("17179869184", "17179869184"),
    ],
)
def test_an_amount_has_one_spelling(text: Any, canonical: str) -> None:
    assert quantity.canonical(text) == canonical


@pytest.mark.parametrize("text", ["", "x", "1 Gi", "1gi", "1GB", "--1", "1e", "Mi", None, True, [], "1.5.2", "０"])
def test_what_is_no_amount_has_no_value_and_stays_as_it_is(text: Any) -> None:
    assert quantity.parse(text) is None
    assert quantity.canonical(text) == text


NUMBERS = st.decimals(-(10**6), 10**6, places=3).map(str)
SUFFIXES = st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "Gi", "e3"])


@given(NUMBERS, SUFFIXES)
def test_the_spelling_keeps_the_value(number: str, suffix: str) -> None:
    text = number + suffix
    spelled = quantity.canonical(text)
    assert quantity.parse(spelled) == quantity.parse(text)
    assert quantity.canonical(spelled) == spelled


def test_binary_and_decimal_suffixes_differ() -> None:
    assert quantity.parse("1Ki") == Decimal(1024)
    assert quantity.parse("1k") == Decimal(1000)
    assert quantity.parse("250m") == Decimal("0.25")
