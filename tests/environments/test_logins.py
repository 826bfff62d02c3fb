from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from aiinfn_hub.environments.logins import read_logins
from aiinfn_hub.errors import InvalidInput

ROBOT = base64.b64encode(b"robot:a secret").decode()


def written(folder: Path, name: str, auths: Any) -> Path:
    (folder / name).write_text(json.dumps({"auths": auths, "credHelpers": {"gcr.io": "gcloud"}}))
    return folder


@pytest.mark.parametrize(
    ("place", "host"),
    [
        pytest.param("registry.example.org", "registry.example.org", id="a host"),
        pytest.param("registry.example.org:5000", "registry.example.org:5000", id="and its port"),
        pytest.param("https://registry.example.org/v2/", "registry.example.org", id="a URL"),
        pytest.param("registry.example.org/group", "registry.example.org", id="and a path"),
        pytest.param("https://index.docker.io/v1/", "docker.io", id="Docker Hub"),
    ],
)
def test_a_login_is_that_of_its_host(tmp_path: Path, place: str, host: str) -> None:
    assert read_logins(written(tmp_path, "one.json", {place: {"auth": ROBOT}})) == {host: ROBOT}


def test_name_and_password_are_as_good_and_files_add_up(tmp_path: Path) -> None:
    written(tmp_path, "one.json", {"a.example.org": {"username": "robot", "password": "a secret"}})
    written(tmp_path, "two.json", {"b.example.org": {"auth": ROBOT}})
    assert read_logins(tmp_path) == {"a.example.org": ROBOT, "b.example.org": ROBOT}


@pytest.mark.parametrize("content", ["", "[]", '{"auths": []}', '{"auths": {"x": {"auth": "%%%"}}}'])
def test_another_file_is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    (tmp_path / "one.json").write_text(content)
    with pytest.raises(InvalidInput, match="is not a configuration") as refused:
        read_logins(tmp_path)
    assert "%%%" not in str(refused.value) + refused.value.hint
