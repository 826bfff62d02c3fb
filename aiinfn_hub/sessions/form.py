"""The spawn form: what is posted becomes options, and options, offer and mistakes become the page. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import jinja2

from aiinfn_hub.catalogue import Flavour, Platform
from aiinfn_hub.contract.offer import TicketOffer
from aiinfn_hub.contract.quantities import format_bytes, format_cpu, format_duration
from aiinfn_hub.errors import AiinfnError, InvalidInput
from aiinfn_hub.identity.person import Person
from aiinfn_hub.pods.images import followed
from aiinfn_hub.sessions.availability import Seen, Words, availability, budget, on_nodes, quotas, unasked
from aiinfn_hub.sessions.environment import KINDS, apptainer_words
from aiinfn_hub.sessions.options import OPTIONS, SessionSpec, default_lifetime, lifetimes, validate
from aiinfn_hub.sessions.profiles import Choices, FlavourChoice
from aiinfn_hub.sessions.quick import Quick
from aiinfn_hub.sessions.records import Again, image_words
from aiinfn_hub.sessions.tickets import words

_GIB = 1024**3

#: Value, label, whether it is chosen.
Step = tuple[str, str, bool]


@dataclass(frozen=True)
class Attempt:
    """What the form is filled in with: the last session's options, a link's, or those that were just refused.

    `mistake` is shown, at its field if it names one; `notice` is one sentence above the form.
    """

    options: Mapping[str, Any]
    mistake: AiinfnError | None = None
    notice: str = ""


@dataclass(frozen=True)
class Starts:
    """What was decided before: choices of one click, and sessions that ran."""

    buttons: Sequence[Quick] = ()
    again: Sequence[Again] = ()


@dataclass(frozen=True)
class Row:
    """One flavour in the list of accelerators."""

    choice: FlavourChoice
    words: Words
    checked: bool

    @property
    def flavour(self) -> Flavour:
        """The flavour itself."""
        return self.choice.flavour

    @property
    def size(self) -> str:
        """Memory of the device, as its maker writes it; "" if the title says it already."""
        size = f"{self.flavour.device_memory_bytes / _GIB:g} GB" if self.flavour.device_memory_bytes else ""
        return "" if size in self.flavour.title else size

    @property
    def weight(self) -> str:
        """What an hour of it costs the activity."""
        return f"1.0 GPU-h counts as {round(self.flavour.weight, 2):g}" if self.flavour.accelerator else ""

    @property
    def needs(self) -> str:
        """Which group would open it, if it is closed."""
        groups = " or ".join(self.choice.groups)
        return "" if self.choice.open else f"needs the group {groups}: ask whoever leads it" if groups else "closed"


def read_form(fields: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """The options that a posted form or the query of a link says; values are not judged here.

    The form's environment is a kind and a field of that kind ("environment-registry"); a link has both in one.

    Raises:
        InvalidInput: an option that holds one value was given several times.
    """
    options: dict[str, Any] = {}
    parts = {f"environment-{kind}" for kind in KINDS}
    for name, values in fields.items():
        if name in parts or name == "_xsrf":
            continue
        if name == "volumes":
            options[name] = [value for value in values if value != ""]
        elif len(values) != 1:
            raise InvalidInput(f"{name[:40]!r} was given {len(values)} times.", hint="Give it once.")
        else:
            options[name] = values[0].strip() if isinstance(values[0], str) else values[0]
    kind = options.get("environment")
    if kind in KINDS:
        typed = fields.get(f"environment-{kind}") or [""]
        options["environment"] = f"{kind}:{str(typed[0]).strip()}"
    return {name: value for name, value in options.items() if value != ""}


def understood(
    platform: Platform, person: Person, fields: Mapping[str, Sequence[Any]]
) -> tuple[dict[str, Any], AiinfnError | None]:
    """What a posted form or a link says, and what is wrong with it."""
    options: dict[str, Any] = {}
    try:
        options = read_form(fields)
        validate(platform, person, options)
    except AiinfnError as error:
        return options, error
    return options, None


def salvage(
    platform: Platform, person: Person, options: Mapping[str, Any]
) -> tuple[dict[str, Any], SessionSpec | None, AiinfnError | None]:
    """As many of the options as can still be used, the session they mean, and the first mistake among them.

    Saved options may be of last year, and a link may come from anybody: what is right is kept, what is not is named.
    """
    kept = dict(options)
    first: AiinfnError | None = None
    while True:
        try:
            return kept, validate(platform, person, kept), first
        except AiinfnError as error:
            first = first or error
            blamed = error.details.get("option") or next((name for name in kept if name not in OPTIONS), None)
            if blamed not in kept:
                return kept, None, first
            del kept[blamed]


def render(
    platform: Platform,
    person: Person,
    choices: Choices,
    *,
    seen: Seen,
    attempt: Attempt,
    ticket: TicketOffer | None = None,
    starts: Starts = Starts(),
) -> str:
    """The form's HTML, to stand inside JupyterHub's own `<form>`.

    Args:
        platform: the catalogue.
        person: who chooses.
        choices: what the person can choose.
        seen: what is free, as far as it is known.
        attempt: what to fill in.
        ticket: the session of this server that waits in the queue, if there is one.
        starts: what can be had at once.
    """
    mistake = attempt.mistake
    kept, spec, _ = salvage(platform, person, attempt.options)
    flavour = spec.flavour if spec else choices.first
    titles = {choice.flavour.name: choice.flavour.title for choice in choices.flavours}
    kind, typed, image = _environment(kept, attempt)
    return _TEMPLATES.get_template("spawn_form.html").render(
        person=person,
        choices=choices,
        options=OPTIONS,
        rows=_rows(choices, seen, flavour),
        seen=seen,
        budgets={activity.name: budget(seen, activity.name) for activity in choices.activities},
        chosen=kept | {"activity": spec.activity.name if spec else "", "flavour": flavour.name},
        rescue=bool(spec and spec.rescue),
        volumes=spec.volumes if spec else tuple(volume.name for volume in choices.volumes if volume.default),
        steps=_steps(choices, kept, spec),
        images=_images(platform, choices, image),
        kind=kind if kind in KINDS else "image",
        typed={"registry": "", "apptainer": "", kind: typed},
        refused=mistake,
        wrong=str(mistake.details.get("option", "")) if mistake else "",
        notice=attempt.notice,
        ticket=words(ticket, titles.get(ticket.flavour, ticket.flavour)) if ticket else None,
        script_data=script_data(platform, choices, seen),
        way=apptainer_words(platform, flavour),
        fetched=on_nodes(seen, flavour.name),
        quotas=quotas(seen),
        unasked=unasked(platform, seen),
        starts=starts,
    )


def _rows(choices: Choices, seen: Seen, chosen: Flavour) -> list[Row]:
    """The list of accelerators; a hidden one is in it only if it is chosen."""
    return [
        Row(choice, availability(seen, choice.flavour.name), choice.flavour == chosen)
        for choice in choices.flavours
        if not choice.flavour.hidden or choice.flavour == chosen
    ]


def _environment(kept: Mapping[str, Any], attempt: Attempt) -> tuple[str, str, str]:
    """Kind of the environment, what was typed for it, and the image of the list.

    A refused text stays, so that it can be corrected; a saved one that cannot be used any more does not come back.
    """
    source = attempt.options if attempt.mistake else kept
    kind, _, typed = str(source.get("environment") or "image:").partition(":")
    image = str(kept.get("environment") or "").removeprefix("image:") if kind == "image" else ""
    return kind, typed, image


def script_data(platform: Platform, choices: Choices, seen: Seen) -> dict[str, Any]:
    """What the page's script needs to narrow CPU, memory and time to the flavour, and flavours to the activity.

    And to say how soon an image is there, and how one of a path runs.
    """
    return {
        choice.flavour.name: {
            "activities": list(choice.activities),
            "weight": choice.flavour.weight,
            "fetched": on_nodes(seen, choice.flavour.name),
            "apptainer": apptainer_words(platform, choice.flavour),
            "cpu": _values(choice.flavour.cpu.choices, format_cpu),
            "memory": _values(choice.flavour.memory.choices, format_bytes),
            "lifetime": [f"{seconds}s" for seconds in lifetimes(choice.flavour)],
            "default": {
                "cpu": format_cpu(choice.flavour.cpu.default),
                "memory": format_bytes(choice.flavour.memory.default),
                "lifetime": f"{default_lifetime(choice.flavour)}s",
            },
        }
        for choice in choices.flavours
    }


def _values(amounts: Iterable[int], write: Callable[[int], str]) -> list[str]:
    return [write(amount) for amount in amounts]


def _steps(choices: Choices, kept: Mapping[str, Any], spec: SessionSpec | None) -> dict[str, list[Step]]:
    """Value, label and whether it is chosen, of the three amounts; first the one that the accelerator suggests.

    Without the script that narrows them, they are all that any open flavour has.
    """
    able = [choice.flavour for choice in choices.flavours if choice.open]
    said = {"cpu": spec.cpu_millis, "memory": spec.memory_bytes, "lifetime": spec.lifetime_s} if spec else {}
    chosen = {name: amount for name, amount in said.items() if name in kept}
    offered: dict[str, tuple[set[int], Callable[[int], str], Callable[[int], str]]] = {
        "cpu": ({a for one in able for a in one.cpu.choices}, format_cpu, lambda a: f"{a / 1000:g}"),
        "memory": ({a for one in able for a in one.memory.choices}, format_bytes, lambda a: f"{a / _GIB:g} GB"),
        "lifetime": ({s for one in able for s in lifetimes(one)}, lambda s: f"{s}s", format_duration),
    }
    return {
        name: [
            ("", "suggested", name not in chosen),
            *(
                (write(a), say(a), a == chosen.get(name))
                for a in sorted(amounts | {chosen[name]} if name in chosen else amounts)
            ),
        ]
        for name, (amounts, write, say) in offered.items()
    }


def _images(platform: Platform, choices: Choices, name: str) -> list[Step]:
    """The images to choose from; one that is not shown, or not as it is now, but still chosen stays, at the end."""
    shown = {image.name: image.title for image in choices.images}
    if "@" in name:
        shown[name] = f"{platform.image(name.partition('@')[0]).title}, exactly {image_words(name)}"
    elif name:
        chosen = followed(platform, name)
        name = chosen.name
        shown.setdefault(name, f"{chosen.title} (no longer in the list)")
    return [(value, title, value == name) for value, title in shown.items()]


def _clock(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%H:%M UTC")


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%a %d %b %H:%M UTC")


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


_TEMPLATES = jinja2.Environment(
    loader=jinja2.PackageLoader("aiinfn_hub.sessions"),
    autoescape=True,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters.update(clock=_clock, day=_day, iso=_iso)
