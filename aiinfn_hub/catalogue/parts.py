"""The parts of a platform file as they were written, for checks that speak of whatever can be read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

Part = TypeVar("Part", bound=BaseModel)


def items(data: Any, section: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The mappings of a section as they were written, with their indices."""
    section_data = data.get(section) if isinstance(data, dict) else None
    for index, item in enumerate(section_data if isinstance(section_data, list) else []):
        if isinstance(item, dict):
            yield index, item


def parsed(data: Any, section: str, model: type[Part]) -> Iterator[tuple[int, Part]]:
    """The items of a section that have no mistake by themselves (the others are reported with theirs)."""
    for index, item in items(data, section):
        try:
            yield index, model.model_validate(item, by_alias=True, by_name=False)
        except ValidationError:
            continue


def names(data: Any, section: str) -> list[str]:
    """The names of a section."""
    return [item["name"] for _, item in items(data, section) if isinstance(item.get("name"), str)]


def repeats(data: Any, section: str, key: str) -> Iterator[tuple[int, str, str]]:
    """Index, value and first owner's name where the value of a key was had before in the section."""
    owners: dict[str, str] = {}
    for index, item in items(data, section):
        value = item.get(key)
        if not isinstance(value, str | int):
            continue
        if str(value) in owners:
            yield index, str(value), owners[str(value)]
        owners.setdefault(str(value), str(item.get("name", f"number {index}")))
