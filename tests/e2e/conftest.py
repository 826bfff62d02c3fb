"""One demo for all tests of this folder; those that break it start their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.demo import RunningDemo, running_demo


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDemo]:
    """A running demo with fixed passwords."""
    with running_demo(tmp_path_factory.mktemp("demo") / "home") as running:
        yield running
