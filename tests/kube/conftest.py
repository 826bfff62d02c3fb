"""A running embedded API and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from support.kubeapi import RunningApi, running_api

from aiinfn_hub.kube.client import KubeClient


@pytest_asyncio.fixture
async def api(tmp_path: Path) -> AsyncIterator[RunningApi]:
    async with running_api(tmp_path) as running:
        yield running


@pytest_asyncio.fixture
async def client(api: RunningApi) -> AsyncIterator[KubeClient]:
    kube = await KubeClient.connect(api.kubeconfig)
    try:
        yield kube
    finally:
        await kube.close()
