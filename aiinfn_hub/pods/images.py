"""Image references as they may stand in a manifest: the grammar, and nothing that a shell would read.

interLink's Slurm plugin writes the image string unquoted into a script on the site's host, so the manifest builder
refuses whatever is not a plain reference, whoever checked it before.
"""

from __future__ import annotations

import re

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
