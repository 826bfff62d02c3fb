"""The demo, and a bare JupyterHub with the same proxy, timed from their start to a session that answers."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import httpx
from support.demo import Visitor, running_demo

from aiinfn_hub.local.home import free_ports
from aiinfn_hub.local.proxy import launcher

OPTIONS = {
    "flavour": "cpu",
    "cpu": "1",
    "memory": "2Gi",
    "activity": "lhcb-flashsim",
    "environment": "image",
    "environment-image": "pytorch",
    "lifetime": "4h",
}
CELL = "%%offload trivial --cpu 1 --mem 512Mi --time 5m --out y --wait\ny = 1\n"
BARE = """\
c = get_config()
c.JupyterHub.bind_url = "http://127.0.0.1:{port}"
c.JupyterHub.hub_bind_url = "http://127.0.0.1:{hub}"
c.JupyterHub.authenticator_class = "dummy"
c.DummyAuthenticator.password = "bench"
c.Authenticator.allow_all = True
c.JupyterHub.spawner_class = "simple"
c.Spawner.args = ["--allow-root"]
c.ConfigurableHTTPProxy.command = {proxy!r}
c.ConfigurableHTTPProxy.api_url = "http://127.0.0.1:{api}"
"""


@dataclass
class Figures:
    """Seconds, one value a round."""

    hub: list[float] = field(default_factory=list)
    session: list[float] = field(default_factory=list)
    round_trip: list[float] = field(default_factory=list)


async def demo(home: Path, figures: Figures) -> None:
    """One start of the demo, one session, one trivial cell."""
    started = time.monotonic()
    with running_demo(home) as running:
        figures.hub.append(time.monotonic() - started)
        visitor = Visitor(running, "scientist")
        await visitor.login()
        started = time.monotonic()
        await visitor.spawn(OPTIONS)
        await visitor.ready()
        figures.session.append(time.monotonic() - started)
        kernel = await visitor.kernel()
        await kernel.run("1")
        started = time.monotonic()
        reply = await kernel.run(CELL)
        assert reply.status == "ok", reply.error or reply.text
        figures.round_trip.append(time.monotonic() - started)


async def bare_hub(home: Path, figures: Figures) -> None:
    """One start of JupyterHub alone, one session of its local spawner."""
    home.mkdir(parents=True)
    port, hub, api = free_ports(3)
    proxy = launcher.install(home.parent / "proxy", lambda _: None)
    config = home / "jupyterhub_config.py"
    config.write_text(BARE.format(port=port, hub=hub, api=api, proxy=proxy))
    environment = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    started = time.monotonic()
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "jupyterhub", "-f", str(config)],
            cwd=home, env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        async with httpx.AsyncClient(follow_redirects=True, timeout=30) as http:
            await _until(http, f"http://127.0.0.1:{port}/hub/health")
            figures.hub.append(time.monotonic() - started)
            page = await http.get(f"http://127.0.0.1:{port}/hub/login")
            token = re.search(r'name="_xsrf" value="([^"]+)"', page.text)
            assert token, page.text
            form = {"username": "bench", "password": "bench", "_xsrf": token[1]}
            started = time.monotonic()
            await http.post(f"http://127.0.0.1:{port}/hub/login?next=/hub/spawn", data=form)
            await _ready(http, f"http://127.0.0.1:{port}/hub")
            figures.session.append(time.monotonic() - started)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


async def _ready(http: httpx.AsyncClient, hub: str) -> None:
    """As `Visitor.ready` asks for a session of the demo."""
    for _ in range(600):
        model = (await http.get(f"{hub}/api/users/bench", headers={"Referer": f"{hub}/home"})).json()
        if model.get("servers", {}).get("", {}).get("ready"):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"no session: {model}")


async def _until(http: httpx.AsyncClient, url: str) -> None:
    for _ in range(1200):
        try:
            if (await http.get(url)).status_code == 200:
                return
        except httpx.TransportError:
            pass
        await asyncio.sleep(0.05)
    raise AssertionError(f"{url} does not answer")
