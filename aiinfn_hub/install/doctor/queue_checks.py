"""The queues: whether they are there, and as rendered. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from aiinfn_hub.install import kueue
from aiinfn_hub.install.doctor.compare import ABSENT, Difference, specs
from aiinfn_hub.install.doctor.facts import Facts, Named, Object, named
from aiinfn_hub.install.doctor.findings import Check, Seen
from aiinfn_hub.pods import names

#: Part -> kind of its objects, in the order in which they are rendered.
KINDS = {
    "workload priorities": "WorkloadPriorityClass",
    "flavors": "ResourceFlavor",
    "cluster queues": "ClusterQueue",
    "local queues": "LocalQueue",
}
#: Fields that checks of their own look at.
_TOLD = (
    ("spec", "stopPolicy"),
    ("spec", "preemption", "withinClusterQueue"),
    ("spec", "preemption", "borrowWithinCohort"),
)


def rendered(facts: Facts, part: str) -> list[Object]:
    """What `render kueue` writes of a kind; nothing while the platform file does not say how much there is."""
    if facts.platform is None or kueue.missing(facts.platform):
        return []
    return [one for one in kueue.objects(facts.platform) if one["kind"] == KINDS[part]]


def _pairs(facts: Facts, part: str) -> Iterator[tuple[Object, Object | None]]:
    """What is rendered, and what is there."""
    there = {one["metadata"]["name"]: one for one in facts.of(part)}
    for wanted in rendered(facts, part):
        yield wanted, there.get(wanted["metadata"]["name"])


def _missing(part: str) -> Callable[[Facts], Iterator[Seen]]:
    def look(facts: Facts) -> Iterator[Seen]:
        for wanted, found in _pairs(facts, part):
            if found is None:
                yield Seen(f"{named(KINDS[part], wanted)}: is not there", facts.render("kueue"))

    return look


def _unknown_amounts(facts: Facts) -> Iterator[Seen]:
    lacking = kueue.missing(facts.platform) if facts.platform else []
    if lacking:
        yield Seen(
            f"{facts.file}: missing: {'; '.join(lacking)}", f"aiinfn platform check {facts.file} --against-cluster"
        )


def _wrong_order(facts: Facts) -> Iterator[Seen]:
    values = {one["metadata"]["name"]: int(one.get("value", 0)) for one in facts.of("workload priorities")}
    if names.INTERACTIVE in values and names.BATCH in values and values[names.INTERACTIVE] <= values[names.BATCH]:
        above = kueue.PRIORITIES[names.INTERACTIVE]
        patch = json.dumps({"value": max(above, values[names.BATCH] + 1)})
        yield Seen(
            f"WorkloadPriorityClass {names.INTERACTIVE}: value is {values[names.INTERACTIVE]}, "
            f"not above {values[names.BATCH]} of {names.BATCH}",
            Named("WorkloadPriorityClass", names.INTERACTIVE).kubectl("patch", "--type merge", f"--patch '{patch}'"),
        )


def _differ(facts: Facts) -> Iterator[Seen]:
    for part in ("flavors", "cluster queues", "local queues"):
        for wanted, found in _pairs(facts, part):
            if found is None:
                continue
            who = named(KINDS[part], wanted)
            for one in specs(wanted, found):
                if one.path[:3] not in _TOLD and one.path[:2] not in _TOLD:
                    yield Seen(f"{who}: {one}", mend(who, one, facts.render("kueue")))


def mend(who: Named, one: Difference, otherwise: str) -> str:
    """What `kubectl apply` cannot do is take away a field that it did not write."""
    if one.wanted is ABSENT:
        patch = json.dumps([{"op": "remove", "path": one.pointer}])
        return who.kubectl("patch", "--type json", f"--patch '{patch}'")
    return otherwise


def _check(code: str, says: str, *reads: str, look: Callable[[Facts], Iterable[Seen]], **more: Any) -> Check:
    return Check(code=code, group="Queues", says=says, reads=reads, look=look, **more)


CHECKS = (
    _check(
        "amounts-missing",
        "No queue can be rendered, so none was compared: the platform file does not say how much there is.",
        look=_unknown_amounts,
        compares=True,
    ),
    _check(
        "workload-priorities-missing",
        "Pods and Jobs that name it wait in silence: Kueue makes no Workload, and no event.",
        "workload priorities",
        look=_missing("workload priorities"),
        compares=True,
    ),
    _check(
        "workload-priorities-order",
        "Sessions come after jobs.",
        "workload priorities",
        look=_wrong_order,
    ),
    _check(
        "flavors-missing",
        "The queues that name it are inactive: nobody in them gets anything.",
        "flavors",
        look=_missing("flavors"),
        compares=True,
    ),
    _check(
        "cluster-queues-missing",
        "Everybody of its LocalQueues waits for ever.",
        "cluster queues",
        look=_missing("cluster queues"),
        compares=True,
    ),
    _check(
        "local-queues-missing",
        "The sessions or jobs of the activity wait for ever.",
        "local queues",
        look=_missing("local queues"),
        compares=True,
    ),
    _check(
        "queues-differ",
        "Kueue shares out something else than the platform file says.",
        "flavors",
        "cluster queues",
        "local queues",
        look=_differ,
        compares=True,
    ),
)
