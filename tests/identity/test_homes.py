"""`aiinfn users home`, on a real file system."""

from __future__ import annotations

import os
import socket
import tarfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.hubfakes import write_platform
from support.small_platform import POSIX

from aiinfn_hub.cli import main
from aiinfn_hub.errors import Conflict, InvalidInput, Unavailable
from aiinfn_hub.identity import homes
from aiinfn_hub.identity.bindings import Bindings
from aiinfn_hub.identity.uids import Uids


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The claim of the homes, with that of ada."""
    home = tmp_path / "claim" / "home" / "ada"
    (home / "work" / "deep").mkdir(parents=True)
    (home / "work" / "thesis.tex").write_text("x" * 1000)
    (home / "work" / "link").symlink_to("/etc/passwd")
    (home / "nowhere").symlink_to("gone")
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(home)  # the path of a socket has at most 107 bytes
        listener.bind("agent.sock")
    os.chdir(tmp_path)
    (home.with_name("bob")).mkdir()
    (tmp_path / "archives").mkdir()
    Bindings(tmp_path / "bindings").bind("sub-a", "ada")
    write_platform(tmp_path / "platform.yaml")
    return tmp_path / "claim"


def run(root: Path, capsys: pytest.CaptureFixture[str], *more: str, name: str = "ada") -> tuple[int, str, str]:
    folder = root.parent
    line = ["--file", str(folder / "bindings"), "--platform", str(folder / "platform.yaml"), "--root", str(root)]
    code = main(["users", "home", name, *line, *more])
    said = capsys.readouterr()
    return code, said.out, said.err


def archive(root: Path) -> Path:
    return root.parent / "archives" / f"ada-{datetime.now(UTC):%Y-%m-%d}.tar.gz"


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root.parent)) for path in root.parent.rglob("*") if path.name != "bindings")


def test_without_yes_it_only_says_what_it_would_do(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = everything(root)
    code, out, _ = run(root, capsys, "--archive", str(root.parent / "archives"), "--delete")
    assert code == 0
    assert f"{root}/home/ada: 6 files and folders" in out
    assert f"Would archive it as {archive(root)} and then delete it. Nothing was changed" in out
    assert everything(root) == before


def test_an_archive_has_everything_and_the_home_goes(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(root, capsys, "--archive", str(root.parent / "archives"), "--delete", "--yes")
    assert (code, err) == (0, "")
    assert "Deleted." in out
    with tarfile.open(archive(root)) as tar:
        names = {one.name: one for one in tar}
        assert set(names) == {
            "ada",
            "ada/nowhere",
            "ada/work",
            "ada/work/deep",
            "ada/work/link",
            "ada/work/thesis.tex",
        }
        assert names["ada/work/link"].linkname == "/etc/passwd", "a link is kept as one, not what it leads to"
    assert archive(root).stat().st_mode & 0o077 == 0
    assert sorted(path.name for path in (root / "home").iterdir()) == ["bob"]


def test_an_archive_alone_leaves_the_home(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, capsys, "--archive", str(root.parent / "archives"), "--yes")[0] == 0
    assert (root / "home" / "ada" / "work" / "thesis.tex").exists()
    code, _, err = run(root, capsys, "--archive", str(root.parent / "archives"), "--delete", "--yes")
    assert code != 0
    assert "already" in err
    assert (root / "home" / "ada").exists(), "no second archive, so nothing is deleted"


@pytest.mark.parametrize("name", ["eve", "bob", "../etc", "", "."])
def test_a_name_that_is_nobodys_is_refused(root: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    code, _, err = run(root, capsys, "--delete", "--yes", name=name)
    assert code != 0
    assert "Nobody here is" in err
    assert (root / "home" / "bob").exists()


def test_a_home_of_somebody_else_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_platform(root.parent / "platform.yaml", posix=POSIX)
    Uids(root.parent / "bindings").put("ada", 200_123)
    code, _, err = run(root, capsys, "--delete", "--yes")
    assert code != 0
    assert f"belongs to user {os.getuid()}, not to 200123" in err
    assert (root / "home" / "ada").exists()


def test_a_link_in_place_of_the_home_is_not_followed(root: Path) -> None:
    (root / "home" / "eve").symlink_to(root / "home" / "bob")
    with pytest.raises(InvalidInput, match="a link"):
        homes.look(root, "home/eve")


def test_a_wrong_root_is_said(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root.parent / "bindings").rename(root / "bindings")
    (root.parent / "platform.yaml").rename(root / "platform.yaml")
    code, _, err = run(root / "home", capsys, "--delete", "--yes")
    assert code != 0
    assert "--root is where the claim of the homes is mounted" in err


def test_archives_do_not_go_into_the_home(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(root, capsys, "--archive", str(root / "home" / "ada" / "work"), "--yes")[0] != 0
    assert run(root, capsys, "--archive", str(root / "missing"), "--yes")[0] != 0


def test_a_full_disk_leaves_no_half_archive_and_the_home(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    home = homes.look(root, "home/ada")
    with pytest.raises(Unavailable, match="No space left"):
        homes.archive(home, archive(root))
    assert list((root.parent / "archives").iterdir()) == []
    assert home.path.exists()


def test_a_home_that_changes_meanwhile_is_not_archived(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sync = os.fsync

    def changed(descriptor: int) -> None:
        (root / "home" / "ada" / "late").write_text("")
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", changed)
    with pytest.raises(Conflict, match="changed while it was archived"):
        homes.archive(homes.look(root, "home/ada"), archive(root))
    assert list((root.parent / "archives").iterdir()) == []


def test_without_a_wish_it_is_looked_at_only(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(root, capsys)
    assert code == 0
    assert "Nothing was asked" in out
