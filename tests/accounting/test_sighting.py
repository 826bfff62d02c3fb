"""A session that waits holds nothing, so it costs nothing."""

from __future__ import annotations

from typing import Any

import pytest
from support.cluster_records import pod
from support.small_platform import small_platform

from aiinfn_hub.accounting.fold import fold
from aiinfn_hub.accounting.sighting import of_pod
from aiinfn_hub.kube.slim import Condition
from aiinfn_hub.pods import names

PLATFORM = small_platform()
HELD = {"PodScheduled": Condition("False", "SchedulingGated", "Scheduling is blocked")}


@pytest.mark.parametrize(
    ("changes", "held_from"),
    [
        pytest.param({"gates": (names.GATE, "kueue.x-k8s.io/admission")}, None, id="a ticket that waits"),
        pytest.param({"gates": (names.GATE,)}, None, id="a ticket that the queue has let in"),
        pytest.param({"gates": ()}, None, id="a session without a node"),
        pytest.param({"node": "gpu-1", "scheduled": 700.0, "conditions": {}}, 700.0, id="a session that was placed"),
    ],
)
def test_time_is_held_from_the_node_on(changes: dict[str, Any], held_from: float | None) -> None:
    waiting: dict[str, Any] = {"node": "", "phase": "Pending", "scheduled": None, "conditions": HELD}
    sighting = of_pod(PLATFORM, pod(**waiting | changes), kind="seen", now=800.0)
    assert sighting is not None
    assert sighting.held_from == held_from


def test_storage_of_its_own_is_noted() -> None:
    sighting = of_pod(PLATFORM, pod(storage=50 * 2**30), kind="seen", now=800.0)
    assert sighting is not None
    assert sighting.facts["storage_bytes"] == 50 * 2**30


def test_the_record_of_a_ticket_that_was_cancelled_is_closed_and_empty() -> None:
    ticket = pod(uid="t", node="", phase="Pending", scheduled=None, gates=(names.GATE,), conditions=HELD)
    seen = of_pod(PLATFORM, ticket, kind="seen", now=100.0)
    gone = of_pod(PLATFORM, ticket, kind="deleted", now=7300.0)
    row = fold([one for one in (seen, gone) if one])
    assert row is not None
    assert (row["held_from"], row["held_to"], row["end_source"]) == (None, 7300.0, "deleted")


def test_the_record_of_a_ticket_that_started_begins_with_its_node() -> None:
    ticket = pod(uid="t", node="", phase="Pending", scheduled=None, gates=(names.GATE,), conditions=HELD, rv="1")
    waited = of_pod(PLATFORM, ticket, kind="seen", now=100.0)
    runs = of_pod(PLATFORM, pod(uid="t", scheduled=7300.0, rv="2"), kind="seen", now=7301.0)
    row = fold([one for one in (waited, runs) if one])
    assert row is not None
    assert (row["held_from"], row["held_to"], row["node"]) == (7300.0, None, "gpu-1")
