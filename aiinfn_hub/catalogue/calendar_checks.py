"""What must hold between calendar reservations, and of what they reserve."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiinfn_hub.catalogue.calendar import CalendarReservation
from aiinfn_hub.catalogue.document import Finding
from aiinfn_hub.catalogue.models import Flavour
from aiinfn_hub.catalogue.parts import parsed


def reservations(data: Any) -> Iterator[Finding]:
    """There are never more units reserved than there are, and those to whom they are given may use them."""
    flavours = {flavour.name: flavour for _, flavour in parsed(data, "flavours", Flavour)}
    known = list(parsed(data, "reservations", CalendarReservation))
    for index, one in known:
        flavour, place = flavours.get(one.flavour), ("reservations", index)
        if flavour is None:
            continue
        if flavour.units is None or not flavour.accelerator:
            yield Finding((*place, "flavour"), f"{one.flavour!r} has no units that could be reserved: give it `units`")
            continue
        if flavour.activities and one.activity not in flavour.activities:
            yield Finding((*place, "activity"), f"{one.activity!r} may not use the flavour {one.flavour!r}")
        # The sum only rises where one begins.
        together = sum(other.units for _, other in known if other.flavour == one.flavour and other.active(one.begins))
        if together > flavour.units:
            said = f"at its begin {together} units of {one.flavour!r} are reserved, and there are {flavour.units}"
            yield Finding((*place, "units"), said)
