"""`aiinfn demo` as a process, and people who use it over HTTP and websockets as a browser would."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

FIELD = re.compile(r'<input[^>]*name="(?P<name>[^"]+)"[^>]*value="(?P<value>[^"]*)"')
ACTION = re.compile(r'<form[^>]*action="(?P<action>[^"]*)"')


@dataclass
class RunningDemo:
    """A demo that is ready."""

    process: subprocess.Popen[bytes]
    info: dict[str, Any]
    home: Path
    log: Path

    def account(self, name: str) -> dict[str, Any]:
        return next(account for account in self.info["accounts"] if account["username"] == name)

    def children(self, pattern: str) -> list[int]:
        """Pids of the demo's descendants whose command line holds `pattern`."""
        found = []
        for folder in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                if pattern in command and str(self.home) in command + (folder / "environ").read_text():
                    found.append(int(folder.name))
        return sorted(found)

    def stop(self) -> float:
        """Stop it as Ctrl-C does; the seconds it took."""
        started = time.monotonic()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.process.wait(30)
        return time.monotonic() - started


@contextmanager
def running_demo(home: Path, *arguments: str, port: int = 0, timeout_s: float = 180) -> Iterator[RunningDemo]:
    """Start `aiinfn demo` and wait until its --json file is there."""
    from aiinfn_hub.local.home import free_ports  # noqa: PLC0415  only those who start a demo need aiinfn[demo]

    home.mkdir(parents=True, exist_ok=True)
    info, log = home / "info.json", home.with_suffix(".log")
    info.unlink(missing_ok=True)
    command = [str(Path(sys.executable).parent / "aiinfn"), "demo", "--port", str(port or free_ports(1)[0])]
    command += ["--home", str(home), "--json", str(info), "--no-browser", "--fixed-passwords", *arguments]
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, stdout=output, stderr=output, stdin=subprocess.DEVNULL, start_new_session=True
        )
        demo = RunningDemo(process, {}, home, log)
        try:
            deadline = time.monotonic() + timeout_s
            while not info.exists():
                assert process.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
            demo.info = json.loads(info.read_text())
            yield demo
        finally:
            demo.stop()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)


@dataclass
class Visitor:
    """Somebody with a browser's cookies."""

    demo: RunningDemo
    name: str
    http: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(follow_redirects=True, timeout=60))

    @property
    def hub(self) -> str:
        return self.demo.info["hub_url"].rstrip("/")

    def xsrf(self, path: str) -> str:
        """The cookie that JupyterHub wants repeated, for this path."""
        best = ""
        value = ""
        for cookie in self.http.cookies.jar:
            if cookie.name == "_xsrf" and path.startswith(cookie.path.rstrip("/")) and len(cookie.path) >= len(best):
                best, value = cookie.path, cookie.value or ""
        return value

    async def login(self) -> httpx.Response:
        """Through the hub to the IAM's login page, and back."""
        page = await self.http.get(f"{self.hub}/hub/oauth_login?next=/hub/home")
        form = {m["name"]: m["value"] for m in FIELD.finditer(page.text)}
        action = ACTION.search(page.text)
        assert action, page.text
        form |= {"username": self.name, "password": self.demo.account(self.name)["password"]}
        answer = await self.http.post(urljoin(str(page.url), action["action"].replace("&amp;", "&")), data=form)
        if answer.status_code == 200:
            await self.http.get(self.demo.info["panel_url"])  # its cookie is one of its own, as the panel's pages need
        return answer

    async def spawn(self, options: Mapping[str, str], server: str = "") -> httpx.Response:
        """Post the spawn form."""
        path = f"/hub/spawn/{self.name}/{server}".rstrip("/") if server else "/hub/spawn"
        await self.http.get(f"{self.hub}{path}")
        return await self.http.post(f"{self.hub}{path}?_xsrf={self.xsrf('/hub/')}", data=dict(options))

    async def api(self, method: str, path: str, **keywords: Any) -> httpx.Response:
        """A request to the hub's REST API with the cookies of the browser."""
        headers = {"X-XSRFToken": self.xsrf("/hub/"), "Referer": f"{self.hub}/hub/home"}
        return await self.http.request(method, f"{self.hub}/hub/api{path}", headers=headers, **keywords)

    async def ready(self, server: str = "", timeout_s: float = 60) -> dict[str, Any]:
        """Wait until the server runs; its model."""
        deadline = time.monotonic() + timeout_s
        while True:
            model = (await self.api("GET", f"/users/{self.name}")).json()
            found = model.get("servers", {}).get(server)
            if found and found["ready"]:
                return found
            assert time.monotonic() < deadline, model
            await asyncio.sleep(0.1)

    async def kernel(self, server: str = "", identity: str = "") -> Kernel:
        """A new kernel of the running server, or the one of that identity."""
        base = f"{self.hub}/user/{self.name}" + (f"/{server}" if server else "")
        await self.http.get(f"{base}/api/status")  # through OAuth to this server's cookie
        lab = await self.http.get(f"{base}/lab")
        assert lab.status_code == 200, lab.text[:500]
        headers = {"X-XSRFToken": self.xsrf(f"/user/{self.name}/")}
        if not identity:
            made = await self.http.post(f"{base}/api/kernels", json={}, headers=headers)
            assert made.status_code == 201, made.text
            identity = made.json()["id"]
        url = f"{base.replace('http', 'ws', 1)}/api/kernels/{identity}/channels"
        cookies = "; ".join(
            f"{c.name}={c.value}" for c in self.http.cookies.jar if f"/user/{self.name}/".startswith(c.path)
        )
        socket = await websocket_connect(HTTPRequest(url, headers={"Cookie": cookies, "Origin": self.hub}))
        return Kernel(socket, identity)


@dataclass
class Reply:
    """What a cell gave."""

    status: str
    text: str
    outputs: list[dict[str, Any]]
    error: str

    @property
    def shown(self) -> str:
        """Streams and plain texts of outputs, as somebody reads them."""
        return "\n".join([self.text, *(output.get("text/plain", "") for output in self.outputs)])


class Kernel:
    """A kernel over the websocket of the Jupyter server."""

    def __init__(self, socket: Any, identity: str) -> None:
        self.socket = socket
        self.identity = identity

    async def run(self, code: str, timeout_s: float = 90) -> Reply:
        """Execute a cell and gather what it shows until the kernel is idle again."""
        identity = uuid.uuid4().hex
        header = {
            "msg_id": identity,
            "msg_type": "execute_request",
            "version": "5.3",
            "session": "test",
            "username": "",
        }
        content = {"code": code, "silent": False, "store_history": True, "allow_stdin": False, "stop_on_error": True}
        await self.socket.write_message(
            json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"})
        )
        reply, idle = Reply("", "", [], ""), False
        async with asyncio.timeout(timeout_s):
            while not (idle and reply.status):
                message = json.loads(await self.socket.read_message())
                if message["parent_header"].get("msg_id") != identity:
                    continue
                kind, body = message["msg_type"], message["content"]
                if kind == "stream":
                    reply.text += body["text"]
                elif kind in ("display_data", "execute_result"):
                    reply.outputs.append(body["data"])
                elif kind == "error":
                    reply.error = "\n".join(body["traceback"])
                elif kind == "execute_reply":
                    reply.status = body["status"]
                elif kind == "status":
                    idle = body["execution_state"] == "idle"
        return reply
