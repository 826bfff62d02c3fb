"""Nodes that go out of service, and the sessions on them. Pure.

A cordon keeps new sessions away; the annotation `aiinfn.infn.it/drain-at` says when those that run are to be gone.
"""

from __future__ import annotations

from aiinfn_hub.contract.notices import Notice
from aiinfn_hub.identity.lapse import Lapse
from aiinfn_hub.kube.slim import Node, Pod
from aiinfn_hub.pods import names


def lapse(node: Node | None, *, now: float, notice_s: float) -> Lapse | None:
    """Why a session on this node is to end soon, if it is."""
    if node is None or node.drain_at is None or now < node.drain_at - notice_s:
        return None
    said = f"{node.name}, on which it runs, goes out of service."
    step = "What is open in JupyterLab is saved just before; start it again, and it comes to another node."
    return Lapse("node", said, step, due=node.drain_at)


def notice(node: Node | None, pod: Pod) -> Notice | None:
    """What the person of a session reads from the moment at which its node is cordoned, or is to be emptied."""
    if node is None or not (node.unschedulable or node.drain_at is not None):
        return None
    when = "at {due}" if node.drain_at is not None else "soon"
    return Notice(
        id=f"node-{pod.uid}-{node.drain_at}",
        level="warning",
        title=f"{node.name}, on which your session runs, goes out of service {when}.",
        text="Save what you need. Stop the session when it suits you and start it again: it comes to another node.",
        since=0.0,
        due=node.drain_at,
        server=pod.annotations.get(names.SERVER, ""),
    )


def first(*lapses: Lapse | None) -> Lapse | None:
    """The one that ends the session soonest; one without a time has a whole notice period."""
    found = [lapse for lapse in lapses if lapse is not None]
    return min(found, key=lambda lapse: lapse.due if lapse.due is not None else float("inf"), default=None)
