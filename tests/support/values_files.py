"""The files of helm-values/."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from aiinfn_hub.catalogue.document import read_document
from aiinfn_hub.service.config import ServiceConfig

FOLDER = Path(__file__).parent.parent.parent / "helm-values"


def values(name: str) -> dict[str, Any]:
    """The data of one file; a key that is written twice is an error, where Helm would take the last."""
    document = read_document((FOLDER / name).read_text())
    assert document.findings == ()
    data: dict[str, Any] = document.data
    return data


def keys(data: Any) -> Iterator[str]:
    """Every key at any depth."""
    if isinstance(data, dict):
        for key, value in data.items():
            yield str(key)
            yield from keys(value)
    elif isinstance(data, list):
        for value in data:
            yield from keys(value)


def service_defaults() -> dict[str, Any]:
    """What the service does where its settings say nothing."""
    return {field.name: field.default for field in msgspec.structs.fields(ServiceConfig)}
