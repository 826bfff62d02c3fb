"""What the queues do to people: whether they are active, what they take from whom, and where they send. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from aiinfn_hub.install.doctor.facts import Facts, Named, Object, at, conditions, labels, named
from aiinfn_hub.install.doctor.findings import Check, Seen
from aiinfn_hub.install.doctor.queue_checks import KINDS
from aiinfn_hub.kube.amounts import amount, amounts
from aiinfn_hub.pods import names

#: Of what a node offers beside devices.
_PLAIN = ("cpu", "memory", "ephemeral-storage", "pods", "hugepages-", "attachable-volumes-")


def _inactive(facts: Facts) -> Iterator[Seen]:
    for part in ("cluster queues", "local queues"):
        for queue in _ours(facts, part):
            active = conditions(queue).get("Active", {})
            if active.get("status") == "False" and not _stop(queue):
                words = f"{active.get('reason', '')}: {active.get('message', '')}"
                yield Seen(
                    f"{named(KINDS[part], queue)}: status.conditions[Active] is False, {words}", facts.render("kueue")
                )


def _ours(facts: Facts, part: str) -> Iterator[Object]:
    for queue in facts.of(part):
        if part == "local queues" or queue["metadata"]["name"] in (names.INTERACTIVE, names.BATCH):
            yield queue


def _stop(queue: Object) -> str:
    policy = at(queue, "spec", "stopPolicy") or "None"
    return "" if policy == "None" else str(policy)


def _stopped(policy: str) -> Callable[[Facts], Iterator[Seen]]:
    def look(facts: Facts) -> Iterator[Seen]:
        for part in ("cluster queues", "local queues"):
            for queue in _ours(facts, part):
                if _stop(queue) == policy:
                    who = named(KINDS[part], queue)
                    yield Seen(f"{who}: spec.stopPolicy is {policy}", _patch(who, {"stopPolicy": "None"}))

    return look


def _patch(who: Named, spec: Object) -> str:
    return who.kubectl("patch", "--type merge", f"--patch '{json.dumps({'spec': spec})}'")


def _preempts(facts: Facts) -> Iterator[Seen]:
    for queue in _ours(facts, "cluster queues"):
        policy = at(queue, "spec", "preemption", "withinClusterQueue") or "Never"
        if policy != "Never":
            who = named("ClusterQueue", queue)
            mended = _patch(who, {"preemption": {"withinClusterQueue": "Never"}})
            yield Seen(f"{who}: spec.preemption.withinClusterQueue is {policy}", mended)


def _borrows_by_force(facts: Facts) -> Iterator[Seen]:
    for queue in _ours(facts, "cluster queues"):
        policy = at(queue, "spec", "preemption", "borrowWithinCohort", "policy") or "Never"
        if policy != "Never":
            who = named("ClusterQueue", queue)
            mended = _patch(who, {"preemption": {"borrowWithinCohort": None}})
            yield Seen(f"{who}: spec.preemption.borrowWithinCohort.policy is {policy}", mended)


def _quotas(queue: Object) -> Iterator[tuple[str, Object]]:
    """Flavor and quota."""
    for group in at(queue, "spec", "resourceGroups") or ():
        for flavor in group.get("flavors") or ():
            for quota in flavor.get("resources") or ():
                yield flavor["name"], quota


def _sessions_borrow(facts: Facts) -> Iterator[Seen]:
    """What sessions hold beyond the quota of their queue: somebody else's, who may want it back."""
    for queue in _ours(facts, "cluster queues"):
        if queue["metadata"]["name"] != names.INTERACTIVE:
            continue
        mine = {(flavor, quota["name"]): quota for flavor, quota in _quotas(queue)}
        for other in facts.of("cluster queues"):
            if other is queue or at(other, "spec", "cohortName") != at(queue, "spec", "cohortName"):
                continue
            for flavor, quota in _quotas(other):
                ours = mine.get((flavor, quota["name"]))
                if ours is not None and _lends(quota) and str(ours.get("borrowingLimit", "")) != "0":
                    yield Seen(
                        f"{named('ClusterQueue', other)}: lends {quota['name']} of {flavor} to {names.INTERACTIVE} "
                        f"(nominalQuota is {quota['nominalQuota']})",
                        facts.render("kueue"),
                    )


def _lends(quota: Object) -> bool:
    lent = quota.get("lendingLimit", quota.get("nominalQuota", 0))
    return amount(quota["name"], quota.get("nominalQuota", 0)) > 0 and amount(quota["name"], lent) > 0


def _nowhere(facts: Facts) -> Iterator[Seen]:
    used = {flavor for queue in _ours(facts, "cluster queues") for flavor, _ in _quotas(queue)}
    for flavor in facts.of("flavors"):
        wanted = at(flavor, "spec", "nodeLabels") or {}
        there = not wanted or any(wanted.items() <= labels(node).items() for node in facts.of("nodes"))
        if flavor["metadata"]["name"] in used and not there:
            yield Seen(
                f"{named('ResourceFlavor', flavor)}: spec.nodeLabels {_pairs_text(wanted)} are on no node",
                f"aiinfn platform check {facts.file} --against-cluster",
            )


def _pairs_text(pairs: dict[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in sorted(pairs.items()))


def _uncovered(facts: Facts) -> Iterator[Seen]:
    covered = {quota["name"] for queue in _ours(facts, "cluster queues") for _, quota in _quotas(queue)}
    offered: dict[str, list[str]] = {}
    for node in facts.of("nodes"):
        for resource, count in amounts(at(node, "status", "allocatable")).items():
            if count and resource not in covered and not resource.startswith(_PLAIN):
                offered.setdefault(resource, []).append(node["metadata"]["name"])
    for resource, nodes in offered.items():
        yield Seen(
            f"Node {nodes[0]}: status.allocatable[{resource}], on {len(nodes)} nodes",
            f"{facts.file}: flavours: a flavour with `resource: {resource}`, then {facts.render('kueue')}",
        )


def _check(code: str, says: str, *reads: str, look: Callable[[Facts], Iterable[Seen]], **more: Any) -> Check:
    return Check(code=code, group="Queues", says=says, reads=reads, look=look, **more)


CHECKS = (
    _check(
        "queue-inactive",
        "Nobody in the queue gets anything until it is active.",
        "cluster queues",
        "local queues",
        look=_inactive,
    ),
    _check(
        "queue-held",
        "Nobody new in the queue gets anything; what runs goes on.",
        "cluster queues",
        "local queues",
        look=_stopped("Hold"),
    ),
    _check(
        "queue-drained",
        "The sessions of the queue are deleted for good, its jobs are stopped, and nobody gets anything.",
        "cluster queues",
        "local queues",
        look=_stopped("HoldAndDrain"),
    ),
    _check(
        "preempts-within-queue",
        "Somebody's work is ended for somebody else's in the same queue; a session's memory is lost with it.",
        "cluster queues",
        look=_preempts,
    ),
    _check(
        "borrows-by-force",
        "A queue takes quota of others by ending their work, instead of borrowing what is idle.",
        "cluster queues",
        look=_borrows_by_force,
    ),
    _check(
        "sessions-borrow",
        "A session runs on what is not the sessions' own: when its owner takes it back, the session is deleted.",
        "cluster queues",
        look=_sessions_borrow,
    ),
    _check(
        "flavor-on-no-node",
        "Kueue admits it all the same: the pod holds its quota and stays Unschedulable.",
        "flavors",
        "cluster queues",
        "nodes",
        look=_nowhere,
    ),
    _check(
        "resource-not-covered",
        "Nodes offer it and no queue has it: whoever asks for it is never admitted.",
        "cluster queues",
        "nodes",
        look=_uncovered,
        level="note",
    ),
)
