"""Values travel exactly, as data, or not at all."""

from __future__ import annotations

import collections
import io
import json
import math
from contextlib import suppress
from typing import Any

import hypothesis.extra.numpy as npst
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.contract.run import codecs
from aiinfn_hub.contract.run.codecs import BadValue, NoCodec, decode, encode

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
JSON = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=5), max_leaves=20
)


def same(one: Any, other: Any) -> bool:
    """Equal, of the same type, to the sign of a zero and the not-a-number."""
    if type(one) is not type(other):
        return False
    if isinstance(one, float):
        return math.isnan(one) == math.isnan(other) and (math.isnan(one) or repr(one) == repr(other))
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, dict):
        return list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    return bool(one == other)


def round_trip(value: Any) -> Any:
    codec, data, _ = encode(value)
    return decode(codec, data, len(data))


@given(JSON)
def test_whatever_is_made_of_plain_values_comes_out_as_it_went_in(value: Any) -> None:
    try:
        codec, data, _ = encode(value)
    except NoCodec:
        assert isinstance(value, str)  # half of a surrogate pair
        return
    assert same(decode(codec, data, len(data)), value)


@given(st.binary())
def test_bytes_come_out_as_they_went_in(value: bytes) -> None:
    assert same(round_trip(value), value)


PLAIN_DTYPES = (
    npst.boolean_dtypes()
    | npst.integer_dtypes(endianness="?")
    | npst.floating_dtypes(endianness="?")
    | npst.complex_number_dtypes()
    | npst.unicode_string_dtypes()
    | npst.datetime64_dtypes()
)


@given(npst.arrays(PLAIN_DTYPES, npst.array_shapes(min_dims=1, min_side=0, max_side=4)))
def test_arrays_keep_values_shape_and_dtype(array: np.ndarray) -> None:
    back = round_trip(array)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    assert back.tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.asfortranarray(np.arange(6).reshape(2, 3)), id="in Fortran order"),
        pytest.param(np.arange(20)[::3], id="a view with steps"),
        pytest.param(np.zeros(2, dtype=[("pt", "f8"), ("charge", "i4")]), id="with named fields"),
        pytest.param(np.zeros((0, 3)), id="empty"),
    ],
)
def test_unusual_arrays_travel(array: np.ndarray) -> None:
    back = round_trip(array)
    assert back.dtype == array.dtype
    np.testing.assert_array_equal(back, array)


def test_a_numpy_scalar_comes_out_as_a_scalar() -> None:
    back = round_trip(np.float32(0.1))
    assert type(back) is np.float32
    assert back == np.float32(0.1)


@pytest.mark.parametrize(
    ("value", "summary"),
    [
        ([1, 2], "list of 2"),
        ((1, 2), "tuple of 2 (a tuple comes out as a list)"),
        ({"a": (1,)}, "dict of 1 (a tuple comes out as a list)"),
        (1.5, "1.5"),
        ("abc", "str of 3"),
        (b"abc", "bytes of 3"),
        (np.zeros((2, 3)), "2x3 of float64"),
        (np.int64(1), "scalar of int64"),
    ],
)
def test_the_summary_says_what_it_is(value: object, summary: str) -> None:
    assert encode(value)[2] == summary


def itself() -> list[Any]:
    loop: list[Any] = []
    loop.append(loop)
    return loop


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        pytest.param({1, 2}, "it is set; send sorted(...)", id="a set"),
        pytest.param([{1}], "[0] is set", id="a set inside names its place"),
        pytest.param({"a": {1: 2}}, "a key of ['a'] is int", id="a key that is no str"),
        pytest.param({1: 2}, "a key of the dict is int", id="a key at the top"),
        pytest.param(collections.OrderedDict(a=1), "collections.OrderedDict", id="a subclass of dict"),
        pytest.param(itself(), "contains itself", id="a list that contains itself"),
        pytest.param(10**5000, "more than 4000 digits", id="an integer too long to be read again"),
        pytest.param(np.array([object()]), "Python objects", id="an array of objects"),
        pytest.param(np.array([(1, "a")], dtype=[("n", "i4"), ("o", "O")]), "Python objects", id="a field of objects"),
        pytest.param(np.ma.masked_array([1], [True]), "it is numpy", id="a masked array"),
        pytest.param("\ud800", "surrogate", id="half of a surrogate pair"),
        pytest.param(lambda: 1, "function, which no codec carries", id="a function"),
        pytest.param(object(), "object, which no codec carries", id="an object"),
    ],
)
def test_what_cannot_travel_says_why(value: object, reason: str) -> None:
    with pytest.raises(NoCodec) as caught:
        encode(value)
    assert reason in str(caught.value)


def test_a_value_over_the_limit_is_refused_with_both_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(codecs, "MAX_VALUE", 1024**2)
    with pytest.raises(NoCodec, match="it takes 2 MiB, and at most 1 MiB can travel"):
        encode(b"x" * 2 * 1024**2)


def npy(array: Any, **changes: Any) -> bytes:
    """An npy file whose header says something else than its data."""
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version=(2, 0), allow_pickle=True)
    data = buffer.getvalue()
    if not changes:
        return data
    header = {
        "descr": np.lib.format.dtype_to_descr(array.dtype),
        "fortran_order": False,
        "shape": array.shape,
        **changes,
    }
    buffer = io.BytesIO()
    np.lib.format.write_array_header_2_0(buffer, header)
    return buffer.getvalue() + array.tobytes()


class Evil:
    def __reduce__(self) -> tuple[Any, ...]:
        return (pytest.fail, ("the pickle was opened",))


@pytest.mark.parametrize(
    ("codec", "data", "reason"),
    [
        pytest.param("json", b"{", "no valid json", id="broken JSON"),
        pytest.param("json", b"\xff", "no valid json", id="JSON that is no text"),
        pytest.param("json", b"[" * 100_000, "no valid json", id="JSON too deep to be read"),
        pytest.param("text", b"\xff", "no valid text", id="text that is no UTF-8"),
        pytest.param("npy", b"nothing", "no valid npy", id="no array at all"),
        pytest.param("npy", npy(np.arange(3))[:-1], "does not fit its size", id="an array cut short"),
        pytest.param("npy", npy(np.arange(3), shape=(10**12,)), "does not fit", id="a header that promises terabytes"),
        pytest.param("npy", npy(np.arange(3), shape=(-3,)), "does not fit", id="a negative shape"),
        pytest.param("npy", npy(np.array([Evil()])), "does not fit", id="a pickle in an array"),
        pytest.param(
            "npy", b"\x93NUMPY\x03\x00" + b"\0" * 16, "version (3, 0)", id="a version that is not written here"
        ),
        pytest.param("pickle", b"cos\nsystem\n(S'true'\ntR.", "no codec 'pickle'", id="a pickle"),
        pytest.param("", b"", "no codec ''", id="no codec"),
    ],
)
def test_bytes_that_are_not_what_they_should_be_are_refused(codec: str, data: bytes, reason: str) -> None:
    with pytest.raises(BadValue) as caught:
        decode(codec, data, len(data))
    assert reason in str(caught.value)


def test_the_size_is_checked_before_anything_is_decoded() -> None:
    with pytest.raises(BadValue, match="4 bytes came instead of 5"):
        decode("json", b"1234", 5)
    with pytest.raises(BadValue, match="more than 50 MiB"):
        decode("bytes", bytes(codecs.MAX_VALUE + 1), codecs.MAX_VALUE + 1)


@given(st.binary(max_size=200), st.sampled_from(["json", "text", "bytes", "npy"]))
def test_no_bytes_raise_anything_else(data: bytes, codec: str) -> None:
    with suppress(BadValue):
        decode(codec, data, len(data))


def test_json_on_the_wire_is_json() -> None:
    codec, data, _ = encode({"a": [1, None, True, "é"]})
    assert codec == "json"
    assert json.loads(data) == {"a": [1, None, True, "é"]}
