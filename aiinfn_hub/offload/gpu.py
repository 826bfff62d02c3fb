"""What `--gpu` means: from the words a person types to a flavour and a number of units. Pure.

| typed | means |
|---|---|
| (nothing) | the session's own accelerator, one unit; none from a session without |
| `none` | no accelerator |
| `2` | two units of the smallest whole GPU |
| `a100-40`, `a100-40:2` | a flavour of the platform, and how many |
| `1g.5gb`, `mig-1g.5gb`, `1g.5gb:2` | the flavour that is this slice |
| `24GB` | the smallest flavour with so much memory on one device |
"""

from __future__ import annotations

import re
from difflib import get_close_matches

from aiinfn_hub.catalogue import Activity, Flavour, Platform
from aiinfn_hub.contract.quantities import format_bytes, parse_bytes
from aiinfn_hub.errors import Forbidden, InvalidInput

MAX_UNITS = 64
_COUNT = re.compile(r"[0-9]{1,3}", re.ASCII)
_MEMORY = re.compile(r"[0-9]+(\.[0-9]+)?\s*[kKMGTPE]i?[bB]?", re.ASCII)
_GPU_VENDORS = frozenset({"nvidia", "amd", "intel"})


def choose_flavour(platform: Platform, activity: Activity, gpu: str, own: Flavour | None = None) -> tuple[Flavour, int]:
    """The flavour and the number of its units that `gpu` asks for; `own` is that of the session.

    Raises:
        InvalidInput: the words mean nothing here; the hint has the nearest that do.
        Forbidden: the flavour exists, and is not for this activity; the hint says whom to ask.
    """
    text = gpu.strip()
    if text in ("", "none"):
        return own if own and not text else _cpu_only(platform, activity), 1
    if _COUNT.fullmatch(text):
        return _smallest_whole(platform, activity), _units(text)
    name, colon, count = text.partition(":")
    units = _units(count) if colon else 1
    flavour = _named(platform, activity, name)
    if flavour is None and _MEMORY.fullmatch(name):
        flavour = _with_memory(platform, activity, parse_bytes(name))
    if flavour is None:
        raise _unknown(platform, activity, name)
    if not flavour.accelerator and units > 1:
        raise InvalidInput(f"{flavour.name} has no accelerator to count.", hint=f"Write --gpu {flavour.name}.")
    return flavour, units


def allowed(flavour: Flavour, activity: Activity) -> bool:
    """Whether members of the activity may use the flavour."""
    return not flavour.activities or activity.name in flavour.activities


def _units(text: str) -> int:
    if _COUNT.fullmatch(text) is None or not 1 <= int(text) <= MAX_UNITS:
        raise InvalidInput(
            f"{text!r} is not a number of accelerators.", hint=f"Write 1 to {MAX_UNITS}, as in --gpu a100-40:2."
        )
    return int(text)


def _offered(platform: Platform, activity: Activity) -> list[Flavour]:
    return [flavour for flavour in platform.flavours if allowed(flavour, activity)]


def _cpu_only(platform: Platform, activity: Activity) -> Flavour:
    plain = next((flavour for flavour in _offered(platform, activity) if not flavour.accelerator), None)
    if plain is None:
        raise InvalidInput("There is no flavour without an accelerator.", hint="Say which one you want with --gpu.")
    return plain


def _smallest_whole(platform: Platform, activity: Activity) -> Flavour:
    gpus = [flavour for flavour in _offered(platform, activity) if flavour.vendor in _GPU_VENDORS]
    whole = [flavour for flavour in gpus if not flavour.mig] or gpus
    if not whole:
        raise InvalidInput(f"There is no GPU for the activity {activity.name}.", hint="Leave --gpu out.")
    return min(whole, key=lambda flavour: (flavour.weight, flavour.device_memory_bytes, flavour.name))


def _named(platform: Platform, activity: Activity, name: str) -> Flavour | None:
    """The flavour with this name, or that is this slice; the lightest where several devices have the same slice."""
    slice_name = name.removeprefix("mig-")
    known = platform.known_flavour(name)
    found = [known] if known else [one for one in platform.flavours if one.mig and one.mig == slice_name]
    usable = [flavour for flavour in found if allowed(flavour, activity)]
    if found and not usable:
        raise Forbidden(
            f"{found[0].title} ({found[0].name}) is not for the activity {activity.name}.",
            hint=_whom_to_ask(platform, found[0]),
            details={"activities": list(found[0].activities)},
        )
    return min(usable, key=lambda flavour: flavour.weight, default=None)


def _whom_to_ask(platform: Platform, flavour: Flavour) -> str:
    owners = [activity for activity in platform.activities if activity.name in flavour.activities]
    groups = ", ".join(f"{owner.title} ({owner.pi_group or owner.group})" for owner in owners)
    return f"Ask those who lead {groups} to take you in." if groups else "Ask the operators of the platform."


def _with_memory(platform: Platform, activity: Activity, amount: int) -> Flavour:
    sized = [flavour for flavour in _offered(platform, activity) if flavour.device_memory_bytes]
    fitting = [flavour for flavour in sized if flavour.device_memory_bytes >= amount]
    if not fitting:
        largest = max(sized, key=lambda flavour: flavour.device_memory_bytes, default=None)
        raise InvalidInput(
            f"No device for the activity {activity.name} has {format_bytes(amount)} of memory.",
            hint=f"The largest is {largest.name}." if largest else "Leave --gpu out.",
        )
    return min(fitting, key=lambda flavour: (flavour.device_memory_bytes, flavour.weight, flavour.name))


def _unknown(platform: Platform, activity: Activity, name: str) -> InvalidInput:
    offered = _offered(platform, activity)
    names = [flavour.name for flavour in offered if flavour.accelerator]
    near = get_close_matches(name, [*names, *(f.mig for f in offered if f.mig)], n=1, cutoff=0.5)
    hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(names) or 'none'}."
    return InvalidInput(f"There is no accelerator {name[:40]!r}.", hint=hint)
