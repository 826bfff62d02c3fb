"""Mail to somebody whose session waited in the queue: its turn has come."""

from __future__ import annotations

import asyncio
import logging
import smtplib
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from email.errors import MessageError
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path
from typing import Any, Protocol

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.catalogue.mail import Mail
from aiinfn_hub.contract.quantities import format_duration
from aiinfn_hub.kube.moments import unix
from aiinfn_hub.pods import names

#: Of the connection to the mail server and of each answer.
TIMEOUT_S = 20.0


class Session(Protocol):
    """What the mail needs to know of the spawner."""

    user: Any
    public_url: str
    log: logging.LoggerAdapter[logging.Logger] | logging.Logger

    @property
    def platform(self) -> Platform:
        """The catalogue."""


def turn_came(session: Session, pod: Mapping[str, Any]) -> asyncio.Task[None] | None:
    """Write to the owner of a ticket that starts now, if the platform has mail and the person waited for long.

    The task goes on beside the start, which it neither delays nor fails.
    """
    settings, meta = session.platform.mail, pod["metadata"]
    waited = time.time() - unix(meta["creationTimestamp"])
    if settings is None or waited < settings.after_s:
        return None
    known = session.platform.known_flavour(str((meta.get("labels") or {}).get(names.FLAVOUR, "")))
    what = f"Your session with {known.title}" if known else "Your session"
    text = f"""{what} has waited for {format_duration(max(60, int(waited / 60) * 60))}, and starts now.

{session.public_url or f"Open {session.platform.name} to find it."}

It is charged from now on. If you do not need it any more, stop it there, so that the next one can start.
"""
    return asyncio.create_task(_write(session, settings, f"{what} starts", text))


async def _write(session: Session, settings: Mail, subject: str, text: str) -> None:
    state = await session.user.get_auth_state() or {}
    address = str(state.get("email") or "")
    if not address:
        session.log.info("%s waited, and gets no mail: the IAM has no verified address.", session.user.name)
        return
    try:
        await asyncio.to_thread(_send, settings, address, f"{session.platform.name}: {subject}", text)
    except (OSError, smtplib.SMTPException, MessageError, ValueError) as error:
        # Not its words: a server's answer may have the address in it.
        session.log.warning("%s could not be written to: %s", session.user.name, type(error).__name__)


def _send(settings: Mail, address: str, subject: str, text: str) -> None:
    """It blocks.

    Raises:
        OSError: the server cannot be reached, or the file of the password not be read.
        SMTPException: the server refuses.
        MessageError, ValueError: the address is none.
    """
    message = EmailMessage(policy=SMTP)
    message["Subject"], message["From"] = subject, settings.sender
    message["To"] = Address(addr_spec=address)
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no absence notes come back
    message.set_content(text)
    context = ssl.create_default_context()
    secure = settings.security == "tls"
    kind: Any = smtplib.SMTP_SSL if secure else smtplib.SMTP
    more = {"context": context} if secure else {}
    with kind(settings.host, settings.port, timeout=TIMEOUT_S, **more) as server:
        if settings.security == "starttls":
            server.starttls(context=context)
        if settings.user:
            server.login(settings.user, Path(settings.password_file).read_text("utf-8").strip())
        server.send_message(message)


def verified(userinfo: Mapping[str, Any]) -> dict[str, str]:
    """What the encrypted auth_state keeps of a person's address: one that the IAM has verified, or none."""
    address = userinfo.get("email")
    with suppress(MessageError, ValueError, IndexError):
        if isinstance(address, str) and userinfo.get("email_verified") is True and len(address) <= 254:
            return {"email": Address(addr_spec=address).addr_spec}
    return {}
