from __future__ import annotations

import shutil
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from support.small_platform import VOLUMES, small_platform

from aiinfn_hub.contract.life import MountedVolume
from aiinfn_hub.pods.storage import writable
from aiinfn_labext.presence import known_of
from aiinfn_labext.volumes import short_of_room, volumes

GB = 10**9
HOME = MountedVolume("home", "home", "/home/jovyan")
SHARE = MountedVolume("activity", "activity", "/shared/activity", "storage@example.org")


class Usage(NamedTuple):
    """As `shutil.disk_usage` answers, in bytes."""

    total: int
    used: int
    free: int


def disk(monkeypatch: pytest.MonkeyPatch, **free: tuple[float, float]) -> None:
    """What `df` says of the volumes, as total and free GB; of the others it knows nothing."""

    def usage(path: str | Path) -> Usage:
        for name, (total, left) in free.items():
            if str(path).endswith(name):
                return Usage(int(total * GB), int((total - left) * GB), int(left * GB))
        raise FileNotFoundError(str(path))

    monkeypatch.setattr(shutil, "disk_usage", usage)


@pytest.mark.parametrize(
    ("total", "free", "expected"),
    [
        pytest.param(50, 20, None, id="room"),
        pytest.param(50, 1.1, None, id="more than a fiftieth of a home"),
        pytest.param(50, 0.9, "Your home is almost full: 900.0 MB are free.", id="less"),
        pytest.param(500_000, 6, None, id="a large one with gigabytes"),
        pytest.param(500_000, 4, "Your home is almost full: 4.0 GB are free.", id="a large one without"),
        pytest.param(50, 0, "Your home is full: 0 bytes are free.", id="full"),
        pytest.param(0.01, 0.01, None, id="tiny and empty"),
        pytest.param(0, 0, None, id="a file system that does not say"),
    ],
)
def test_what_counts_as_full(monkeypatch: pytest.MonkeyPatch, total: float, free: float, expected: str | None) -> None:
    disk(monkeypatch, jovyan=(total, free))
    assert [one.title for one in short_of_room([HOME])] == ([expected] if expected else [])


def test_a_full_volume_says_which_and_whom_to_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch, jovyan=(50, 20), activity=(100, 0))
    [notice] = short_of_room([HOME, SHARE])
    assert notice.title == "The volume activity (/shared/activity) is full: 0 bytes are free."
    assert notice.text.endswith("Or ask storage@example.org.")
    assert notice.level == "error"


def test_one_that_is_away_is_no_full_one(monkeypatch: pytest.MonkeyPatch) -> None:
    disk(monkeypatch)
    assert short_of_room([HOME, SHARE]) == []


def test_a_session_is_told_of_what_it_may_write_to() -> None:
    named = [one | ({"contact": "storage@example.org"} if one["name"] == "share" else {}) for one in VOLUMES]
    found = volumes(writable(small_platform(volumes=named), []))
    assert [(one.name, one.mount, one.contact) for one in found] == [
        ("home", "/home/jovyan", ""),
        ("share", "/shared", "storage@example.org"),
        ("scratch", "/scratch", ""),
    ]
    assert "public" in [one.name for one in volumes(writable(small_platform(), ["public", "cvmfs"]))]
    assert "cvmfs" not in [one.name for one in volumes(writable(small_platform(), ["public", "cvmfs"]))]


def test_a_variable_of_another_version_keeps_nobody_from_working(caplog: pytest.LogCaptureFixture) -> None:
    assert volumes({"AIINFN_VOLUMES": '[{"nome": 1}]'}) == []
    assert "AIINFN_VOLUMES cannot be read" in caplog.text
    assert volumes({}) == []


def test_of_a_home_that_is_full_its_rescue_speaks_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = MountedVolume("home", "home", str(tmp_path))
    known = {**_variable(home, SHARE), "AIINFN_FULL_HOME": str(tmp_path)}
    disk(monkeypatch, **{tmp_path.name: (50, 0), "activity": (100, 0)})
    assert [one.id.partition("-")[0] for one in known_of(known)()] == ["space", "volume"]


def _variable(*known: MountedVolume) -> dict[str, str]:
    return {"AIINFN_VOLUMES": msgspec.json.encode(list(known)).decode()}
