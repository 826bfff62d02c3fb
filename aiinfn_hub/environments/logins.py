"""Logins at registries, from the files that `docker login` writes and that Kubernetes keeps as pull secrets."""

from __future__ import annotations

import base64
import binascii
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from aiinfn_hub.catalogue.references import DOCKER_HUB
from aiinfn_hub.errors import InvalidInput

#: What Docker's configuration calls the registry of Docker Hub: https://index.docker.io/v1/
_HUB = "index.docker.io"


class _Entry(msgspec.Struct):
    auth: str = ""
    username: str = ""
    password: str = ""


class _File(msgspec.Struct):
    auths: dict[str, _Entry] = {}


def read_logins(folder: Path) -> dict[str, str]:
    """Registry, as host or host:port, -> the user and password for it, as HTTP's Basic has them.

    A file is a Docker configuration: a key of `auths` is a host, or a URL whose host counts.

    Raises:
        InvalidInput: the folder or a file cannot be read as that; the message has nothing of its content.
    """
    logins: dict[str, str] = {}
    try:
        for path in sorted(folder.glob("*.json")):
            for place, entry in msgspec.json.decode(path.read_bytes(), type=_File).auths.items():
                host = urlsplit(place if "//" in place else f"//{place}").netloc
                logins[DOCKER_HUB if host == _HUB else host] = _basic(entry)
    except OSError as error:
        raise InvalidInput(f"The logins in {folder} cannot be read: {error.strerror}.") from error
    except (msgspec.MsgspecError, binascii.Error, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"{path} is not a configuration as docker login writes it.",
            hint='It has {"auths": {"registry.example.org": {"auth": "..."}}}.',
        ) from error
    return logins


def _basic(entry: _Entry) -> str:
    if entry.auth:
        base64.b64decode(entry.auth, validate=True).decode()
        return entry.auth
    return base64.b64encode(f"{entry.username}:{entry.password}".encode()).decode()
