"""Starts the hub of `plainhub_config.py`, and people with cookies who use it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from tornado.testing import bind_unused_port

CONFIG = Path(__file__).with_name("plainhub_config.py")
TOKEN = "token-of-the-tests"


@dataclass
class PlainHub:
    """A hub that answers."""

    url: str
    log: Path

    @property
    def api(self) -> httpx.Client:
        """Its REST API, with the tests' own token."""
        return httpx.Client(base_url=f"{self.url}/hub/api", headers={"Authorization": f"token {TOKEN}"}, timeout=20)

    @asynccontextmanager
    async def person(self, name: str) -> AsyncIterator[httpx.AsyncClient]:
        """A browser with the person's cookies."""
        async with httpx.AsyncClient(base_url=self.url, follow_redirects=True, timeout=20) as browser:
            page = await browser.get("/hub/login")
            form = {"username": name, "password": "any", "_xsrf": browser.cookies["_xsrf"]}
            page = await browser.post("/hub/login", data=form, params={"next": "/hub/token"})
            assert page.status_code == 200, page.text
            yield browser


def xsrf(page: str) -> str:
    """The token that the page's scripts would send."""
    found = re.search(r'xsrf_token: "([^"]+)"', page)
    assert found
    return found[1]


@contextmanager
def plain_hub(
    folder: Path,
    *,
    platform_file: Path,
    service_url: str,
    key: str,
    groups: dict[str, Any],
    kubeconfig: Path,
    hasty: bool = True,
) -> Iterator[PlainHub]:
    """Run the hub until the end of the block; a hasty one looks at open forms and their people every moment."""
    socket, port = bind_unused_port()
    socket.close()
    (folder / "hub-key").write_text(key)
    settings = {
        "url": f"http://127.0.0.1:{port}",
        "home": str(folder),
        "groups": groups,
        "platform_file": str(platform_file),
        "service_url": service_url,
        "hub_key_file": str(folder / "hub-key"),
        "token": TOKEN,
        "stream": {"interval_s": 0.2, "authorise_s": 0.5} if hasty else {},
    }
    environment = {**os.environ, "PLAINHUB": json.dumps(settings), "KUBECONFIG": str(kubeconfig)}
    log = folder / "hub.log"
    command = [sys.executable, "-m", "jupyterhub", "-f", str(CONFIG)]
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=output, stderr=output)
    try:
        _wait(process, f"{settings['url']}/hub/health", log)
        yield PlainHub(str(settings["url"]), log)
    finally:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    end = time.monotonic() + 90
    while time.monotonic() < end:
        try:
            if httpx.get(url).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert process.poll() is None, log.read_text()[-4000:]
        time.sleep(0.2)
    raise AssertionError(log.read_text()[-4000:])
