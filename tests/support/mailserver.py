"""A mail server on loopback that keeps what it is sent."""

from __future__ import annotations

import email
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.message import EmailMessage
from email.policy import default
from typing import Any, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from aiinfn_hub.local.home import free_ports


@dataclass
class MailServer:
    """`received`: envelope recipients and the message; `login` is who alone may send."""

    login: tuple[str, str] | None = None
    received: list[tuple[list[str], EmailMessage]] = field(default_factory=list)
    port: int = 0

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  aiosmtpd's name
        message = cast("EmailMessage", email.message_from_bytes(envelope.content, policy=default))
        self.received.append((list(envelope.rcpt_tos), message))
        return "250 OK"

    def authenticate(self, _server: Any, _session: Any, _envelope: Any, _mechanism: str, given: Any) -> AuthResult:
        good = isinstance(given, LoginPassword) and self.login == (given.login.decode(), given.password.decode())
        return AuthResult(success=good, handled=good)


@contextmanager
def running_mail_server(login: tuple[str, str] | None = None) -> Iterator[MailServer]:
    """One on a free port, without TLS."""
    server = MailServer(login, port=free_ports(1)[0])
    more: dict[str, Any] = {"authenticator": server.authenticate, "auth_required": True} if login else {}
    # On loopback: what a login without TLS would show is the test's own.
    controller = Controller(server, hostname="127.0.0.1", port=server.port, auth_require_tls=False, **more)
    controller.start()
    try:
        yield server
    finally:
        controller.stop()
