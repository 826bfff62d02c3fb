"""A real JupyterHub process with our authenticator and nothing else: no proxy, no sessions."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

CONFIG = """
import json, pathlib
from jupyterhub.proxy import Proxy
from aiinfn_hub.hub.wiring import configure

class NoProxy(Proxy):
    should_start = False
    async def add_route(self, routespec, target, data): ...
    async def delete_route(self, routespec): ...
    async def get_all_routes(self): return {}

settings = json.loads(pathlib.Path(__file__).with_name("settings.json").read_text())
c = get_config()
c.JupyterHub.proxy_class = NoProxy
c.JupyterHub.bind_url = c.JupyterHub.hub_bind_url = settings["url"]
c.JupyterHub.db_url = "sqlite:///hub.sqlite"
c.JupyterHub.authenticator_class = settings["kind"]
c.JupyterHub.log_level = "DEBUG"
c.JupyterHub.services = [
    {"name": name, "api_token": settings[key]} for name, key in (("reader", "token"), ("aiinfn", "ours"))
]
c.JupyterHub.load_roles = [{"name": "reader", "services": ["reader"], "scopes": settings["scopes"]}]
for name, value in settings["authenticator"].items():
    c["IamAuthenticator" if settings["kind"] == "aiinfn-iam" else "GenericOAuthenticator"][name] = value
if settings["kind"] == "aiinfn-iam":
    configure(c)
c.CryptKeeper.keys = [bytes.fromhex(settings["key"])]
"""


@dataclass
class RunningHub:
    """A hub that answers; `token` is of a service called reader, `ours` of our own."""

    url: str
    token: str
    ours: str
    log: Path
    folder: Path


@contextmanager
def running_hub(
    folder: Path, port: int, scopes: list[str], *, kind: str = "aiinfn-iam", **authenticator: Any
) -> Iterator[RunningHub]:
    """Start a hub on this port; `authenticator` are settings of its authenticator, ours or "generic-oauth"."""
    folder.mkdir(parents=True, exist_ok=True)
    token, ours = secrets.token_hex(16), secrets.token_hex(16)
    settings = {
        "url": f"http://127.0.0.1:{port}",
        "token": token,
        "ours": ours,
        "scopes": scopes,
        "key": secrets.token_hex(32),
    }
    (folder / "settings.json").write_text(json.dumps(settings | {"kind": kind, "authenticator": authenticator}))
    (folder / "config.py").write_text(CONFIG)
    hub = RunningHub(f"http://127.0.0.1:{port}/hub", token, ours, folder / "hub.log", folder)
    with hub.log.open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", "config.py"], cwd=folder, stdout=log, stderr=log
        )
    try:
        _wait(hub, process)
        yield hub
    finally:
        process.terminate()
        process.wait(10)


def _wait(hub: RunningHub, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    while True:
        try:
            if httpx.get(f"{hub.url}/health", timeout=2).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert process.poll() is None, hub.log.read_text()
        assert time.monotonic() < deadline, hub.log.read_text()
        time.sleep(0.1)
