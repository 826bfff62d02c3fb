"""A running embedded API and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest_asyncio
from support.kubeapi import running_api

from aiinfn_hub.kube.client import KubeClient
from aiinfn_hub.local.controllers.admission import admit


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[KubeClient]:
    async with running_api(tmp_path, admit) as api:
        kube = await KubeClient.connect(api.kubeconfig)
        try:
            yield kube
        finally:
            await kube.close()
