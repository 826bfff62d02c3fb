"""Nodes that go out of service: when a session on one ends, and what its person reads before."""

from __future__ import annotations

import json

import pytest

from aiinfn_hub.identity.lapse import Lapse
from aiinfn_hub.kube.slim import Node, Pod, decode_node
from aiinfn_hub.pods import names
from aiinfn_hub.sessions.maintenance import first, lapse, notice

NOTICE = 900.0
POD = Pod(uid="u1", name="p", namespace="x", annotations={names.SERVER: "gpu"})


def node(drain_at: float | None = None, *, cordoned: bool = False) -> Node:
    return Node(uid="n", name="gpu-3", unschedulable=cordoned, drain_at=drain_at)


@pytest.mark.parametrize(
    ("known", "now", "due"),
    [
        pytest.param(None, 0.0, None, id="nobody knows the node"),
        pytest.param(node(cordoned=True), 0.0, None, id="a cordon ends nothing"),
        pytest.param(node(5000.0), 4099.0, None, id="there is time"),
        pytest.param(node(5000.0), 4100.0, 5000.0, id="a notice before"),
        pytest.param(node(5000.0), 9000.0, 5000.0, id="long ago"),
    ],
)
def test_when_it_ends(known: Node | None, now: float, due: float | None) -> None:
    found = lapse(known, now=now, notice_s=NOTICE)
    assert (found.due if found else None) == due


@pytest.mark.parametrize(
    ("known", "title"),
    [
        (None, None),
        (node(), None),
        (node(cordoned=True), "gpu-3, on which your session runs, goes out of service soon."),
        (node(5000.0), "gpu-3, on which your session runs, goes out of service at {due}."),
    ],
)
def test_what_is_said_before(known: Node | None, title: str | None) -> None:
    found = notice(known, POD)
    assert (found.title if found else None) == title
    assert found is None or found.server == "gpu"


def test_what_ends_it_first() -> None:
    soon, late, idle = Lapse("node", "", "", due=5.0), Lapse("lifetime", "", "", due=9.0), Lapse("idle", "", "")
    assert first(late, soon) is soon
    assert first(idle, late) is late
    assert first(None, idle) is idle
    assert first(None, None) is None


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-12-01T18:00:00Z", 1796148000.0),
        ("2026-12-01T19:00:00+01:00", 1796148000.0),
        ("tomorrow", None),
        ("", None),
    ],
)
def test_the_annotation_of_a_node(text: str, at: float | None) -> None:
    found = decode_node(json.dumps({"metadata": {"name": "gpu-3", "annotations": {names.DRAIN_AT: text}}}).encode())
    assert found.drain_at == at
