"""The folder that holds everything the embedded platform keeps: state, secrets, logs. One demo at a time uses it."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
import socket
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from pathlib import Path

import platformdirs

from aiinfn_hub.errors import Conflict, InvalidInput

#: Below those that the system gives to connections going out (on Linux from 32768 on): one of these may be taken before
#: its server starts, or starts again.
PORT_RANGE = range(20000, 32000)
#: Ports that stay the same over restarts, so that what was started before still finds its way.
PORTS = ("hub", "service", "runs", "metrics", "proxy_api", "kube", "iam")


def default_home() -> Path:
    """Below the XDG state directory (or what this system has instead)."""
    return Path(platformdirs.user_state_dir("aiinfn")) / "demo"


class Home:
    """The folder of one embedded platform.

    Raises:
        InvalidInput: the folder cannot be written.
        Conflict: another demo uses it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
            for name in ("secrets", "logs", "hub", "service", "iam", "kube", "nodes"):
                self.folder(name)
            self._lock = (self.path / "lock").open("a+")
        except OSError as error:
            raise InvalidInput(
                f"The folder {self.path} cannot be written: {error.strerror}.", hint="Name another one with --home DIR."
            ) from error
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Conflict(
                f"Another demo uses {self.path}.", hint="Stop it with Ctrl-C, or name another folder with --home DIR."
            ) from error

    def folder(self, *parts: str) -> Path:
        """A folder below the home, for its owner only."""
        path = self.path.joinpath(*parts)
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        return path

    def secret(self, name: str, make: str = "") -> Path:
        """The file of a secret, made at its first use: `make`, or 64 random hexadecimal digits."""
        path = self.path / "secrets" / name
        if not path.exists():
            self.write_private(path, make or secrets.token_hex(32))
        return path

    def write_private(self, path: Path, text: str) -> Path:
        """Write a file that only its owner can read, in one step."""
        temporary = path.with_name(f".{path.name}.new")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        temporary.replace(path)
        return path

    def ports(self, public: int) -> dict[str, int]:
        """A loopback port for each of `PORTS`: those of the last time where they are free, and the public one.

        Raises:
            Conflict: the public port is in use.
        """
        if not is_free(public):
            raise Conflict(f"Port {public} is in use by another program.", hint=f"Try --port {free_ports(1)[0]}.")
        path = self.path / "ports.json"
        kept: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        ports = {name: kept[name] for name in PORTS if name in kept and kept[name] != public and is_free(kept[name])}
        missing = [name for name in PORTS if name not in ports]
        ports |= dict(zip(missing, free_ports(len(missing), avoid=[public, *ports.values()]), strict=True))
        self.write_private(path, json.dumps(ports))
        return {"public": public, **ports}

    def close(self) -> None:
        """Let another demo have the folder."""
        self._lock.close()


def is_free(port: int) -> bool:
    """Whether a server can listen on this port of 127.0.0.1."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still in TIME_WAIT is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def free_ports(count: int, avoid: Sequence[int] = ()) -> list[int]:
    """Different ports of `PORT_RANGE` on which nobody listens now."""
    found: list[int] = []
    with ExitStack() as held:
        while len(found) < count:
            port = secrets.choice(PORT_RANGE)
            probe = held.enter_context(socket.socket())
            with suppress(OSError):  # somebody has it
                probe.bind(("127.0.0.1", port))
                if port not in avoid:
                    found.append(port)
    return found
