"""The starts of one click: what worked last, once more, and a session without an accelerator. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.quantities import format_duration
from aiinfn_hub.errors import AiinfnError, InvalidInput
from aiinfn_hub.identity.person import Person
from aiinfn_hub.sessions.availability import Seen, Words, availability
from aiinfn_hub.sessions.options import SessionSpec, validate
from aiinfn_hub.sessions.profiles import Choices

#: The field of the form that says which one was clicked, and its values.
FIELD, AGAIN, CPU = "quick", "again", "cpu"


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

    What cannot be had any more is not offered: the form says why when it is chosen there.
    """
    found: list[Quick] = []
    for value, label, options in (
        (AGAIN, "Start the last one again", worked or None),
        (CPU, "Start without accelerator", plain(choices, worked)),
    ):
        if options is None:
            continue
        try:
            spec = validate(platform, person, options)
        except AiinfnError:
            continue
        if value == CPU and found and not worked_with_accelerator(platform, person, worked):
            continue  # the last one is the same
        found.append(Quick(value, label, _detail(spec), spec.flavour.name, availability(seen, spec.flavour.name)))
    return found


def worked_with_accelerator(platform: Platform, person: Person, worked: Mapping[str, Any]) -> bool:
    """Whether the last session that worked had one."""
    return validate(platform, person, worked).flavour.accelerator


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


def chosen(choices: Choices, worked: Mapping[str, Any], fields: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The options of the button that was clicked in the posted form.

    Raises:
        InvalidInput: there is no such button, or it has nothing to start.
    """
    value = str((fields.get(FIELD) or [""])[0])
    activity = str((fields.get("activity") or [""])[0])
    options = {AGAIN: dict(worked) or None, CPU: plain(choices, worked, activity)}.get(value)
    if options is None:
        raise InvalidInput(
            "There is nothing to start with one click.", hint="Choose what you need below.", details={"option": ""}
        )
    return options


def _detail(spec: SessionSpec) -> str:
    cores = "core" if spec.cpu_millis == 1000 else "cores"
    amounts = f"{spec.cpu_millis / 1000:g} {cores}, {spec.memory_bytes / 1024**3:g} GB"
    image = spec.apptainer or spec.image.rpartition("/")[2].partition("@")[0]
    return f"{spec.flavour.title}, {amounts}, {format_duration(spec.lifetime_s)}, {image}, {spec.activity.title}"
