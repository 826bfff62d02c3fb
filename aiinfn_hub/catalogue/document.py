"""A YAML file as plain data that remembers on which line each thing stands."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import yaml

#: Where something stands in the data: keys of mappings and indices of lists, outermost first.
Location = tuple[str | int, ...]


@dataclass(frozen=True)
class Finding:
    """One mistake: where, what, and the nearest thing that would be right ("" if there is none)."""

    location: Location
    message: str
    nearest: str = ""
    line: int | None = None


@dataclass(frozen=True)
class Document:
    """The data of a YAML file, the line of each location, and the mistakes of the YAML itself."""

    data: Any = None
    lines: dict[Location, int] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()

    def line(self, location: Location) -> int:
        """The line of the location, or of the nearest thing around it; lines count from 1."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, 1)


def read_document(text: str) -> Document:
    """Parse one YAML document; what YAML itself forbids (and what it should: a key twice) becomes findings."""
    try:
        return _read(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = ", ".join(part for part in (error.context, error.problem) if part)
        finding = Finding((), f"not YAML: {message}", line=mark.line + 1 if mark else 1)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        finding = Finding((), f"not YAML: the character U+{ord(text[error.position]):04X} is not allowed", line=line)
    except ValueError as error:
        # What looks like a date or a number and is none, such as 2024-13-45.
        finding = Finding((), f"not YAML: {error}")
    except RecursionError:
        finding = Finding((), "the file is nested too deeply")
    return Document(findings=(finding,))


def _read(text: str) -> Document:
    loader = yaml.SafeLoader(text)
    try:
        root = loader.get_single_node()
        if root is None:
            return Document(findings=(Finding((), "the file is empty"),))
        # The constructor merges `<<` into the nodes, so that repeated keys are looked for before it, lines after it.
        findings = tuple(_repeated(root, (), frozenset()))
        data = loader.construct_document(root)
        return Document(data, dict(_lines(root, (), frozenset())), findings)
    finally:
        loader.dispose()


def spell(location: Location) -> str:
    """A location as people write it: flavours[3].node_selector["nvidia.com/gpu.product"]."""
    text = ""
    for part in location:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier():
            text += f".{part}" if text else part
        else:
            text += f"[{json.dumps(part)}]"
    return text


def _children(node: yaml.Node) -> Iterator[tuple[str | int, yaml.Node, yaml.Node]]:
    """Key, the node that marks the line, and the node of the value."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield str(key.value), key, value
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield index, value, value


def _lines(node: yaml.Node, location: Location, above: frozenset[int]) -> Iterator[tuple[Location, int]]:
    if not location:
        yield location, node.start_mark.line + 1
    for key, mark, value in _children(node):
        here = (*location, key)
        yield here, mark.start_mark.line + 1
        # An alias can name what contains it.
        if id(value) not in above:
            yield from _lines(value, here, above | {id(node)})


def _repeated(node: yaml.Node, location: Location, above: frozenset[int]) -> Iterator[Finding]:
    first: dict[str | int, int] = {}
    for key, mark, value in _children(node):
        here, line = (*location, key), mark.start_mark.line + 1
        if key in first and key != "<<":
            yield Finding(here, f"is written twice; the first is on line {first[key]}", line=line)
        first.setdefault(key, line)
        if id(value) not in above:
            yield from _repeated(value, here, above | {id(node)})
