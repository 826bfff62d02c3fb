"""The columns of `kubectl get` (k8s.io/kubernetes, pkg/printers/internalversion)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from aiinfn_hub.local.api import columns, jsonpath
from aiinfn_hub.local.api.columns import Column
from aiinfn_hub.local.api.kinds import Resource

Object = dict[str, Any]


@dataclass(frozen=True)
class Printer:
    """The columns of one resource."""

    columns: Sequence[Column]

    def definitions(self) -> list[Object]:
        """The `columnDefinitions` of a table."""
        return [
            {"name": c.name, "type": c.type, "format": c.format, "description": c.name, "priority": c.priority}
            for c in self.columns
        ]

    def cells(self, obj: Object, now: float) -> list[Any]:
        """The cells of an object's row."""
        return [column.cell(obj, now) for column in self.columns]


def printer(resource: Resource) -> Printer:
    """How a resource is printed; name and age where nothing better is known."""
    known = columns.COLUMNS.get(resource.table)
    if known is not None:
        return Printer(known)
    if resource.columns:
        return Printer([columns.NAME, *(_custom(definition) for definition in resource.columns)])
    return Printer([columns.NAME, columns.AGE])


def _custom(definition: Object) -> Column:
    """A column of a CustomResourceDefinition."""
    path = str(definition.get("jsonPath", ""))
    kind = str(definition.get("type", "string"))

    def cell(obj: Object, now: float) -> Any:
        value = jsonpath.find(obj, path)
        if kind == "date" and isinstance(value, str):
            with suppress(ValueError):
                return columns.age(value, now)
        return value if isinstance(value, str | int | float | bool) or value is None else str(value)

    return Column(
        str(definition.get("name", path)),
        cell,
        kind,
        int(definition.get("priority", 0)),
        str(definition.get("format", "")),
    )
