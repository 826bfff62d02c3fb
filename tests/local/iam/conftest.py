"""An IAM, and a browser in front of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.iam import BreakableIam, Browser, Clock, running_iam


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest_asyncio.fixture
async def iam(tmp_path: Path, clock: Clock) -> AsyncIterator[BreakableIam]:
    async with running_iam(tmp_path, clock=clock) as server:
        yield server


@pytest.fixture
def browser(iam: BreakableIam) -> Browser:
    return Browser(iam)
