"""A real Jupyter server as a process, with our extension and the environment of a session."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx

JUPYTER_TOKEN = "jupyter-token"


class JupyterServer:
    """A Jupyter server as a process, found by the file that it writes when it is ready."""

    def __init__(self, root: Path, environ: dict[str, str]) -> None:
        self._environ = {
            **os.environ,
            **environ,
            **{f"JUPYTER_{kind}_DIR": str(root / kind) for kind in ("CONFIG", "DATA", "RUNTIME")},
            "XDG_STATE_HOME": str(root),
        }
        options = {"ip": "127.0.0.1", "port": "0", "open_browser": "False", "allow_root": "True", "root_dir": str(root)}
        options |= {"allow_unauthenticated_access": "False", "base_url": "/user/me/"}
        command = [sys.executable, "-m", "jupyter_server", f"--IdentityProvider.token={JUPYTER_TOKEN}"]
        command += [f"--ServerApp.{name}={value}" for name, value in options.items()]
        self.log = (root / "jupyter.log").open("wb")
        self.process = subprocess.Popen(command, env=self._environ, stdout=self.log, stderr=subprocess.STDOUT)
        self.url = self._ready(root / "RUNTIME")

    def _ready(self, runtime: Path) -> str:
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and self.process.poll() is None:
            for path in runtime.glob("jpserver-*.json"):
                url = str(json.loads(path.read_text())["url"])
                try:
                    httpx.get(url + "api", timeout=1)
                except httpx.HTTPError:
                    continue
                return url
            time.sleep(0.05)
        raise AssertionError(Path(self.log.name).read_text())

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(10)
        self.log.close()
