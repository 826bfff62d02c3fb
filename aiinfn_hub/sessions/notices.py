"""The words of what the platform has to say to a person. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from aiinfn_hub.contract.notices import Act, Notice
from aiinfn_hub.identity.hubapi import HubStanding
from aiinfn_hub.kube.slim import Workload
from aiinfn_hub.sessions.drains import Drain

#: What one click does about a session that is to end, by the reason.
_ACTS: dict[str, Act] = {"lifetime": "extend", "idle": "keep"}


def of_drain(one: Drain) -> Notice:
    """A session that is to end."""
    return Notice(
        id=f"drain-{one.uid}-{one.due:.0f}",
        level="error",
        title="This session ends at {due}.",
        text=f"{one.sentence} {one.next_step}",
        since=one.since,
        due=one.due,
        server=one.server,
        act=_ACTS.get(one.reason, ""),
    )


def of_held(person: str, held: Sequence[Workload]) -> Notice:
    """What waits in the queue and may not go on."""
    many = "One thing" if len(held) == 1 else f"{len(held)} things"
    return Notice(
        id=f"held-{person}-{len(held)}",
        level="warning",
        title=f"{many} that you have in the queue {'is' if len(held) == 1 else 'are'} held.",
        text=f"{held[0].held} It goes on when you have the right again.".strip(),
        since=held[0].created,
    )


def of_standing(person: str, standing: HubStanding) -> Notice:
    """How the person stands with the login provider."""
    return Notice(
        id=f"standing-{person}-{standing.reason}-{standing.over}",
        level="info" if standing.reason == "outage" and not standing.over else "warning",
        title=standing.sentence,
        text=standing.next_step,
        since=standing.since,
    )
