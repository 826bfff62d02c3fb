"""One large object must not break a watch."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest
from support.kubeapi import running_api

from aiinfn_hub.kube.client import CONFIGMAPS, KubeClient


@pytest.mark.asyncio
async def test_an_object_of_900_kilobytes_comes_through_a_watch(tmp_path: Path) -> None:
    async with running_api(tmp_path) as api:
        client = await KubeClient.connect(api.kubeconfig)
        try:
            _, version = await client.list(CONFIGMAPS, "default")
            seen = asyncio.create_task(_first(client, version))
            body = {"metadata": {"name": "large", "namespace": "default"}, "data": {"text": "x" * 900_000}}
            await client.create(CONFIGMAPS, body, "default")
            event, text = await asyncio.wait_for(seen, 20)
            assert event == "ADDED"
            assert len(msgspec.json.decode(text)["data"]["text"]) == 900_000
        finally:
            await client.close()


async def _first(client: KubeClient, version: str) -> tuple[str, bytes]:
    async for event, text in client.watch(CONFIGMAPS, "default", resource_version=version):
        return event, text
    raise AssertionError("the watch ended")
