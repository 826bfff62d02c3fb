"""What the pages show."""

from __future__ import annotations

from typing import Any

import pytest
from support.cluster_records import node, pod, stranger
from support.sightings import FACTS
from support.small_platform import small_platform

from aiinfn_hub.panel import views

PLATFORM = small_platform()
RECORD: dict[str, Any] = FACTS | {
    "held_from": 1000.0,
    "held_to": None,
    "end_source": "",
    "uncertainty_s": 0.0,
    "weight": 0.5,
    "units": 2,
}


@pytest.mark.parametrize(
    ("changes", "held", "hours", "note"),
    [
        pytest.param({}, "1 h", 1.0, "holds it now", id="an open record grows"),
        pytest.param({"held_to": 2800.0, "end_source": "container"}, "30 min", 0.5, "", id="a closed one does not"),
        pytest.param(
            {"held_to": 2800.0, "end_source": "last-seen", "uncertainty_s": 40.0},
            "30 min",
            0.5,
            "end inferred, to 40 s",
            id="an inferred end says how far off it may be",
        ),
        pytest.param(
            {"held_to": 100.0, "quarantine": "It ends 900 s before it begins."},
            "unknown",
            0.0,
            "in quarantine, counts nothing: It ends 900 s before it begins.",
            id="times that cannot be true count nothing and are shown",
        ),
        pytest.param({"held_from": None}, "waits", 0.0, "waiting", id="one that waits holds nothing"),
        pytest.param({"held_from": None, "held_to": 1.0}, "waits", 0.0, "never started", id="one that never started"),
    ],
)
def test_a_record_as_people_read_it(changes: dict[str, Any], held: str, hours: float, note: str) -> None:
    row = views.row(RECORD | changes, now=4600.0)
    assert (row.held, row.note) == (held, note)
    assert row.weighted_hours == pytest.approx(hours)


def used(flavour: str, hours: float, waited: float = 0.0) -> dict[str, Any]:
    return {"flavour": flavour, "weighted_gpu_hours": hours, "waited_hours": waited}


def refused(flavour: str, hours: float, asks: int = 1) -> dict[str, Any]:
    return {"flavour": flavour, "weighted_gpu_hours": hours, "asks": asks}


def test_demand_is_what_was_used_waited_for_and_refused_the_most_wanted_first() -> None:
    rows = views.demand(
        PLATFORM,
        [used("t4", 6.0, 1.5), used("cpu", 0.0, 9.0), used("retired", 1.0)],
        [refused("t4", 1.5, 2), refused("t4", 0.5), refused("a100-1g.5gb", 3.0)],
    )
    assert [(one.flavour, one.used, one.waited, one.refused, one.asks, one.part) for one in rows] == [
        ("a100-1g.5gb", 0, 0, 3.0, 1, 100.0),
        ("t4", 6.0, 1.5, 2.0, 3, 25.0),
        ("retired", 1.0, 0.0, 0, 0, 0.0),
    ]
    assert [one.title for one in rows][1:] == [PLATFORM.flavour("t4").title, "retired"], "CPU alone is no demand here"
    assert views.demand(PLATFORM, [], []) == []


def test_the_map_has_a_box_for_every_device_and_names_its_holder() -> None:
    rows = views.node_map(PLATFORM, [node(), node("cpu-1", "", allocatable={})], [pod(), stranger(created=50.0)])
    assert [row.name for row in rows] == ["gpu-1", "cpu-1"], "nodes with accelerators come first"
    assert [device.holder for device in rows[0].devices] == ["batch/other", "alice", *[""] * 6]
    assert rows[0].devices[2].flavour == "t4"
    assert (rows[0].cpu_used, rows[0].cpu_total, rows[0].cpu_pods) == (4.0, 64.0, 1)


@pytest.mark.parametrize(
    ("changes", "state"), [({}, ""), ({"ready": False}, "does not answer"), ({"unschedulable": True}, "drained")]
)
def test_the_map_says_what_is_wrong_with_a_node(changes: dict[str, Any], state: str) -> None:
    assert views.node_map(PLATFORM, [node(**changes)], [])[0].state == state


def test_finished_pods_hold_no_box() -> None:
    assert all(not device.holder for device in views.node_map(PLATFORM, [node()], [pod(phase="Failed")])[0].devices)


def test_who_waits_is_listed_oldest_first() -> None:
    late, early = pod(node="", created=9.0, phase="Pending"), pod(node="", created=5.0, phase="Pending")
    assert views.waiting([late, pod(), stranger(node=""), early]) == [early, late]


@pytest.mark.parametrize(("used", "quota", "percent"), [(10, 40, 25), (50, 40, 100), (1, None, None), (0, 0, 100)])
def test_a_budget_bar_never_runs_over(used: float, quota: float | None, percent: float | None) -> None:
    assert views.Budget("lhcb", "LHCb", used, quota, 30).percent == percent


def test_a_bar_says_how_much_of_its_time_was_seen() -> None:
    seen = {"weighted_gpu_hours": 3.0, "observed_hours": 6.0, "inferred_hours": 0.0}
    guessed = {"weighted_gpu_hours": 1.0, "observed_hours": 1.0, "inferred_hours": 1.0}
    full, part, none = (views.budgets(PLATFORM, {"lhcb": rows})[0] for rows in ([seen], [seen, guessed], []))
    assert [(bar.used, bar.observed) for bar in (full, part, none)] == [(3.0, 1.0), (4.0, 7 / 8), (0.0, None)]
    assert (full.title, full.quota) == (PLATFORM.activity("lhcb").title, PLATFORM.activity("lhcb").gpu_hours)
