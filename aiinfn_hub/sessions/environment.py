"""The environment of a session: an image of the list, one of an allowed registry, or an Apptainer image."""

from __future__ import annotations

from typing import Any

from aiinfn_hub.catalogue import Flavour, Image, Platform
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.pods.apptainer import Way, inside, ways
from aiinfn_hub.pods.images import followed, image_reference, listed, recommended

KINDS = ("image", "registry", "apptainer")

_WAYS: dict[Way, str] = {
    "apptainer": "Apptainer itself runs it here: image files (.sif) and unpacked images.",
    "proot": "An unpacked image runs here without any right, by proot; a .sif file does not.",
    "converted": "The image of a registry that it was unpacked from starts here.",
}


def environment(platform: Platform, value: Any, flavour: Flavour) -> tuple[str, str]:
    """The image reference and the Apptainer path ("" for none) of a session.

    "image:NAME" is one of the list, with "@sha256:..." behind it as it was once, "registry:REF" any that the policy
    allows, "apptainer:PATH" an Apptainer image as the flavour runs it; None is the recommended image, the first of the
    list.

    Raises:
        InvalidInput: none of these, or not allowed by the platform's image policy, or not with this flavour.
    """
    if value is None:
        return image_reference(recommended(platform).ref), ""
    kind, colon, rest = value.partition(":") if isinstance(value, str) else ("", "", "")
    if not colon or kind not in KINDS:
        raise InvalidInput(
            f"{str(value)[:60]!r} is not an environment.",
            hint='Write "image:NAME", "registry:REFERENCE" or "apptainer:PATH".',
        )
    if kind == "image":
        return listed(platform, rest), ""
    if kind == "registry":
        return image_reference(platform.image_policy.check(rest)), ""
    found = inside(platform, rest, flavour)
    return found.image, found.path


def apptainer_words(platform: Platform, flavour: Flavour) -> str:
    """How a flavour runs what somebody names by its path, for the form."""
    return _WAYS[ways(platform, flavour)[0]]


def check_cuda(platform: Platform, value: Any, flavour: Flavour) -> None:
    """Whether an environment of the list runs on a flavour, as far as the platform file says.

    Raises:
        InvalidInput: it needs a later CUDA than the drivers there have; the hint names images that do not.
    """
    kind, _, name = str(value or "image:").partition(":")
    if kind != "image" or not flavour.cuda:
        return
    image = followed(platform, name.partition("@")[0]) if name else recommended(platform)
    if _fits(image, flavour):
        return
    able = [one.title for one in platform.images if not one.hidden and not one.redirect and _fits(one, flavour)]
    raise InvalidInput(
        f"{image.title} needs CUDA {image.labels['cuda']}, and the drivers of {flavour.title} have {flavour.cuda}.",
        hint=f"Choose {' or '.join(able)}." if able else "Choose another accelerator.",
    )


def _fits(image: Image, flavour: Flavour) -> bool:
    """A driver runs what was made for its own version of CUDA or an earlier one; within a major version, any.

    NVIDIA's minor version compatibility: an application of 12.x runs on every driver for 12.0 and later.
    """
    needed = image.labels.get("cuda", "").partition(".")[0]
    return not needed.isdigit() or int(needed) <= int(flavour.cuda.partition(".")[0])
