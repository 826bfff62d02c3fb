"""JupyterHub's user, hub and database row of a server, as far as a spawner looks at them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import yaml
from kubernetes_asyncio.client import ApiClient
from support.small_platform import small_document
from traitlets.config import Config

from aiinfn_hub.hub.spawner import AiinfnSpawner

TOKEN = "a-token-that-must-stay-in-its-secret"


@dataclass
class FakeUser:
    """A user of the hub, in these groups."""

    name: str = "mrossi"
    groups: list[Any] = field(default_factory=list)
    admin: bool = False
    id: int = 1
    spawners: dict[str, AiinfnSpawner] = field(default_factory=dict)
    auth_state: dict[str, Any] = field(default_factory=dict)

    async def get_auth_state(self) -> dict[str, Any]:
        return self.auth_state

    @property
    def url(self) -> str:
        return f"/user/{self.name}"

    @property
    def escaped_name(self) -> str:
        return self.name

    @property
    def spawner(self) -> AiinfnSpawner:
        return self.spawners[""]


def in_groups(*paths: str) -> list[Any]:
    return [SimpleNamespace(name=path) for path in paths]


def write_platform(path: Path, **changes: Any) -> Path:
    """The small platform as a file, with some of its parts replaced."""
    path.write_text(yaml.safe_dump(small_document(**changes)))
    return path


def make_spawner(
    folder: Path,
    *,
    user: FakeUser | None = None,
    server: str = "",
    options: Mapping[str, Any] | None = None,
    kind: type[AiinfnSpawner] = AiinfnSpawner,
    **config: Any,
) -> AiinfnSpawner:
    """A spawner as JupyterHub makes it for a start; a member of lhcb unless another user is given."""
    user = user or FakeUser(groups=in_groups("/aiinfn", "/aiinfn/lhcb"))
    platform_file = folder / "platform.yaml"
    if not platform_file.exists():
        write_platform(platform_file)
    settings = {"platform_file": str(platform_file), "hub_key_file": str(folder / "hub-key"), **config}
    spawner = kind(
        config=Config(AiinfnSpawner=settings),
        user=user,
        hub=SimpleNamespace(
            public_host="", url="http://hub:8081/hub/", base_url="/hub/", api_url="http://hub:8081/hub/api"
        ),
        orm_spawner=SimpleNamespace(name=server, server=None, user_options=dict(options or {})),
        api_token=TOKEN,
        oauth_client_id=f"jupyterhub-user-{user.name}",
    )
    spawner.user_options = dict(options or {})
    user.spawners[server] = spawner
    return spawner


async def manifest_of(spawner: AiinfnSpawner) -> dict[str, Any]:
    """The pod that a start would create, as JSON."""
    await spawner.load_user_options()
    manifest: dict[str, Any] = ApiClient().sanitize_for_serialization(await spawner.get_pod_manifest())
    return manifest
