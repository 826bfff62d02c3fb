"""Dicts with arrays and tables of pandas travel as what they are; what else comes is refused and builds nothing."""

from __future__ import annotations

import io
import json
import zipfile
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.contract.run.codecs import BadValue, NoCodec, decode, encode

TIMES = pd.to_datetime(["2026-01-01 10:00", None, "2026-03-29 02:30"])
FRAMES = {
    "numbers": pd.DataFrame({"a": [1, 2], "b": [0.5, np.nan], "c": np.array([1, 2], dtype="uint8")}),
    "texts": pd.DataFrame({"name": ["a", None, "c"], "long": ["x" * 100, "", "\u00e9"]}),
    "python's own objects": pd.DataFrame({"mixed": pd.Series(["a", 1, None, 2.5, float("nan")], dtype=object)}),
    "times": pd.DataFrame({"t": TIMES, "d": TIMES - TIMES[0]}),
    "a time zone": pd.DataFrame({"t": TIMES[[0, 1]].tz_localize("Europe/Rome")}),
    "categories": pd.DataFrame({"c": pd.Categorical(["x", "y", "x", None], categories=["y", "x"], ordered=True)}),
    "integers with gaps": pd.DataFrame({"i": pd.array([1, None], dtype="Int64"), "b": pd.array([True, None])}),
    "an index of texts": pd.DataFrame({"a": [1, 2]}, index=pd.Index(["p", "q"], name="who")),
    "an index of times": pd.DataFrame({"a": [1.0]}, index=pd.DatetimeIndex(["2026-01-01"], name="when")),
    "a part of another": pd.DataFrame({"a": range(10)})[3:9:2],
    "no rows": pd.DataFrame({"a": np.array([], dtype="int32")}),
    "no columns": pd.DataFrame(index=range(3)),
    "numbers as names": pd.DataFrame(np.eye(2)),
    "the same name twice": pd.DataFrame([[1, "a"]], columns=["x", "x"]),
}


def round_trip(value: Any) -> Any:
    codec, data, _ = encode(value)
    assert codec == "tree"
    return decode(codec, data, len(data))


@pytest.mark.parametrize("frame", FRAMES.values(), ids=FRAMES)
def test_a_table_comes_out_as_it_went_in(frame: pd.DataFrame) -> None:
    pd.testing.assert_frame_equal(
        round_trip(frame), frame, check_freq=False, check_column_type=bool(len(frame.columns))
    )


def test_a_column_too() -> None:
    series = pd.Series([1.5, None], name="loss", index=pd.Index([3, 7], name="epoch"))
    pd.testing.assert_series_equal(round_trip(series), series)


def test_what_is_made_of_arrays_and_tables_keeps_its_shape() -> None:
    value = {"loss": [np.arange(3.0), np.float32(2)], "by": {"run": FRAMES["numbers"], "$odd": 1}, "n": None, "t": True}
    found = round_trip(value)
    assert list(found) == list(value)
    assert (found["loss"][0].tolist(), found["loss"][1], type(found["loss"][1])) == ([0, 1, 2], 2, np.float32)
    pd.testing.assert_frame_equal(found["by"]["run"], FRAMES["numbers"])
    assert (found["by"]["$odd"], found["n"], found["t"]) == (1, None, True)


def test_the_same_value_is_the_same_bytes() -> None:
    assert encode({"a": np.arange(3)})[1] == encode({"a": np.arange(3)})[1], "so that an unchanged cell is known"


def test_plain_values_stay_json_and_arrays_npy() -> None:
    assert encode({"a": [1]})[0] == "json"
    assert encode(np.arange(3))[0] == "npy"
    assert encode(FRAMES["numbers"])[2] == "table of 2x3"


@pytest.mark.parametrize(
    ("value", "says"),
    [
        pytest.param({"a": [np.arange(2), {1}]}, "['a'][1] is set", id="a set in it"),
        pytest.param({"a": np.array([object()])}, "array of Python objects", id="objects in it"),
        pytest.param({"a": np.arange(2), 1: 2}, "only str keys", id="a key that is none"),
        pytest.param(pd.DataFrame({"a": [{1}]}), "has a set in it", id="a table of sets"),
        pytest.param(pd.DataFrame({"a": [1]}, index=pd.MultiIndex.from_tuples([(1, 2)])), "reset_index", id="levels"),
        pytest.param(pd.DataFrame({("a", "b"): [1]}), "several levels", id="columns of levels"),
        pytest.param(pd.DataFrame({"p": pd.period_range("2026", periods=1)}), "does not travel", id="periods"),
        pytest.param(pd.DataFrame({1.5: [1]}), "names are texts", id="a name that is a fraction"),
    ],
)
def test_what_cannot_travel_says_where_it_is(value: Any, says: str) -> None:
    with pytest.raises(NoCodec) as refused:
        encode(value)
    assert says in str(refused.value)


def made(tree: Any, *parts: bytes, how: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", how) as archive:
        archive.writestr("tree.json", json.dumps(tree))
        for number, part in enumerate(parts):
            archive.writestr(str(number), part)
    return buffer.getvalue()


ARRAY = encode(np.arange(2))[1]
ONE = {"array": {"$npy": 0}}


def table(column: Any, labels: Any = ("a",), rows: int = 2) -> bytes:
    columns = [column] if isinstance(column, dict) else column
    return made({"$frame": columns, "labels": list(labels), "index": {"range": [0, rows, 1], "name": None}}, ARRAY)


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"no zip", id="no zip"),
        pytest.param(made({"$npy": 0}, how=zipfile.ZIP_DEFLATED), id="compressed"),
        pytest.param(made({"$npy": 0}), id="an array that is missing"),
        pytest.param(made({"$npy": "../../etc/passwd"}), id="a path"),
        pytest.param(made({"$npy": 0}, b"x" * 20), id="an array that is none"),
        pytest.param(table({"cells": [1, 2], "dtype": "category[evil]"}), id="a type"),
        pytest.param(table(ONE, labels=()), id="no name"),
        pytest.param(table(ONE, rows=10**9), id="an index that promises more"),
        pytest.param(table(1), id="columns that are none"),
        pytest.param(table({"times": {"$npy": 0}, "zone": "../x;y"}), id="a zone"),
        pytest.param(table({"codes": {"$npy": 0}, "of": {"cells": [], "dtype": "object"}, "ordered": 0}), id="codes"),
        pytest.param(made([])[:-30], id="cut"),
    ],
)
def test_hostile_bytes_are_refused(data: bytes) -> None:
    with pytest.raises(BadValue):
        decode("tree", data, len(data))


@given(st.binary(max_size=200))
def test_any_bytes_are_a_value_or_refused(noise: bytes) -> None:
    good = encode({"a": np.arange(3)})[1]
    for data in (noise, good[: len(good) // 2] + noise + good[len(good) // 2 :]):
        try:
            decode("tree", data, len(data))
        except BadValue:
            continue
