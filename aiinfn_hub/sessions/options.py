"""The options of a session, declared once: the form, a link, the REST API and a named server all go through `validate`.

What is stored in JupyterHub's `user_options` is what a person said, never what it was turned into: a saved option is
judged again at every start, by the platform and the groups of that day.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from aiinfn_hub.catalogue import Activity, Flavour, Platform, Steps
from aiinfn_hub.contract.quantities import (
    format_bytes,
    format_cpu,
    format_duration,
    parse_bytes,
    parse_cpu,
    parse_duration,
)
from aiinfn_hub.errors import Forbidden, InvalidInput, QuotaExceeded
from aiinfn_hub.identity.person import Person
from aiinfn_hub.pods.storage import lies_on
from aiinfn_hub.sessions.environment import check_cuda, environment
from aiinfn_hub.sessions.profiles import Choices, choices


@dataclass(frozen=True)
class Option:
    """One option: its name in `user_options`, links and REST, and what the form calls it."""

    name: str
    label: str
    help: str


#: The option that lets a session start whose home is full.
RESCUE = "rescue"

OPTIONS: dict[str, Option] = {
    option.name: option
    for option in (
        Option("activity", "Activity", "What the session is charged to."),
        Option("flavour", "Accelerator", "The device you get, or none."),
        Option("cpu", "CPU", "Cores of your own."),
        Option("memory", "Memory", "Memory of your own; a session that takes more is stopped."),
        Option("lifetime", "For", "You get notice before this time is over, and may extend it."),
        Option("environment", "Environment", "The software of the session."),
        Option("volumes", "Volumes", "Storage beside your home."),
        Option(RESCUE, "Rescue start", "For a home that is full: JupyterLab keeps its own files elsewhere."),
    )
}

LIFETIMES = tuple(hours * 3600 for hours in (1, 2, 4, 8, 12, 24, 72, 168))
_DEFAULT_LIFETIME = 8 * 3600
_SHORTEST_LIFETIME = 10 * 60
_LONGEST_VALUE = 1024


@dataclass(frozen=True)
class SessionSpec:
    """A session that may be started: every option decided, in our units.

    `image` is what the container runs; with `apptainer`, that is only the carrier of the image at this path.
    """

    flavour: Flavour
    cpu_millis: int
    memory_bytes: int
    activity: Activity
    activity_reason: str
    image: str
    apptainer: str
    lifetime_s: int
    volumes: tuple[str, ...]
    rescue: bool = False


def validate(platform: Platform, person: Person, options: Mapping[str, Any]) -> SessionSpec:
    """Decide every option, or refuse with the option, its value and the nearest valid choice.

    An option that is missing, None or "" has its default. Errors carry `details["option"]`.

    Raises:
        InvalidInput: an option that does not exist, or a value that nobody could use.
        Forbidden: a value that this person may not use.
    """
    _check_names(options)
    given = {name: value for name, value in options.items() if value not in (None, "")}
    offered = choices(platform, person)
    with _blaming("activity", given):
        activity, reason = _activity(platform, offered, given.get("activity"))
    with _blaming("flavour", given):
        flavour = _flavour(platform, offered, activity, given.get("flavour"))
    with _blaming("cpu", given):
        cpu = _step(given.get("cpu"), flavour.cpu, parse_cpu, format_cpu, flavour)
    with _blaming("memory", given):
        memory = _step(given.get("memory"), flavour.memory, parse_bytes, format_bytes, flavour)
    with _blaming("lifetime", given):
        lifetime = _lifetime(given.get("lifetime"), flavour)
    with _blaming("environment", given):
        image, apptainer = environment(platform, given.get("environment"), flavour)
        check_cuda(platform, given.get("environment"), flavour)
    with _blaming("volumes", given):
        volumes = _volumes(platform, offered, given.get("volumes"), lies_on(platform, apptainer))
    with _blaming(RESCUE, given):
        rescue = _flag(given.get(RESCUE))
    return SessionSpec(flavour, cpu, memory, activity, reason, image, apptainer, lifetime, volumes, rescue)


def check_held(spec: SessionSpec, others: Sequence[str]) -> None:
    """Raise `QuotaExceeded` if the person's other sessions, given by their flavours, leave no room for this one."""
    limit = spec.flavour.max_per_user
    if limit is not None and others.count(spec.flavour.name) >= limit:
        raise QuotaExceeded(
            f"You have {others.count(spec.flavour.name)} of {limit} sessions with {spec.flavour.title} already.",
            hint="Stop one of them, or choose another accelerator.",
            details={"option": "flavour"},
        )


def lifetimes(flavour: Flavour) -> tuple[int, ...]:
    """The lifetimes that the form offers for a flavour, in seconds, shortest first."""
    return tuple(sorted({*(t for t in LIFETIMES if t < flavour.max_lifetime_s), flavour.max_lifetime_s}))


def default_lifetime(flavour: Flavour) -> int:
    """The lifetime of somebody who does not say, in seconds."""
    return min(_DEFAULT_LIFETIME, flavour.max_lifetime_s)


def _check_names(options: Mapping[str, Any]) -> None:
    if not isinstance(options, Mapping):
        raise InvalidInput("The options of a session are named values.", hint=f"Names: {', '.join(OPTIONS)}.")
    for name, value in options.items():
        if len(str(value)) > _LONGEST_VALUE:
            raise InvalidInput(
                f"The value of {str(name)[:40]!r} is too long.",
                hint="Is it what you meant to paste?",
                details={"option": name if name in OPTIONS else ""},
            )
        if name not in OPTIONS:
            near = get_close_matches(str(name), OPTIONS, n=1)
            hint = f"Did you mean {near[0]!r}?" if near else f"There are: {', '.join(OPTIONS)}."
            raise InvalidInput(f"There is no option {str(name)[:40]!r}.", hint=hint, details={"option": ""})


@contextmanager
def _blaming(option: str, given: Mapping[str, Any]) -> Iterator[None]:
    """Name the option in whatever is raised inside."""
    try:
        yield
    except (InvalidInput, Forbidden) as error:
        details = {"option": option, "value": str(given.get(option, ""))[:80]}
        message = f"{OPTIONS[option].label}: {error.message}"
        raise type(error)(message, hint=error.hint, details=details) from error


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{str(value)[:40]!r} is not a text.", hint="Give one value, as text.")
    return value


def _activity(platform: Platform, offered: Choices, value: Any) -> tuple[Activity, str]:
    mine = {activity.name: activity for activity in offered.activities}
    if value is None:
        if len(mine) > 1:
            raise InvalidInput("Which one is charged?", hint=f"Yours are: {', '.join(mine)}.")
        return next(iter(mine.values())), "the only one"
    activity = platform.activity(_text(value))
    if activity.name not in mine:
        raise Forbidden(
            f"You are not in {activity.name!r}.", hint=f"Yours are: {', '.join(mine)}. Its group is {activity.group}."
        )
    return activity, "chosen"


def _flavour(platform: Platform, offered: Choices, activity: Activity, value: Any) -> Flavour:
    known = {choice.flavour.name: choice for choice in offered.flavours}
    usable = [name for name, choice in known.items() if activity.name in choice.activities]
    if value is None:
        first = next((name for name in usable if not known[name].flavour.accelerator), None)
        if first is None:
            raise InvalidInput("Which one?", hint=f"{activity.name} can use: {', '.join(usable) or 'none'}.")
        return known[first].flavour
    named = platform.known_flavour(_text(value))
    choice = known.get(named.name) if named else None
    if choice is None:
        near = get_close_matches(value, usable, n=1)
        hint = f"Did you mean {near[0]!r}?" if near else f"{activity.name} can use: {', '.join(usable) or 'none'}."
        raise InvalidInput(f"There is no {value[:60]!r} for sessions.", hint=hint)
    if activity.name in choice.activities:
        return choice.flavour
    if choice.open:
        hint = f"Charge it to {' or '.join(choice.activities)}, or choose {', '.join(usable)}."
        raise Forbidden(f"{choice.flavour.title} is not open to the activity {activity.name}.", hint=hint)
    hint = f"It needs one of these groups: {', '.join(choice.groups) or 'none exists'}. Or choose {', '.join(usable)}."
    raise Forbidden(f"{choice.flavour.title} is not open to you.", hint=hint)


def _step(value: Any, steps: Steps, parse: Callable[[Any], int], write: Callable[[int], str], flavour: Flavour) -> int:
    """One of the flavour's amounts; numbers are taken too, because JSON has them."""
    if value is None:
        return steps.default
    amount = parse(value)
    if amount not in steps.choices:
        nearest = min(steps.choices, key=lambda choice: (abs(choice - amount), choice))
        raise InvalidInput(
            f"{value!r} cannot be had with {flavour.title}.",
            hint=f"The nearest is {write(nearest)}; there are {', '.join(map(write, steps.choices))}.",
        )
    return amount


def _lifetime(value: Any, flavour: Flavour) -> int:
    if value is None:
        return default_lifetime(flavour)
    seconds, longest = parse_duration(value), flavour.max_lifetime_s
    if not min(_SHORTEST_LIFETIME, longest) <= seconds <= longest:
        raise InvalidInput(
            f"{str(value)[:20]!r} is too {'long' if seconds > longest else 'short'} for {flavour.title}.",
            hint=f"Between {format_duration(_SHORTEST_LIFETIME)} and {format_duration(longest)}; extend it later.",
        )
    return seconds


def _flag(value: Any) -> bool:
    """A checkbox of the form, a word of a link, or a truth value of JSON."""
    known = {"1": True, "true": True, "on": True, "0": False, "false": False, "none": False}
    if str(value).lower() not in known:
        raise InvalidInput(f"{str(value)[:40]!r} is neither yes nor no.", hint="Write 1, or leave it out.")
    return known[str(value).lower()]


def _volumes(platform: Platform, offered: Choices, value: Any, needed: Sequence[str]) -> tuple[str, ...]:
    """The optional volumes of a session: those that were chosen, and those that its image lies on."""
    if value is None:
        return tuple(volume.name for volume in offered.volumes if volume.default or volume.name in needed)
    if isinstance(value, str) or not isinstance(value, Sequence):
        raise InvalidInput(f"{str(value)[:40]!r} is not a list of names.", hint='Write it as in ["public", "cvmfs"].')
    names = [platform.volume(_text(name)).name for name in value]
    # A volume that everybody gets may be named too: it changes nothing.
    return tuple(volume.name for volume in offered.volumes if volume.name in {*names, *needed})
