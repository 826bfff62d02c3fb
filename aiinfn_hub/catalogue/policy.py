"""Which images a person may name freely."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

from aiinfn_hub.catalogue.fields import AbsolutePath, ExistingName, Host
from aiinfn_hub.catalogue.references import DOCKER_HUB, is_pattern, matches, parse_reference
from aiinfn_hub.errors import InvalidInput

#: What Apptainer, a shell and a job script take as one plain word.
_IMAGE_PATH = re.compile(r"(?:/+[A-Za-z0-9._+@:=,~-]+)+/*")
_LONGEST_PATH = 1024


def _pattern(value: str) -> str:
    if not is_pattern(value):
        raise PydanticCustomError(
            "pattern",
            '{value} is not a pattern of registry and repository. Write it as in "ghcr.io/group/*" (one component) '
            'or "ghcr.io/group/**" (everything below).',
            {"value": repr(value)},
        )
    return value


class ImagePolicy(BaseModel):
    """Registries, repositories and Apptainer paths from which a person may take an image that is not in the list."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    registries: tuple[Annotated[str, AfterValidator(_pattern)], ...] = ()
    """Patterns of registry and repository: * is one component, a last /** everything below."""
    any_tag: bool = True
    """Whether a tag is enough; otherwise only a digest says which image is meant."""
    look_up: bool = False
    """Whether the registry is asked before a session starts; then the digest that was found runs."""
    token_hosts: tuple[Host, ...] = ()
    """Hosts beside the registries' own where they send us for a token, such as gitlab.cern.ch."""
    private_hosts: tuple[Host, ...] = ()
    """Registries with addresses of a private network."""
    pull_secrets: tuple[Annotated[ExistingName, Field(min_length=1)], ...] = ()
    """Secrets of the type kubernetes.io/dockerconfigjson with which nodes fetch images of registries with a login."""
    apptainer: tuple[AbsolutePath, ...] = ()
    """Folders with unpacked images or image files."""

    @property
    def docker_hub(self) -> bool:
        """Whether a reference without a registry means Docker Hub, as it does only where the policy names it."""
        return any(pattern.startswith(f"{DOCKER_HUB}/") for pattern in self.registries)

    def check(self, ref: str) -> str:
        """The reference in full, with registry and tag or digest, if a person may use it.

        Raises:
            InvalidInput: it is no reference, or not on the list; the hint says what is.
        """
        reference = parse_reference(ref.strip())
        if not reference.registry and not self.docker_hub:
            raise InvalidInput(f"{ref!r} does not name its registry.", hint=self._allowed())
        reference = reference.on_docker_hub()
        if not any(matches(pattern, reference.name) for pattern in self.registries):
            raise InvalidInput(f"Images of {reference.name} are not allowed here.", hint=self._allowed())
        if not self.any_tag and not reference.digest:
            raise InvalidInput(f"{ref!r} has no digest.", hint="Add it, as in image@sha256:...; a tag can be moved.")
        return str(reference if reference.pinned else replace(reference, tag="latest"))

    def check_apptainer(self, path: str) -> str:
        """The path of an Apptainer image, normal, if a person may use it.

        Raises:
            InvalidInput: it is not absolute, leads upwards, or is outside the folders allowed; the hint names them.
        """
        path = path.strip()
        parts = [part for part in path.split("/") if part not in ("", ".")]
        if _IMAGE_PATH.fullmatch(path) is None or ".." in parts or not parts or len(path) > _LONGEST_PATH:
            raise InvalidInput(
                f"{path[:80]!r} is not a path of an Apptainer image.",
                hint="Give an absolute path without '..' or spaces.",
            )
        normal = "/" + "/".join(parts)
        if not any(normal.startswith(f"{folder}/") for folder in self.apptainer):
            folders = ", ".join(self.apptainer) or "none"
            raise InvalidInput(
                f"Apptainer images of {normal} are not allowed here.", hint=f"Allowed folders: {folders}."
            )
        return normal

    def _allowed(self) -> str:
        if not self.registries:
            return "Choose an image of the list; others are not allowed here."
        return f"Allowed: {', '.join(self.registries)}."
