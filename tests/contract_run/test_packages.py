"""Packages of the session and of the image, before the code runs."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from support.fakeservice import FakeService

from aiinfn_hub.contract.jobs import JobRequest
from aiinfn_hub.contract.run import packages

SAME = {"numpy": ["numpy", version("numpy")]}
OTHER = {"numpy": ["numpy", "1.0.7"]}
NONE = {"module_that_is_nowhere": ["dist-that-is-nowhere", "3.2"]}


def test_the_same_packages_are_not_spoken_of(capsys: pytest.CaptureFixture[str]) -> None:
    here = ".".join(version("numpy").split(".")[:2])
    for wanted in ({}, SAME, {"numpy": ["numpy", f"{here}.99"]}, {"numpy": ["another-name", "1"]}):
        assert packages.check(wanted, "warn", "") == ""
    assert capsys.readouterr().err == ""


def test_another_version_is_said_and_may_end_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert packages.check(OTHER, "warn", "") == ""
    said = f"numpy 1.0.7 there, {version('numpy')} here"
    assert said in capsys.readouterr().err
    assert packages.check(OTHER, "refuse", "") == f"{said} (--drift install fetches what the session has)."


def test_a_package_that_is_missing_ends_it_before_it_begins(service: FakeService) -> None:
    request = JobRequest("fit", "print('ran')", packages=NONE)
    run = service.submit(request)
    assert service.wait(run) == 71
    assert run.result["verdict"] == (
        "dist-that-is-nowhere 3.2 is not in this image (--drift install fetches what the session has)."
    )
    assert "ran" not in (run.folder / "log").read_text()


def wheel(folder: Path, name: str, number: str, needs: str = "") -> None:
    """The smallest wheel that pip installs."""
    import zipfile  # noqa: PLC0415  only here

    about = f"{name}-{number}.dist-info"
    with zipfile.ZipFile(folder / f"{name}-{number}-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", f"number = {number!r}\n")
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n{needs}")
        archive.writestr(
            f"{about}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{about}/RECORD", "")


def test_what_the_session_has_is_installed(service: FakeService, tmp_path: Path) -> None:
    index = tmp_path / "wheels"
    index.mkdir()
    wheel(index, "smallest_of_all", "1.5")
    service.environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index)}
    source = """
import subprocess, sys
from smallest_of_all import number
code = "import smallest_of_all as s; print(s.number)"
child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
"""
    wanted = {"smallest_of_all": ["smallest_of_all", "1.5"]}
    run = service.submit(JobRequest("fit", source, outputs=["number", "child"], packages=wanted, drift="install"))
    assert service.wait(run, 60) == 0, (run.folder / "log").read_text()
    assert {name: value[1] for name, value in run.outputs.items()} == {"number": b"1.5", "child": b"1.5\n"}
    missing = {"smallest_of_all": ["smallest_of_all", "1.6"]}
    run = service.submit(JobRequest("fit", source, packages=missing, drift="install"))
    assert service.wait(run, 60) == 71
    assert run.result["verdict"] == "smallest_of_all==1.6 could not be installed: pip ended with 1."
    assert "1.5" in (run.folder / "log").read_text(), "what pip says is shown"


def test_what_the_image_has_already_is_not_brought_again(service: FakeService, tmp_path: Path) -> None:
    """A small package needs a large one, of which the image has another version than the index has newest."""
    index, image = tmp_path / "wheels", tmp_path / "image"
    index.mkdir()
    wheel(index, "small_one", "1.0", "Requires-Dist: large-one\n")
    wheel(index, "large_one", "2.0")
    write_installed(image, "large_one", "1.0")
    service.environment |= {"PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(index), "PYTHONPATH": str(image)}
    source = "import large_one, small_one\nfound = [large_one.number, small_one.number]\n"
    wanted = {"small_one": ["small_one", "1.0"], "large_one": ["large_one", "1.0"]}
    run = service.submit(JobRequest("fit", source, outputs=["found"], packages=wanted, drift="install"))
    assert service.wait(run, 60) == 0, (run.folder / "log").read_text()
    assert run.outputs["found"][1] == b'["1.0","1.0"]'
    wanted["large_one"] = ["large_one", "2.0"]
    run = service.submit(JobRequest("fit", source, outputs=["found"], packages=wanted, drift="install"))
    assert service.wait(run, 60) == 0, (run.folder / "log").read_text()
    assert run.outputs["found"][1] == b'["2.0","1.0"]', "that of the session, where it is another one"


def write_installed(folder: Path, name: str, number: str) -> None:
    """A package as an image has it."""
    about = folder / f"{name}-{number}.dist-info"
    about.mkdir(parents=True)
    (folder / f"{name}.py").write_text(f"number = {number!r}\n")
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {number}\n")
    (about / "INSTALLER").write_text("pip\n")
    (about / "RECORD").write_text("")


def test_a_python_without_pip_says_so(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "none"))
    said: Any = packages.check(NONE, "install", str(tmp_path))
    assert said.startswith("dist-that-is-nowhere==3.2 could not be installed: ")
    assert str(tmp_path) not in os.environ.get("PYTHONPATH", "")
