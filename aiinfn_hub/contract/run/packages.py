"""What the session has installed of what the code imports, held against what this image has."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import sysconfig
from importlib.metadata import PackageNotFoundError, version
from typing import Dict, List, Sequence, Tuple

from .modules import look_in

#: Seconds for pip.
INSTALL_S = 1800.0


def check(wanted: Dict[str, Sequence[str]], how: str, folder: str) -> str:
    """Say how the packages differ, or install those of the session: why the code cannot run, "" where it can.

    Args:
        wanted: for each module the name of its distribution and the version that the session has.
        how: what to do about a difference: "warn", "refuse" or "install". A package that is missing ends a run, unless
            it can be installed.
        folder: where to.
    """
    lacking = {name: about for name, about in wanted.items() if importlib.util.find_spec(name) is None}
    others = {name: there for name, about in wanted.items() if name not in lacking and (there := _other(*about))}
    if not lacking and not others:
        return ""
    says = ["%s %s is not in this image" % tuple(about) for about in lacking.values()]
    says += ["%s %s there, %s here" % (*wanted[name], there) for name, there in others.items()]
    if how == "install":
        return _installed([wanted[name] for name in (*lacking, *others)], folder)
    if lacking or how == "refuse":
        return "%s (--drift install fetches what the session has)." % "; ".join(says)
    sys.stderr.write("aiinfn: packages of the session and of this image: %s\n" % "; ".join(says))
    return ""


def _other(distribution: str, there: str) -> str:
    """The version here, if it is another one; "" for the same major and minor one, and for what cannot be told."""
    try:
        here = version(distribution)
    except PackageNotFoundError:  # the module is there under another name: opencv-python, opencv-python-headless
        return ""
    return "" if here.split(".")[:2] == there.split(".")[:2] else here


def _installed(wanted: List[Sequence[str]], folder: str) -> str:
    names = ["%s==%s" % tuple(about) for about in wanted]
    sys.stderr.write("aiinfn: installing %s\n" % ", ".join(names))
    try:
        python, place = _environment(folder)
        command = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--disable-pip-version-check"]
        code = subprocess.run([*command, "--", *names], timeout=INSTALL_S, check=False).returncode  # noqa: S603  names of packages, checked by the service
    except (OSError, subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        return "%s could not be installed: %s." % (", ".join(names), error)
    if code:
        return "%s could not be installed: pip ended with %d." % (", ".join(names), code)
    look_in(place)
    return ""


def _environment(folder: str) -> Tuple[str, str]:
    """An environment in a folder that has all of this one: its interpreter, and where pip puts what is new.

    With `pip install --target` what the image has counts for nothing, and a small package that needs a large one would
    bring that too, in another version.
    """
    command = [sys.executable, "-m", "venv", "--without-pip", folder]
    subprocess.run(command, timeout=INSTALL_S, check=True)  # noqa: S603  no word of it is anybody's
    scheme = "venv" if "venv" in sysconfig.get_scheme_names() else "posix_prefix"
    place = sysconfig.get_path("purelib", scheme, {"base": folder})
    os.makedirs(place, exist_ok=True)
    with open(os.path.join(place, "image.pth"), "w", encoding="utf-8") as file:
        file.writelines(path + "\n" for path in sys.path if os.path.isdir(path) and path != os.getcwd())
    return os.path.join(folder, "bin", "python"), place
