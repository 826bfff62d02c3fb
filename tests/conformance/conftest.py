"""Each behaviour is seen on the real control plane first, and then asked of the embedded platform."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.controlplane.cluster import Cluster
from support.places import Place, embedded_place, real_place


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.cluster), "embedded"])
def where(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def real_one(request: pytest.FixtureRequest, where: str) -> Cluster | None:
    """The cluster, started where no event loop runs: it has one of its own."""
    return request.getfixturevalue("cluster") if where == "real" else None


@pytest_asyncio.fixture
async def place(real_one: Cluster | None, tmp_path: Path) -> AsyncIterator[Place]:
    if real_one is not None:
        async with real_place(real_one, tmp_path) as place:
            yield place
    else:
        async with embedded_place(tmp_path) as place:
            yield place
