"""What fills a home: counted on a real file system, named by what it mainly consists of."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from aiinfn_labext.space import Space, largest, usage, words

KB = 1024


def write(home: Path, path: str, kilobytes: int) -> None:
    file = home / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"x" * kilobytes * KB)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    write(tmp_path, ".local/share/Trash/files/old.root", 900)
    write(tmp_path, ".local/bin/tool", 20)
    write(tmp_path, "data/run1/events.root", 300)
    write(tmp_path, "data/run2/events.root", 300)
    write(tmp_path, "notes.txt", 40)
    (tmp_path / "empty").mkdir()
    (tmp_path / "elsewhere").symlink_to("/usr")
    return tmp_path


def test_the_largest_first_and_where_they_really_are(home: Path) -> None:
    found = largest(usage(home))
    assert [name for name, _ in found] == [".local/share/Trash", "data", "notes.txt"]
    assert found[0][1] == pytest.approx(900 * KB, rel=0.02)
    assert found[1][1] == pytest.approx(600 * KB, rel=0.02)


def test_a_home_that_is_empty_or_not_there(tmp_path: Path) -> None:
    assert largest(usage(tmp_path)) == []
    assert largest(usage(tmp_path / "none")) == []


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "0 bytes"), (1500, "1.5 kB"), (2_500_000, "2.5 MB"), (41_000_000_000, "41.0 GB")]
)
def test_amounts(amount: int, text: str) -> None:
    assert words(amount) == text


def test_what_the_person_reads(home: Path) -> None:
    space = Space(home)
    deadline = time.monotonic() + 10
    while "being counted" in space.notice.text and time.monotonic() < deadline:
        time.sleep(0.02)
    notice = space.notice
    assert notice.text.startswith("It has .local/share/Trash (")
    assert "are free on its disk" in notice.title
    assert notice.id == "space-True", "told anew when it is known"
