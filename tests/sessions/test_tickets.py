from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support.cluster_records import pod
from support.people import scientist
from support.small_platform import small_platform

from aiinfn_hub.capacity.queue import Lines
from aiinfn_hub.contract.offer import Expected, TicketOffer
from aiinfn_hub.kube.slim import Condition, Pod, Workload
from aiinfn_hub.pods import names
from aiinfn_hub.sessions.options import SessionSpec, validate
from aiinfn_hub.sessions.symptoms import Diagnosis
from aiinfn_hub.sessions.tickets import FIRST_START_S, TAKE_WITHIN_S, digest, due, parked, tickets, when, words

PLATFORM = small_platform()
KUEUE = "kueue.x-k8s.io/admission"
SHORT = (
    "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu in flavor a, 1 more needed"
)
NEVER = (
    "couldn't assign flavors to pod set main: insufficient quota for nvidia.com/gpu in flavor a, previously considered "
    "podsets requests (0) + current podset request (9) > maximum capacity (3)"
)


def spec(**options: Any) -> SessionSpec:
    return validate(PLATFORM, scientist(PLATFORM), {"flavour": "t4", **options})


def waiting(uid: str = "mine", created: float = 100.0, **changes: Any) -> Pod:
    """A pod of alice's that Kueue and we hold."""
    known: dict[str, Any] = {"node": "", "phase": "Pending", "scheduled": None, "gates": (names.GATE, KUEUE)}
    return pod(uid=uid, created=created, **known | changes)


def workload(of: str = "mine", created: float = 100.0, message: str = SHORT, **changes: Any) -> Workload:
    conditions = {"QuotaReserved": Condition("False", "Pending", message)} if message else {}
    known: dict[str, Any] = {"conditions": conditions, "queue": "lhcb-interactive"}
    return Workload(
        uid=f"w-{of}", name=of, namespace="aiinfn", owner_kind="Pod", owner_uid=of, created=created, **known | changes
    )


# What is a ticket


@pytest.mark.parametrize(
    ("found", "is_one"),
    [
        pytest.param(waiting(), True, id="a pod with both gates"),
        pytest.param(waiting(gates=(names.GATE,)), True, id="one that Kueue has let in"),
        pytest.param(waiting(gates=(KUEUE,)), False, id="one whose server is being started"),
        pytest.param(waiting(gates=()), False, id="one that looks for a node"),
        pytest.param(pod(), False, id="a session that runs"),
        pytest.param(waiting(deleted_at=120.0), False, id="one that is being deleted"),
        pytest.param(waiting(phase="Failed"), False, id="one that has ended"),
        pytest.param(waiting(annotations={}), False, id="one of nobody, which no hub could start"),
    ],
)
def test_a_pod_with_our_gate_is_a_ticket(found: Pod, *, is_one: bool) -> None:
    assert [ticket.pod.uid for ticket in tickets([found], Lines([]))] == (["mine"] if is_one else [])


def test_a_ticket_says_whose_it_is_and_what_for() -> None:
    notes = {names.PERSON_NAME: "M_Rossi", names.SERVER: "lab"}
    (ticket,) = tickets([waiting(annotations=notes)], Lines([workload()]))
    assert ticket.person == "M_Rossi"
    offer = ticket.offer
    assert (offer.uid, offer.server, offer.flavour, offer.activity) == ("mine", "lab", "t4", "lhcb")
    assert (offer.since, offer.admitted, offer.place, offer.of) == (100.0, False, 1, 1)


def test_the_oldest_ticket_comes_first() -> None:
    found = tickets([waiting("late", 300.0), waiting("early", 200.0)], Lines([]))
    assert [ticket.pod.uid for ticket in found] == ["early", "late"]


# Place and reason


def test_the_place_is_that_among_all_workloads_of_the_queue() -> None:
    others = [workload("first", 10.0), workload("second", 20.0), workload("elsewhere", 5.0, queue="cms-interactive")]
    (ticket,) = tickets([waiting()], Lines([workload(), *others]))
    assert (ticket.offer.place, ticket.offer.of) == (3, 3)


@pytest.mark.parametrize(
    ("found", "place", "says"),
    [
        pytest.param(workload(), 1, "Every GPU of this kind is taken; yours is short by 1.", id="it waits for quota"),
        pytest.param(workload(message=""), 1, "waits for its turn", id="others have just overtaken it"),
        pytest.param(None, 0, "waits for its turn", id="Kueue has not looked at it yet"),
        pytest.param(
            workload(message=SHORT + ". Pending the preemption of 2 workload(s)"),
            1,
            "2 batch job(s) give way",
            id="room",
        ),
        pytest.param(workload(message=NEVER), 0, "more GPU than the queue ever has", id="the queue shrank meanwhile"),
        pytest.param(workload(active=False), 1, "An operator has put your session aside.", id="it was put aside"),
    ],
)
def test_the_reason_is_kueues_in_words(found: Workload | None, place: int, says: str) -> None:
    (ticket,) = tickets([waiting()], Lines([found] if found else []))
    assert ticket.offer.place == place
    assert says in ticket.offer.reason


# Admission, and what is due


@pytest.mark.parametrize(
    ("gates", "found", "admitted", "at"),
    [
        pytest.param((names.GATE, KUEUE), workload(), False, None, id="it waits"),
        pytest.param((names.GATE, KUEUE), workload(admitted=150.0), False, None, id="the gates are still there"),
        pytest.param((names.GATE,), workload(admitted=150.0), True, 150.0, id="let in"),
        pytest.param(
            (names.GATE,), None, True, None, id="a cluster without Kueue, or a cache that knows no Workload yet"
        ),
    ],
)
def test_it_is_let_in_when_kueues_gates_are_gone(
    gates: tuple[str, ...], found: Workload | None, *, admitted: bool, at: float | None
) -> None:
    (ticket,) = tickets([waiting(gates=gates)], Lines([found] if found else []))
    assert (ticket.offer.admitted, ticket.admitted_at) == (admitted, at)
    assert ("let your session in" in ticket.offer.reason) is admitted


def test_it_does_not_expire_while_nobody_knows_when_it_was_let_in() -> None:
    (ticket,) = tickets([waiting(gates=(names.GATE,))], Lines([]))
    assert due(ticket, 1e9) == "ask"


@pytest.mark.parametrize(
    ("admitted", "now", "expected"),
    [
        pytest.param(None, 100_000.0, "wait", id="a ticket waits for as long as it takes"),
        pytest.param(101.0, 102.0, "wait", id="the start that made it may still be there"),
        pytest.param(101.0, 100.0 + FIRST_START_S, "ask", id="the hub is asked"),
        pytest.param(90_000.0, 90_000.1, "ask", id="at once, after a long wait"),
        pytest.param(101.0, 101.0 + TAKE_WITHIN_S, "ask", id="until the last moment"),
        pytest.param(101.0, 102.0 + TAKE_WITHIN_S, "expired", id="a place is not held for ever"),
    ],
)
def test_what_is_due(admitted: float | None, now: float, expected: str) -> None:
    gates = (names.GATE,) if admitted else (names.GATE, KUEUE)
    (ticket,) = tickets([waiting(gates=gates)], Lines([workload(admitted=admitted)]))
    assert due(ticket, now) == expected


# The choice


def test_the_same_choice_has_the_same_digest_however_it_was_said() -> None:
    assert digest(spec()) == digest(spec(cpu="2", memory=4 * 1024**3, lifetime="8h"))
    assert len(digest(spec())) == 16


@pytest.mark.parametrize(
    "options",
    [
        {"flavour": "cpu"},
        {"cpu": "4"},
        {"memory": "8Gi"},
        {"lifetime": "1h"},
        {"environment": "image:root"},
        {"environment": "apptainer:/cvmfs/unpacked.infn.it/x:1"},
        {"volumes": ["s3"]},
        {"volumes": []},
    ],
    ids=str,
)
def test_another_choice_has_another_digest(options: dict[str, Any]) -> None:
    assert digest(spec(**options)) != digest(spec(volumes=["cvmfs"]))
    assert options == {"volumes": []} or digest(spec(**options)) != digest(spec())


def test_how_the_activity_was_chosen_is_no_choice() -> None:
    assert digest(spec()) == digest(replace(spec(), activity_reason="chosen"))


# Words


TICKET = TicketOffer("u", "lab", "t4", "lhcb", 100.0, place=2, of=3, reason="All are taken.", next_step="Wait.")


@pytest.mark.parametrize(
    ("ticket", "headline"),
    [
        pytest.param(TICKET, "NVIDIA T4, place 2 of 3", id="its place"),
        pytest.param(TicketOffer("u", "", "t4", "l", 1.0), "NVIDIA T4", id="none known"),
        pytest.param(TicketOffer("u", "", "t4", "l", 1.0, admitted=True), "NVIDIA T4, its turn has come", id="let in"),
    ],
)
def test_a_headline_says_the_place(ticket: TicketOffer, headline: str) -> None:
    assert words(ticket, "NVIDIA T4").headline == headline


AT = 1_700_000_400.0  # twenty to eleven at night


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        pytest.param(None, ["not enough data to say when"], id="nobody knows"),
        pytest.param(Expected(), ["not enough data to say when"], id="nor the limits"),
        pytest.param(Expected(gives_way=True), ["a job gives way to it"], id="a job has it"),
        pytest.param(Expected(limit=AT + 299), ["by ", AT, " at the latest"], id="the limits alone"),
        pytest.param(
            Expected(AT - 200, AT + 1700, AT + 9000, 23),
            ["about ", AT, " to ", AT + 1800, " (from 23 cases)"],
            id="a range, to ten minutes",
        ),
        pytest.param(Expected(AT, AT + 200, AT, 8), ["about ", AT, " (from 8 cases)"], id="a range of no minutes"),
    ],
)
def test_when_a_turn_is_expected(expected: Expected | None, said: list[str | float]) -> None:
    assert when(expected) == said
    assert list(words(TicketOffer("u", "", "t4", "l", 1.0, place=1, of=1, expected=expected), "x").expected) == said
    assert words(TicketOffer("u", "", "t4", "l", 1.0, admitted=True, expected=expected), "x").expected == ()
    assert words(TicketOffer("u", "", "t4", "l", 1.0, expected=expected), "x").expected == (), "it has no place"


def test_reason_and_next_step_are_one_text() -> None:
    assert words(TICKET, "x").reason == "All are taken. Wait."


@pytest.mark.parametrize(("ticket", "place"), [(TICKET, "NVIDIA T4, place 2 of 3."), (None, "NVIDIA T4.")])
def test_somebody_who_has_to_wait_is_told_so(ticket: TicketOffer | None, place: str) -> None:
    text = parked("NVIDIA T4", ticket, Diagnosis("waiting-for-quota", "queue", "Every GPU is taken."))
    assert text.startswith(f"Your session is in the queue: {place} Every GPU is taken. It starts by itself")
    assert "close this page" in text
