"""A real JupyterHub with AiinfnSpawner and our pages, without a proxy, an IAM or a cluster. Read by `jupyterhub -f`."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jupyterhub.proxy import Proxy

from aiinfn_hub.hub.offer_stream import extra_handlers
from aiinfn_hub.hub.wiring import template_paths

if TYPE_CHECKING:
    from traitlets.config import get_config  # noqa: TC004  JupyterHub puts it into this file's names

settings = json.loads(os.environ["PLAINHUB"])


class NoProxy(Proxy):
    """Browsers speak to the hub directly; routes are only remembered."""

    should_start = False

    def __init__(self, **more: Any) -> None:
        super().__init__(**more)
        self.routes: dict[str, Any] = {}

    async def add_route(self, routespec: str, target: str, data: Any) -> None:
        self.routes[routespec] = {"routespec": routespec, "target": target, "data": data}

    async def delete_route(self, routespec: str) -> None:
        self.routes.pop(routespec, None)

    async def get_all_routes(self) -> dict[str, Any]:
        return self.routes


c = get_config()
c.JupyterHub.bind_url = c.JupyterHub.hub_bind_url = settings["url"]
c.JupyterHub.db_url = f"sqlite:///{settings['home']}/hub.sqlite"
c.JupyterHub.cookie_secret_file = f"{settings['home']}/cookie-secret"
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.authenticator_class = "dummy"
c.Authenticator.allow_all = True
c.JupyterHub.load_groups = settings["groups"]
c.JupyterHub.allow_named_servers = True
c.JupyterHub.template_paths = template_paths()
c.JupyterHub.extra_handlers = extra_handlers(**settings["stream"])
c.JupyterHub.spawner_class = "aiinfn"
c.AiinfnSpawner.platform_file = settings["platform_file"]
c.AiinfnSpawner.service_url = settings["service_url"]
c.AiinfnSpawner.hub_key_file = settings["hub_key_file"]
# JupyterHub itself waits for one second before it shows the pending page; people called "hasty" wait for less.
c.AiinfnSpawner.queue_patience = 1.6
c.AiinfnSpawner.pre_spawn_hook = lambda spawner: (
    spawner.set_trait("queue_patience", 0.2) if spawner.user.name.startswith("hasty") else None
)
c.JupyterHub.concurrent_spawn_limit = 5
c.JupyterHub.services = [{"name": "tests", "api_token": settings["token"]}]
c.JupyterHub.load_roles = [
    {"name": "tests", "services": ["tests"], "scopes": ["admin:users", "admin:servers", "tokens"]},
]
Path(settings["home"], "settings-read").touch()
