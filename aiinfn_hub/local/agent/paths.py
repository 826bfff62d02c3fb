"""A pod's paths and addresses as this machine has them: no mount namespace, no network namespace. Pure.

A process sees the machine's own file system, so what a manifest says about mount paths is rewritten in commands,
arguments, working directory and environment; and what binds to every address binds to the pod's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from aiinfn_hub.errors import InvalidInput

_ANY_ADDRESS = re.compile(r"(?<![\w.])0\.0\.0\.0(?![\w.])(?::(?P<port>\d{1,5})(?!\d))?")
_NO_HOST = re.compile(r"\b(?P<scheme>https?|tcp|ws|wss)://:(?P<port>\d{1,5})(?!\d)")
_NAME = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?")
_HOME = re.compile(r"/(home/[^/]+|home|root)")


@dataclass(frozen=True)
class Mount:
    """A path of the container, and what is there."""

    path: str
    target: Path


def container_path(text: str, what: str) -> str:
    """A path in a container, without a slash at its end.

    Raises:
        InvalidInput: it is not absolute, is the root, or goes up.
    """
    path = PurePosixPath(text)
    if not path.is_absolute() or path == PurePosixPath("/") or ".." in path.parts or ":" in text:
        raise InvalidInput(f"{what} {text!r} is not an absolute path below the root.")
    return "/" + str(path).lstrip("/")


def below(folder: Path, text: str, what: str) -> Path:
    """A relative path below a folder.

    Raises:
        InvalidInput: it is absolute or contains "..", in the words of the API's validation.
    """
    path = PurePosixPath(text)
    if path.is_absolute():
        raise InvalidInput(f"{what} {text!r}: must be a relative path")
    if ".." in path.parts:
        raise InvalidInput(f"{what} {text!r}: must not contain '..'")
    return folder / path


def one_name(text: str, what: str) -> str:
    """The name of an object or a part of one, which becomes the name of a folder.

    Raises:
        InvalidInput: it is none; ".." and "/" above all.
    """
    if _NAME.fullmatch(text) is None:
        raise InvalidInput(f"{what} {text!r} is not a name as Kubernetes allows it")
    return text


class Rewriter:
    """Replaces mount paths and "every address" in text.

    Args:
        mounts: longer paths win over shorter ones.
        address: the pod's address.
        ports: container port -> the port that is used instead, where pods share an address.
    """

    def __init__(self, mounts: Sequence[Mount], address: str, ports: Mapping[int, int]) -> None:
        self._targets = {mount.path: str(mount.target) for mount in mounts}
        self._address = address
        self._ports = ports
        longest_first = sorted(self._targets, key=len, reverse=True)
        # A path begins where no path or host is before it, and ends at a "/" or where a name cannot go on.
        self._paths = re.compile(
            rf"(?:(?<![\w./~-])|(?<=file://))(?:{'|'.join(map(re.escape, longest_first))})(?=/|(?![\w.~-]))"
            if longest_first
            else r"(?!)"
        )

    def text(self, value: str) -> str:
        """A value of the environment, or an argument."""
        value = self._paths.sub(lambda match: self._targets[match[0]], value)
        value = _ANY_ADDRESS.sub(lambda match: self._bind(match["port"]), value)
        return _NO_HOST.sub(lambda match: f"{match['scheme']}://{self._bind(match['port'])}", value)

    def path(self, path: str) -> Path | None:
        """Where a path of the container is; None if it is below no mount."""
        for mounted in sorted(self._targets, key=len, reverse=True):
            if PurePosixPath(path).is_relative_to(mounted):
                return Path(self._targets[mounted]) / PurePosixPath(path).relative_to(mounted)
        return None

    def _bind(self, port: str | None) -> str:
        if port is None:
            return self._address
        return f"{self._address}:{self._ports.get(int(port), int(port))}"


def home_mount(mounts: Sequence[Mount]) -> Mount | None:
    """The mount that is a person's home directory, by its place: /home/NAME, /home or /root."""
    homes = [mount for mount in mounts if _HOME.fullmatch(mount.path)]
    return max(homes, key=lambda mount: len(mount.path), default=None)
