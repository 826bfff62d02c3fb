"""Mail to who waited, through a real mail server."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from support.hubfakes import FakeUser
from support.mailserver import MailServer, running_mail_server
from support.small_platform import small_platform

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.hub.mail import turn_came, verified
from aiinfn_hub.kube.moments import rfc3339
from aiinfn_hub.pods import names

ADDRESS = "mario.rossi@example.org"


def platform(server: MailServer, **more: Any) -> Platform:
    known = {"host": "127.0.0.1", "port": server.port, "security": "none", "sender": "platform@example.org"}
    return small_platform(mail=known | more)


@dataclass
class Session:
    platform: Platform
    user: FakeUser = field(default_factory=lambda: FakeUser(auth_state={"email": ADDRESS}))
    public_url: str = "https://hub.example.org/user/mrossi/"
    log: logging.Logger = field(default_factory=lambda: logging.getLogger("test.mail"))


def pod(waited_s: float, flavour: str = "t4") -> dict[str, Any]:
    created = rfc3339(time.time() - waited_s)
    return {"metadata": {"creationTimestamp": created, "labels": {names.FLAVOUR: flavour}}}


async def told(session: Session, waited_s: float = 7300, flavour: str = "t4") -> bool:
    task = turn_came(session, pod(waited_s, flavour))
    if task is not None:
        await task
    return task is not None


@pytest.mark.asyncio
async def test_whoever_waited_is_written_to() -> None:
    with running_mail_server() as server:
        await told(Session(platform(server)))
    [(recipients, message)] = server.received
    assert recipients == [ADDRESS]
    assert message["Subject"] == "Test platform: Your session with NVIDIA T4 starts"
    assert message["From"] == "platform@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    text = message.get_content()
    assert text.startswith("Your session with NVIDIA T4 has waited for 2 h 1 min, and starts now.")
    assert "https://hub.example.org/user/mrossi/" in text


@pytest.mark.asyncio
async def test_a_hub_that_does_not_know_its_address_says_where_to_go_all_the_same() -> None:
    with running_mail_server() as server:
        await told(Session(platform(server), public_url=""), flavour="gone")
    [(_, message)] = server.received
    assert message["Subject"] == "Test platform: Your session starts"
    assert "Open Test platform to find it." in message.get_content()


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("waited_s", "state", "more", "told_of"),
    [
        pytest.param(200, {"email": ADDRESS}, {}, False, id="who waited for minutes looks at the page"),
        pytest.param(200, {"email": ADDRESS}, {"after": "2m"}, True, id="unless the platform says so"),
        pytest.param(7300, {}, {}, True, id="without an address"),
    ],
)
async def test_who_is_not_written_to(
    waited_s: float, state: dict[str, Any], more: dict[str, Any], told_of: bool
) -> None:
    with running_mail_server() as server:
        session = Session(platform(server, **more), FakeUser(auth_state=state))
        assert await told(session, waited_s) == told_of
    assert len(server.received) == (told_of and bool(state))
    assert not await told(Session(small_platform())), "a platform without mail"


@pytest.mark.asyncio
@pytest.mark.parametrize("password", ["a secret", "another"])
async def test_the_password_is_in_a_file_and_nowhere_else(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, password: str
) -> None:
    (tmp_path / "password").write_text(f"{password}\n")
    with running_mail_server(("platform", "a secret")) as server:
        known = {"user": "platform", "password_file": str(tmp_path / "password")}
        await told(Session(platform(server, **known)))
    assert len(server.received) == (password == "a secret")
    assert password not in caplog.text
    assert ("could not be written to: SMTPAuthenticationError" in caplog.text) == (password != "a secret")


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("more", "state", "error"),
    [
        pytest.param({"security": "starttls"}, ADDRESS, "SMTPNotSupportedError", id="nothing goes out in clear text"),
        pytest.param({"security": "tls"}, ADDRESS, "SSLError", id="nor here"),
        pytest.param({"port": 1}, ADDRESS, "ConnectionRefusedError", id="a server that is away"),
        pytest.param({"user": "x", "password_file": "/none"}, ADDRESS, "FileNotFoundError", id="no file"),
        pytest.param({}, "a@b\r\nBcc: all@example.org", "", id="an address with a header in it"),
    ],
)
async def test_what_goes_wrong_ends_no_start_and_shows_no_address(
    caplog: pytest.LogCaptureFixture, more: dict[str, Any], state: str, error: str
) -> None:
    with running_mail_server() as server:
        await told(Session(platform(server, **more), FakeUser(auth_state={"email": state})))
    assert server.received == []
    assert f"mrossi could not be written to: {error}" in caplog.text
    assert state not in caplog.text


@pytest.mark.parametrize(
    ("userinfo", "kept"),
    [
        pytest.param({"email": ADDRESS, "email_verified": True}, {"email": ADDRESS}, id="verified"),
        pytest.param({"email": ADDRESS, "email_verified": False}, {}, id="anybody could have typed it"),
        pytest.param({"email": ADDRESS}, {}, id="nobody says so"),
        pytest.param({"email": ADDRESS, "email_verified": "true"}, {}, id="a word"),
        pytest.param({"email": "nobody", "email_verified": True}, {}, id="no address"),
        pytest.param({"email": "a@b\nBcc: c@d", "email_verified": True}, {}, id="a header in it"),
        pytest.param({"email": 5, "email_verified": True}, {}, id="a number"),
        pytest.param({"email": "a" * 300 + "@b", "email_verified": True}, {}, id="too long"),
        pytest.param({}, {}, id="none"),
    ],
)
def test_an_address_is_one_that_the_iam_has_verified(userinfo: dict[str, Any], kept: dict[str, str]) -> None:
    assert verified(userinfo) == kept
