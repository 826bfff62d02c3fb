"""From a start at the hub to a registry and back: a real service, a real registry, both over HTTP."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from support.people import scientist
from support.registry import Registry, running_registry
from support.service import HUB_KEY, RunningService, running_service, secret
from support.small_platform import small_platform

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.environments.registry import Registries
from aiinfn_hub.errors import InvalidInput, NotFound
from aiinfn_hub.hub.at_service import AtService
from aiinfn_hub.hub.images import settled
from aiinfn_hub.sessions.options import validate

pytestmark = pytest.mark.asyncio
LOG = logging.getLogger("test")


@pytest_asyncio.fixture
async def registry() -> AsyncIterator[Registry]:
    async with running_registry() as running:
        yield running


@pytest_asyncio.fixture
async def service(tmp_path: Path, registry: Registry) -> AsyncIterator[RunningService]:
    """A service whose platform allows images of this registry, and which goes there without TLS."""
    async with running_service(tmp_path) as running:
        running.hub.add("mrossi", "/aiinfn", "/aiinfn/lhcb-flashsim")
        images = running.service.images
        images._platform = site(registry)
        images._registries = Registries(private=[registry.host], plain=[registry.host])
        yield running
        await images._registries.close()


def site(registry: Registry, *, look_up: bool = True) -> Platform:
    image = {"name": "listed", "title": "Listed", "ref": f"{registry.host}/infn/listed:1"}
    policy = {"registries": [f"{registry.host}/free/*"], "look_up": look_up}
    return small_platform(images=[image], image_policy=policy)


async def start(service: RunningService, registry: Registry, environment: str, *, look_up: bool = True) -> str:
    """The image of the pod of somebody who chooses this environment."""
    platform = site(registry, look_up=look_up)
    spec = validate(platform, scientist(platform), {"environment": environment})
    folder = Path(service.service.config.hub_key_file).parent
    key = Path(secret(folder / "key-of-a-hub", HUB_KEY))
    return await settled(AtService("mrossi", service.url, key), platform, spec, LOG)


async def test_what_was_found_is_what_runs(service: RunningService, registry: Registry) -> None:
    known = registry.push("infn/listed", "1", layers=(10,))
    assert await start(service, registry, "image:listed") == f"{registry.host}/infn/listed:1@{known}"
    typed = registry.push("free/mine", "2", layers=(10,))
    assert (
        await start(service, registry, f"registry:{registry.host}/free/mine:2")
        == f"{registry.host}/free/mine:2@{typed}"
    )


async def test_an_image_that_is_not_there_starts_nothing(service: RunningService, registry: Registry) -> None:
    with pytest.raises(NotFound, match=r"Environment: .* has no free/mine:2") as refused:
        await start(service, registry, f"registry:{registry.host}/free/mine:2")
    assert refused.value.details["option"] == "environment"
    registry.push("free/arm", "1", platforms=("linux/arm64",))
    with pytest.raises(InvalidInput, match="processors"):
        await start(service, registry, f"registry:{registry.host}/free/arm:1")


@pytest.mark.parametrize("fault", [{"status": 503}, {"status": 302}])
async def test_a_registry_that_says_nothing_keeps_nobody(
    service: RunningService, registry: Registry, fault: dict[str, Any]
) -> None:
    vars(registry).update(fault)
    assert await start(service, registry, "image:listed") == f"{registry.host}/infn/listed:1"


async def test_nobody_is_asked_where_the_platform_file_does_not_say_so(
    service: RunningService, registry: Registry
) -> None:
    assert await start(service, registry, "image:listed", look_up=False) == f"{registry.host}/infn/listed:1"
    digest = "sha256:" + "ab" * 32
    by_digest = f"{registry.host}/free/mine@{digest}"
    assert await start(service, registry, f"registry:{by_digest}") == by_digest
    assert registry.asked == []


async def test_many_who_start_the_same_ask_once(service: RunningService, registry: Registry) -> None:
    registry.push("infn/listed", "1")
    for _ in range(5):
        await start(service, registry, "image:listed")
    assert len(registry.asked) == 1


async def test_the_policy_comes_first_and_only_the_hub_may_ask(service: RunningService, registry: Registry) -> None:
    registry.push("other/x", "1")
    async with service.person(Authorization=f"Bearer {HUB_KEY}") as http:
        answer = await http.get("/api/image", params={"ref": f"{registry.host}/other/x:1", "person": "mrossi"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "invalid-input")
    assert registry.asked == []
    async with service.person("token-of-mrossi") as http:
        assert (await http.get("/api/image", params={"ref": "x"})).status_code == 403
