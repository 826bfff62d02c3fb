"""What is free, in words: "3 of 7 free", "none free", or "unknown since 14:02", and never everything. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import msgspec

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.offer import FlavourOffer, Offer, OnNodes, Reserved, TicketOffer
from aiinfn_hub.sessions import tickets
from aiinfn_hub.sessions.tickets import when


@dataclass(frozen=True)
class Seen:
    """The last offer that the service gave, when it came (Unix seconds), and why there is no newer one.

    `failing` is "" while the service answers.
    """

    offer: Offer | None = None
    at: float = 0.0
    failing: str = ""


@dataclass(frozen=True)
class Words:
    """What to show beside a flavour; `since` is shown as a clock time of the person's zone.

    `expected` says when there will be some, in parts: text, and times that are shown as `since` is; `reserved` what is
    or will be kept for an activity.
    """

    state: Literal["free", "none", "unknown"]
    text: str
    since: float | None = None
    reason: str = ""
    expected: Sequence[str | float] = ()
    reserved: Sequence[str | float] = ()


def availability(seen: Seen, flavour: str) -> Words:
    """How much of a flavour is free, as far as anybody knows."""
    if seen.failing:
        return Words("unknown", "unknown", seen.at if seen.offer else None, seen.failing)
    found = next((f for f in seen.offer.flavours if f.flavour == flavour), None) if seen.offer else None
    if found is None:
        return Words("unknown", "unknown", reason="the service says nothing about it")
    if found.unknown_since is not None:
        return Words("unknown", "unknown", found.unknown_since, found.reason)
    mine = {activity.activity for activity in seen.offer.activities} if seen.offer else set()
    free = found.free - sum(one.kept for one in found.reserved if one.activity not in mine)
    kept = reserved(found.reserved)
    if found.total <= 0:
        return Words("none", "none here now", reason=found.reason, reserved=kept)
    if free <= 0:
        said = when(found.expected) if found.free <= 0 else []
        return Words("none", f"none free of {found.total}", reason=found.reason, expected=said, reserved=kept)
    return Words("free", _count(found, free), reason=found.reason, reserved=kept)


def _count(offer: FlavourOffer, free: int) -> str:
    unit = f" {offer.unit}s" if offer.unit == "core" else ""
    shared = f", each shared with up to {offer.neighbours} others" if offer.neighbours else ""
    return f"{free} of {offer.total}{unit} free{shared}"


def reserved(known: Iterable[Reserved]) -> Sequence[str | float]:
    """What the calendar has, in parts as `Words.expected`."""
    parts: list[str | float] = []
    for one in known:
        parts += ["; " if parts else "", f"{one.units} reserved for {one.title}" + (" " if one.end else "")]
        if one.begin is not None and one.end is not None:
            parts += ["from ", one.begin, " to ", one.end]
    return tuple(parts)


#: Bytes of an image, as it is on a disk, that a node is taken to fetch and unpack in a second: an assumption, not
#: measured here, of a fast network and an ordinary disk. The size is said beside the minutes.
FETCHED_BYTES_S = 50e6


def on_nodes(seen: Seen, flavour: str) -> dict[str, str]:
    """How soon each image of the list is there for a session of a flavour, by name; nothing where nobody knows."""
    known = seen.offer.flavours if seen.offer and not seen.failing else []
    images = next((one.images for one in known if one.flavour == flavour), {})
    return {name: _fetched(one) for name, one in images.items() if one.nodes}


def _fetched(one: OnNodes) -> str:
    if one.on >= one.nodes:
        return "on the node already"
    minutes = max(1, round(one.size / FETCHED_BYTES_S / 60))
    fetch = f"about {minutes} min ({one.size / 1e9:.1f} GB)" if one.size else "some minutes"
    return f"on {one.on} of {one.nodes} nodes already, else to fetch: {fetch}" if one.on else f"to fetch: {fetch}"


def budget(seen: Seen, activity: str) -> str:
    """What an activity has left; "" while that is not known."""
    if seen.failing or seen.offer is None:
        return ""
    found = next((a for a in seen.offer.activities if a.activity == activity), None)
    if found is None:
        return ""
    if found.gpu_hours_quota is None:
        return f"{found.gpu_hours_used:.1f} GPU-h used, no limit"
    left = max(0.0, found.gpu_hours_quota - found.gpu_hours_used)
    ends = [q.out_at for q in seen.offer.quotas if q.activities == [activity] and q.out_at is not None]
    out = f", out on {datetime.fromtimestamp(min(ends), UTC):%a %d %b} at this rate" if ends else ""
    return f"{left:.1f} of {found.gpu_hours_quota:g} GPU-h left{out}"


def quotas(seen: Seen) -> list[dict[str, Any]]:
    """How the person's limits stand, for the page's script; none while that is not known."""
    known = seen.offer.quotas if seen.offer and not seen.failing else []
    return [msgspec.to_builtins(quota) for quota in known]


def unasked(platform: Platform, seen: Seen) -> str:
    """What holds while nobody can look up a quota; "" while somebody can, or where there are none."""
    limited = any(a.gpu_hours is not None for a in platform.activities) or platform.quotas.rules
    if not seen.failing or not limited:
        return ""
    if platform.quotas.unreachable == "closed":
        return "Your quota cannot be looked up now, and no session starts until it can."
    return "Your quota cannot be looked up now: sessions start all the same, and are counted later."


def ticket_of(seen: Seen, server: str) -> TicketOffer | None:
    """The person's ticket for a server, as far as it is known."""
    known = seen.offer.tickets if seen.offer else []
    return next((ticket for ticket in known if ticket.server == server), None)


def live(seen: Seen, flavours: Mapping[str, str], activities: Iterable[str]) -> dict[str, Any]:
    """The message of the stream: the same words as in the page, by name. `flavours` are titles by name.

    `tickets` is None while nobody knows them: that is no news about any of them.
    """
    known = seen.offer.tickets if seen.offer and not seen.failing else None
    return {
        "at": seen.at if seen.offer else None,
        "flavours": {name: asdict(availability(seen, name)) for name in flavours},
        "activities": {name: budget(seen, name) for name in activities},
        "quotas": quotas(seen),
        "tickets": None
        if known is None
        else [asdict(tickets.words(one, flavours.get(one.flavour, one.flavour))) for one in known],
    }
