"""Folders on shared storage, made by the script of the manifest with the users and groups of the manifest."""

from __future__ import annotations

import os
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.small_platform import POSIX, VOLUMES, small_platform

from aiinfn_hub.pods.folders import ABOVE, makers
from aiinfn_hub.pods.security import pod_security

ADA, BOB, LHCB, CMS = 200_123, 200_124, 20_001, 20_002
KEEPER = 1001


def of(kind: str, person: str = "ada", activity: str = "lhcb") -> dict[str, Any]:
    platform = small_platform(posix=POSIX)
    found = {one["args"][1]: one for one in makers(platform, person, platform.activity(activity))}
    return found[kind]


def test_without_posix_nothing_is_made() -> None:
    platform = small_platform()
    assert makers(platform, "ada", platform.activities[0]) == []


def test_a_home_is_made_by_its_owner_and_a_share_by_nobody() -> None:
    assert "runAsUser" not in of("home")["securityContext"], "as the pod"
    assert of("share")["securityContext"]["runAsUser"] == KEEPER
    assert of("home")["args"] == [f"{ABOVE}/ada", "home"]
    assert of("share")["args"] == [f"{ABOVE}/lhcb", "share"]


def test_the_folder_above_is_mounted_and_nothing_else() -> None:
    assert of("home")["volumeMounts"] == [{"name": "volume-home", "mountPath": ABOVE, "subPath": "home"}]
    assert of("share")["volumeMounts"] == [{"name": "volume-share", "mountPath": ABOVE, "subPath": "shared"}]


def test_only_what_is_mounted_writable_is_made() -> None:
    platform = small_platform(posix=POSIX, volumes=[one | {"read_only": True} for one in VOLUMES if one.get("claim")])
    assert makers(platform, "ada", platform.activities[0]) == []


@pytest.mark.parametrize("person", ["../root", "a b", "$(id)", "-rf", "{username}"])
def test_a_name_is_one_word_and_one_folder(person: str) -> None:
    path = of("home", person)["args"][0]
    assert path.removeprefix(f"{ABOVE}/").replace("-", "").isalnum()


def test_no_brace_that_kubespawner_would_fill_in() -> None:
    assert "{" not in "".join(of("home")["command"])


# ---- with real users of this machine

as_others = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run a process as another user")


@pytest.fixture
def above() -> Iterator[Path]:
    """A folder as the operator prepares it; pytest's own are closed to other users."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        path.chmod(0o1777)
        yield path


def ran(maker: dict[str, Any], above: Path, uid: int, gid: int) -> subprocess.CompletedProcess[str]:
    context = pod_security(gid, uid) | maker["securityContext"]
    arguments = [one.replace(ABOVE, str(above)) for one in maker["args"]]
    return subprocess.run(
        [*maker["command"], *arguments],
        user=context["runAsUser"],
        group=context["runAsGroup"],
        extra_groups=context["supplementalGroups"],
        umask=0o022,
        capture_output=True,
        text=True,
        check=False,
        env={"PATH": os.environ["PATH"]},
        cwd="/",
    )


def facts(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)


def touched(path: Path, uid: int, gid: int) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["touch", str(path)], user=uid, group=gid, extra_groups=[], umask=0o022, check=False, capture_output=True
    )


@as_others
def test_owner_and_mode(above: Path) -> None:
    for maker, name, expected in (
        (of("home"), "ada", (ADA, LHCB, 0o700)),
        (of("share"), "lhcb", (KEEPER, LHCB, 0o2770)),
    ):
        done = ran(maker, above, ADA, LHCB)
        assert (done.returncode, done.stderr) == (0, "")
        assert facts(above / name) == expected


@as_others
def test_a_new_file_in_a_share_belongs_to_the_activity_and_no_one_else_gets_in(above: Path) -> None:
    assert ran(of("share"), above, ADA, LHCB).returncode == 0
    # Bob's session is charged to another activity of his at first, and the group of the folder holds all the same.
    member = above / "lhcb" / "by-ada"
    assert touched(member, ADA, LHCB).returncode == 0
    assert facts(member)[:2] == (ADA, LHCB)
    (above / "lhcb").chmod(0o2777)
    other = above / "lhcb" / "by-bob"
    assert touched(other, BOB, CMS).returncode == 0
    assert facts(other)[:2] == (BOB, LHCB), "the setgid bit, not the group of the process"
    (above / "lhcb").chmod(0o2770)
    assert touched(above / "lhcb" / "not-a-member", BOB, CMS).returncode != 0


@as_others
def test_what_is_there_is_kept(above: Path) -> None:
    assert ran(of("home"), above, ADA, LHCB).returncode == 0
    (above / "ada" / "thesis.tex").write_text("...")
    (above / "ada").chmod(0o711)
    assert ran(of("home", activity="cms"), above, ADA, CMS).returncode == 0, "charged to another activity"
    assert facts(above / "ada") == (ADA, LHCB, 0o711)
    assert (above / "ada" / "thesis.tex").read_text() == "..."


@as_others
def test_a_share_whose_making_was_killed_is_mended(above: Path) -> None:
    (above / "lhcb").mkdir(mode=0o700)
    os.chown(above / "lhcb", KEEPER, 0)
    assert ran(of("share"), above, ADA, LHCB).returncode == 0
    assert facts(above / "lhcb") == (KEEPER, LHCB, 0o2770)


@as_others
def test_a_home_of_somebody_else_is_refused_and_named(above: Path) -> None:
    (above / "ada").mkdir(mode=0o777)
    os.chown(above / "ada", BOB, LHCB)
    done = ran(of("home"), above, ADA, LHCB)
    assert done.returncode == 1
    assert done.stderr == f"aiinfn-folder: ada belongs to user {BOB}, not to {ADA}\n"


@as_others
def test_a_share_of_another_group_is_refused_and_named(above: Path) -> None:
    (above / "lhcb").mkdir(mode=0o770)
    os.chown(above / "lhcb", 0, CMS)
    done = ran(of("share"), above, ADA, LHCB)
    assert done.stderr == f"aiinfn-folder: lhcb belongs to group {CMS}, not to {LHCB}\n"
    assert done.returncode == 1


@as_others
def test_storage_that_is_not_prepared_is_named(above: Path) -> None:
    above.chmod(0o755)
    done = ran(of("home"), above, ADA, LHCB)
    assert done.returncode == 1
    assert f"cannot be made: user {ADA} may not write" in done.stderr


@as_others
def test_two_first_sessions_at_once(above: Path) -> None:
    maker = of("home")
    command = [*maker["command"], f"{above}/ada", "home"]
    both = [subprocess.Popen(command, user=ADA, group=LHCB, extra_groups=[], cwd="/") for _ in range(8)]
    assert [one.wait() for one in both] == [0] * 8
    assert facts(above / "ada") == (ADA, LHCB, 0o700)
