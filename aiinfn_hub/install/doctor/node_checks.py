"""Nodes, virtual ones above all. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from aiinfn_hub.install.doctor.facts import Facts, Object, at, conditions, labels, named
from aiinfn_hub.install.doctor.findings import Check, Seen

#: What interLink's virtual kubelet says of its node, and the taint that keeps everybody else away.
VIRTUAL, TAINT = ("virtual-node.interlink/type", "virtual-kubelet"), "virtual-node.interlink/no-schedule"


def virtual_nodes(facts: Facts) -> Iterator[Object]:
    """Nodes that interLink made, and those that a site of the platform file names."""
    sites = facts.platform.sites if facts.platform else ()
    selectors = [site.node_selector for site in sites if site.kind == "interlink" and site.node_selector]
    for node in facts.of("nodes"):
        given = labels(node)
        if given.get(VIRTUAL[0]) == VIRTUAL[1] or any(one.items() <= given.items() for one in selectors):
            yield node


def _untainted(facts: Facts) -> Iterator[Seen]:
    for node in virtual_nodes(facts):
        taints = at(node, "spec", "taints") or ()
        if not any(one["key"] == TAINT and one["effect"] in ("NoSchedule", "NoExecute") for one in taints):
            who = named("Node", node)
            yield Seen(f"{who}: spec.taints lacks {TAINT}", f"kubectl taint node {who.name} {TAINT}=true:NoSchedule")


def _is_ready(node: Object) -> tuple[bool, str]:
    ready = conditions(node).get("Ready", {})
    return ready.get("status") == "True", str(ready.get("message") or ready.get("reason") or "it never said so")


def _silent(*, virtual: bool) -> Callable[[Facts], Iterator[Seen]]:
    def look(facts: Facts) -> Iterator[Seen]:
        ours = list(virtual_nodes(facts))
        for node in facts.of("nodes"):
            ready, words = _is_ready(node)
            if (node in ours) is virtual and not ready:
                who = named("Node", node)
                yield Seen(f"{who}: status.conditions[Ready] is not True: {words}", who.kubectl("describe"))

    return look


def _cordoned(facts: Facts) -> Iterator[Seen]:
    for node in facts.of("nodes"):
        if at(node, "spec", "unschedulable"):
            who = named("Node", node)
            yield Seen(f"{who}: spec.unschedulable is true", f"kubectl uncordon {who.name}")


def _check(code: str, says: str, look: Callable[[Facts], Iterable[Seen]], **more: Any) -> Check:
    return Check(code=code, group="Nodes", says=says, reads=("nodes",), look=look, **more)


CHECKS = (
    _check(
        "virtual-node-untainted",
        "Any pod of the cluster may be sent to the site: its volumes are left out, its Secrets arrive in clear.",
        _untainted,
    ),
    _check(
        "virtual-node-not-ready", "Jobs for the site wait, and what runs there is not heard of.", _silent(virtual=True)
    ),
    _check("node-not-ready", "Its GPUs are not there; what ran on it is lost.", _silent(virtual=False), level="note"),
    _check("node-cordoned", "Nothing new starts on it.", _cordoned, level="note"),
)
