"""The reference page of the doctor's codes, as the documentation makes it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

from aiinfn_hub.install.doctor.table import CHECKS, OTHERS

DOCS = Path(__file__).parent.parent.parent / "docs"


@pytest.fixture(scope="module")
def generate() -> ModuleType:
    """docs/generate.py, which is no part of a package."""
    spec = importlib.util.spec_from_file_location("docs_generate", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_code_stands_once_in_the_page(generate: ModuleType) -> None:
    page = "\n".join(generate.PAGES["doctor"]())
    for code in (*(check.code for check in CHECKS), *OTHERS):
        assert page.count(f"| `{code}` |") == 1


def test_a_code_stands_with_what_it_does_to_people(generate: ModuleType) -> None:
    rows = [line for line in generate.PAGES["doctor"]() if line.startswith("| `")]
    for check in CHECKS:
        (row,) = (row for row in rows if f"`{check.code}`" in row)
        assert generate.cell(check.says) in row
        assert ("| note |" in row) is (check.level == "note")
        assert row.endswith("| yes |") is check.compares


def test_the_groups_are_headings_in_the_order_of_the_output(generate: ModuleType) -> None:
    headings = [line.strip()[3:] for line in generate.PAGES["doctor"]() if line.strip().startswith("## ")]
    assert headings == [*dict.fromkeys(check.group for check in CHECKS), "Not known"]


def test_the_page_is_in_the_index() -> None:
    assert "generated/doctor\n" in (DOCS / "reference" / "index.md").read_text()
    assert "generated/doctor" in (DOCS / "howto" / "production.md").read_text()
