"""Composition root of the embedded platform: what runs in this process, what runs beside it, and in which order."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import sys
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from aiinfn_hub.catalogue import Platform, load_platform
from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.local import seed
from aiinfn_hub.local.attached import Attached
from aiinfn_hub.local.embedded import Embedded
from aiinfn_hub.local.home import Home
from aiinfn_hub.local.iam import Account, Client, IamServer, demo_accounts
from aiinfn_hub.local.proxy import launcher
from aiinfn_hub.local.supervise import Program, Supervised, until

READY_S = 60.0
#: What a child process may see of our environment; its secrets are in files.
INHERITED = ("PATH", "LANG", "LC_ALL", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the command line says."""

    port: int
    home: Path
    platform_file: Path
    kubeconfig: Path | None = None
    json_file: Path | None = None
    browser: bool = True
    fixed_passwords: bool = False
    debug: bool = False


class Demo:
    """The embedded platform. `start`, then `stop`; every process that it started is gone after that.

    Args:
        say: told each step as it begins.
    """

    def __init__(self, options: Options, say: Callable[[str], None]) -> None:
        self.options = options
        self.say = say
        self.log = logging.getLogger("aiinfn.demo")
        self.platform: Platform = load_platform(options.platform_file)
        self.home = Home(options.home)
        self.ports = self.home.ports(options.port)
        self.platform_file = options.platform_file
        self.cluster: Embedded | Attached
        if options.kubeconfig is None:
            self.cluster = Embedded(self.home, self.ports["kube"], self.platform.namespace)
        else:
            self.cluster = Attached(self.home, options.kubeconfig, options.platform_file)
            self.platform_file = self.cluster.platform_file
        self.accounts: list[Account] = demo_accounts(fixed_passwords=options.fixed_passwords)
        self.public_url = f"http://127.0.0.1:{options.port}"
        self.service_url = f"{self.public_url}/services/aiinfn"
        self.programs: list[Supervised] = []
        self._tasks: list[asyncio.Task[None]] = []
        self._stack = AsyncExitStack()

    async def start(self) -> dict[str, Any]:
        """Start everything; what `--json` writes.

        Raises:
            AiinfnError: something did not start; nothing is left running then.
        """
        try:
            return await self._start()
        except BaseException:
            await self.stop()
            raise

    async def _start(self) -> dict[str, Any]:
        self.say("proxy: installing, the first time only")
        proxy = await asyncio.to_thread(launcher.install, self.home.folder("proxy"), self.say)
        self._supervise(self._proxy(proxy))
        self.say("IAM and Kubernetes API")
        hub = Client(
            id="aiinfn-hub",
            secret=self.home.secret("iam-client-secret").read_text(),
            redirect_uris=frozenset([f"{self.public_url}/hub/oauth_callback"]),
            exchange=True,
        )
        iam = IamServer(self.accounts, clients=[hub], state_dir=self.home.folder("iam"))
        issuer = await iam.start("127.0.0.1", self.ports["iam"])
        self._stack.push_async_callback(iam.stop)
        self._settings(issuer)
        await self._start_cluster()
        self._supervise(self._service(self.cluster.service_kubeconfig))
        self.say("JupyterHub and the service")
        await self._ready()
        return self._info(issuer, self.cluster.kubeconfig)

    async def _start_cluster(self) -> None:
        """The hub needs longer than the embedded API, and is started first; elsewhere its kubeconfig is made first."""
        self._stack.push_async_callback(self.cluster.stop)
        if isinstance(self.cluster, Embedded):
            self._supervise(self._hub())
            await self.cluster.start()
            await seed.apply(self.cluster.client, self.platform, self.cluster.nodes)
        else:
            await self.cluster.start()
            self._supervise(self._hub())
        self.say("scheduler, queue, nodes")
        await self.cluster.run_cluster()

    async def stop(self) -> None:
        """End the children, then the pods, then what runs here."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()
        self.home.close()

    def _supervise(self, program: Program) -> None:
        supervised = Supervised(program, self.log)
        self.programs.append(supervised)
        self._tasks.append(asyncio.create_task(supervised.run(), name=program.name))

    def _program(self, name: str, command: list[str], **environment: str) -> Program:
        inherited = {key: os.environ[key] for key in INHERITED if key in os.environ}
        path = os.pathsep.join([str(Path(sys.executable).parent), inherited.get("PATH", os.defpath)])
        folder = self.home.folder("hub" if name == "hub" else "service")
        return Program(
            name, command, inherited | {"PATH": path, "HOME": str(folder)} | environment, self._log(name), folder
        )

    @property
    def _debug(self) -> list[str]:
        return ["--debug"] if self.options.debug else []

    def _log(self, name: str) -> Path:
        return self.home.path / "logs" / f"{name}.log"

    def _proxy(self, command: list[str]) -> Program:
        arguments = ["--ip", "127.0.0.1", "--port", str(self.options.port)]
        arguments += ["--api-ip", "127.0.0.1", "--api-port", str(self.ports["proxy_api"])]
        arguments += ["--default-target", f"http://127.0.0.1:{self.ports['hub']}"]
        arguments += ["--error-target", f"http://127.0.0.1:{self.ports['hub']}/hub/error"]
        # The proxy reads its token from the environment only; that process is the hub operator's own.
        token = self.home.secret("proxy-token").read_text()
        return self._program("proxy", [*command, *arguments], CONFIGPROXY_AUTH_TOKEN=token)

    def _hub(self) -> Program:
        config = Path(__file__).with_name("jupyterhub_config.py")
        return self._program(
            "hub",
            [sys.executable, "-m", "jupyterhub", "-f", str(config), *self._debug],
            AIINFN_DEMO=str(self.home.path / "settings.json"),
            KUBECONFIG=str(self.cluster.hub_kubeconfig),
        )

    def _service(self, kubeconfig: Path) -> Program:
        secrets = self.home.path / "secrets"
        config = {
            "platform_file": str(self.platform_file),
            "database_url_file": str(
                self.home.secret("database-url", f"sqlite:///{self.home.path / 'service' / 'aiinfn.sqlite'}")
            ),
            "api_token_file": str(secrets / "service-token"),
            "hub_key_file": str(secrets / "hub-key"),
            "hub_api_url": f"http://127.0.0.1:{self.ports['hub']}/hub/api",
            "runs_url": f"http://127.0.0.1:{self.ports['runs']}",
            "blobs": str(self.home.folder("service", "blobs")),
            "port": self.ports["service"],
            "runs_port": self.ports["runs"],
            "metrics_port": self.ports["metrics"],
            "kubeconfig": str(kubeconfig),
        }
        path = self.home.write_private(self.home.path / "service.json", json.dumps(config, indent=2))
        # The script beside our interpreter, which PATH may not know.
        ours = str(Path(sys.executable).with_name("aiinfn"))
        return self._program("service", [ours, "service", "run", "--config", str(path), *self._debug])

    def _settings(self, issuer: str) -> None:
        """What `jupyterhub_config.py` reads: addresses, no secrets."""
        for name in ("service-token", "hub-key", "cookie-secret", "auth-state-key"):
            self.home.secret(name)
        settings = {
            "home": str(self.home.path),
            "ports": self.ports,
            "public_url": self.public_url,
            "service_url": f"http://127.0.0.1:{self.ports['service']}/services/aiinfn",
            "iam_issuer": issuer,
            "platform_file": str(self.platform_file),
        }
        self.home.write_private(self.home.path / "settings.json", json.dumps(settings, indent=2))

    async def _ready(self) -> None:
        async with httpx.AsyncClient(timeout=2) as http:

            def answers(url: str) -> Callable[[], Coroutine[Any, Any, bool]]:
                async def ask() -> bool:
                    try:
                        return (await http.get(url)).status_code == 200
                    except httpx.TransportError:
                        return False

                return ask

            # The proxy answers 404 until the hub has given it its routes: only 200 is ready.
            for what, url in (
                ("The service", f"http://127.0.0.1:{self.ports['service']}/services/aiinfn/api/health"),
                ("JupyterHub", f"{self.public_url}/hub/health"),
                ("The route to the service", f"{self.service_url}/api/health"),
            ):
                await until(answers(url), what, self.programs, READY_S)

    def _info(self, issuer: str, kubeconfig: Path) -> dict[str, Any]:
        info = {
            "hub_url": f"{self.public_url}/",
            "service_url": self.service_url,
            "panel_url": f"{self.service_url}/",
            "iam_issuer": issuer,
            "kubeconfig": str(kubeconfig),
            "metrics_url": f"http://127.0.0.1:{self.ports['metrics']}/metrics",
            "accounts": [
                {"username": a.username, "password": a.password, "groups": list(a.groups), "role": a.role}
                for a in self.accounts
            ],
            "platform_file": str(self.platform_file),
        }
        if self.options.json_file is not None:
            try:
                self.home.write_private(self.options.json_file, json.dumps(info, indent=2))
            except OSError as error:
                raise AiinfnError(f"{self.options.json_file} cannot be written: {error.strerror}.") from error
        return info
