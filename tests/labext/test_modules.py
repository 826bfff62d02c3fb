"""Code of the session that is in no image, on its way into a job."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from aiinfn_hub.contract.jobs import JobRequest
from aiinfn_hub.errors import TooLarge
from aiinfn_labext import modules
from aiinfn_labext.modules import Snapshot, is_local, snapshot, with_modules


def write(root: Path, files: dict[str, str]) -> None:
    """Files below a folder."""
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def names(found: Snapshot | None) -> list[str]:
    assert found is not None
    return zipfile.ZipFile(io.BytesIO(found.data)).namelist()


def test_nothing_travels_for_what_every_image_has(here: Path) -> None:
    assert snapshot(["import os, numpy.linalg\nfrom json import loads\nimport not_there\nfrom . import x"]) is None
    assert snapshot(["this is no Python", ""]) is None
    assert snapshot(["from aiinfn_labext import offload"]) is None, "a job has it from its runner"
    assert snapshot(["import __main__, sys, mod_that_is_nowhere"]) is None


def test_a_package_travels_whole_and_what_it_imports_too(here: Path) -> None:
    write(
        here,
        {
            "mypack/__init__.py": "from . import deep",
            "mypack/deep/mod.py": "import other_mod",
            "other_mod.py": "import mypack",
        },
    )
    (here / "mypack" / "table.csv").write_text("1,2")
    (here / "mypack" / "__pycache__").mkdir()
    (here / "mypack" / "__pycache__" / "x.pyc").write_text("")
    (here / "unrelated.py").write_text("")
    found = snapshot(["def f():\n    import mypack.deep.mod"])
    assert names(found) == ["mypack/__init__.py", "mypack/deep/mod.py", "mypack/table.csv", "other_mod.py"]
    assert found is not None
    assert [word.partition(" (")[0] for word in found.words] == ["mypack", "other_mod"]
    assert found.words[0].startswith("mypack (3 files, ")


def test_a_module_with_underscores_reads_as_itself(here: Path) -> None:
    (here / "single.py").write_text("x = 1\n")
    found = snapshot(["import single"])
    assert found is not None
    assert found.words == ("single (6 B)",)
    assert found.reference.summary == "single (6 B)"


def test_a_folder_without_init_is_a_package_too(here: Path) -> None:
    write(here, {"spacepack/mod.py": "x = 1"})
    assert names(snapshot(["import spacepack.mod"])) == ["spacepack/mod.py"]


def test_the_same_files_are_the_same_bytes(here: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    write(here, {"single_a.py": "x = 1", "single_b.py": "import single_a"})
    first = snapshot(["import single_b"])
    (here / "single_a.py").touch()
    again = snapshot(["import single_b, single_a"])
    assert first is not None
    assert again is not None
    assert first.reference == again.reference
    (here / "single_a.py").write_text("x = 2")
    changed = snapshot(["import single_b"])
    assert changed is not None
    assert changed.reference.sha256 != first.reference.sha256


def test_what_lies_beside_a_script_is_found_first(here: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    beside = tmp_path_factory.mktemp("beside")
    (here / "helper_x.py").write_text("where = 'path'")
    (beside / "helper_x.py").write_text("where = 'beside'")
    request = JobRequest("fit", "import helper_x")
    request, blobs, words = with_modules(request, {"x": b"1"}, [beside])
    assert request.modules is not None
    assert set(blobs) == {"x", request.modules.sha256}
    archive = zipfile.ZipFile(io.BytesIO(blobs[request.modules.sha256]))
    assert archive.read("helper_x.py") == b"where = 'beside'"
    assert words == ("helper_x (16 B)",)
    assert request.digest != JobRequest("fit", "import helper_x").digest


@pytest.mark.skipif(shutil.which("git") is None, reason="no git")
def test_what_git_ignores_stays(here: Path) -> None:
    write(here, {"gitpack/__init__.py": "", "gitpack/kept.py": "", "gitpack/secret.py": "", "gitpack/sub/also.py": ""})
    (here / ".gitignore").write_text("secret.py\n*.dat\n")
    (here / "gitpack" / "sub" / ".gitignore").write_text("also.py\n")
    (here / "gitpack" / "large.dat").write_text("")
    assert "gitpack/secret.py" in names(snapshot(["import gitpack"])), "it is no repository yet"
    subprocess.run(["git", "init", "-q", here], check=True)
    assert names(snapshot(["import gitpack"])) == ["gitpack/__init__.py", "gitpack/kept.py", "gitpack/sub/.gitignore"]


def test_too_much_is_refused_by_name(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(here, {"bigpack/__init__.py": ""})
    for name, amount in (("a", 400), ("b", 900), ("c", 100), ("d", 5)):
        (here / "bigpack" / f"{name}.bin").write_bytes(bytes(amount * 1024))
    monkeypatch.setattr(modules, "MAX_VALUE", 1024**2)
    with pytest.raises(TooLarge) as refused:
        snapshot(["import bigpack"])
    assert "bigpack/b.bin (900.0 KiB), bigpack/a.bin (400.0 KiB), bigpack/c.bin (100.0 KiB)." in refused.value.message
    assert ".gitignore" in refused.value.hint


def test_a_compiled_module_says_for_which_python_it_is(here: Path) -> None:
    write(here, {"fastpack/__init__.py": ""})
    (here / "fastpack" / f"core{modules._COMPILED[0]}").write_bytes(b"ELF")
    found = snapshot(["import fastpack"])
    assert found is not None
    assert "compiled for this Python" in found.words[0]


def test_an_editable_install_is_of_the_session_and_an_installed_package_is_not(tmp_path: Path) -> None:
    assert not is_local(Path(pytest.__file__))
    assert not is_local(Path(sys.prefix) / "lib")
    assert is_local(tmp_path)
    assert is_local(Path.home() / "analysis" / "mine.py")
    assert not is_local(tmp_path / "other-venv" / "lib" / "python3.11" / "site-packages" / "numpy")
    assert not is_local(Path("/usr/lib/python3/dist-packages/yaml"))
    assert not is_local(Path("/cvmfs/sft.cern.ch/lcg/views/LCG_106/x86_64-el9-gcc13-opt/lib/ROOT"))


def test_installed_packages_go_by_name_and_version_where_the_code_needs_them() -> None:
    from importlib.metadata import version  # noqa: PLC0415  only here

    source = """
import numpy.linalg as la, json
try:
    import pandas
except ImportError:
    pandas = None
from yaml import safe_load
def f():
    import httpx
"""
    request, _, _ = with_modules(JobRequest("fit", source, context="import not_there"), {})
    assert request.packages == {
        "httpx": ["httpx", version("httpx")],
        "numpy": ["numpy", version("numpy")],
        "yaml": ["PyYAML", version("PyYAML")],
    }
    request.check()
    assert with_modules(JobRequest("fit", "1"), {})[0].packages == {}


def test_more_files_than_travel_are_refused_before_anything_is_sent(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(modules, "MAX_FILES", 5)
    write(here, {"mypack/__init__.py": "", **{f"mypack/data/{number}.txt": "x" for number in range(5)}})
    with pytest.raises(TooLarge, match=r"have 6 files, and at most 5 travel with a cell; mypack/data alone has 5\."):
        snapshot(["import mypack"])
