"""The example notebook of a first session: where it is put, where not, and that it is a notebook."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from aiinfn_labext.welcome import MARK, NAME, welcome


def test_a_new_home_gets_it_once(tmp_path: Path) -> None:
    (tmp_path / ".bashrc").touch()
    assert welcome(tmp_path)
    notebook = nbformat.read(tmp_path / NAME, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") for cell in notebook.cells)
    (tmp_path / NAME).unlink()
    assert not welcome(tmp_path), "who deletes it does not get another one"
    assert not (tmp_path / NAME).exists()


def test_a_home_with_files_gets_none(tmp_path: Path) -> None:
    (tmp_path / "analysis.py").touch()
    assert not welcome(tmp_path)
    (tmp_path / "analysis.py").unlink()
    assert not welcome(tmp_path), "nor later"
    assert sorted(one.name for one in tmp_path.iterdir()) == [".aiinfn"]


def test_a_home_that_is_full_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing fails after the mark: the next session tries again."""

    def full(*_args: object) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("importlib.resources.abc.Traversable.read_bytes", full, raising=False)
    monkeypatch.setattr(Path, "read_bytes", full)
    assert not welcome(tmp_path)
    monkeypatch.undo()
    assert not (tmp_path / MARK).exists()
    assert welcome(tmp_path)


def test_a_home_that_is_not_there(tmp_path: Path) -> None:
    assert not welcome(tmp_path / "none")
