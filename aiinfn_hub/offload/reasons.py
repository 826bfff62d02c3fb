"""What Kueue and the kubelet say, in sentences for a person. Pure.

Kueue's reason words depend on its version and on a feature gate; with the gate off only the message separates "never"
("insufficient quota") from "wait" ("insufficient unused quota"), so messages are read too.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from aiinfn_hub.contract.quantities import format_bytes
from aiinfn_hub.kube.slim import Condition, Pod, Workload

#: How the message begins where the hub, or the IAM, gives no token to a job that asked for one.
TOKENLESS = "There is no token for the job"
_PATIENCE = "Wait, or take a flavour that is free."
_OPERATORS = "Tell the operators: they can set it right."


@dataclass(frozen=True)
class Reason:
    """A sentence and the next step; `never` when waiting will not help."""

    sentence: str
    next_step: str = ""
    never: bool = False


_WAIT = Reason("It waits for its turn.")
_ON_HOLD = Reason("Its queue is on hold.", "Wait, or ask the operators why.")
_NOT_SET_UP = Reason("Its queue is not set up.", _OPERATORS, never=True)
_NO_HARDWARE = Reason("No part of its queue has the hardware it asks for.", _OPERATORS, never=True)
_ROOM = Reason("Others are making room for it.", "It starts as soon as they have.")
_STAGING = Reason("Its inputs are being put in place.")
_ASIDE = Reason("An operator has put it aside.", "Ask the operators why.")
#: Pattern of the condition's message -> what it means. The first that fits counts; messages say more than words.
_BY_MESSAGE: tuple[tuple[str, Reason], ...] = (
    ("Admission is gated", _STAGING),
    (r"(LocalQueue|ClusterQueue) \S+ doesn't exist|namespace doesn't match", _NOT_SET_UP),
    ("is inactive", _ON_HOLD),
    (
        r"insufficient quota for (?P<resource>\S+) in flavor",
        Reason("It asks for more {resource} than its queue can ever give.", "Ask for less, or elsewhere.", never=True),
    ),
    (
        r"resource (?P<resource>\S+) unavailable in ClusterQueue",
        Reason("Its queue does not offer {resource}.", _OPERATORS, never=True),
    ),
    ("Pending the preemption", _ROOM),
    (
        r"insufficient unused quota for (?P<resource>\S+) in flavor \S+, (?P<more>[^\s,]+) more needed",
        Reason("It waits for {resource}: {more} more must become free.", _PATIENCE),
    ),
    # Last: Kueue also lists the other models and places, which never fit, beside the one that the job waits for.
    (r"doesn't match node affinity|untolerated taint", _NO_HARDWARE),
)
#: Word of the condition -> what it means, where the message says nothing that we know.
_BY_WORD = {
    "AdmissionGated": _STAGING,
    "Deactivated": _ASIDE,
    "ExceedsMaxQuota": Reason(
        "It asks for more than its queue can ever give.", "Ask for less, or elsewhere.", never=True
    ),
    "Misconfigured": _NOT_SET_UP,
    "NoMatchingFlavor": _NO_HARDWARE,
    "OnHold": _ON_HOLD,
    "PodsReadyTimeout": Reason("It did not start in time; it is tried again."),
    "Suspended": _ON_HOLD,
    "WaitingForPreemptedWorkloads": _ROOM,
    "WaitingForQuota": Reason("It waits for quota.", _PATIENCE),
}


def queue_reason(workload: Workload | None) -> Reason:
    """Why Kueue has not admitted a job yet."""
    if workload is None:
        return Reason("Kueue has not looked at it yet.", "If this lasts for more than a minute, tell the operators.")
    if workload.rehearsal and not workload.active:
        return Reason("You rehearse an eviction; it goes back into the queue in a moment.")
    if not workload.active:
        return (
            Reason(f"It is held: {workload.held}", "It goes on when you have the right again.")
            if workload.held
            else _ASIDE
        )
    reserved = workload.conditions.get("QuotaReserved")
    if reserved is None:
        return _WAIT  # normal for one that others have just overtaken
    if reserved.status == "True":
        return Reason("Its place is reserved; it is about to start.")
    return _translated(reserved)


def _translated(condition: Condition) -> Reason:
    for pattern, reason in _BY_MESSAGE:
        match = re.search(pattern, condition.message)
        if match is not None:
            found = match.groupdict()
            sentence = reason.sentence.format(resource=found.get("resource"), more=_amount(found))
            return Reason(sentence, reason.next_step, reason.never)
    return _BY_WORD.get(condition.reason, _WAIT)


def _amount(found: dict[str, str]) -> str:
    more = found.get("more", "some")
    return format_bytes(int(more)) if found.get("resource") == "memory" and more.isdigit() else more


_BY_WHOM = {
    "InCohortReclamation": "an interactive session needed its place",
    "InClusterQueue": "another job with a higher priority needed its place",
    "InCohortFairSharing": "another group had used less",
    "InCohortReclaimWhileBorrowing": "another group took back what it had lent",
}
_EVICTED = {
    "PodsReadyTimeout": "it did not start in time",
    "ClusterQueueStopped": "the operators stopped its queue",
    "LocalQueueStopped": "the operators stopped its queue",
    "NodeFailures": "its node failed",
    "FlavorMigration": "it moves to another place",
    "Deactivated": "an operator has put it aside",
}


def eviction_reason(workload: Workload | None) -> str:
    """Why a job had to go, without naming anybody: the preemptor's class is told, its owner is not."""
    conditions = workload.conditions if workload is not None else {}
    evicted, preempted = conditions.get("Evicted"), conditions.get("Preempted")
    if workload is not None and workload.rehearsal and evicted is not None and evicted.reason == "Deactivated":
        return "you rehearsed that"
    if evicted is not None and evicted.reason == "Preempted" and preempted is not None:
        return _BY_WHOM.get(preempted.reason, "something with more right needed its place")
    if evicted is not None and evicted.reason == "Preempted":
        return "something with more right needed its place"
    return _EVICTED.get(evicted.reason, "it was suspended") if evicted is not None else "it was suspended"


def refusal_reason(message: str) -> str:
    """Why nothing can be put into the cluster now. Kueue's webhooks fail closed: without it no Job can be created."""
    if re.search(r'failed calling webhook "[^"]*\.kb\.io"', message):
        return "Kueue does not answer, and nothing can be queued without it; it is tried again."
    if message.startswith(TOKENLESS):
        return f"{message} It is tried again."
    return f"The cluster does not answer; it is tried again. {message}"


def start_reason(pod: Pod) -> Reason:
    """Why an admitted pod does not run yet."""
    scheduled = pod.conditions.get("PodScheduled")
    if not pod.node and scheduled is not None and scheduled.status == "False":
        wait = "It usually frees up within a minute, when what was evicted has ended."
        return Reason(f"No node takes it yet: {scheduled.message}", wait)
    if not pod.node:
        return Reason("It is looking for a node.")
    if pod.waiting in {"ErrImagePull", "ImagePullBackOff", "InvalidImageName"}:
        return Reason(f"Its image cannot be fetched ({pod.waiting}).", "Check --image, or cancel it.")
    if pod.waiting and pod.waiting != "ContainerCreating":
        return Reason(f"Its container cannot start: {pod.waiting}.", "Cancel it, or ask the operators.")
    return Reason(f"It is being started on {pod.node}.")
