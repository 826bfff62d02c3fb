"""Modules that come with a job: found by its code and by its children, and written nowhere else."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.fakeservice import FakeService

from aiinfn_hub.contract.jobs import MODULES, JobRequest, ValueRef
from aiinfn_hub.contract.run import modules
from aiinfn_hub.contract.run.codecs import BadValue


def packed(**files: str) -> bytes:
    data = io.BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return data.getvalue()


def ran(service: FakeService, source: str, data: bytes, *outputs: str, context: str = "") -> Any:
    reference = ValueRef(MODULES, hashlib.sha256(data).hexdigest(), len(data))
    request = JobRequest("fit", source, outputs=list(outputs), context=context, modules=reference)
    run = service.submit(request, {"modules": data})
    service.wait(run)
    return run


def test_code_and_the_processes_that_it_starts_find_them(service: FakeService) -> None:
    data = packed(**{"pack/__init__.py": "", "pack/mod.py": "def f(x):\n    return x + 1\n", "pack/t.csv": "7"})
    source = """
import multiprocessing, os, subprocess, sys
from pack.mod import f

table = int(open(os.path.join(os.path.dirname(f.__code__.co_filename), "t.csv")).read())
said = subprocess.run([sys.executable, "-c", "import pack.mod; print(pack.mod.f(1))"], capture_output=True, text=True)
with multiprocessing.get_context("spawn").Pool(1) as pool:
    mapped = pool.map(f, [1, 2])
child = said.stdout + said.stderr
"""
    run = ran(service, source, data, "table", "child", "mapped")
    assert {name: found[1] for name, found in run.outputs.items()} == {
        "table": b"7", "child": b"2\n", "mapped": b"[2,3]",
    }, (run.folder / "log").read_text()  # fmt: skip


def test_they_are_gone_when_the_run_is(service: FakeService) -> None:
    run = ran(service, "import pack\nwhere = pack.__file__\n", packed(**{"pack.py": ""}), "where")
    where = Path(run.outputs["where"][1].decode())
    assert where.parent.parent.parent == run.folder / "scratch"
    assert not where.parent.parent.exists()


def test_a_zip_that_is_none_is_an_end_with_a_reason(service: FakeService) -> None:
    run = ran(service, "1", b"no zip file at all")
    assert (run.result["state"], run.result["exit_code"]) == ("failed", 71)
    assert "code of the session cannot be read here" in run.result["verdict"]


def test_modules_that_the_service_has_lost_are_no_end(service: FakeService) -> None:
    service.spec_extra["patience_s"] = 0
    service.hold = True
    run = service.submit(JobRequest("fit", "1", modules=ValueRef(MODULES, "0" * 64, 5)))
    service.start(run)
    assert service.wait(run) == 72
    assert run.result is None


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.delenv("PYTHONPATH", raising=False)
    return tmp_path


@pytest.mark.parametrize("name", ["../x.py", "/x.py", "a/../../x.py", "a//x.py", "./x.py", "a\\x.py", "a/"])
def test_nothing_is_written_elsewhere(there: Path, name: str) -> None:
    with pytest.raises(BadValue, match="no path of a module"):
        modules.install(packed(**{name: "x"}), str(there / "in"))
    assert [path for path in there.rglob("*") if path.is_file()] == []


def test_the_path_of_children_keeps_what_it_had(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "/mine")
    folder = str(there / "in")
    modules.install(packed(**{"a.py": ""}), folder)
    assert os.environ["PYTHONPATH"] == f"{folder}:/mine"
    assert sys.path[0] == folder


def test_a_bomb_is_not_unpacked(there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modules, "MAX_VALUE", 1000)
    with pytest.raises(BadValue, match="than may travel"):
        modules.install(packed(**{"a.py": " " * 1001}), str(there / "in"))
    honest = packed(**{"a.py": " " * 900})
    lying = honest.replace((900).to_bytes(4, "little"), (90).to_bytes(4, "little"))
    assert lying != honest
    with pytest.raises(BadValue):
        modules.install(lying, str(there / "in"))
    monkeypatch.setattr(modules, "MAX_FILES", 1)
    with pytest.raises(BadValue, match="than may travel"):
        modules.install(packed(**{"a.py": "", "b.py": ""}), str(there / "in"))


@given(st.binary(max_size=400))
def test_other_bytes_are_refused(data: bytes) -> None:
    before = list(sys.path)
    with pytest.raises(BadValue):
        modules.install(data, "/nowhere/at/all")
    assert sys.path == before
