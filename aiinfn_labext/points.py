"""The points of a sweep, from what people write: `--sweep lr=1e-3,1e-4 seed=0:10`, or a list of the notebook. Pure."""

from __future__ import annotations

import ast
import itertools
import math
from collections.abc import Iterable, Mapping
from typing import Any

from aiinfn_hub.contract.jobs import Scalar
from aiinfn_hub.contract.sweeps import MAX_POINTS, Point
from aiinfn_hub.errors import InvalidInput, TooLarge

USAGE = "Write --sweep lr=0.1,0.01 seed=0:10: values with commas, or a range as Python has it."


def parse_points(words: Iterable[str]) -> list[Point]:
    """Every combination of the values of these words; the last one changes first.

    Raises:
        InvalidInput: a word is no name with values.
        TooLarge: there are more of them than a sweep may have.
    """
    values: dict[str, list[Scalar]] = {}
    for word in words:
        name, _, text = word.partition("=")
        if not name.isidentifier() or not text:
            raise InvalidInput(f"{word!r} is no name with values.", hint=USAGE)
        if name in values:
            raise InvalidInput(f"{name} is there twice.", hint=USAGE)
        ranged = ":" in text and "," not in text
        values[name] = _range(word, text) if ranged else [_value(part) for part in text.split(",")]
    if not values:
        raise InvalidInput("--sweep needs names with values.", hint=USAGE)
    return product(values)


def product(values: Mapping[str, Iterable[Any]]) -> list[dict[str, Any]]:
    """Every combination of these values; the last one changes first.

    Raises:
        TooLarge: there are more of them than a sweep may have.
    """
    lists = {name: list(found) for name, found in values.items()}
    count = math.prod(map(len, lists.values()))
    if count > MAX_POINTS:
        raise TooLarge(
            f"These are {' x '.join(str(len(found)) for found in lists.values())} = {count} points.",
            hint=f"A sweep has at most {MAX_POINTS}.",
        )
    return [dict(zip(lists, point, strict=True)) for point in itertools.product(*lists.values())]


def points_of(name: str, value: Any) -> list[Point]:
    """The points that a variable of a notebook holds: dictionaries, or a table with a name for each column.

    Raises:
        InvalidInput: it is no list of dictionaries of numbers and words.
    """
    found = value.to_dict("records") if hasattr(value, "to_dict") and hasattr(value, "columns") else value
    try:
        rows = list(found)
    except TypeError as error:
        raise InvalidInput(f"{name} is no list of points.", hint="It is a list of dictionaries.") from error
    points = []
    for place, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InvalidInput(f"{name}[{place}] is no dictionary.", hint="A point is one, as {'lr': 0.1, 'seed': 3}.")
        points.append({str(key): _plain(f"{key} of {name}[{place}]", one) for key, one in row.items()})
    return points


def _range(word: str, text: str) -> list[Scalar]:
    try:
        found = range(*(int(part) for part in text.split(":")))
    except (ValueError, TypeError) as error:
        raise InvalidInput(f"{word!r} is no range of integers.", hint="Write seed=0:10, or seed=0:10:2.") from error
    if not found:
        raise InvalidInput(f"{word!r} is an empty range.", hint="Its end is not among its values, as in Python.")
    if len(found) > MAX_POINTS:
        raise TooLarge(f"{word!r} has {len(found)} values.", hint=f"A sweep has at most {MAX_POINTS} points.")
    return list(found)


def _value(text: str) -> Scalar:
    """A number, True, False or None as Python writes them; a word otherwise."""
    try:
        found = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return found if found is None or isinstance(found, bool | int | float | str) else text


def _plain(what: str, value: Any) -> Scalar:
    item = value.item() if hasattr(value, "item") and getattr(value, "ndim", None) == 0 else value  # of NumPy
    if item is None or isinstance(item, bool | int | float | str):
        return item
    raise InvalidInput(f"{what} is {type(value).__name__}.", hint="Points hold numbers and words; --in sends the rest.")
