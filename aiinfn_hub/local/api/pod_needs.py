"""What a container may ask for: requests and limits, in the words of k8s.io/kubernetes/pkg/apis/core/validation."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiinfn_hub.local.api import quantity, validation
from aiinfn_hub.local.api.status import Problem

Object = dict[str, Any]
_COMPUTE = frozenset({"cpu", "memory", "ephemeral-storage"})


def needs_problems(field: str, needs: Object) -> Iterator[Problem]:
    """The mistakes in a container's `resources`, whose amounts are quantities."""
    requests, limits = needs.get("requests") or {}, needs.get("limits") or {}
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, value in amounts.items():
            yield from _amount_problems(f"{field}.{part}[{name}]", name, value)
    for name, value in requests.items():
        limit, asked = quantity.parse(limits.get(name)), quantity.parse(value)
        if asked is None or (limit is None and not _extended(name)):
            continue
        if _extended(name) and limit is None:
            yield Problem.required(f"{field}.limits", "Limit must be set for non overcommitable resources")
        elif _extended(name) and asked != limit:
            yield Problem.invalid(f"{field}.requests", value, f"must be equal to {name} limit of {limits[name]}")
        elif limit is not None and asked > limit:
            yield Problem.invalid(
                f"{field}.requests", value, f"must be less than or equal to {name} limit of {limits[name]}"
            )


def _amount_problems(field: str, name: str, value: Any) -> Iterator[Problem]:
    amount = quantity.parse(value)
    if wrong := validation.qualified_name(name):
        yield Problem.invalid(field, name, wrong)
    elif "/" not in name and name not in _COMPUTE and not name.startswith("hugepages-"):
        yield Problem.invalid(field, name, "must be a standard resource type or fully qualified")
        yield Problem.invalid(field, name, "must be a standard resource for containers")
    if amount is not None and amount < 0:
        yield Problem.invalid(field, value, "must be greater than or equal to 0")
    elif amount is not None and _extended(name) and amount != amount.to_integral_value():
        yield Problem.invalid(field, value, "must be an integer")


def _extended(name: str) -> bool:
    return "/" in name or name.startswith("hugepages-")
