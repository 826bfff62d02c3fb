"""The best way out of a wait: the most similar accelerator that is free now. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiinfn_hub.catalogue import Flavour
from aiinfn_hub.sessions.availability import Seen, availability
from aiinfn_hub.sessions.options import SessionSpec
from aiinfn_hub.sessions.profiles import Choices

#: Options that belong to the flavour; another one suggests its own.
_OF_THE_FLAVOUR = {"flavour", "cpu", "memory", "lifetime"}


@dataclass(frozen=True)
class WayOut:
    """A flavour to choose instead, how much of it is free, and the query of a link that fills in the form with it."""

    flavour: str
    title: str
    free: str
    query: str


def way_out(offered: Choices, seen: Seen, spec: SessionSpec, options: Mapping[str, Any]) -> WayOut | None:
    """What this person could have at once for the same activity, nearest in weight to what they wait for."""
    wanted = spec.flavour
    able = [
        choice.flavour
        for choice in offered.flavours
        if choice.flavour.name != wanted.name
        and choice.flavour.accelerator == wanted.accelerator
        and spec.activity.name in choice.activities
        and availability(seen, choice.flavour.name).state == "free"
    ]
    if not able:
        return None
    best = min(able, key=lambda flavour: _distance(flavour, wanted))
    return WayOut(best.name, best.title, availability(seen, best.name).text, _query(options, spec, best))


def _distance(flavour: Flavour, wanted: Flavour) -> tuple[bool, float]:
    return flavour.vendor != wanted.vendor, abs(flavour.weight - wanted.weight)


def _query(options: Mapping[str, Any], spec: SessionSpec, flavour: Flavour) -> str:
    kept = {name: value for name, value in options.items() if name not in _OF_THE_FLAVOUR and value}
    link = kept | {"activity": spec.activity.name, "flavour": flavour.name}
    return urlencode({f"opt-{name}": value for name, value in link.items()}, doseq=True)
