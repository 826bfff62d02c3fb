"""A cluster to be looked at over HTTP by a command in this process: it answers GET, and remembers everything else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiinfn_hub.install.doctor.facts import KUEUE_NAMESPACE, SOURCES, VERSION, Unread
from aiinfn_hub.kube.kinds import PERSISTENT_VOLUME_CLAIMS, SECRETS

_STATUSES = {"forbidden": (403, "Forbidden"), "absent": (404, "NotFound"), "failed": (503, "ServiceUnavailable")}
_NAMESPACES = {"ours": "aiinfn", "kueue": KUEUE_NAMESPACE}


@dataclass
class LookedAt:
    """What is there, and what was asked.

    Attributes:
        parts: as `Facts` has them, and "claims" and "secrets" of the namespace.
        kubeconfig: that leads here.
        asked: method and path of each request.
    """

    parts: Mapping[str, Any]
    kubeconfig: Path
    asked: list[str] = field(default_factory=list)

    def answer(self, path: str) -> tuple[int, Any]:
        """Status and body."""
        if path == "/version":
            return self._read(VERSION, single=True)
        for name, source in SOURCES.items():
            if path == source.kind.path(_NAMESPACES.get(source.where), source.name or None):
                return self._read(name, single=bool(source.name))
        if path == PERSISTENT_VOLUME_CLAIMS.path("aiinfn"):
            return self._read("claims", single=False)
        secrets = SECRETS.path("aiinfn") + "/"
        if path.startswith(secrets) and "secrets" in self.parts:
            known = self.parts["secrets"]
            return (
                self._status(known)
                if isinstance(known, Unread)
                else (200 if path[len(secrets) :] in known else 404, {})
            )
        return 404, {}

    def _read(self, name: str, *, single: bool) -> tuple[int, Any]:
        part = self.parts.get(name, [])
        if isinstance(part, Unread):
            return self._status(part)
        if single:
            return (200, part[0]) if part else (404, {"reason": "NotFound", "message": "not found"})
        return 200, {"metadata": {"resourceVersion": "1"}, "items": list(part)}

    @staticmethod
    def _status(unread: Unread) -> tuple[int, Any]:
        status, reason = _STATUSES[unread.why]
        return status, {"kind": "Status", "code": status, "reason": reason, "message": unread.message}


@contextmanager
def looked_at(parts: Mapping[str, Any], folder: Path) -> Iterator[LookedAt]:
    """A server on loopback, until the block ends."""
    found = LookedAt(parts, folder / "kubeconfig")

    class Handler(BaseHTTPRequestHandler):
        def __getattr__(self, name: str) -> Any:
            """`do_GET`, `do_POST` and so on: they are all written down."""
            if name.startswith("do_"):
                return self._answer
            raise AttributeError(name)

        def _answer(self) -> None:
            path = self.path.partition("?")[0]
            found.asked.append(f"{self.command} {path}")
            status, body = found.answer(path)
            text = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, *_args: Any) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    found.kubeconfig.write_text(json.dumps(kubeconfig(f"http://127.0.0.1:{server.server_port}")))
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()


def kubeconfig(server: str) -> dict[str, Any]:
    """One that leads to this address."""
    return {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "x",
        "clusters": [{"name": "x", "cluster": {"server": server}}],
        "users": [{"name": "x", "user": {}}],
        "contexts": [{"name": "x", "context": {"cluster": "x", "user": "x"}}],
    }
