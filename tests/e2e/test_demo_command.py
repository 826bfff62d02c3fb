"""What `aiinfn demo` says when it cannot start, and that nothing is left running then."""

from __future__ import annotations

import socket
import subprocess
import sys
from pathlib import Path

import pytest
from support.demo import RunningDemo

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]
AIINFN = Path(sys.executable).parent / "aiinfn"


def start(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [AIINFN, "demo", "--home", home, "--no-browser", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def left_behind(home: Path) -> list[str]:
    """Processes that name this home."""
    ran = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in ran.splitlines() if str(home) in line]


def test_a_port_in_use_is_named_with_a_free_one(tmp_path: Path) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        ran = start(tmp_path / "home", "--port", str(port))
    assert ran.returncode == 1
    assert f"Port {port} is in use" in ran.stderr
    assert "--port" in ran.stderr.split("in use")[1]
    assert "Traceback" not in ran.stderr
    assert left_behind(tmp_path / "home") == []


def test_a_bad_platform_file_is_shown_with_its_lines(tmp_path: Path) -> None:
    bad = tmp_path / "platform.yaml"
    bad.write_text("version: 1\nname: x\nflavors: []\n")
    ran = start(tmp_path / "home", "--platform", str(bad))
    assert ran.returncode == 1
    assert "platform.yaml:3" in ran.stderr
    assert "flavours" in ran.stderr
    assert left_behind(tmp_path / "home") == []


def test_a_home_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    ran = start(tmp_path / "file" / "home")
    assert ran.returncode == 1
    assert "cannot be written" in ran.stderr


def test_a_second_demo_on_one_home_is_refused(demo: RunningDemo, tmp_path: Path) -> None:
    command = [AIINFN, "demo", "--home", demo.home, "--no-browser", "--port", "0"]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 1
    assert "Another demo uses" in ran.stderr


def test_secrets_are_in_files_of_their_owner_and_in_no_environment_or_log(demo: RunningDemo) -> None:
    secrets = {path.read_text().strip() for path in (demo.home / "secrets").iterdir() if path.stat().st_size > 16}
    assert secrets
    private = [*(demo.home / "secrets").iterdir(), *(demo.home / "kube").iterdir(), demo.home / "info.json"]
    assert [path for path in private if path.stat().st_mode & 0o077] == []
    for path in (demo.home / "logs").iterdir():
        text = path.read_text(errors="replace")
        assert not [secret for secret in secrets if secret in text], path
    proxy = (demo.home / "secrets" / "proxy-token").read_text().strip()
    for pid in demo.children(""):
        environment = Path(f"/proc/{pid}/environ").read_text()
        assert not [secret for secret in secrets - {proxy} if secret in environment], pid
