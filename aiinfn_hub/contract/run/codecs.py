"""Typed codecs: how a value travels as bytes that are data and never code. The same on both sides.

- `text`: str
- `bytes`: bytes
- `json`: None, bool, int, float (nan and infinities too), lists and dicts (str keys) of these and of str; a tuple
  comes out as a list
- `tree`: lists and dicts with arrays in them, tables and columns of pandas, histograms, awkward arrays (see `trees`)
- `npy`: numpy arrays and scalars without Python objects in them; an array of no dimensions comes out as a scalar
"""

from __future__ import annotations

import io
import json
import sys
from typing import Any, Dict, Iterator, List, Tuple

from . import foreign, trees

#: Bytes of one value.
MAX_VALUE = 50 * 1024**2
_MAX_DEPTH = 100
#: Python 3.11+ refuses to read integers of more than 4300 digits.
_MAX_BITS = 14_000
_PLAIN = (type(None), bool, int, float, str)


class NoCodec(Exception):
    """This value cannot travel; the text says why, and what would."""


class BadValue(Exception):
    """These bytes are not what they are said to be."""


def encode(value: Any) -> Tuple[str, bytes, str]:
    """The codec, the bytes and a short description of a value.

    Raises:
        NoCodec: no codec carries it exactly, or it is larger than `MAX_VALUE`.
    """
    codec, data, summary = _encode(value)
    if len(data) > MAX_VALUE:
        raise NoCodec("it takes %d MiB, and at most %d MiB can travel" % (len(data) // 1024**2, MAX_VALUE // 1024**2))
    return codec, data, summary


def decode(codec: str, data: bytes, size: int) -> Any:
    """The value behind the bytes; the announced size is checked before anything is built from them.

    Raises:
        BadValue: wrong size, an unknown codec, or bytes that are not of this codec.
    """
    if len(data) != size:
        raise BadValue("%d bytes came instead of %d" % (len(data), size))
    if size > MAX_VALUE:
        raise BadValue("it takes more than %d MiB" % (MAX_VALUE // 1024**2))
    try:
        if codec == "text":
            return data.decode("utf-8")
        if codec == "bytes":
            return bytes(data)
        if codec == "json":
            return json.loads(data.decode("utf-8"))
        if codec == "npy":
            return _read_npy(data)
        if codec == "tree":
            return trees.read(data, _read_npy)
    except (ValueError, RecursionError, SyntaxError, TypeError, KeyError, AttributeError, OverflowError) as error:
        raise BadValue("it is no valid %s: %s" % (codec, error)) from error
    raise BadValue("there is no codec %r here" % codec)


def _encode(value: Any) -> Tuple[str, bytes, str]:
    if type(value) is str:
        try:
            return "text", value.encode("utf-8"), "str of %d" % len(value)
        except UnicodeEncodeError as error:
            raise NoCodec("it holds half of a surrogate pair, which is no text") from error
    if type(value) is bytes:
        return "bytes", value, "bytes of %d" % len(value)
    # Without numpy loaded, no value can be one of its.
    numpy = sys.modules.get("numpy")
    if numpy is not None and (type(value) is numpy.ndarray or isinstance(value, numpy.generic)):
        return _write_npy(value, numpy)
    tuples: List[str] = []
    try:
        _check_json(value, "", 0, tuples)
    except NoCodec:
        if not trees.is_tree(value):
            raise
        return _write_tree(value)
    note = " (a tuple comes out as a list)" if tuples else ""
    return "json", json.dumps(value, separators=(",", ":")).encode("ascii"), _summary(value) + note


def _write_tree(value: Any) -> Tuple[str, bytes, str]:
    numpy = sys.modules["numpy"]
    try:
        data = trees.write(value, lambda array: _write_npy(array, numpy)[1])
    except trees.NoTree as error:
        raise NoCodec(str(error)) from error
    what = foreign.summary(value)
    if what:
        return "tree", data, what
    shape = getattr(value, "shape", None)
    return "tree", data, "table of %s" % "x".join(map(str, shape)) if shape is not None else _summary(value)


def _check_json(value: Any, path: str, depth: int, tuples: List[str]) -> None:
    if depth > _MAX_DEPTH:
        raise NoCodec("it is nested deeper than %d levels, or contains itself" % _MAX_DEPTH)
    kind = type(value)
    if kind is int and value.bit_length() > _MAX_BITS:
        raise NoCodec("%s has more than 4000 digits" % (path or "the integer"))
    if kind is tuple:
        tuples.append(path)
    if kind in (list, tuple, dict):
        for name, item in _items(value, path):
            _check_json(item, name, depth + 1, tuples)
    elif kind not in _PLAIN:
        raise NoCodec(_advice(value, path))


def _items(value: Any, path: str) -> Iterator[Tuple[str, Any]]:
    if type(value) is not dict:
        for index, item in enumerate(value):
            yield "%s[%d]" % (path, index), item
        return
    for key, item in value.items():
        if type(key) is not str:
            raise NoCodec("a key of %s is %s, and only str keys travel" % (path or "the dict", _type(key)))
        yield "%s[%r]" % (path, key), item


def _advice(value: Any, path: str) -> str:
    what = "%s is %s" % (path or "it", _type(value))
    module = type(value).__module__.split(".")[0]
    if module == "numpy":
        return what + "; give arrays and numpy scalars names of their own, or use .tolist()"
    if isinstance(value, (set, frozenset)):
        return what + "; send sorted(...) of it"
    return what + ", which no codec carries; str, bytes, numbers, lists, dicts and numpy arrays travel"


def _type(value: Any) -> str:
    kind = type(value)
    return kind.__name__ if kind.__module__ == "builtins" else "%s.%s" % (kind.__module__, kind.__qualname__)


def _summary(value: Any) -> str:
    if isinstance(value, (list, tuple, dict)):
        return "%s of %d" % (type(value).__name__, len(value))
    text = repr(value)
    return text if len(text) <= 40 else type(value).__name__


def _write_npy(value: Any, numpy: Any) -> Tuple[str, bytes, str]:
    array = numpy.asarray(value)
    if array.dtype.hasobject:
        raise NoCodec(
            "it is an array of Python objects (dtype %s); convert it with .astype(...) or .tolist()" % array.dtype
        )
    # `ascontiguousarray` would give a scalar one dimension.
    buffer = io.BytesIO()
    try:
        numpy.lib.format.write_array(buffer, array, version=(2, 0), allow_pickle=False)
    except ValueError as error:  # names of fields that are no Latin-1
        raise NoCodec("numpy cannot write it: %s" % error) from error
    shape = "x".join(str(length) for length in array.shape) or "scalar"
    return "npy", buffer.getvalue(), "%s of %s" % (shape, array.dtype)


def _read_npy(data: bytes) -> Any:
    try:
        import numpy as np  # noqa: PLC0415  only where an array travels
    except ImportError as error:
        raise BadValue("it is an array, and numpy is not installed here") from error
    read = np.lib.format
    buffer = io.BytesIO(data)
    header: Dict[Tuple[int, int], Any] = {(1, 0): read.read_array_header_1_0, (2, 0): read.read_array_header_2_0}
    version = read.read_magic(buffer)
    if version not in header:
        raise BadValue("version %s of the npy format is not used here" % (version,))
    shape, _, dtype = header[version](buffer)
    count = 1
    for length in shape:
        count *= length
    # numpy allocates what the header says before it reads: a header must not promise more than there is.
    if dtype.hasobject or min(shape, default=0) < 0 or count * dtype.itemsize != len(data) - buffer.tell():
        raise BadValue("its header does not fit its size")
    buffer.seek(0)
    array = read.read_array(buffer, allow_pickle=False)
    return array[()] if array.ndim == 0 else array
