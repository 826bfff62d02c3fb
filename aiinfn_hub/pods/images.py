"""The grammar of container image references, strict enough to be put into a site's shell script.

interLink's Slurm plugin writes the image string unquoted into a script on the site's host, so the manifest builder
refuses whatever is not a reference, whoever checked it before.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiinfn_hub.errors import InvalidInput

# The grammar of the OCI distribution specification (github.com/distribution/reference), without upper-case hosts.
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[a-z0-9](?:[a-z0-9-]*[a-z0-9])?"
_REFERENCE = re.compile(
    rf"(?:(?P<registry>localhost(?::[0-9]+)?|{_LABEL}(?:\.{_LABEL})+(?::[0-9]+)?|{_LABEL}:[0-9]+)/)?"
    rf"(?P<repository>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>sha256:[0-9a-f]{64}))?"
)
_MAX = 512


@dataclass(frozen=True)
class ImageReference:
    """The parts of a reference; `registry`, `tag` and `digest` are "" when left out."""

    registry: str
    repository: str
    tag: str
    digest: str

    def __str__(self) -> str:
        name = f"{self.registry}/{self.repository}" if self.registry else self.repository
        return name + (f":{self.tag}" if self.tag else "") + (f"@{self.digest}" if self.digest else "")


def image_reference(text: str) -> ImageReference:
    """Parse a reference such as "ghcr.io/org/image:1.2" or "python@sha256:...".

    Raises:
        InvalidInput: anything else, including white space around it.
    """
    found = _REFERENCE.fullmatch(text) if len(text) <= _MAX else None
    if found is None:
        raise InvalidInput(
            f"{text[:80]!r} is not an image reference.",
            hint="Write registry/repository:tag, as in ghcr.io/org/image:1.2, with an optional @sha256: digest.",
        )
    return ImageReference(**{name: value or "" for name, value in found.groupdict().items()})
