"""The runner is small, needs nothing but Python 3.8, and starts from wherever it was mounted."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.fakeservice import RUNNER, FakeService

from aiinfn_hub.contract.jobs import JobRequest

FILES = sorted(RUNNER.glob("*.py"))
#: Modules of ours may import these, where the person's values are of them.
OPTIONAL = {"awkward", "numpy", "pandas"}


def python38() -> str | None:
    """A Python 3.8 that starts: the one named by AIINFN_PYTHON38, or of the search path."""
    for candidate in (os.environ.get("AIINFN_PYTHON38"), shutil.which("python3.8")):
        if candidate and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0:
            return candidate
    return None


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            yield str(node.module).split(".")[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_is_python_3_8(path: Path) -> None:
    ast.parse(path.read_text(), feature_version=(3, 8))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_file_imports_the_standard_library_only(path: Path) -> None:
    assert set(imports(path)) - OPTIONAL <= sys.stdlib_module_names


def test_it_fits_into_a_config_map_with_room_to_spare() -> None:
    # Of 1 MiB; a site's plug-in writes it into a script of the batch system.
    assert sum(path.stat().st_size for path in FILES) < 128 * 1024


@pytest.mark.skipif(python38() is None, reason="no Python 3.8 on this machine")
def test_it_runs_on_python_3_8(tmp_path: Path) -> None:
    service = FakeService(tmp_path, python=python38() or "")
    try:
        source = "import sys\nprint(sys.version_info[:2])\nawait __import__('asyncio').sleep(0)\ntotal = 3\ntotal"
        run = service.submit(JobRequest("fit", source, {}, ["total"]))
        assert service.wait(run) == 0
        assert run.frames[0]["text"] == "(3, 8)\n"
        assert run.frames[1]["data"] == {"text/plain": "3"}
        assert run.outputs["total"] == ("json", b"3", "3")
        failing = service.submit(JobRequest("bad", "def f():\n    return 1 / 0\nf()"))
        assert service.wait(failing) == 70
        assert failing.frames[0]["traceback"][1:3] == ['  File "<offload bad>", line 3, in <module>', "    f()"]
    finally:
        service.stop()


def test_the_modules_of_the_runner_are_not_in_the_way_of_the_person_s(service: FakeService) -> None:
    source = (
        "import sys, codecs\nprint(codecs.__file__)\ntry:\n    import frames\nexcept ImportError:\n    print('none')"
    )
    run = service.submit(JobRequest("fit", source))
    assert service.wait(run) == 0
    assert "offload" not in run.frames[0]["text"]
    assert run.frames[0]["text"].endswith("none\n")


def test_it_leaves_although_a_thread_of_the_person_stays(service: FakeService) -> None:
    run = service.submit(
        JobRequest("fit", "import threading, time\nthreading.Thread(target=time.sleep, args=[60]).start()")
    )
    assert service.wait(run, timeout=10) == 0


def test_it_writes_nothing_beside_its_files(service: FakeService) -> None:
    run = service.submit(JobRequest("fit", "print(1)"))
    service.wait(run)
    assert {path.name for path in (run.folder / "offload").iterdir()} == {
        *(path.name for path in FILES),
        "..data",
        "..2026_11_23",
    }
