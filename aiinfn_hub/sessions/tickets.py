"""Queue tickets: sessions that wait as gated pods while nobody at the hub waits for them. Pure.

The pod is the ticket: its gate of ours says that its server is not being started, its annotations whose it is and what
was chosen. Nothing else remembers it, so hub and service may be restarted at any moment.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from aiinfn_hub.capacity.inventory import FINISHED
from aiinfn_hub.capacity.queue import Lines
from aiinfn_hub.contract.offer import Expected, TicketOffer
from aiinfn_hub.kube.slim import Pod, Workload
from aiinfn_hub.pods import names
from aiinfn_hub.sessions.diagnosis import ADMITTED, queued
from aiinfn_hub.sessions.options import SessionSpec
from aiinfn_hub.sessions.symptoms import Diagnosis

#: Seconds in which the hub must take what the queue has let in: meanwhile it holds a place that others could use. Half
#: of Kueue's own patience (waitForPodsReady, 30 min), after which the pod would be deleted without a word.
TAKE_WITHIN_S = 15 * 60.0
#: Seconds to which a time that nobody knows exactly is rounded.
ROUND_S = 600.0
#: Seconds of a pod's life in which the start that made it may still be waiting for it at the hub.
FIRST_START_S = 5.0


@dataclass(frozen=True)
class Ticket:
    """One session in the queue, and its pod; `admitted_at` is when Kueue let it in, if that is known (Unix seconds)."""

    pod: Pod
    offer: TicketOffer
    admitted_at: float | None = None

    @property
    def person(self) -> str:
        """Whose it is, by the user name of the hub."""
        return self.pod.annotations[names.PERSON_NAME]


@dataclass(frozen=True)
class Words:
    """A ticket as the page shows it."""

    uid: str
    server: str
    headline: str
    reason: str
    since: float
    expected: Sequence[str | float] = ()


def digest(spec: SessionSpec) -> str:
    """Tells one choice from another: a start that asks for the same takes over the ticket, and its place."""
    said = [
        spec.activity.name,
        spec.flavour.name,
        spec.cpu_millis,
        spec.memory_bytes,
        spec.lifetime_s,
        spec.image,
        spec.apptainer,
        *spec.volumes,
        *(["rescue"] if spec.rescue else []),
    ]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()[:16]


def tickets(pods: Iterable[Pod], lines: Lines) -> list[Ticket]:
    """All tickets among these pods, oldest first."""
    found = sorted((pod for pod in pods if is_ticket(pod)), key=lambda pod: (pod.created, pod.uid))
    return [_ticket(pod, lines.of(pod.uid), lines) for pod in found]


def is_ticket(pod: Pod) -> bool:
    """Whether the pod is a session that waits for its server to be started."""
    return (
        names.GATE in pod.gates
        and names.PERSON_NAME in pod.annotations
        and pod.deleted_at is None
        and pod.phase not in FINISHED
    )


def due(ticket: Ticket, now: float) -> Literal["wait", "ask", "expired"]:
    """What to do about a ticket: leave it, ask the hub to start its server, or give its place back."""
    if not ticket.offer.admitted:
        return "wait"
    if ticket.admitted_at is not None and now - ticket.admitted_at > TAKE_WITHIN_S:
        return "expired"
    return "ask" if now - ticket.pod.created >= FIRST_START_S else "wait"


def words(ticket: TicketOffer, title: str) -> Words:
    """A ticket for the page; `title` is that of its flavour."""
    if ticket.admitted:
        headline = f"{title}, its turn has come"
    else:
        headline = f"{title}, place {ticket.place} of {ticket.of}" if ticket.place else title
    reason = f"{ticket.reason} {ticket.next_step}".strip()
    expected = () if ticket.admitted or not ticket.place else when(ticket.expected)
    return Words(ticket.uid, ticket.server, headline, reason, ticket.since, expected)


def when(expected: Expected | None) -> list[str | float]:
    """When a unit is expected, in parts: text, and Unix seconds of times to the next ten minutes."""
    if expected is None:
        return ["not enough data to say when"]
    if expected.gives_way:
        return ["a job gives way to it"]
    if expected.early is None or expected.late is None:
        return (
            ["not enough data to say when"]
            if expected.limit is None
            else ["by ", _round(expected.limit), " at the latest"]
        )
    early, late = _round(expected.early), _round(expected.late)
    to: list[str | float] = [" to ", late] if late > early else []
    return ["about ", early, *to, f" (from {expected.cases} cases)"]


def _round(seconds: float) -> float:
    return round(seconds / ROUND_S) * ROUND_S


def parked(title: str, ticket: TicketOffer | None, found: Diagnosis) -> str:
    """What somebody reads whose session has to wait: `found` is why, `ticket` its place if the service knows it."""
    where = f", place {ticket.place} of {ticket.of}" if ticket is not None and ticket.place else ""
    return (
        f"Your session is in the queue: {title}{where}. {found.sentence} "
        "It starts by itself; you can close this page and come back."
    )


def _ticket(pod: Pod, workload: Workload | None, lines: Lines) -> Ticket:
    # Without Kueue there is no Workload, and nothing to wait for.
    admitted = not set(pod.gates) - {names.GATE}
    found = _reason(workload, admitted=admitted)
    position, number = (0, 0)
    if workload is not None and not admitted and not found.final:
        position, number = lines.place(workload)
    offer = TicketOffer(
        uid=pod.uid,
        server=pod.annotations.get(names.SERVER, ""),
        flavour=pod.labels.get(names.FLAVOUR, ""),
        activity=pod.labels.get(names.ACTIVITY, ""),
        since=pod.created,
        admitted=admitted,
        place=position,
        of=number,
        reason=found.sentence,
        next_step=found.next_step,
    )
    return Ticket(pod, offer, workload.admitted if workload is not None and admitted else None)


def _reason(workload: Workload | None, *, admitted: bool) -> Diagnosis:
    if admitted:
        return ADMITTED
    if workload is not None and workload.held:
        return Diagnosis("held", "queue", f"Your session is held: {workload.held}", "Ask for the group, or cancel it.")
    if workload is not None and not workload.active:
        return Diagnosis("put-aside", "queue", "An operator has put your session aside.", "Ask the operators why.")
    reserved = workload.conditions.get("QuotaReserved") if workload is not None else None
    return queued(reserved.message if reserved is not None and reserved.status == "False" else "")
