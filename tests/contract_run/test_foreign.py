"""Histograms and arrays of events travel as what they are, and what was damaged builds nothing."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import awkward as ak
import boost_histogram as bh
import hist
import numpy as np
import pytest

from aiinfn_hub.contract.run.codecs import BadValue, NoCodec, decode, encode

RNG = np.random.default_rng(1)


def histogram() -> Any:
    found = hist.Hist.new.Reg(10, 0, 5, name="pt", label="p_T").StrCat(["mu", "e"], name="kind").Weight()
    found.fill(pt=[0.5, 1.5, 9.0], kind=["mu", "e", "mu"], weight=[1.0, 2.0, 0.5])
    return found


HISTOGRAMS = {
    "weighted, of two axes": histogram(),
    "a mean": bh.Histogram(bh.axis.Variable([0, 1, 5]), storage=bh.storage.Mean()).fill([0.5, 3], sample=[1.0, 2.0]),
    "of integers": bh.Histogram(bh.axis.Integer(-2, 3), storage=bh.storage.Int64()).fill([0, 0, 1]),
    "without flow": hist.Hist(hist.axis.Regular(3, 0, 1, flow=False, name="x")).fill(RNG.random(20)),
    "of categories": bh.Histogram(bh.axis.IntCategory([1, 7], growth=True)).fill([1, 7, 9]),
}
EVENTS = {
    "jets": ak.Array([{"jets": [{"pt": 1.5}, {"pt": 2.5}], "met": 3.0}, {"jets": [], "met": 1.0}]),
    "numbers": ak.Array([1, 2, 3]),
    "with gaps": ak.Array([1, None, 3]),
    "texts": ak.Array(["one", "deux", ""]),
    "of several kinds": ak.Array([1.5, "two", [3]]),
    "a part of another": ak.Array(np.arange(1000))[10:990:7],
    "none": ak.Array([]),
}


def round_trip(value: Any) -> Any:
    codec, data, _ = encode(value)
    assert codec == "tree"
    return decode(codec, data, len(data))


@pytest.mark.parametrize("value", HISTOGRAMS.values(), ids=HISTOGRAMS)
def test_a_histogram_comes_back_as_it_was(value: Any) -> None:
    found = round_trip(value)
    assert type(found) is type(value)
    assert found == value
    assert [axis.metadata for axis in found.axes] == [axis.metadata for axis in value.axes]


def test_names_of_axes_are_there_and_a_dict_of_histograms_travels() -> None:
    found = round_trip({"data": histogram(), "bins": np.arange(3)})
    assert found["data"][{"pt": 1j, "kind": "mu"}] == histogram()[{"pt": 1j, "kind": "mu"}]
    assert found["data"].axes["pt"].label == "p_T"


@pytest.mark.parametrize("value", EVENTS.values(), ids=EVENTS)
def test_an_array_of_events_comes_back_as_it_was(value: Any) -> None:
    found = round_trip(value)
    assert isinstance(found, ak.Array)
    assert found.to_list() == value.to_list()
    assert str(found.type) == str(value.type)


def test_one_event_is_a_record_and_a_part_takes_only_its_own_bytes() -> None:
    found = round_trip(EVENTS["jets"][0])
    assert (type(found), found.to_list()) == (ak.Record, EVENTS["jets"][0].to_list())
    assert len(encode(ak.Array(np.arange(100_000))[:10])[1]) < 5000


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (histogram(), "histogram of 10x2"),
        (EVENTS["jets"], "awkward array of 2"),
        (EVENTS["jets"][0], "awkward record"),
    ],
    ids=["histogram", "array", "record"],
)
def test_it_is_said_what_travels(value: Any, said: str) -> None:
    assert encode(value)[2] == said


def test_what_has_objects_of_python_in_it_is_named() -> None:
    value = bh.Histogram(bh.axis.Regular(2, 0, 1, metadata=print))
    with pytest.raises(NoCodec):
        encode(value)


def damaged(value: Any, change: Any) -> bytes:
    """The same bytes with another tree.json."""
    before = zipfile.ZipFile(io.BytesIO(encode(value)[1]))
    tree = json.loads(before.read("tree.json"))
    change(tree)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("tree.json", json.dumps(tree))
        for name in before.namelist()[1:]:
            archive.writestr(name, before.read(name))
    return buffer.getvalue()


BAD = {
    "more bins than came": (histogram(), lambda tree: tree["$uhi"]["parts"]["axes"][0].update(bins=10**12)),
    "no values": (histogram(), lambda tree: tree["$uhi"]["parts"]["storage"].pop("values")),
    "another kind of axis": (histogram(), lambda tree: tree["$uhi"]["parts"]["axes"][0].update(type="os.system")),
    "an axis that is missing": (histogram(), lambda tree: tree["$uhi"]["parts"]["axes"].pop()),
    "more events than came": (EVENTS["jets"], lambda tree: tree["$awkward"].update(length=10**12)),
    "no form": (EVENTS["jets"], lambda tree: tree["$awkward"].update(form={"class": "os.system"})),
    "no buffers": (EVENTS["jets"], lambda tree: tree["$awkward"].update(buffers={})),
}


@pytest.mark.parametrize(("value", "change"), BAD.values(), ids=BAD)
def test_what_was_damaged_builds_nothing(value: Any, change: Any) -> None:
    data = damaged(value, change)
    with pytest.raises(BadValue):
        decode("tree", data, len(data))


def test_where_the_library_is_missing_that_is_said(tmp_path: Path) -> None:
    for name, value in (("uhi", histogram()), ("ak", EVENTS["jets"])):
        (tmp_path / name).write_bytes(encode(value)[1])
    code = (
        "import sys\nfor name in ('hist', 'boost_histogram', 'awkward'):\n    sys.modules[name] = None\n"
        "from aiinfn_hub.contract.run.codecs import BadValue, decode\n"
        f"for name in ('uhi', 'ak'):\n    data = open({str(tmp_path)!r} + '/' + name, 'rb').read()\n"
        "    try:\n        decode('tree', data, len(data))\n    except BadValue as error:\n        print(error)\n"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert "neither hist nor boost_histogram" in said
    assert "awkward is not installed here" in said
