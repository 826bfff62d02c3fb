"""A command inside an image that is no container's: an Apptainer image file, or one that lies unpacked on a volume.

A restricted pod can neither mount nor make a namespace, so there are three ways, and which one it is follows from the
flavour and the platform file alone: Apptainer itself, where the flavour has the capability; else the unpacked
directory, run without any right by proot; else the image of a registry that it was unpacked from. The first two need a
container around them, the carrier: an image of the list with the label of the tool.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Literal

from aiinfn_hub.catalogue.models import Flavour, Platform
from aiinfn_hub.catalogue.references import parse_reference
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.pods.images import image_reference
from aiinfn_hub.pods.security import USER_NAMESPACES

#: How it runs: by Apptainer, unpacked without rights, or as the image that it was made from.
Way = Literal["apptainer", "proot", "converted"]

_SEGMENT = r"[A-Za-z0-9._+:@=][A-Za-z0-9._+:@=-]*"  # no leading "-": it would be read as an option somewhere
_PATH = re.compile(rf"(?:/{_SEGMENT})+")
#: Apptainer separates source, target and options of a bind with ":" and several binds with ",".
_FOLDER = re.compile(r"(?:/[A-Za-z0-9._+@-]+)+")
_DEVICES = {"nvidia": ["--nv"], "amd": ["--rocm"]}
#: Image files, which only Apptainer reads: https://apptainer.org/docs/user/main/quick_start.html
_FILES = (".sif", ".simg", ".sqsh", ".squashfs", ".img")
#: The shell in the carrier that starts proot, and the one in the image that starts the command.
_OUTSIDE, _INSIDE = (files("aiinfn_hub.pods").joinpath(name).read_text() for name in ("unpacked.sh", "inside.sh"))


@dataclass(frozen=True)
class Inside:
    """What the container runs, and the path of the image inside of it; "" where it is the image itself."""

    image: str
    path: str
    way: Way


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


def inside(platform: Platform, path: str, flavour: Flavour) -> Inside:
    """How the Apptainer image that somebody names runs with a flavour.

    Raises:
        InvalidInput: the policy does not allow it, or there is no way with this flavour; the hint says with which.
    """
    path = apptainer_path(platform.image_policy.check_apptainer(path))
    for way in ways(platform, flavour):
        if way == "converted":
            source = _source(platform, path)
            if source:
                return Inside(source, "", way)
        elif way == "apptainer" or not path.endswith(_FILES):
            return Inside(_carrier(platform, way), path, way)
    raise InvalidInput(f"{path} cannot run with {flavour.title}.", hint=_other_way(platform, path))


def ways(platform: Platform, flavour: Flavour) -> list[Way]:
    """The ways that a flavour has, best first."""
    found: list[Way] = ["apptainer"] if USER_NAMESPACES in flavour.capabilities else []
    return [*(way for way in (*found, "proot") if _carrier(platform, way)), "converted"]


def run_inside(
    platform: Platform, path: str, command: Sequence[str], flavour: Flavour, binds: Sequence[str] = ()
) -> list[str]:
    """`command` run inside the image at `path` as `inside` says, with the flavour's devices and the folders `binds`.

    The environment is passed on, because it carries the session's addresses; the home is that of the pod.

    Raises:
        InvalidInput: a folder is not a plain absolute path, or the image cannot run there (any more).
    """
    binds, found = [_folder(folder) for folder in binds], inside(platform, path, flavour)
    path = found.path
    if found.way == "apptainer":
        options = [*_DEVICES.get(flavour.vendor, []), *(word for folder in binds for word in ("--bind", folder))]
        return ["apptainer", "exec", "--no-mount", "hostfs", *options, path, *command]
    options = [word for folder in binds for word in ("-b", folder)]
    return ["/bin/sh", "-c", _OUTSIDE, "unpacked", path, *options, "/bin/sh", "-c", _INSIDE, "inside", *command]


def _folder(folder: str) -> str:
    if _FOLDER.fullmatch(folder) is None or ".." in folder.split("/"):
        raise InvalidInput(f"{folder[:80]!r} cannot be shown inside an Apptainer image.")
    return folder


def _carrier(platform: Platform, tool: str) -> str:
    """The image of the list that has a tool inside, by its label; "" where there is none."""
    return next((image_reference(image.ref) for image in platform.images if tool in image.labels), "")


def _source(platform: Platform, path: str) -> str:
    """The image of a registry that was unpacked at a path; "" where nobody can say, or it is not allowed.

    Either the list says so, or the path does: below its folder it is registry/repository:tag, as on the repositories
    that CVMFS's DUCC unpacks into (https://cvmfs.readthedocs.io/en/stable/cpt-containers.html).
    """
    listed = next((image.ref for image in platform.images if image.apptainer == path), "")
    if listed:
        return image_reference(listed)
    policy = platform.image_policy
    folder = max((one for one in policy.apptainer if path.startswith(f"{one}/")), key=len)
    try:
        reference = image_reference(path.removeprefix(f"{folder}/"))
        return image_reference(policy.check(reference)) if parse_reference(reference).pinned else ""
    except InvalidInput:
        return ""


def _other_way(platform: Platform, path: str) -> str:
    able = [flavour.title for flavour in platform.flavours if "apptainer" in ways(platform, flavour)]
    if able:
        return f"Choose {' or '.join(able)}, where Apptainer itself runs."
    if path.endswith(_FILES):
        return "No accelerator here runs image files. Name a directory with the image unpacked, or its registry."
    return "No image of the list brings the tools for it. Name the registry that it comes from."
