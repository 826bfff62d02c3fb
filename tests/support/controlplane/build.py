"""Builds the control plane's programs from their Go modules, once: `python -m support.controlplane.build`.

What is built is pinned by `tests/cluster/controlplane/*/go.mod` and `go.sum`. The programs go into a cache folder
outside the checkout, named by a digest of the pins, so that another checkout, or the same one tomorrow, finds them.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import platformdirs

MODULES = Path(__file__).parents[2] / "cluster" / "controlplane"
#: What is applied to a cluster before Kueue's manager starts, as its release has it.
KUEUE_MANIFESTS = "manifests.yaml"


class Unbuildable(Exception):
    """The programs cannot be built here; the text is one sentence for a person."""


@dataclass(frozen=True)
class Module:
    """A Go module that pins one project.

    `stamp` is the variable that holds the version: an unstamped kube-apiserver reports v0.0.0 and changes its gates.
    """

    name: str
    path: str
    stamp: str
    programs: tuple[str, ...]
    keeps_v: bool = True

    @property
    def folder(self) -> Path:
        """Where its go.mod is."""
        return MODULES / self.name

    @property
    def version(self) -> str:
        """The pinned version, with its "v"."""
        found = re.search(
            rf"^\s*(?:require\s+)?{re.escape(self.path)} (v\S+)", (self.folder / "go.mod").read_text(), re.MULTILINE
        )
        assert found, f"{self.folder}/go.mod does not require {self.path}"
        return found[1]

    @property
    def key(self) -> str:
        """A digest of all that decides what comes out."""
        parts = [(self.folder / name).read_bytes() for name in ("go.mod", "go.sum")]
        parts.append(f"{platform.system()} {platform.machine()} {self.stamp} {self.programs}".encode())
        return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]

    @property
    def built(self) -> Path:
        """Where its programs are once they are built."""
        return cache_folder() / f"{self.name}-{self.version}-{self.key}"


KUBERNETES = Module(
    "kubernetes",
    "k8s.io/kubernetes",
    "k8s.io/component-base/version.gitVersion",
    ("kube-apiserver", "kube-controller-manager", "kube-scheduler"),
)
KUEUE = Module("kueue", "sigs.k8s.io/kueue", "sigs.k8s.io/kueue/pkg/version.GitVersion", ("kueue",))
KWOK = Module("kwok", "sigs.k8s.io/kwok", "sigs.k8s.io/kwok/pkg/consts.Version", ("kwok",), keeps_v=False)
ALL = (KUBERNETES, KUEUE, KWOK)


def cache_folder() -> Path:
    """`AIINFN_CONTROLPLANE_CACHE`, or a folder below the user's cache directory."""
    named = os.environ.get("AIINFN_CONTROLPLANE_CACHE")
    return Path(named) if named else Path(platformdirs.user_cache_dir("aiinfn")) / "controlplane"


def missing() -> list[Module]:
    """Modules whose programs are not in the cache."""
    return [module for module in ALL if not module.built.is_dir()]


def program(name: str) -> Path:
    """The path of a built program.

    Raises:
        Unbuildable: it was not built yet.
    """
    module = next(module for module in ALL if name in module.programs)
    path = module.built / name
    if not path.is_file():
        raise Unbuildable(f"{name} {module.version} is not built: run `make controlplane`.")
    return path


def build_all(say: Callable[[str], None]) -> None:
    """Build what is missing; told each step, and the progress of the long ones.

    Raises:
        Unbuildable: there is no Go, or the module proxy or the compiler refuses.
    """
    with _lock():
        for module in missing():
            _build(module, _go(module), say)


@contextmanager
def _lock() -> Iterator[None]:
    """One build at a time: a second one waits, and then finds everything built."""
    cache_folder().mkdir(parents=True, exist_ok=True)
    with (cache_folder() / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _go(module: Module) -> str:
    """The `go` that can build a module: the version in go.mod, or a newer one."""
    go = shutil.which("go")
    needed = re.search(r"^go (\d+)\.(\d+)", (module.folder / "go.mod").read_text(), re.MULTILINE)
    assert needed, module.folder
    if go is None:
        raise Unbuildable(
            f"The control plane is built with Go {needed[1]}.{needed[2]} or newer, and there is no `go` here."
        )
    said = subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True, check=False).stdout
    found = re.match(r"go(\d+)\.(\d+)", said)
    if found and (int(found[1]), int(found[2])) < (int(needed[1]), int(needed[2])):
        raise Unbuildable(f"The control plane needs Go {needed[1]}.{needed[2]} or newer; this is {said.strip()}.")
    return go


def _build(module: Module, go: str, say: Callable[[str], None]) -> None:
    temporary = module.built.with_name(f".{module.built.name}.new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    say(f"{module.name} {module.version}: fetching the modules")
    _run([go, "mod", "download"], module, "The Go modules of {} cannot be fetched")
    for name in module.programs:
        _compile(module, go, name, temporary / name, say)
    if module is KUEUE:
        source = _run([go, "list", "-m", "-f", "{{.Dir}}", module.path], module, "{} is not to be found").strip()
        kubectl = str(Path(sys.executable).with_name("kubectl"))
        manifests = _run(
            [kubectl, "kustomize", f"{source}/config/default"], module, "The manifests of {} cannot be put together"
        )
        (temporary / KUEUE_MANIFESTS).write_text(manifests)
    temporary.rename(module.built)


def _compile(module: Module, go: str, name: str, target: Path, say: Callable[[str], None]) -> None:
    """`go build -v` prints each package as it is compiled, which is the only progress there is."""
    package = f"{module.path}/cmd/{name}"
    version = module.version if module.keeps_v else module.version.removeprefix("v")
    total = len(_run([go, "list", "-deps", package], module, "The packages of {} cannot be listed").splitlines())
    command = [
        go,
        "build",
        "-v",
        "-trimpath",
        "-ldflags",
        f"-s -w -X {module.stamp}={version}",
        "-o",
        str(target),
        package,
    ]
    started, told, done, words = time.monotonic(), 0.0, 0, ""
    with subprocess.Popen(command, cwd=module.folder, env=_environment(), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            done += 1
            words = line.strip()
            if time.monotonic() - told >= 5:
                told = time.monotonic()
                say(f"{name} {module.version}: {done} of at most {total} packages, {_clock(told - started)}")
    if process.returncode:
        raise Unbuildable(f"{name} could not be built (go build says: {words}).")
    say(f"{name} {module.version}: built in {_clock(time.monotonic() - started)}")


def _run(command: list[str], module: Module, sentence: str) -> str:
    done = subprocess.run(command, cwd=module.folder, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        words = " ".join(done.stderr.split())[-300:]
        raise Unbuildable(f"{sentence.format(module.name)} ({Path(command[0]).name} says: {words}).")
    return done.stdout


def _environment() -> dict[str, str]:
    return os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off"}


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02}"


def main() -> int:
    """For `make controlplane`."""
    terminal = sys.stdout.isatty()

    def say(line: str) -> None:
        print(
            f"\r\x1b[K{line}" if terminal and " built in " not in line else line,
            end="" if terminal else "\n",
            flush=True,
        )
        if terminal and " built in " in line:
            print()

    try:
        build_all(say)
    except Unbuildable as error:
        print(error, file=sys.stderr)
        return 1
    print("The control plane is in", cache_folder())
    return 0


if __name__ == "__main__":
    sys.exit(main())
