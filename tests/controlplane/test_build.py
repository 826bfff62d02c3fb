"""Building the control plane: what is said when it cannot be done, and that it is done once. `go` is a script here."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.controlplane import build
from support.controlplane.build import KUBERNETES, KWOK, Unbuildable

GOOD_GO = """#!/bin/sh
case "$1 $2" in
  "env GOVERSION") echo go1.26.8 ;;
  "mod download") ;;
  "list -deps") printf 'a\\nb\\nc\\n' ;;
  "build -v") while [ "$1" != -o ]; do shift; done; echo a >&2; echo "$PWD" > "$2" ;;
  *) exit 9 ;;
esac
"""


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """An empty cache; what was told of the build."""
    monkeypatch.setenv("AIINFN_CONTROLPLANE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "ALL", (KUBERNETES, KWOK))
    return []


def go(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let `go` be this script, and nothing else of that name."""
    (folder / "bin").mkdir()
    path = folder / "bin" / "go"
    path.write_text(script)
    path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{path.parent}:/usr/bin:/bin")


def test_without_go_one_sentence_says_so(said: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(Unbuildable, match=r"^The control plane is built with Go 1\.26 or newer, and there is no `go`"):
        build.build_all(said.append)
    assert build.missing() == [KUBERNETES, KWOK]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        pytest.param(("go1.26.8", "go1.21.0"), r"needs Go 1\.26 or newer; this is go1\.21\.0", id="an old Go"),
        pytest.param(
            ('"mod download") ;;', '"mod download") echo "proxy.example: 403 Forbidden" >&2; exit 1 ;;'),
            r"The Go modules of kubernetes cannot be fetched \(go says: proxy\.example: 403 Forbidden\)",
            id="no module proxy",
        ),
        pytest.param(
            ("echo a >&2;", 'echo "x.go:1: undefined: y" >&2; exit 1;'),
            r"kube-apiserver could not be built \(go build says: x\.go:1: undefined: y\)",
            id="a compiler that refuses",
        ),
    ],
)
def test_what_goes_wrong_is_one_sentence_and_leaves_nothing(
    said: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, change: tuple[str, str], sentence: str
) -> None:
    go(tmp_path, monkeypatch, GOOD_GO.replace(*change))
    with pytest.raises(Unbuildable, match=sentence):
        build.build_all(said.append)
    assert build.missing() == [KUBERNETES, KWOK]


def test_everything_is_built_once(said: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    go(tmp_path, monkeypatch, GOOD_GO)
    build.build_all(said.append)
    assert build.missing() == []
    assert [line for line in said if "built in" in line] == [
        f"kube-{name} v1.36.2: built in 0:00" for name in ("apiserver", "controller-manager", "scheduler")
    ] + ["kwok v0.8.0: built in 0:00"]
    assert "kube-apiserver v1.36.2: 1 of at most 3 packages, 0:00" in said
    assert build.program("kube-scheduler").read_text().strip() == str(KUBERNETES.folder)
    said.clear()
    monkeypatch.setenv("PATH", "")
    build.build_all(said.append)
    assert said == [], "a second call needs no Go"


def test_what_is_not_built_yet_names_the_command(said: list[str]) -> None:
    with pytest.raises(Unbuildable, match="make controlplane"):
        build.program("kube-apiserver")


def test_other_pins_are_another_folder(said: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = KWOK.built
    monkeypatch.setattr(build, "MODULES", tmp_path)
    (tmp_path / "kwok").mkdir()
    (tmp_path / "kwok" / "go.mod").write_text("go 1.26.0\nrequire sigs.k8s.io/kwok v0.9.0\n")
    (tmp_path / "kwok" / "go.sum").write_text("")
    assert KWOK.built.name.startswith("kwok-v0.9.0-")
    assert KWOK.built != before


def test_the_command_says_the_sentence_and_fails(
    said: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert build.main() == 1
    assert capsys.readouterr().err.count("\n") == 1
