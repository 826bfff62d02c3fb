"""Each behaviour is seen on the real control plane first, and then asked of the embedded platform."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.places import Place, embedded_place, real_place


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.cluster), "embedded"])
def where(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest_asyncio.fixture
async def place(request: pytest.FixtureRequest, where: str, tmp_path: Path) -> AsyncIterator[Place]:
    if where == "real":
        async with real_place(request.getfixturevalue("cluster"), tmp_path) as place:
            yield place
    else:
        async with embedded_place(tmp_path) as place:
            yield place
