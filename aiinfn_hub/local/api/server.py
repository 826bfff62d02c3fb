"""The server: one aiohttp application on loopback, put together from the modules beside it."""

from __future__ import annotations

import base64
import logging
import ssl
import tempfile
import time
from pathlib import Path
from typing import Any

from aiohttp import web

from aiinfn_hub.errors import Unavailable
from aiinfn_hub.local.api import auth, certificates, seed
from aiinfn_hub.local.api.garbage import GarbageCollector
from aiinfn_hub.local.api.kinds import Resources, from_definition
from aiinfn_hub.local.api.listing import Listing
from aiinfn_hub.local.api.logs import Logs
from aiinfn_hub.local.api.objects import Admission, Objects
from aiinfn_hub.local.api.persistence import Journal
from aiinfn_hub.local.api.routes import Api
from aiinfn_hub.local.api.store import Change, Store
from aiinfn_hub.local.api.watching import Watches

_DEFINITIONS = ("apiextensions.k8s.io", "customresourcedefinitions")
#: Larger bodies are refused, as the real one does.
MAX_BODY = 3 * 1024 * 1024


class ApiServer:
    """A Kubernetes API for one machine.

    Args:
        path: the folder that keeps its objects; None keeps them in memory only.
        token: the bearer token that every request must carry.
        admission: what a mutating webhook would do: called with kind and object at each creation.
        logs_root: where the node agent writes: `<logs_root>/<pod uid>/logs/<container>.log`.
        history: how many changes of a kind a watch may go back.
        bookmark_s: seconds between bookmarks of a watch.
    """

    def __init__(
        self,
        path: Path | None,
        token: str,
        admission: Admission | None = None,
        *,
        logs_root: Path,
        history: int = 10_000,
        bookmark_s: float = 60,
    ) -> None:
        self._log = logging.getLogger(__name__)
        self.resources = Resources()
        self.store = Store(Journal(path) if path else None, history)
        self.objects = Objects(self.store, admission, time.time)
        self._watches = Watches(self.store, bookmark_s)
        self._garbage = GarbageCollector(self.objects, self.resources, self._log)
        self._logs = Logs(self.store, logs_root)
        self._api = Api(self.objects, self.resources, Listing(self.store), self._watches, self._logs)
        self._token = token
        self._url = ""
        self._tls, self.certificate = _tls(path)
        self._hosts: frozenset[str] = frozenset()
        self._runner: web.AppRunner | None = None
        self.store.subscribe(_DEFINITIONS, self._define)
        for definition in self.store.select(_DEFINITIONS):
            self._define(Change("ADDED", definition, None))
        seed.plant(self.objects, self.resources)

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Listen; returns the URL, with the port that was found if `port` is 0.

        Raises:
            Unavailable: the port is taken.
        """
        app = web.Application(
            middlewares=[auth.errors(self._log), auth.guard(self._token, lambda: self._hosts)], client_max_size=MAX_BODY
        )
        app.router.add_route("*", "/{path:.*}", self._api.handle)
        # A watch of a client that has gone is cancelled; changes never wait in the middle, so none is torn.
        self._runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=2)
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, host, port, ssl_context=self._tls).start()
        except OSError as error:
            await self._runner.cleanup()
            raise Unavailable(
                f"The embedded Kubernetes API cannot listen on {host}:{port}: {error.strerror}."
            ) from error
        found = self._runner.addresses[0][1]
        self._hosts = frozenset(f"{name}:{found}" for name in (host, "127.0.0.1", "localhost", "[::1]"))
        self._garbage.start()
        self._url = f"https://{host}:{found}"
        return self._url

    def kubeconfig(self, namespace: str = "default") -> dict[str, Any]:
        """How to reach the started server; it holds the token, so write it for one's own eyes only."""
        authority = base64.b64encode(self.certificate.encode()).decode()
        return {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "embedded", "cluster": {"server": self._url, "certificate-authority-data": authority}}
            ],
            "users": [{"name": "embedded", "user": {"token": self._token}}],
            "contexts": [
                {"name": "embedded", "context": {"cluster": "embedded", "user": "embedded", "namespace": namespace}}
            ],
            "current-context": "embedded",
        }

    async def stop(self) -> None:
        """End the watches, stop listening, close the files."""
        self._watches.close()
        self._logs.close()
        await self._garbage.stop()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None
        self.store.close()

    def _define(self, change: Change) -> None:
        """Serve what a CustomResourceDefinition says from the moment that it is stored."""
        spec = change.now.obj["spec"]
        self.resources.drop(spec["group"], spec["names"]["plural"])
        if change.verb == "DELETED":
            self.resources.restore(spec["group"], spec["names"]["plural"])
            return
        for resource in from_definition(change.now.obj):
            self.resources.add(resource)


def _tls(path: Path | None) -> tuple[ssl.SSLContext, str]:
    if path is not None:
        return certificates.server_context(path)
    with tempfile.TemporaryDirectory() as folder:
        return certificates.server_context(Path(folder))
