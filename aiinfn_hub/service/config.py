"""The service's own settings: where things are, and the files that hold secrets. What it offers is in platform.yaml."""

from __future__ import annotations

import stat
from pathlib import Path

import msgspec

from aiinfn_hub.errors import InvalidInput


class ServiceConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Settings of one service process; in YAML or JSON. Ports are of `bind`, an address; 0 takes a free one.

    `database_url_file` holds a URL as SQLAlchemy reads it (it may contain a password, so it is a file).
    `hub_key_file` holds the key by which the hub process speaks to us; `api_token_file` our own token at the hub.
    `prometheus_url` is where DCGM's exporter is collected, for the active time of what was held; without it nobody
    measures that.
    `registry_logins` is a folder with files as `docker login` writes them, for looking up images that need a login.
    `runs_url` is how the runner inside a job reaches `runs_port`; behind an ingress it is a public https address.
    """

    platform_file: Path
    database_url_file: Path
    api_token_file: Path
    hub_key_file: Path
    hub_api_url: str
    runs_url: str
    blobs: Path
    hub_prefix: str = "/hub/"
    prefix: str = "/services/aiinfn"
    name: str = "aiinfn"
    bind: str = "127.0.0.1"
    port: int = 8001
    runs_port: int = 8002
    metrics_port: int = 8003
    kubeconfig: Path | None = None
    prometheus_url: str = ""
    registry_logins: Path | None = None


def load_config(path: Path) -> ServiceConfig:
    """Read the settings.

    Raises:
        InvalidInput: the file is missing, or a setting in it is unknown or wrong.
    """
    try:
        return msgspec.yaml.decode(path.read_bytes(), type=ServiceConfig, dec_hook=lambda kind, value: kind(value))
    except OSError as error:
        raise InvalidInput(f"The settings {path} cannot be read: {error.strerror}.") from error
    except msgspec.MsgspecError as error:
        raise InvalidInput(
            f"{path}: {error}.", hint=f"Settings: {', '.join(ServiceConfig.__struct_fields__)}."
        ) from error


def read_secret(path: Path) -> str:
    """The one line of a secret's file.

    Raises:
        InvalidInput: it is missing, empty, or everybody on the machine may read it.
    """
    try:
        mode, text = path.stat().st_mode, path.read_text().strip()
    except OSError as error:
        raise InvalidInput(f"The secret {path} cannot be read: {error.strerror}.") from error
    if mode & stat.S_IROTH:
        raise InvalidInput(f"Everybody can read the secret {path}.", hint=f"chmod o-r {path}")
    if not text:
        raise InvalidInput(f"The secret {path} is empty.")
    return text
