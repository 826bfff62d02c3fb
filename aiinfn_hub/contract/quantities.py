"""Amounts as people and Kubernetes write them: CPU, bytes and durations.

The grammar of CPU and bytes is that of Kubernetes' `resource.Quantity` (apimachinery) as far as whole units go,
plus spellings that people use ("16 GB"). Every function takes text or a number and raises
`InvalidInput` with an example.
"""

from __future__ import annotations

import re
from decimal import Decimal

from aiinfn_hub.errors import InvalidInput

_NUMBER = r"(?P<number>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
_CPU = re.compile(_NUMBER + r"(?P<milli>m?)")
_BYTES = re.compile(_NUMBER + r"\s*(?P<unit>[kKMGTPE]i?)?[bB]?")
_DURATION_PART = re.compile(_NUMBER + r"\s*(?P<unit>d|h|min|m|s)?")
_FACTORS = {"": 1} | {
    f"{prefix}{binary}": (1024 if binary else 1000) ** power
    for power, prefixes in enumerate(("kK", "M", "G", "T", "P", "E"), start=1)
    for prefix in prefixes
    for binary in ("", "i")
}
#: Blanks between a number and its unit, or between parts; "30 1h" is neither.
_BLANKS = re.compile(r"(?<=[0-9])\s+(?=[dhms])|(?<=[dhmsin])\s+(?=[0-9])")
_SECONDS = {"d": 86400, "h": 3600, "min": 60, "m": 60, "s": 1}


def parse_cpu(value: str | float) -> int:
    """CPU in millicores: "4" and 4 are 4000, "500m" and 0.5 are 500; finer is rounded up, as Kubernetes does."""
    match = _CPU.fullmatch(str(value).strip())
    if match is None:
        raise InvalidInput(f"{value!r} is not an amount of CPU.", hint='Write cores, as in "4", "0.5" or "500m".')
    amount = Decimal(match["number"]) * (1 if match["milli"] else 1000)
    return int(amount.to_integral_value(rounding="ROUND_CEILING"))


def parse_bytes(value: str | float) -> int:
    """Bytes: "16Gi", "16 GB", "512M", 1024. Part of a byte is rounded up."""
    match = _BYTES.fullmatch(str(value).strip())
    if match is None:
        raise InvalidInput(f"{value!r} is not an amount of memory.", hint='Write it as in "512Mi", "16Gi" or "16 GB".')
    amount = Decimal(match["number"]) * _FACTORS[match["unit"] or ""]
    return int(amount.to_integral_value(rounding="ROUND_CEILING"))


def parse_duration(value: str | float) -> int:
    """Whole seconds, at least 1: "5m", "2h", "1h30m", "1d", "90" and 90 (seconds)."""
    text = _BLANKS.sub("", str(value).strip().lower())
    total, position = Decimal(0), 0
    for match in _DURATION_PART.finditer(text):
        if match.start() != position or (match["unit"] is None and (match.start() or match.end() != len(text))):
            break
        total += Decimal(match["number"]) * _SECONDS[match["unit"] or "s"]
        position = match.end()
    if position != len(text) or total < 1:
        raise InvalidInput(f"{value!r} is not a duration.", hint='Write it as in "30s", "5m", "2h" or "1h30m".')
    return int(total.to_integral_value(rounding="ROUND_CEILING"))


def format_cpu(millicores: int) -> str:
    """Millicores as Kubernetes writes them: 4000 is "4", 500 is "500m"."""
    return str(millicores // 1000) if millicores % 1000 == 0 else f"{millicores}m"


def format_bytes(amount: int) -> str:
    """Bytes in the largest binary unit that is exact, as Kubernetes reads them: 17179869184 is "16Gi"."""
    for unit in ("Ei", "Pi", "Ti", "Gi", "Mi", "Ki"):
        if amount and amount % _FACTORS[unit.replace("Ki", "ki")] == 0:
            return f"{amount // _FACTORS[unit.replace('Ki', 'ki')]}{unit}"
    return str(amount)


def format_duration(seconds: float) -> str:
    """Seconds in words of at most two units: 5400 is "1 h 30 min", 42 is "42 s"."""
    rest, parts = round(seconds), []
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60), ("s", 1)):
        amount, rest = divmod(rest, size)
        if amount:
            parts.append(f"{amount} {unit}")
    return " ".join(parts[:2]) or "0 s"
