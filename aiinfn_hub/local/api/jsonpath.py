"""What printer columns use of JSONPath: `.spec.a`, `.items[0].b`, `.conditions[?(@.type=="Ready")].status`."""

from __future__ import annotations

import re
from typing import Any

_STEP = re.compile(
    r"""\.(?P<key>(?:[^.\[\\]|\\.)+)|\[(?P<index>-?[0-9]+)\]|\[['"](?P<quoted>[^'"]+)['"]\]"""
    r"""|\[\?\(@\.(?P<name>\w+)\s*==\s*['"](?P<value>[^'"]*)['"]\)\]"""
)


def find(obj: Any, path: str) -> Any:
    """The first value at a path; None where there is none."""
    for step in _STEP.finditer(path):
        obj = _next(obj, step)
        if obj is None:
            return None
    return obj


def _next(value: Any, step: re.Match[str]) -> Any:
    if step["name"]:
        entries = value if isinstance(value, list) else []
        return next((e for e in entries if isinstance(e, dict) and str(e.get(step["name"])) == step["value"]), None)
    if step["index"]:
        position = int(step["index"])
        return value[position] if isinstance(value, list) and -len(value) <= position < len(value) else None
    key = step["quoted"] or re.sub(r"\\(.)", r"\1", step["key"])
    return value.get(key) if isinstance(value, dict) else None
