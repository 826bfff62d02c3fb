"""Values made of others: dicts and lists with arrays in them, tables, histograms. A zip of JSON and of npy files.

In the JSON, `{"$npy": 3}` stands for the array in the file 3; a table, a column, and what `foreign` knows have nodes of
their own kinds. A dict of the person's with a key that begins so is written as pairs. Nothing in it names code, and
nothing is compressed: what is read is as large as what came.
"""

from __future__ import annotations

import io
import json
import math
import re
import sys
import zipfile
from typing import Any, Callable, Dict, List, Optional

from . import foreign

#: The JSON's name in the zip; arrays are called by their number.
_TREE = "tree.json"
_MARK = "$"
_MAX_PARTS = 10_000
_MAX_DEPTH = 100
#: What a column may be made as, beside what numpy has: nothing else is asked of pandas by name.
_DTYPE = re.compile(r"object|str|string|boolean|U?Int(8|16|32|64)|Float(32|64)")
_ZONE = re.compile(r"[A-Za-z0-9_+/:-]{1,64}")
_CELLS = (type(None), bool, int, float, str)


class NoTree(Exception):
    """This part cannot travel; the text says which, and why."""


class BadTree(ValueError):
    """These bytes are no such value."""


def is_tree(value: Any) -> bool:
    """Whether a value is of the kinds that are written so."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and isinstance(value, (pandas.DataFrame, pandas.Series)):
        return True
    return "numpy" in sys.modules and (type(value) in (dict, list, tuple) or foreign.kind(value) != "")


def write(value: Any, write_npy: Callable[[Any], bytes]) -> bytes:
    """The bytes of a value.

    Raises:
        NoTree: a part of it is of no kind that travels.
    """
    writer = _Writer(write_npy)
    tree = writer.node(value, "", 0)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(_TREE), json.dumps(tree, separators=(",", ":")))
        for number, part in enumerate(writer.parts):
            # A date of its own: the same value has the same bytes.
            archive.writestr(zipfile.ZipInfo(str(number)), part)
    return buffer.getvalue()


def read(data: bytes, read_npy: Callable[[bytes], Any]) -> Any:
    """The value behind the bytes.

    Raises:
        BadTree: they are no such value; other `ValueError`s of numpy and pandas, for the same reason.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            infos = archive.infolist()
            if len(infos) > _MAX_PARTS or any(info.compress_type != zipfile.ZIP_STORED for info in infos):
                raise BadTree("it is compressed, or in too many parts")
            if sum(info.file_size for info in infos) > len(data):
                raise BadTree("its parts are larger than the whole")
            parts = {info.filename: archive.read(info) for info in infos}
    except zipfile.BadZipFile as error:
        raise BadTree(str(error)) from error
    reader = _Reader(parts, read_npy)
    return reader.value(json.loads(parts.get(_TREE, b"").decode("utf-8")))


class _Writer:
    def __init__(self, write_npy: Callable[[Any], bytes]) -> None:
        self.parts: List[bytes] = []
        self._write_npy = write_npy

    def node(self, value: Any, path: str, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise NoTree("it is nested deeper than %d levels, or contains itself" % _MAX_DEPTH)
        kind, numpy, pandas = type(value), sys.modules["numpy"], sys.modules.get("pandas")
        if kind in _CELLS:
            return value
        if kind in (list, tuple):
            return [self.node(item, "%s[%d]" % (path, index), depth + 1) for index, item in enumerate(value)]
        if kind is dict:
            return self._dict(value, path, depth)
        if kind is numpy.ndarray or isinstance(value, numpy.generic):
            return self._array(value, path)
        if pandas is not None and kind in (pandas.DataFrame, pandas.Series):
            return self._table(value, path, pandas)
        return self._foreign(value, path, depth)

    def _table(self, value: Any, path: str, pandas: Any) -> Any:
        if type(value) is pandas.DataFrame:
            return self._frame(value, path, pandas)
        column, label = self._column(value, path), _label(value.name, path)
        return {"$series": column, "index": self._index(value.index, path, pandas), "name": label}

    def _foreign(self, value: Any, path: str, depth: int) -> Any:
        of, kind = foreign.kind(value), type(value)
        if of:
            try:
                found = foreign.parts(value)
            except (ValueError, TypeError, KeyError) as error:
                raise NoTree("%s cannot be taken apart: %s" % (path or "it", error)) from error
            return {_MARK + of: self.node(found, path, depth + 1)}
        what = kind.__name__ if kind.__module__ == "builtins" else "%s.%s" % (kind.__module__, kind.__qualname__)
        raise NoTree("%s is %s" % (path or "it", what))

    def _dict(self, value: Dict[Any, Any], path: str, depth: int) -> Any:
        for key in value:
            if type(key) is not str:
                what = type(key).__name__
                raise NoTree("a key of %s is %s, and only str keys travel" % (path or "the dict", what))
        nodes = {key: self.node(item, "%s[%r]" % (path, key), depth + 1) for key, item in value.items()}
        return {"$dict": list(nodes.items())} if any(key.startswith(_MARK) for key in nodes) else nodes

    def _array(self, value: Any, path: str) -> Any:
        if sys.modules["numpy"].asarray(value).dtype.hasobject:
            raise NoTree("%s is an array of Python objects; use .astype(...) or .tolist()" % (path or "it"))
        if len(self.parts) >= _MAX_PARTS - 1:
            raise NoTree("it has more than %d arrays; make one of them with numpy.stack" % _MAX_PARTS)
        self.parts.append(self._write_npy(value))
        return {"$npy": len(self.parts) - 1}

    def _frame(self, frame: Any, path: str, pandas: Any) -> Any:
        if frame.columns.nlevels > 1:
            raise NoTree("%s has columns of several levels; give them plain names" % (path or "the table"))
        labels = [_label(label, path) for label in frame.columns.tolist()]
        columns = [self._column(frame.iloc[:, number], "%s[%r]" % (path, label)) for number, label in enumerate(labels)]
        return {"$frame": columns, "labels": labels, "index": self._index(frame.index, path, pandas)}

    def _index(self, index: Any, path: str, pandas: Any) -> Any:
        if index.nlevels > 1:
            raise NoTree("%s has an index of several levels; use .reset_index()" % (path or "the table"))
        name = _label(index.name, path)
        if type(index) is pandas.RangeIndex:
            return {"range": [index.start, index.stop, index.step], "name": name}
        return {"column": self._column(index.to_series(), path + ".index"), "name": name}

    def _column(self, series: Any, path: str) -> Any:
        dtype = series.dtype
        if hasattr(dtype, "categories"):
            categories = self._column(dtype.categories.to_series(), path + ".cat")
            return {"codes": self._array(series.cat.codes.to_numpy(), path), "of": categories, "ordered": dtype.ordered}
        if getattr(dtype, "tz", None) is not None:
            zone = str(dtype.tz)
            if _ZONE.fullmatch(zone) is None:
                raise NoTree("%s is in the time zone %s, which has no plain name" % (path, zone))
            times = series.dt.tz_convert("UTC").dt.tz_localize(None).to_numpy()
            return {"times": self._array(times, path), "zone": zone}
        numpy = sys.modules["numpy"]
        if isinstance(dtype, numpy.dtype) and not dtype.hasobject:
            return {"array": self._array(series.to_numpy(), path)}
        name = str(dtype)
        cells = [None if _is_missing(cell, name) else cell for cell in series.tolist()]
        strange = next((cell for cell in cells if type(cell) not in _CELLS), None)
        if _DTYPE.fullmatch(name) is None or strange is not None:
            what = "the type %s" % name if strange is None else "a %s in it" % type(strange).__name__
            raise NoTree("%s has %s, which does not travel; use .astype(...)" % (path, what))
        return {"cells": cells, "dtype": name}


class _Reader:
    def __init__(self, parts: Dict[str, bytes], read_npy: Callable[[bytes], Any]) -> None:
        self._parts = parts
        self._read_npy = read_npy

    def value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [self.value(item) for item in node]
        if not isinstance(node, dict):
            return node
        made: Dict[str, Callable[[Any], Any]] = {
            "$npy": self._array,
            "$dict": lambda found: {str(key): self.value(item) for key, item in found["$dict"]},
            "$frame": self._frame,
            "$series": self._series,
            "$uhi": lambda found: foreign.made("uhi", self.value(found["$uhi"])),
            "$awkward": lambda found: foreign.made("awkward", self.value(found["$awkward"])),
        }
        kind = next((key for key in made if key in node), None)
        return made[kind](node) if kind else {key: self.value(item) for key, item in node.items()}

    def _series(self, node: Any) -> Any:
        column = self._column(node["$series"])
        return _pandas().Series(column, index=self._index(node["index"]), name=node["name"])

    def _array(self, node: Any) -> Any:
        number = node["$npy"]
        if not isinstance(number, int) or str(number) not in self._parts:
            raise BadTree("an array is missing")
        return self._read_npy(self._parts[str(number)])

    def _frame(self, node: Any) -> Any:
        pandas = _pandas()
        columns = [self._column(one) for one in node["$frame"]]
        if len(columns) != len(node["labels"]):
            raise BadTree("a table has other columns than names")
        frame = pandas.DataFrame(dict(enumerate(columns)), index=self._index(node["index"], like=columns))
        if not _are_numbers(node["labels"]):
            frame.columns = pandas.Index(node["labels"], dtype=None if node["labels"] else object)
        else:
            frame.columns = pandas.RangeIndex(len(columns))
        return frame

    def _index(self, node: Any, like: Optional[List[Any]] = None) -> Any:
        pandas = _pandas()
        if "range" in node:
            start, stop, step = (int(number) for number in node["range"])
            length = len(range(start, stop, step))
            if like and length != len(like[0]):
                raise BadTree("the index of a table does not fit it")
            return pandas.RangeIndex(start, stop, step, name=node["name"])
        return pandas.Index(self._column(node["column"]), name=node["name"])

    def _column(self, node: Any) -> Any:
        pandas = _pandas()
        if "array" in node:
            return self._array(node["array"])
        if "codes" in node:
            categories = pandas.Index(self._column(node["of"]))
            return pandas.Categorical.from_codes(self._array(node["codes"]), categories, ordered=bool(node["ordered"]))
        if "times" in node:
            if _ZONE.fullmatch(str(node["zone"])) is None:
                raise BadTree("there is no such time zone")
            return pandas.DatetimeIndex(self._array(node["times"])).tz_localize("UTC").tz_convert(node["zone"]).array
        if _DTYPE.fullmatch(str(node["dtype"])) is None:
            raise BadTree("there is no such type of a column")
        return pandas.array(node["cells"], dtype=node["dtype"])


def _label(label: Any, path: str) -> Any:
    if type(label) not in (str, int, type(None)):
        raise NoTree(
            "a name in %s is %s; names are texts and whole numbers" % (path or "the table", type(label).__name__)
        )
    return label


def _are_numbers(labels: List[Any]) -> bool:
    """Whether nobody gave the columns names: pandas counts them."""
    return bool(labels) and labels == list(range(len(labels))) and all(type(label) is int for label in labels)


def _is_missing(cell: Any, dtype: str) -> bool:
    """Not there; among Python's own objects, a not-a-number is one of them."""
    pandas = sys.modules["pandas"]
    return cell is pandas.NA or cell is pandas.NaT or (dtype != "object" and type(cell) is float and math.isnan(cell))


def _pandas() -> Any:
    try:
        import pandas as pd  # noqa: PLC0415  only where a table travels
    except ImportError as error:
        raise BadTree("it is a table, and pandas is not installed here") from error
    return pd
