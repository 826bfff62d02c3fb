"""Reads a platform file; every mistake of every kind is reported at once, with file, line, path and nearest key."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from aiinfn_hub.catalogue.checks import check
from aiinfn_hub.catalogue.document import Document, Finding, Location, read_document, spell
from aiinfn_hub.catalogue.models import Platform
from aiinfn_hub.errors import CatalogueInvalid


def example_path() -> Path:
    """The platform file that is shipped as an example; the demo runs on it."""
    return Path(__file__).with_name("example.yaml")


def load_platform(path: Path) -> Platform:
    """Read and check a platform file.

    Raises:
        CatalogueInvalid: it cannot be read or has mistakes; `details["problems"]` lists all of them as
            {"file", "line", "path", "message", "nearest"}, sorted by line.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise _invalid(str(path), Document(), [Finding((), f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise _invalid(str(path), Document(), [Finding((), f"is not UTF-8 text: {error.reason}")]) from error
    return parse_platform(text, str(path))


def parse_platform(text: str, file: str = "platform.yaml") -> Platform:
    """Parse and check the text of a platform file; `file` is its name in messages.

    Raises:
        CatalogueInvalid: as `load_platform`.
    """
    document = read_document(text)
    if document.data is None and document.findings:
        raise _invalid(file, document, list(document.findings))
    findings = [*document.findings, *check(document.data)]
    try:
        platform = Platform.model_validate(document.data, by_alias=True, by_name=False)
    except ValidationError as error:
        raise _invalid(file, document, [*findings, *_structure(error, document.data)]) from error
    if findings:
        raise _invalid(file, document, findings)
    return platform


def _invalid(file: str, document: Document, findings: list[Finding]) -> CatalogueInvalid:
    problems = [problem_of(file, document, finding) for finding in findings]
    problems.sort(key=lambda problem: (problem["line"], problem["path"]))
    count = "1 mistake" if len(problems) == 1 else f"{len(problems)} mistakes"
    lines = "\n".join(problem_line(problem) for problem in problems)
    return CatalogueInvalid(
        f"{file} has {count}:\n{lines}\n",
        hint=f"Correct the file, then: aiinfn platform check {file}",
        details={"problems": problems},
    )


def problem_of(file: str, document: Document, finding: Finding) -> dict[str, Any]:
    """One of `details["problems"]`."""
    return {
        "file": file,
        "line": finding.line or document.line(finding.location),
        "path": spell(finding.location),
        "message": finding.message,
        "nearest": finding.nearest,
    }


def problem_line(problem: Mapping[str, Any]) -> str:
    """One of `details["problems"]` as compilers write it: file:line: path: message (nearest: key)."""
    nearest = f" (nearest: {problem['nearest']})" if problem["nearest"] else ""
    return f"{problem['file']}:{problem['line']}: {problem['path'] or 'the file'}: {problem['message']}{nearest}"


def _structure(error: ValidationError, data: Any) -> Iterator[Finding]:
    """What pydantic found, in our words."""
    for item in error.errors(include_url=False):
        # The mark of a mapping's key that is wrong itself.
        location = tuple(part for part in item["loc"] if part != "[key]")
        if item["type"] == "extra_forbidden":
            yield _unknown_key(location, data)
        elif item["type"] == "missing":
            yield Finding(location, "is missing")
        elif item["type"] == "too_short" and item["input"]:
            # Its items have mistakes of their own; pydantic counts those without.
            continue
        else:
            yield Finding(location, _sentence(item), _nearest_value(item))


def _sentence(item: ErrorDetails) -> str:
    given = item["input"]
    if item["type"].endswith(("_type", "_parsing")) or item["type"] == "literal_error":
        shown = repr(given) if isinstance(given, str | int | float | None) else f"a {type(given).__name__}"
        return f"{item['msg'].replace('Input should', 'should', 1)}, not {shown[:60]}"
    return item["msg"].replace("Input should", "should", 1)


def _nearest_value(item: ErrorDetails) -> str:
    given = item["input"]
    if item["type"] == "string_type" and isinstance(given, bool | int | float):
        return json.dumps(str(given).lower())
    if item["type"] != "literal_error" or not isinstance(given, str):
        return ""
    expected = [part.strip("'") for part in item["ctx"]["expected"].replace(" or ", ", ").split(", ")]
    return next(iter(get_close_matches(given, expected, n=1)), "")


def _unknown_key(location: Location, data: Any) -> Finding:
    model: type[BaseModel] | None = Platform
    for part in location[:-1]:
        data = data[part]
        if isinstance(part, str) and model is not None:
            model = _model_of(_fields(model)[part].annotation)
    keys = list(_fields(model)) if model else []
    unused = [key for key in keys if key not in data]
    near = get_close_matches(str(location[-1]), unused, n=1) or get_close_matches(str(location[-1]), keys, n=1)
    return Finding(location, "unknown key" if near else f"unknown key; known are: {', '.join(keys)}", "".join(near))


def _fields(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """The fields of a model by their names in the file."""
    return {str(field.validation_alias or name): field for name, field in model.model_fields.items()}


def _model_of(annotation: Any) -> type[BaseModel] | None:
    """The model inside an annotation like `tuple[Flavour, ...]`."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        return annotation
    return next((model for part in get_args(annotation) if (model := _model_of(part))), None)
