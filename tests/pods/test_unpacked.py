"""An unpacked image for real: proot, without a right, in a directory made of this machine's programs."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.small_platform import small_platform
from support.unpacked import needs_proot, unpacked_image

from aiinfn_hub.pods.apptainer import run_inside


@pytest.fixture
def image(tmp_path: Path) -> Iterator[Path]:
    needs_proot()
    folder = unpacked_image(tmp_path / "image")
    before = sorted(folder.rglob("*"))
    folder.chmod(0o555)  # as on CVMFS; for root that is nothing
    yield folder
    folder.chmod(0o755)
    assert sorted(folder.rglob("*")) == before, "nothing was written into it"


def inside_of(image: Path, script: str, home: Path) -> list[str]:
    allowed = small_platform(image_policy={"apptainer": [str(image.parent)], "registries": []})
    return run_inside(allowed, str(image), ["sh", "-c", script], allowed.flavour("t4"), [str(home)])


def run(image: Path, script: str, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    home.mkdir(exist_ok=True)
    command = inside_of(image, script, home)
    known = {"PATH": "/usr/bin:/bin", "HOME": str(home), **environment}
    return subprocess.run(command, cwd=home, env=known, capture_output=True, text=True, check=False, timeout=60)


def test_the_command_sees_the_image_its_home_and_the_environment(image: Path, tmp_path: Path) -> None:
    done = run(
        image,
        'cat /etc/os-release; echo "$TOKEN_FILE"; pwd; echo kept > "$HOME/file"',
        tmp_path / "home",
        TOKEN_FILE="/x",
    )
    assert done.stdout.splitlines() == ["NAME=unpacked", "/x", str(tmp_path / "home")], done.stderr
    assert (tmp_path / "home" / "file").read_text() == "kept\n"


def test_the_machine_around_it_is_not_there(image: Path, tmp_path: Path) -> None:
    done = run(image, "ls /; ls /usr/bin", tmp_path / "home")
    assert "var" not in done.stdout.split()
    assert "python3" not in done.stdout.split()


def test_the_code_of_the_command_is_that_of_the_container(image: Path, tmp_path: Path) -> None:
    assert run(image, "exit 42", tmp_path / "home").returncode == 42
    done = run(image, "exec no-such-program", tmp_path / "home")
    assert done.returncode == 127
    assert "no-such-program" in done.stderr


def test_the_environment_of_the_image_wins(image: Path, tmp_path: Path) -> None:
    folder = image / ".singularity.d" / "env"
    image.chmod(0o755)
    folder.mkdir(parents=True)
    (folder / "10-docker2singularity.sh").write_text('export PATH="/usr/bin" CONDA_DIR=/opt/conda\n')
    done = run(image, 'echo "$PATH $CONDA_DIR"', tmp_path / "home", CONDA_DIR="/carrier")
    assert done.stdout == "/usr/bin /opt/conda\n", done.stderr
    (folder / "10-docker2singularity.sh").unlink()
    folder.rmdir()
    folder.parent.rmdir()


@pytest.mark.parametrize("what", ["file", "nothing"])
def test_what_is_not_a_directory_is_named(image: Path, tmp_path: Path, what: str) -> None:
    path = tmp_path / what
    if what == "file":
        path.write_text("SIF")
    done = run(path, "true", tmp_path / "home")
    assert (done.returncode, done.stderr) == (127, f"aiinfn-image: {path} is not a directory here\n")


def test_a_carrier_without_proot_is_named(image: Path, tmp_path: Path) -> None:
    done = run(image, "true", tmp_path / "home", PATH="/nowhere")
    assert (done.returncode, done.stderr) == (127, "aiinfn-image: the carrier has no proot\n")


def test_the_end_of_the_session_reaches_the_command(image: Path, tmp_path: Path) -> None:
    """Proot alone would ignore it, and the kubelet would kill the session after its grace."""
    home = tmp_path / "home"
    home.mkdir()
    script = 'trap "echo ended > $HOME/end; exit 7" TERM; echo > $HOME/begun; while :; do sleep 0.05; done'
    command = inside_of(image, script, home)
    known = {"PATH": "/usr/bin:/bin", "HOME": str(home)}
    process = subprocess.Popen(command, cwd=home, env=known, start_new_session=True)
    try:
        deadline = time.monotonic() + 30
        while not (home / "begun").exists():
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.terminate()  # this one alone, as the kubelet does
        assert process.wait(30) == 7
        assert (home / "end").read_text() == "ended\n"
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
