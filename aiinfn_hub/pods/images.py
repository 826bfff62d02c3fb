"""Images of the list, and references as they may stand in a manifest: nothing that a shell would read.

interLink's Slurm plugin writes the image string unquoted into a script on the site's host, so the manifest builder
refuses whatever is not a plain reference, whoever checked it before.
"""

from __future__ import annotations

import re

from aiinfn_hub.catalogue.models import Image, Platform
from aiinfn_hub.catalogue.references import parse_reference
from aiinfn_hub.errors import InvalidInput

#: The grammar allows more: the brackets of an IPv6 host are a pattern for a shell.
_PLAIN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/:@-]*")


def image_reference(text: str) -> str:
    """The reference itself, fit for a manifest.

    Raises:
        InvalidInput: it is no image reference, or has characters that a shell reads.
    """
    if _PLAIN.fullmatch(text) is None:
        raise InvalidInput(
            f"{text[:80]!r} is not a plain image reference.",
            hint="Write registry/repository:tag, as in ghcr.io/group/image:1.2, with an optional @sha256: digest.",
        )
    parse_reference(text)
    return text


def pull_secrets(platform: Platform) -> list[dict[str, str]]:
    """The `imagePullSecrets` of a pod."""
    return [{"name": name} for name in platform.image_policy.pull_secrets]


def listed(platform: Platform, name: str) -> str:
    """The reference of an image of the list; with "@sha256:..." behind its name, that very one of its repository.

    Raises:
        InvalidInput: there is none, or it is replaced by itself, or the digest is none.
    """
    name, at, digest = name.partition("@")
    if not at:
        return image_reference(followed(platform, name).ref)
    return image_reference(f"{platform.image(name).ref.partition('@')[0]}@{digest}")


def recommended(platform: Platform) -> Image:
    """The image of somebody who does not say.

    Raises:
        InvalidInput: the platform shows none.
    """
    image = next((image for image in platform.images if not image.hidden), None)
    if image is None:
        raise InvalidInput("The platform shows no image.", hint="Ask its operator to show one in the platform file.")
    return image


def followed(platform: Platform, name: str) -> Image:
    """The image of that name, or the one it was replaced by: old links and saved options keep working.

    Raises:
        InvalidInput: there is none, or replacements go round in a circle.
    """
    seen = {name}
    image = platform.image(name)
    while image.redirect:
        if image.redirect in seen:
            raise InvalidInput(f"The image {name!r} is replaced by itself.", hint="Choose another one.")
        seen.add(image.redirect)
        image = platform.image(image.redirect)
    return image
