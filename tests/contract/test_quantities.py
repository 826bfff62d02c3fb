"""Amounts as people and Kubernetes write them."""

from __future__ import annotations

import contextlib
import math
import re
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.contract.quantities import (
    format_bytes,
    format_cpu,
    format_duration,
    parse_bytes,
    parse_cpu,
    parse_duration,
)
from aiinfn_hub.errors import InvalidInput

NO_AMOUNT = [
    "",
    " ",
    "-1",
    "+1",
    "1,5",
    "1e3",
    "0x10",
    "one",
    "1.",
    ".",
    "1..2",
    "nan",
    "inf",
    "1\n2",
    "١",
    True,
    None,
    [],
]

#: By the documentation of Kubernetes.
UNITS = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


@pytest.mark.parametrize(
    ("text", "millicores"),
    [
        ("4", 4000),
        (4, 4000),
        ("0.5", 500),
        (0.5, 500),
        (".5", 500),
        ("500m", 500),
        ("1500m", 1500),
        ("0", 0),
        (" 2 ", 2000),
        ("0.0001", 1),
        ("0.5m", 1),
        ("1.0001", 1001),
        ("100000", 100_000_000),
    ],
)
def test_cpu_is_read_in_cores_or_millicores(text: str | float, millicores: int) -> None:
    assert parse_cpu(text) == millicores


@pytest.mark.parametrize("text", [*NO_AMOUNT, "4 cores", "4M", "500 m", "4Gi"], ids=repr)
def test_it_is_no_amount_of_cpu(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_cpu(text)
    assert repr(text) in caught.value.message
    assert "500m" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("1024", 1024),
        (1024, 1024),
        ("1k", 1000),
        ("1K", 1000),
        ("1Ki", 1024),
        ("1ki", 1024),
        ("512M", 512_000_000),
        ("512Mi", 512 * 1024**2),
        ("16Gi", 16 * 1024**3),
        ("16 GB", 16 * 1000**3),
        ("16GiB", 16 * 1024**3),
        ("16 Gb", 16 * 1000**3),
        ("1.5Gi", 3 * 1024**3 // 2),
        ("2T", 2 * 1000**4),
        ("2Pi", 2 * 1024**5),
        ("1E", 1000**6),
        ("1Ei", 1024**6),
        ("7B", 7),
        ("0", 0),
        ("0.1", 1),
    ],
)
def test_bytes_are_read_in_decimal_and_binary_units(text: str | int, amount: int) -> None:
    assert parse_bytes(text) == amount


@pytest.mark.parametrize("text", [*NO_AMOUNT, "16g", "16 gigabyte", "16GG", "500m", "16iB", "Gi"], ids=repr)
def test_it_is_no_amount_of_bytes(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_bytes(text)
    assert repr(text) in caught.value.message
    assert "16Gi" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        (90, 90),
        ("30s", 30),
        ("5m", 300),
        ("5min", 300),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        ("1h 30 min", 5400),
        ("1d12h", 129_600),
        ("1.5h", 5400),
        ("0.5m", 30),
        ("2H", 7200),
        ("1.2s", 2),
        (" 8 h ", 28800),
    ],
)
def test_a_duration_is_read_in_its_units(text: str | int, seconds: int) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", [*NO_AMOUNT, "0", "0s", "0.5", "5 parsecs", "h", "1h-30m", "1h30", "1w", "m5", "1h,30m"], ids=repr
)
def test_it_is_no_duration(text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_duration(text)
    assert repr(text) in caught.value.message
    assert "1h30m" in caught.value.hint


def test_two_numbers_side_by_side_are_no_duration() -> None:
    with pytest.raises(InvalidInput):
        parse_duration("30 1h")


@pytest.mark.parametrize(("millicores", "text"), [(4000, "4"), (500, "500m"), (1500, "1500m"), (0, "0")])
def test_cpu_is_written_as_kubernetes_writes_it(millicores: int, text: str) -> None:
    assert format_cpu(millicores) == text


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (16 * 1024**3, "16Gi"),
        (1536 * 1024**2, "1536Mi"),
        (1024, "1Ki"),
        (1024**4, "1Ti"),
        (1024**5, "1Pi"),
        (1024**6, "1Ei"),
        (1000, "1000"),
        (1, "1"),
        (0, "0"),
    ],
)
def test_bytes_are_written_in_the_largest_exact_unit(amount: int, text: str) -> None:
    assert format_bytes(amount) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (0.4, "0 s"),
        (42, "42 s"),
        (60, "1 min"),
        (61, "1 min 1 s"),
        (5400, "1 h 30 min"),
        (5401, "1 h 30 min"),
        (86400, "1 d"),
        (90061, "1 d 1 h"),
        (59.6, "1 min"),
    ],
)
def test_a_duration_is_written_in_two_units_at_most(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 10**9))
def test_cpu_that_is_written_is_read_back(millicores: int) -> None:
    assert parse_cpu(format_cpu(millicores)) == millicores


@given(st.integers(0, 2**63))
def test_bytes_that_are_written_are_read_back(amount: int) -> None:
    assert parse_bytes(format_bytes(amount)) == amount


@given(st.integers(1, 10**8))
def test_a_duration_in_words_is_read_back_but_for_its_small_units(seconds: int) -> None:
    written = parse_duration(format_duration(seconds))
    assert written <= seconds
    assert seconds - written < max(1, 0.042 * seconds)


@given(st.decimals(0, 10**6, places=3), st.sampled_from(list(UNITS)))
def test_a_part_of_a_byte_is_rounded_up_and_nothing_else(number: Decimal, unit: str) -> None:
    """As `resource.Quantity` does: no binary fraction gets in between."""
    exact = Fraction(number) * UNITS[unit]
    assert parse_bytes(f"{number:f}{unit}") == math.ceil(exact)


@given(st.decimals(0, 10**6, places=6))
def test_a_part_of_a_millicore_is_rounded_up_and_nothing_else(number: Decimal) -> None:
    assert parse_cpu(f"{number:f}") == math.ceil(Fraction(number) * 1000)
    assert parse_cpu(f"{number:f}m") == math.ceil(Fraction(number))


@given(st.text(max_size=20) | st.from_regex(r"[0-9. ]{0,6}[kMGTimhsd]{0,3}", fullmatch=True))
def test_any_text_is_an_amount_or_an_error_of_ours(text: str) -> None:
    for parse in (parse_cpu, parse_bytes, parse_duration):
        with contextlib.suppress(InvalidInput):
            assert parse(text) >= 0
            assert re.search(r"[0-9]", text)
