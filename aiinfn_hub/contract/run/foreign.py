"""Values of libraries that say themselves what they are made of: histograms (UHI) and awkward arrays.

Each becomes plain parts and arrays, by the library's own means, and is made from them again by the same library where
it is read. Nothing in the parts names code: which library makes it is one of the words below.
"""

from __future__ import annotations

import importlib
import json
import sys
from typing import Any, Dict

#: How the libraries of histograms are called, the more able one first: https://uhi.readthedocs.io (serialization).
HISTOGRAMS = (("hist", "Hist"), ("boost_histogram", "Histogram"))


class BadParts(ValueError):
    """Nothing can be made of these."""


def kind(value: Any) -> str:
    """Of which kind a value is: "uhi" or "awkward"; "" for what is of no such library."""
    if _library_of(value):
        return "uhi"
    awkward = sys.modules.get("awkward")
    return "awkward" if awkward is not None and isinstance(value, (awkward.Array, awkward.Record)) else ""


def _library_of(value: Any) -> str:
    for module, name in HISTOGRAMS:
        found = getattr(sys.modules.get(module), name, None)
        if found is not None and isinstance(value, found) and hasattr(value, "_to_uhi_"):
            return module
    return ""


def parts(value: Any) -> Dict[str, Any]:
    """What a value of such a kind is made of.

    Raises:
        ValueError, TypeError: the library cannot say it.
    """
    if kind(value) == "uhi":
        # The bins as they are, too: in UHI, what is known of a single sample is not exact.
        bins = sys.modules["numpy"].asarray(value.view(flow=True))
        return {"of": _library_of(value), "parts": value._to_uhi_(), "bins": bins}
    awkward = sys.modules["awkward"]
    single = isinstance(value, awkward.Record)
    array = awkward.Array([value]) if single else value
    form, length, buffers = awkward.to_buffers(awkward.to_packed(awkward.to_backend(array, "cpu")))
    return {"form": json.loads(form.to_json()), "length": length, "single": single, "buffers": dict(buffers)}


def made(of: str, found: Dict[str, Any]) -> Any:
    """The value of these parts.

    Raises:
        BadParts: its library is not here, or finds that they do not fit; other errors of the library mean the same.
    """
    return _histogram(found) if of == "uhi" else _awkward(found)


def summary(value: Any) -> str:
    """What it is, in few words; "" for what is of no such library."""
    found = kind(value)
    if found == "uhi":
        return "histogram of %s" % ("x".join(str(len(axis)) for axis in value.axes) or "no axes")
    if found == "awkward":
        single = isinstance(value, sys.modules["awkward"].Record)
        return "awkward record" if single else "awkward array of %d" % len(value)
    return ""


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
