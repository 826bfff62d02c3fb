"""The peak of memory: of the run's own control group where there is one, of its processes otherwise."""

from __future__ import annotations

from pathlib import Path

import pytest

from aiinfn_hub.contract.run.memory import Memory

GIB = 1024**3
V2, V1 = ("", "memory.max", "anon"), ("memory", "memory.limit_in_bytes", "rss")


def group(root: Path, version: tuple[str, str, str], limit: str, used: int) -> Path:
    folder, name, kind = version
    (root / folder).mkdir(exist_ok=True)
    (root / folder / name).write_text(limit + "\n")
    stat = root / folder / "memory.stat"
    stat.write_text(f"{kind} {used}\nfile {40 * GIB}\nshmem 1000\n")
    return stat


@pytest.mark.parametrize("version", [V2, V1], ids=["v2", "v1"])
def test_what_cannot_be_given_back_counts_and_the_cache_of_files_does_not(
    tmp_path: Path, version: tuple[str, str, str]
) -> None:
    group(tmp_path, version, str(16 * GIB), GIB)
    memory = Memory(16 * GIB, str(tmp_path))
    assert memory.sample() == GIB + 1000
    group(tmp_path, version, str(16 * GIB), 3 * GIB)
    assert memory.sample() == 3 * GIB + 1000
    group(tmp_path, version, str(16 * GIB), GIB)
    assert memory.sample() == 3 * GIB + 1000, "the peak stays"


@pytest.mark.parametrize("limit", ["max", str(64 * GIB), "", "nonsense"])
def test_a_group_that_is_not_the_runs_own_is_not_read(tmp_path: Path, limit: str) -> None:
    group(tmp_path, V2, limit, 30 * GIB)
    held = bytearray(50 * 1024**2)
    held[::4096] = b"x" * len(held[::4096])
    assert 50 * 1024**2 < Memory(16 * GIB, str(tmp_path)).sample() < 10 * GIB


def test_a_group_that_becomes_unreadable_keeps_what_was_seen(tmp_path: Path) -> None:
    stat = group(tmp_path, V2, str(GIB), 5)
    memory = Memory(GIB, str(tmp_path))
    assert memory.sample() == 1005
    stat.write_text("anon")
    assert memory.sample() == 1005
    stat.unlink()
    assert memory.sample() == 1005
