"""The room over HTTP, as most tests of it need it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from support.offload_service import World, sqlite, world


@pytest_asyncio.fixture
async def service(tmp_path: Path) -> AsyncIterator[World]:
    database = sqlite(tmp_path)
    async with world(tmp_path, database) as found:
        yield found
    database.close()
