"""The starts of one click: what worked last, a session without an accelerator, and the platform's presets. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.errors import AiinfnError, InvalidInput
from aiinfn_hub.identity.person import Person
from aiinfn_hub.sessions.availability import Seen, Words, availability
from aiinfn_hub.sessions.options import SessionSpec, validate
from aiinfn_hub.sessions.profiles import Choices
from aiinfn_hub.sessions.records import detail

#: The field of the form that says which one was clicked, and its values.
FIELD, AGAIN, CPU, PRESET = "quick", "again", "cpu", "preset-"


@dataclass(frozen=True)
class Quick:
    """One of the buttons: its value, what it says, what one gets, and how much of that is free."""

    value: str
    label: str
    detail: str
    flavour: str
    words: Words


def offered(platform: Platform, person: Person, choices: Choices, seen: Seen, worked: Mapping[str, Any]) -> list[Quick]:
    """The buttons for somebody whose last session that worked had these options (none: there was no such).

    The platform's presets come after. What somebody cannot have is not offered: the form says why when it is chosen
    there; and what is the same as one before is not offered twice.
    """
    wanted = [(AGAIN, "Start the last one again", worked), (CPU, "Start without accelerator", plain(choices, worked))]
    wanted += [(PRESET + one.name, one.title, one.options) for one in platform.presets]
    found: list[Quick] = []
    specs: list[SessionSpec] = []
    for value, label, options in wanted:
        spec = _possible(platform, person, options)
        if spec is None or spec in specs or (value == CPU and specs and not specs[0].flavour.accelerator):
            continue
        specs.append(spec)
        found.append(Quick(value, label, detail(spec), spec.flavour.name, availability(seen, spec.flavour.name)))
    return found


def _possible(platform: Platform, person: Person, options: Mapping[str, Any] | None) -> SessionSpec | None:
    """The session that these options mean; None without any, or where the person cannot have it."""
    try:
        return validate(platform, person, options) if options else None
    except AiinfnError:
        return None


def plain(choices: Choices, worked: Mapping[str, Any], activity: str = "") -> dict[str, Any] | None:
    """The options of a session without an accelerator, charged to this activity or that of the last one.

    None where nobody knows what is to be charged, or there is no such flavour for it.
    """
    mine = [one.name for one in choices.activities]
    known = [
        one for one in (activity, str(worked.get("activity", "")), *(mine if len(mine) == 1 else ())) if one in mine
    ]
    for name in known[:1]:
        for choice in choices.flavours:
            if not choice.flavour.accelerator and name in choice.activities:
                return {"activity": name, "flavour": choice.flavour.name}
    return None


def chosen(
    platform: Platform, choices: Choices, worked: Mapping[str, Any], fields: Mapping[str, Sequence[Any]]
) -> dict[str, Any]:
    """The options of the button that was clicked in the posted form.

    Raises:
        InvalidInput: there is no such button, or it has nothing to start.
    """
    value = str((fields.get(FIELD) or [""])[0])
    activity = str((fields.get("activity") or [""])[0])
    presets = {PRESET + one.name: dict(one.options) for one in platform.presets}
    options = ({AGAIN: dict(worked), CPU: plain(choices, worked, activity)} | presets).get(value)
    if not options:
        raise InvalidInput(
            "There is nothing to start with one click.", hint="Choose what you need below.", details={"option": ""}
        )
    return options
