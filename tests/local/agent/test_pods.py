"""Pods that run as processes: from the binding to the end, as a kubelet would report it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from support.nodeagent import Cluster, phase, pod, running_cluster, state


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    async with running_cluster(tmp_path) as found:
        yield found


@pytest.mark.asyncio
async def test_a_command_runs_to_its_end(cluster: Cluster) -> None:
    await cluster.create(pod("hello", "sh", "-c", "echo hello"))
    found = await cluster.until("hello", phase("Succeeded"))
    assert await cluster.log("hello") == "hello\n"
    print(found["status"], await cluster.events("hello"))
    assert state(found)["terminated"]["exitCode"] == 0
