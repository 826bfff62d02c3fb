"""How long a start waits for its turn, and what it makes of what it finds: plain values instead of a cluster."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from aiinfn_hub.contract.offer import TicketOffer
from aiinfn_hub.hub.pod_start import turn
from aiinfn_hub.hub.session_objects import START, Pod, gates, is_same, is_ticket, ticket_in, waiting_flavours
from aiinfn_hub.pods import names
from aiinfn_hub.sessions.symptoms import Diagnosis

KUEUE = "kueue.x-k8s.io/admission"
WAITS = Diagnosis("waiting-for-quota", "queue", "All are taken.")
ROOM = Diagnosis("reclaiming", "queue", "A place is being freed.")
NEVER = Diagnosis("quota-too-small", "quota", "It is more than there is.", final=True)


def pod(*held: str, name: str = "jupyter-mrossi", **meta: Any) -> Pod:
    notes = {names.PERSON_NAME: "mrossi", names.SERVER: "", names.CHOICE: "c1", START: "s1"} | meta.pop("notes", {})
    labels = {names.FLAVOUR: "t4", names.ACTIVITY: "lhcb"}
    known = {"name": name, "uid": "u1", "creationTimestamp": "2026-11-23T10:00:00Z"}
    metadata = {**known, "annotations": notes, "labels": labels, **meta}
    return {"metadata": metadata, "spec": {"schedulingGates": [{"name": gate} for gate in held]}}


TICKET = pod(names.GATE, KUEUE)


class Watched:
    """What a start sees, look after look; the last one stays."""

    def __init__(self, *pods: Pod | None, why: Diagnosis = WAITS) -> None:
        self.pods = list(pods)
        self.why = why
        self.asked = 0

    def look(self) -> Pod | None:
        return self.pods.pop(0) if len(self.pods) > 1 else self.pods[0]

    async def ask(self) -> Diagnosis:
        self.asked += 1
        return self.why


# Waiting


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("seen", "found"),
    [
        pytest.param(Watched(pod(names.GATE)), pod(names.GATE), id="let in at once"),
        pytest.param(Watched(None, None, TICKET, pod(names.GATE)), pod(names.GATE), id="let in after two looks"),
        pytest.param(Watched(TICKET), WAITS, id="it goes on waiting"),
        pytest.param(Watched(TICKET, why=NEVER), NEVER, id="waiting is of no use"),
        pytest.param(Watched(TICKET, TICKET, pod(names.GATE), why=ROOM), pod(names.GATE), id="others make room"),
    ],
)
async def test_a_start_waits_for_a_moment(seen: Watched, found: Pod | Diagnosis) -> None:
    async with asyncio.timeout(10):
        assert await turn(seen.look, seen.ask, 0.15) == found


@pytest.mark.asyncio
async def test_while_others_make_room_it_waits_longer() -> None:
    seen = Watched(TICKET, why=ROOM)
    waiting = asyncio.create_task(turn(seen.look, seen.ask, 0.05))
    while seen.asked < 5:
        await asyncio.sleep(0.01)
    assert not waiting.done()
    seen.pods = [pod(names.GATE)]
    assert await asyncio.wait_for(waiting, 5) == pod(names.GATE)


@pytest.mark.asyncio
async def test_a_slow_answer_delays_nobody_who_is_let_in() -> None:
    seen, asked = Watched(TICKET), asyncio.Event()

    async def never() -> Diagnosis:
        asked.set()
        await asyncio.Event().wait()
        return WAITS

    waiting = asyncio.create_task(turn(seen.look, never, 0.15))
    await asyncio.wait_for(asked.wait(), 5)
    seen.pods = [pod(names.GATE)]
    assert await asyncio.wait_for(waiting, 5) == pod(names.GATE)


@pytest.mark.asyncio
async def test_somebody_takes_it_out_of_the_queue_meanwhile() -> None:
    seen = Watched(None, TICKET, None)
    found = await asyncio.wait_for(turn(seen.look, seen.ask, 60), 5)
    assert isinstance(found, Diagnosis)
    assert (found.cause, found.final) == ("withdrawn", True)


@pytest.mark.asyncio
async def test_kueue_is_asked_once_a_second_at_most() -> None:
    seen = Watched(TICKET)
    await turn(seen.look, seen.ask, 1.2)
    assert seen.asked <= 3


# What is found under the name


@pytest.mark.parametrize(
    ("found", "ticket"),
    [
        pytest.param(TICKET, True, id="a pod that waits"),
        pytest.param(pod(names.GATE), True, id="one that was let in"),
        pytest.param(pod(KUEUE), False, id="one whose server starts"),
        pytest.param(pod(names.GATE, deletionTimestamp="2026-11-23T10:00:01Z"), False, id="one that is deleted"),
        pytest.param({"metadata": {}, "spec": {"schedulingGates": None}}, False, id="one without gates"),
        pytest.param(None, False, id="none"),
    ],
)
def test_our_gate_makes_a_ticket(found: Pod | None, *, ticket: bool) -> None:
    assert is_ticket(found) is ticket


@pytest.mark.parametrize(
    ("found", "same"),
    [
        pytest.param(pod(), True, id="this start's own, whose request was not answered"),
        pytest.param(pod(names.GATE, notes={START: "s0"}), True, id="a ticket for the same choice"),
        pytest.param(pod(names.GATE, notes={START: "s0", names.CHOICE: "c2"}), False, id="a ticket for another"),
        pytest.param(pod(notes={START: "s0"}), False, id="a session of an earlier start"),
        pytest.param(
            pod(names.GATE, notes={START: "s0"}, deletionTimestamp="2026-11-23T10:00:01Z"), False, id="one that goes"
        ),
        pytest.param(pod(names.GATE, annotations=None), False, id="a pod of somebody else's making"),
    ],
)
def test_what_a_start_takes_over(found: Pod, *, same: bool) -> None:
    assert is_same(found, pod(names.GATE)) is same


def test_gates_are_named_in_their_order() -> None:
    assert gates(TICKET) == [names.GATE, KUEUE]


# What is said of it


def test_the_ticket_that_the_service_knows_is_shown_with_its_place() -> None:
    known = TicketOffer("u1", "", "t4", "lhcb", 1.0, place=2, of=3)
    assert ticket_in(TICKET, known) == known


@pytest.mark.parametrize(
    "known", [None, TicketOffer("u0", "", "t4", "lhcb", 1.0, place=2, of=3)], ids=["it knows none", "it is behind"]
)
def test_a_ticket_that_the_service_does_not_know_has_no_place(known: TicketOffer | None) -> None:
    assert ticket_in(TICKET, known) == TicketOffer("u1", "", "t4", "lhcb", 1_795_428_000.0)


@pytest.mark.parametrize("found", [None, pod()], ids=["nothing waits", "it runs"])
def test_what_is_no_ticket_any_more_is_not_shown(found: Pod | None) -> None:
    assert ticket_in(found, TicketOffer("u1", "", "t4", "lhcb", 1.0)) is None


def test_the_flavours_of_the_persons_tickets_are_known() -> None:
    others = {
        "a": TICKET,
        "b": pod(names.GATE, name="jupyter-mrossi--lab"),
        "c": pod(name="jupyter-mrossi--runs"),
        "d": pod(names.GATE, name="jupyter-other", notes={names.PERSON_NAME: "other"}),
    }
    assert waiting_flavours(others, "mrossi") == {"jupyter-mrossi": "t4", "jupyter-mrossi--lab": "t4"}
