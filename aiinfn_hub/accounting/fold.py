"""From observations to a record: the same record whatever their order, and however often each was seen. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from aiinfn_hub.accounting.sighting import Sighting

#: By how much the clocks of a node, of the API server and ours may disagree. Machines with NTP stay below a second;
#: what is further off is a clock that nobody sets, and no sum should follow it.
SKEW_S = 60.0
#: Seconds between heartbeats: the most by which an inferred end can be wrong.
HEARTBEAT_S = 60.0


def fold(sightings: Iterable[Sighting]) -> dict[str, Any] | None:
    """The row of table `record` for one pod; None while nothing says whose pod it was."""
    ordered = set_of(sightings)
    if len(ordered) > 1:
        ordered.sort(key=_order)
    described = [sighting for sighting in ordered if sighting.facts]
    if not described:
        return None
    row: dict[str, Any] = {"pod_uid": described[0].pod_uid, **described[0].facts}
    row["held_from"], row["ran_from"] = described[0].held_from, described[0].ran_from
    for sighting in described[1:]:
        row["node"] = row["node"] or sighting.facts["node"]
        # What a site calls it is another name, never another record: the uid is ours wherever it runs.
        row["remote_id"] = sighting.facts["remote_id"] or row["remote_id"]
        row["held_from"] = _first(row["held_from"], sighting.held_from)
        row["ran_from"] = _first(row["ran_from"], sighting.ran_from)
    row["last_seen"] = described[-1].observed_at
    row["exit_code"] = next((s.exit_code for s in reversed(described) if s.exit_code is not None), None)
    row |= _end(ordered, row["last_seen"])
    row["quarantine"] = absurd(row)
    if not row["quarantine"] and row["held_from"] is not None and row["held_to"] is not None:
        # Two clocks can disagree by some seconds: what ended as it began held its GPU for no time, not for less.
        row["held_to"] = max(row["held_to"], row["held_from"])
    return row


def _first(one: float | None, other: float | None) -> float | None:
    return other if one is None or (other is not None and other < one) else one


def absurd(row: Mapping[str, Any]) -> str:
    """Why the times of a record cannot be true; "" if they can. Such a record is kept, shown, and counts nothing."""
    begin, end = row["held_from"], row["held_to"]
    if begin is None:
        return ""
    if begin > row["last_seen"] + SKEW_S:
        return f"It begins {begin - row['last_seen']:.0f} s after it was last seen."
    if end is not None and end < begin - SKEW_S:
        return f"It ends {begin - end:.0f} s before it begins."
    if end is not None and end > row["last_seen"] + SKEW_S:
        return f"It ends {end - row['last_seen']:.0f} s after it was last seen."
    return ""


def set_of(sightings: Iterable[Sighting]) -> list[Sighting]:
    """Each natural key once."""
    return list({(s.source, s.kind, s.resource_version): s for s in sightings}.values())


def _order(sighting: Sighting) -> tuple[float, str, str]:
    return (sighting.observed_at, sighting.kind, sighting.resource_version)


def _end(sightings: list[Sighting], last_seen: float) -> dict[str, Any]:
    """When it ended, how that is known, and by how much it may be wrong (seconds)."""
    finished = [s.ran_to for s in sightings if s.terminal and s.ran_to is not None]
    if finished:
        return _ended(max(finished), "container", 0.0, ran_to=max(finished))
    gone = [s.observed_at for s in sightings if s.kind == "deleted" or s.terminal]
    if gone:
        return _ended(min(gone), "deleted", 0.0)
    missing = [s.observed_at for s in sightings if s.kind == "absent" and s.observed_at >= last_seen]
    if missing:
        return _ended(last_seen, "last-seen", min(missing) - last_seen)
    return {"held_to": None, "ran_to": None, "end_source": "", "uncertainty_s": 0.0}


def _ended(at: float, source: str, uncertainty_s: float, *, ran_to: float | None = None) -> dict[str, Any]:
    return {"held_to": at, "ran_to": ran_to, "end_source": source, "uncertainty_s": uncertainty_s}
