"""The size budget of the architecture: short files, short functions, and more test code than code."""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("aiinfn_hub", "aiinfn_labext")
MAX_FILE, MAX_FUNCTION, MIN_TEST_RATIO = 300, 40, 1.2

#: Path (or path::function) -> why it may be longer.
EXCEPTIONS: dict[str, str] = {}


def sources() -> list[Path]:
    return [
        path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*.py"))
        if "migrations/versions" not in str(path)
    ]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> Iterator[tuple[str, int]]:
    """Each function with its lines, docstring not counted."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            first = node.body[0]
            if ast.get_docstring(node) is not None:
                length -= (first.end_lineno or first.lineno) - first.lineno + 1
            yield node.name, length


def code_lines(text: str) -> int:
    """Lines that hold code: no blank ones, comments or docstrings."""
    docstrings = {
        line
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and ast.get_docstring(node)
        for line in range(node.body[0].lineno, (node.body[0].end_lineno or 0) + 1)
    }
    skip = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines = {
        line
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type not in skip
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(lines - docstrings)


@pytest.mark.parametrize("path", sources(), ids=name)
def test_a_file_is_short_enough_to_be_read_at_once(path: Path) -> None:
    if name(path) not in EXCEPTIONS:
        assert len(path.read_text().splitlines()) <= MAX_FILE, "which room is missing?"


@pytest.mark.parametrize("path", sources(), ids=name)
def test_a_function_does_one_thing(path: Path) -> None:
    long = [
        f"{function}: {lines}"
        for function, lines in functions(path)
        if lines > MAX_FUNCTION and f"{name(path)}::{function}" not in EXCEPTIONS
    ]
    assert long == []


def test_every_exception_is_still_needed_and_has_a_reason() -> None:
    for key, reason in EXCEPTIONS.items():
        path, _, function = key.partition("::")
        assert reason
        if function:
            assert any(n == function and lines > MAX_FUNCTION for n, lines in functions(ROOT / path)), key
        else:
            assert len((ROOT / path).read_text().splitlines()) > MAX_FILE, key


def test_there_is_more_test_code_than_code() -> None:
    code = sum(code_lines(path.read_text()) for path in sources())
    tests = sum(code_lines(path.read_text()) for path in (ROOT / "tests").rglob("*.py"))
    assert tests >= MIN_TEST_RATIO * code, f"{tests} lines of tests for {code} of code"
