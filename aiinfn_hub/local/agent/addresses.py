"""An address for each pod: all of 127.0.0.0/8 is this machine on Linux; elsewhere pods share 127.0.0.1."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from aiinfn_hub.errors import Unavailable

NETWORK = "127.77"
SHARED = "127.0.0.1"


@dataclass(frozen=True)
class Address:
    """Where a pod is; `ports` says which port stands for a container's, when pods share an address."""

    ip: str
    ports: dict[int, int] = field(default_factory=dict)


def has_own_addresses() -> bool:
    """Whether this machine answers on all of 127.0.0.0/8 (Linux does, macOS does not)."""
    with socket.socket() as probe:
        try:
            probe.bind((f"{NETWORK}.0.1", 0))
        except OSError:
            return False
    return True


class Addresses:
    """Gives each pod an address, the same one as long as it can be: by the hash of its uid."""

    def __init__(self, *, own: bool) -> None:
        self._own = own
        self._used: dict[str, str] = {}

    def take(self, uid: str, ports: Sequence[int], known: Address | None = None) -> Address:
        """The address of a pod; `known` is the one that it has already.

        Raises:
            Unavailable: every address is taken.
        """
        if not self._own:
            return known or Address(SHARED, {port: _free_port() for port in ports})
        if known and self._used.setdefault(known.ip, uid) == uid:
            return known
        start = int.from_bytes(hashlib.sha256(uid.encode()).digest()[:2])
        for step in range(2**16):
            number = (start + step) % 2**16
            ip = f"{NETWORK}.{number >> 8}.{number & 255}"
            if number & 255 not in (0, 255) and self._used.setdefault(ip, uid) == uid:
                return Address(ip)
        raise Unavailable("Every pod address of this machine is taken.", hint="Delete pods that nobody needs.")

    def give_back(self, uid: str) -> None:
        """The pod is gone."""
        self._used = {ip: owner for ip, owner in self._used.items() if owner != uid}


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((SHARED, 0))
        return int(probe.getsockname()[1])
