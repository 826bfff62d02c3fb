"""What holds a Job or a session back before Kueue lets it in, and after, on the real control plane and on ours."""

from __future__ import annotations

from typing import Any

import pytest
from support.differences import only_real
from support.lines import GATED_BY, Lines, of, revisions, ways
from support.places import Place
from support.trials import condition, events, history, holds, phase, says

from aiinfn_hub.errors import Forbidden
from aiinfn_hub.kube.client import JOBS, PODS, WORKLOADS

pytestmark = pytest.mark.asyncio
Object = dict[str, Any]
OUR_GATE = {"name": "aiinfn.infn.it/start"}


@pytest.mark.parametrize(("what", "kind"), [("job", JOBS), ("session", PODS)])
async def test_what_names_a_gate_waits_until_the_annotation_goes(place: Place, what: str, kind: Any) -> None:
    lines = Lines(place)
    await lines.usual(2)
    async with history(place, WORKLOADS) as workloads:
        make = lines.job if what == "job" else lines.session
        await make("a", annotations={GATED_BY: "a.example/one,a.example/two"})
        waits = await workloads.first(of("a", says("QuotaReserved", "False")))
        reserved = condition(waits, "QuotaReserved")
        assert (reserved["reason"], reserved["message"]) == (
            "AdmissionGated",
            "Admission is gated by: a.example/one,a.example/two",
        )
        told = await events(place, waits["metadata"]["name"], "AdmissionGated")
        assert told == [("AdmissionGated", "Workload admission is gated by: a.example/one,a.example/two")]
        await make("free")  # the other GPU is free, so the gate alone holds "a" back
        await workloads.first(of("free", holds("Admitted")))
        await _gates(place, kind, "a.example/two")
        await workloads.first(of("a", lambda one: one["metadata"]["annotations"][GATED_BY] == "a.example/two"))
        assert not holds("QuotaReserved")(await lines.workload("a"))
        await _gates(place, kind, None)
        await workloads.first(of("a", holds("Admitted")))


async def _gates(place: Place, kind: Any, gates: str | None) -> None:
    await place.client.patch(kind, "a", {"metadata": {"annotations": {GATED_BY: gates}}}, place.namespace)


@pytest.mark.parametrize(("what", "kind"), [("job", JOBS), ("session", PODS)])
async def test_gates_can_be_taken_away_and_not_added(place: Place, what: str, kind: Any) -> None:
    only_real(place, "Gates")
    lines = Lines(place)
    await lines.usual(2)
    make = lines.job if what == "job" else lines.session
    await make("a", annotations={GATED_BY: "a.example/one"})
    with pytest.raises(Forbidden, match="can only remove gates, not add new ones"):
        await _gates(place, kind, "a.example/one,a.example/two")
    await _gates(place, kind, None)
    with pytest.raises(Forbidden, match="cannot add admission gate after creation"):
        await _gates(place, kind, "a.example/one")


@pytest.mark.parametrize(
    ("gates", "why"),
    [
        ("plain", 'Invalid value: "plain": must be a domain-prefixed path'),
        ("a.example/one,", 'Invalid value: "a.example/one,": cannot contain empty gate names'),
        ("a.example/one,a.example/one", "duplicate gate name: a.example/one"),
    ],
)
async def test_the_name_of_a_gate_has_a_domain_and_stands_once(place: Place, gates: str, why: str) -> None:
    only_real(place, "Gates")
    with pytest.raises(Forbidden, match=why):
        await Lines(place).job("a", annotations={GATED_BY: gates})


async def test_a_gate_of_our_own_stays_after_the_admission(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(1)
    async with history(place, WORKLOADS) as workloads, history(place, PODS) as pods:
        await lines.session("a", schedulingGates=[OUR_GATE])
        await workloads.first(of("a", holds("Admitted")))
        held = await pods.until("a", lambda one: one["spec"].get("schedulingGates") == [OUR_GATE])
        assert held["spec"]["nodeSelector"] == {"test": place.unique}
        assert condition(held, "PodScheduled")["reason"] == "SchedulingGated"
        await lines.session("b")  # the place is held: others wait
        await workloads.first(of("b", says("QuotaReserved", "False")))
        remove = [{"op": "remove", "path": "/spec/schedulingGates"}]
        await place.client.patch(PODS, "a", remove, place.namespace, strategy="json")
        await pods.until("a", phase("Running"))


async def test_a_session_that_waits_says_only_that_it_is_gated_and_goes_at_once(place: Place) -> None:
    lines = Lines(place)
    await lines.usual(1)
    async with history(place, WORKLOADS) as workloads, history(place, PODS) as pods:
        await lines.session("a", 5)
        waits = await workloads.first(of("a", says("QuotaReserved", "False")))
        gated = await place.get(PODS, "a")
        assert [(one["type"], one["status"], one["reason"]) for one in gated["status"]["conditions"]] == [
            ("PodScheduled", "False", "SchedulingGated")
        ]
        await place.client.delete(PODS, "a", place.namespace)
        await pods.until_gone("a")
        await workloads.until_gone(waits["metadata"]["name"])
    assert ways(revisions(workloads, "a")) == {
        "QuotaReserved": ["False Pending"],
        "Finished": ["True OwnerNotFound"],
    }
