"""Values of libraries that say themselves what they are made of: histograms (UHI) and awkward arrays.

Each becomes plain parts and arrays, by the library's own means, and is made from them again by the same library where
it is read. Nothing in the parts names code: which library makes it is one of the words below.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any, Dict, Optional, Tuple

#: How the libraries of histograms are called, the more able one first: https://uhi.readthedocs.io (serialization).
HISTOGRAMS = (("hist", "Hist"), ("boost_histogram", "Histogram"))


class BadParts(ValueError):
    """Nothing can be made of these."""


def parts(value: Any) -> Optional[Tuple[str, Dict[str, Any]]]:
    """The kind of a value and what it is made of; None for what is of no such library.

    Raises:
        ValueError, TypeError: the library cannot say it.
    """
    for module, name in HISTOGRAMS:
        found = getattr(sys.modules.get(module), name, None)
        if found is not None and isinstance(value, found) and hasattr(value, "_to_uhi_"):
            # The bins as they are, too: in UHI, what is known of a single sample is not exact.
            bins = sys.modules["numpy"].asarray(value.view(flow=True))
            return "uhi", {"of": module, "parts": value._to_uhi_(), "bins": bins}
    awkward = sys.modules.get("awkward")
    if awkward is not None and isinstance(value, (awkward.Array, awkward.Record)):
        single = isinstance(value, awkward.Record)
        array = awkward.Array([value]) if single else value
        form, length, buffers = awkward.to_buffers(awkward.to_packed(awkward.to_backend(array, "cpu")))
        about = {"form": json.loads(form.to_json()), "length": length, "single": single}
        return "awkward", {**about, "buffers": dict(buffers)}
    return None


def made(kind: str, found: Dict[str, Any]) -> Any:
    """The value of these parts.

    Raises:
        BadParts: its library is not here, or finds that they do not fit; other errors of the library mean the same.
    """
    return _histogram(found) if kind == "uhi" else _awkward(found)


def summary(value: Any) -> str:
    """What it is, in few words; "" for what is of no such library."""
    found = parts(value)
    if found is None:
        return ""
    if found[0] == "uhi":
        bins = "x".join(str(len(axis)) for axis in value.axes)
        return "histogram of %s" % (bins or "no axes")
    return "awkward record" if found[1]["single"] else "awkward array of %d" % found[1]["length"]


def _histogram(found: Dict[str, Any]) -> Any:
    _fits(found["parts"])
    wanted = [one for one in HISTOGRAMS if one[0] == found["of"]] + list(HISTOGRAMS)
    for module, name in wanted:
        try:
            library = importlib.import_module(module)
        except ImportError:
            continue
        if hasattr(getattr(library, name), "_from_uhi_"):
            return _filled(getattr(library, name)._from_uhi_(found["parts"]), found["bins"])
    raise BadParts("it is a histogram, and neither hist nor boost_histogram (of 2025 or later) is installed here")


def _filled(made: Any, bins: Any) -> Any:
    there = sys.modules["numpy"].asarray(made.view(flow=True))
    if (there.shape, there.dtype) != (bins.shape, bins.dtype):
        raise BadParts("its bins do not fit its axes")
    there[...] = bins
    return made


def _fits(found: Dict[str, Any]) -> None:
    """A histogram must not promise more bins than came: the library makes them before it looks."""
    shape = getattr(found["storage"].get("values"), "shape", None)
    if shape is None or len(shape) != len(found["axes"]):
        raise BadParts("its values have other dimensions than axes")
    if any(int(axis.get("bins", 0)) > length for axis, length in zip(found["axes"], shape)):  # noqa: B905  Python 3.8
        raise BadParts("an axis has more bins than values")


def _awkward(found: Dict[str, Any]) -> Any:
    try:
        import awkward  # noqa: PLC0415  only where such an array travels
    except ImportError as error:
        raise BadParts("it is an awkward array, and awkward is not installed here") from error
    array = awkward.from_buffers(found["form"], found["length"], found["buffers"])
    wrong = awkward.validity_error(array)
    if wrong:
        raise BadParts(wrong)
    return array[0] if found["single"] else array
