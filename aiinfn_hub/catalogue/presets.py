"""The part of the catalogue that starts with one click: choices that somebody made for others."""

from __future__ import annotations

from aiinfn_hub.catalogue.base import Model
from aiinfn_hub.catalogue.fields import Name, ObjectName, Title


class Preset(Model):
    """A choice with a name, as for the exercises of a course; offered to whoever may have all of it.

    What is left out is what the form suggests.
    """

    name: Name
    title: Title
    """What the button says."""
    activity: ObjectName
    """What it is charged to; its members see the button."""
    flavour: Name
    cpu: str = ""
    """As in a link: "4"."""
    memory: str = ""
    """As in a link: "16Gi"."""
    lifetime: str = ""
    """As in a link: "2h"."""
    environment: str = ""
    """As in a link: "image:pytorch", "registry:ghcr.io/group/image:1" or "apptainer:/path"."""
    volumes: tuple[ObjectName, ...] | None = None
    """Optional volumes; left out for those that are chosen at first."""

    @property
    def options(self) -> dict[str, str | list[str]]:
        """As the form and a link have them."""
        texts = {key: getattr(self, key) for key in ("activity", "flavour", "cpu", "memory", "lifetime", "environment")}
        chosen: dict[str, str | list[str]] = {key: text for key, text in texts.items() if text}
        return chosen | ({"volumes": list(self.volumes)} if self.volumes is not None else {})
