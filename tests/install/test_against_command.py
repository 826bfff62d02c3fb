"""`aiinfn platform check --against-cluster` as a person calls it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.exampleworld import healthy
from support.lookedat import kubeconfig, looked_at

from aiinfn_hub.catalogue import example_path
from aiinfn_hub.cli import main
from aiinfn_hub.install.doctor.facts import Unread

EXAMPLE = example_path().read_text()
GPU_1 = 1


def world() -> dict[str, Any]:
    """The example's cluster, with its claims and its Secret."""
    claims = [{"metadata": {"name": name}, "status": {"phase": "Bound"}} for name in ("homes", "shared", "cvmfs")]
    return healthy() | {"claims": claims, "secrets": ["object-store"]}


def check(parts: dict[str, Any], folder: Path, text: str = EXAMPLE, *more: str) -> tuple[int, Path]:
    """The exit code, and the file."""
    path = folder / "p.yaml"
    path.write_text(text)
    with looked_at(parts, folder) as cluster:
        argv = ["platform", "check", str(path), "--against-cluster", "--kubeconfig", str(cluster.kubeconfig), *more]
        code = main(argv)
    assert all(one.startswith("GET ") for one in cluster.asked)
    # A list of Secrets would bring what is in them.
    assert not any(one.endswith("/secrets") for one in cluster.asked)
    return code, path


def test_a_file_that_fits_is_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, path = check(world(), tmp_path)
    assert (code, capsys.readouterr().out) == (
        0,
        f"{path}: no mistakes: 12 flavours, 5 images, 7 volumes, 4 sites, 4 activities.\n",
    )


def test_a_wrong_selector_is_1_with_its_line_and_the_nearest_value(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = EXAMPLE.replace("nvidia.com/gpu.product: Tesla-T4", "nvidia.com/gpu.product: NVIDIA-Tesla-T4")
    code, path = check(world(), tmp_path, wrong)
    line = 1 + next(number for number, text in enumerate(wrong.splitlines()) if "NVIDIA-Tesla-T4" in text)
    assert code == 1
    assert capsys.readouterr().out == (
        f'{path}:{line}: flavours[1].node_selector["nvidia.com/gpu.product"]: no node has '
        "nvidia.com/gpu.product=NVIDIA-Tesla-T4; nvidia.com/gpu is on 4 nodes (nearest: Tesla-T4)\n"
    )


def test_a_note_is_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = world()
    parts["nodes"][GPU_1]["status"]["allocatable"]["nvidia.com/gpu"] = "9"
    code, path = check(parts, tmp_path)
    out = capsys.readouterr().out
    assert code == 0
    assert ": flavours[1].units: note: is 8, and 9 are on 1 node: the rest stays idle\n" in out
    assert f"{path}: no mistakes" in out


def test_programs_get_mistakes_and_notes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parts = world()
    parts["nodes"][GPU_1]["status"]["allocatable"]["nvidia.com/gpu"] = "9"
    parts["claims"][0]["status"]["phase"] = "Pending"
    code, _ = check(parts, tmp_path, EXAMPLE, "--json")
    told = json.loads(capsys.readouterr().out)
    assert code == 1
    assert [problem["path"] for problem in told["problems"]] == ["volumes[0].claim"]
    assert [note["path"] for note in told["notes"]] == ["flavours[1].units"]
    assert set(told["notes"][0]) == {"file", "line", "path", "message", "nearest"}


def test_a_terminal_gets_two_tables(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    parts = world()
    parts["nodes"][GPU_1]["status"]["allocatable"]["nvidia.com/gpu"] = "9"
    parts["claims"][0]["status"]["phase"] = "Pending"
    _, path = check(parts, tmp_path)
    out = capsys.readouterr().out
    assert f"{path}: 1 to correct\n" in out
    assert f"{path}: 1 to know\n" in out


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ("nodes", "list nodes"),
        ("namespaces", "list namespaces"),
        ("claims", "list persistentvolumeclaims in aiinfn"),
        ("secrets", "get secrets in aiinfn"),
    ],
)
def test_what_may_not_be_read_is_1_and_named(
    part: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, path = check(world() | {part: Unread("forbidden", "no")}, tmp_path)
    assert code == 1
    first = next(number for number, line in enumerate(EXAMPLE.splitlines(), 1) if line.startswith("version:"))
    assert capsys.readouterr().out == (
        f"{path}:{first}: the file: could not be compared: the cluster does not let you {said}\n"
    )


def test_a_cluster_that_does_not_answer_is_3(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config, path = tmp_path / "kubeconfig", tmp_path / "p.yaml"
    config.write_text(json.dumps(kubeconfig("http://127.0.0.1:1")))
    path.write_text(EXAMPLE)
    assert main(["platform", "check", str(path), "--against-cluster", "--kubeconfig", str(config)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "does not answer" in captured.err


def test_a_file_with_mistakes_is_not_compared(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(EXAMPLE.replace("gid: 20002", "gid: 20001"))
    assert main(["platform", "check", str(path), "--against-cluster", "--kubeconfig", "/nowhere"]) == 1
    assert "20001 is taken by 'lhcb-flashsim'" in capsys.readouterr().out


def test_help_says_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["platform", "check", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    assert "0 no mistake (notes aside), 1 mistakes, 2 wrong usage, 3 the cluster does not answer" in out
