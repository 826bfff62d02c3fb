"""Run a command inside an Apptainer image, from a container that has Apptainer."""

from __future__ import annotations

import re
from collections.abc import Sequence

from aiinfn_hub.catalogue.models import Flavour
from aiinfn_hub.errors import InvalidInput

_SEGMENT = r"[A-Za-z0-9._+:@=][A-Za-z0-9._+:@=-]*"  # no leading "-": it would be read as an option somewhere
_PATH = re.compile(rf"(?:/{_SEGMENT})+")
#: Apptainer separates source, target and options of a bind with ":" and several binds with ",".
_FOLDER = re.compile(r"(?:/[A-Za-z0-9._+@-]+)+")
_DEVICES = {"nvidia": ["--nv"], "amd": ["--rocm"]}


def apptainer_path(text: str) -> str:
    """An absolute path of an image file or an unpacked image.

    Raises:
        InvalidInput: a relative path, `..`, or characters that a shell would read.
    """
    if len(text) > 512 or _PATH.fullmatch(text) is None or {".", ".."} & set(text.split("/")):
        raise InvalidInput(
            f"{text[:80]!r} is not the path of an Apptainer image.",
            hint="Write an absolute path of letters, digits and . _ + : @ = -, as in /cvmfs/unpacked.infn.it/image.",
        )
    return text


def apptainer_command(path: str, command: Sequence[str], flavour: Flavour, binds: Sequence[str] = ()) -> list[str]:
    """`command` run inside the image at `path`, with the flavour's devices and the folders `binds` visible.

    The environment is passed on, because it carries the session's addresses; the home is that of the pod.

    Raises:
        InvalidInput: `path` or a folder is not a plain absolute path.
    """
    options = ["--no-mount", "hostfs", *_DEVICES.get(flavour.vendor, [])]
    for folder in binds:
        if _FOLDER.fullmatch(folder) is None or ".." in folder.split("/"):
            raise InvalidInput(f"{folder[:80]!r} cannot be shown inside an Apptainer image.")
        options += ["--bind", folder]
    return ["apptainer", "exec", *options, apptainer_path(path), *command]
