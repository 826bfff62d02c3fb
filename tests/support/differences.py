"""Where the embedded platform differs from the real one on purpose: the list in docs/explanation/embedded.md."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.places import Place

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "embedded.md"


def listed() -> dict[str, str]:
    """Each difference of the section "Where it differs", by the bold words that it begins with."""
    section = re.search(r"^## Where it differs\n(.*?)(?=^## |\Z)", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert section, PAGE
    return {title: text.strip() for title, text in re.findall(r"^- \*\*(.+?)\.\*\* (.+)$", section[1], re.MULTILINE)}


def only_real(place: Place, title: str) -> None:
    """Skip the rest of a test on the embedded platform; the page has to say why."""
    if place.name == "embedded":
        pytest.skip(listed()[title])
