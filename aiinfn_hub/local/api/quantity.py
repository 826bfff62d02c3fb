"""`resource.Quantity` of apimachinery: amounts such as `500m`, `1.5Gi`, `1e3`, and their canonical spelling."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

_QUANTITY = re.compile(
    r"(?P<number>[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+))(?P<suffix>[KMGTPE]i|[numkMGTPE]?|[eE][+-]?[0-9]+)"
)
_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}


def parse(value: Any) -> Decimal | None:
    """The amount, or None if that is not a quantity."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = _QUANTITY.fullmatch(str(value))
    if match is None:
        return None
    number, suffix = Decimal(match["number"]), match["suffix"]
    if suffix in _BINARY:
        return number * Decimal(2 ** _BINARY[suffix])
    if suffix in _DECIMAL:
        return number.scaleb(_DECIMAL[suffix])
    return number.scaleb(int(suffix[1:]))


def canonical(value: Any) -> Any:
    """The spelling that the API answers with: `1024Mi` is `1Gi`, 0.5 is `500m`; what is no quantity stays as it is."""
    amount = parse(value)
    if amount is None:
        return value
    if str(value).endswith("i") and abs(amount) >= 1024 and amount == amount.to_integral_value():
        suffix = next(s for s, power in reversed(_BINARY.items()) if amount % 2**power == 0 or power == 10)
        if amount % 2 ** _BINARY[suffix] == 0:
            return f"{int(amount / 2 ** _BINARY[suffix])}{suffix}"
    if amount == 0:
        return "0"
    for suffix, power in reversed(_DECIMAL.items()):
        scaled = amount.scaleb(-power)
        if scaled == scaled.to_integral_value():
            return f"{int(scaled)}{suffix}"
    # Finer than a billionth is rounded up, away from zero.
    rounding = "ROUND_CEILING" if amount > 0 else "ROUND_FLOOR"
    return f"{int(amount.scaleb(9).to_integral_value(rounding))}n"
