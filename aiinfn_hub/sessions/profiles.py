"""What one person can choose for a session: catalogue x person, and nothing else.

No clock and no cluster: JupyterHub asks again at the start, and the answer must be the same as in the form.
"""

from __future__ import annotations

from dataclasses import dataclass

from aiinfn_hub.catalogue import Activity, Flavour, Image, Platform, Volume
from aiinfn_hub.errors import Forbidden
from aiinfn_hub.identity.person import Person


@dataclass(frozen=True)
class FlavourChoice:
    """A flavour as one person sees it.

    `activities` are those of the person that may use it; without any, `groups` says which IAM groups would open it.
    """

    flavour: Flavour
    activities: tuple[str, ...]
    groups: tuple[str, ...] = ()

    @property
    def open(self) -> bool:
        """Whether the person can choose it."""
        return bool(self.activities)


@dataclass(frozen=True)
class Choices:
    """Everything that the spawn form offers to one person; closed flavours are listed, so that it can say why."""

    activities: tuple[Activity, ...]
    flavours: tuple[FlavourChoice, ...]
    images: tuple[Image, ...]
    volumes: tuple[Volume, ...]
    registries: tuple[str, ...]
    apptainer: tuple[str, ...]

    @property
    def first(self) -> Flavour:
        """The flavour of somebody who does not say: in the form, and without an accelerator, if there is one."""
        able = sorted((choice.flavour for choice in self.flavours if choice.open), key=lambda flavour: flavour.hidden)
        return next((flavour for flavour in able if not flavour.accelerator), able[0])


def choices(platform: Platform, person: Person) -> Choices:
    """What the person can choose.

    Raises:
        Forbidden: nothing; an empty list must never mean "whatever the spawner is configured with".
    """
    activities = tuple(activity for activity in platform.activities if activity.name in person.activities)
    if not activities:
        raise Forbidden(
            f"{person.name} is in no activity of {platform.name}, so there is nothing to charge a session to.",
            hint=f"Ask to be added to one of these groups: {', '.join(a.group for a in platform.activities)}.",
        )
    flavours = tuple(_choice(platform, flavour, person) for flavour in session_flavours(platform))
    if not any(choice.open for choice in flavours):
        groups = sorted({group for choice in flavours for group in choice.groups})
        raise Forbidden(
            f"None of the flavours of {platform.name} is open to {person.name}.",
            hint=f"Ask to be added to one of these groups: {', '.join(groups)}." if groups else "",
        )
    return Choices(
        activities=activities,
        flavours=flavours,
        images=tuple(image for image in platform.images if not image.hidden),
        volumes=tuple(volume for volume in platform.volumes if volume.optional),
        registries=platform.image_policy.registries,
        apptainer=platform.image_policy.apptainer,
    )


def session_flavours(platform: Platform) -> tuple[Flavour, ...]:
    """The flavours of this cluster: sessions do not travel to sites."""
    here = [site for site in platform.sites if site.kind == "local"]
    if not here or any(not site.flavours for site in here):
        return platform.flavours
    names = {name for site in here for name in site.flavours}
    return tuple(flavour for flavour in platform.flavours if flavour.name in names)


def _choice(platform: Platform, flavour: Flavour, person: Person) -> FlavourChoice:
    entitled = [a for a in platform.activities if not flavour.activities or a.name in flavour.activities]
    mine = tuple(activity.name for activity in entitled if activity.name in person.activities)
    return FlavourChoice(flavour, mine, () if mine else tuple(activity.group for activity in entitled))
