"""The service's settings and the files of its secrets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.service.config import load_config, read_secret

SETTINGS = {
    "platform_file": "/etc/aiinfn/platform.yaml",
    "database_url_file": "/run/db",
    "api_token_file": "/run/token",
    "hub_key_file": "/run/key",
    "hub_api_url": "http://hub:8081/hub/api",
    "runs_url": "https://jobs.example",
    "blobs": "/var/blobs",
}


def write(folder: Path, **changes: object) -> Path:
    path = folder / "service.json"
    path.write_text(json.dumps({k: v for k, v in (SETTINGS | changes).items() if v is not None}))
    return path


def test_settings_are_read_with_their_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, port=9000))
    assert (config.port, config.bind, config.prefix) == (9000, "127.0.0.1", "/services/aiinfn")
    assert config.platform_file == Path("/etc/aiinfn/platform.yaml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        pytest.param(
            {"prot": 1}, r"unknown field `prot`.*port", id="an unknown setting is named beside the known ones"
        ),
        pytest.param({"port": "http"}, r"`int`.*\$\.port", id="a wrong value is named with its place"),
        pytest.param({"blobs": None}, "missing required field `blobs`", id="a missing setting is named"),
    ],
)
def test_a_mistake_is_named_with_its_file(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidInput, match=message) as caught:
        load_config(write(tmp_path, **changes))
    assert "service.json" in str(caught.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"none\.yaml cannot be read"):
        load_config(tmp_path / "none.yaml")


def test_a_secret_is_one_line_of_a_private_file(tmp_path: Path) -> None:
    path = tmp_path / "key"
    path.write_text("abc\n")
    path.chmod(0o600)
    assert read_secret(path) == "abc"


@pytest.mark.parametrize(
    ("text", "mode", "message"),
    [
        pytest.param("abc", 0o644, "Everybody can read", id="one that everybody can read is refused"),
        pytest.param(" \n", 0o600, "is empty", id="an empty one is refused"),
    ],
)
def test_a_careless_secret_is_refused(tmp_path: Path, text: str, mode: int, message: str) -> None:
    path = tmp_path / "key"
    path.write_text(text)
    path.chmod(mode)
    with pytest.raises(InvalidInput, match=message):
        read_secret(path)


def test_a_secret_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_secret(tmp_path / "key")
