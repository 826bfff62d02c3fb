from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from support.small_platform import ACTIVITIES, FLAVOURS, small_platform

from aiinfn_hub.contract.offer import (
    ActivityOffer,
    Expected,
    FlavourOffer,
    Offer,
    OnNodes,
    QuotaOffer,
    Reserved,
    TicketOffer,
)
from aiinfn_hub.sessions.availability import Seen, Words, availability, budget, live, on_nodes, ticket_of, unasked

NOON = 1_764_000_000.0
NO_DATA = "not enough data to say when"


def seen(*flavours: FlavourOffer, failing: str = "", activities: tuple[ActivityOffer, ...] = ()) -> Seen:
    return Seen(Offer("mrossi", NOON, list(flavours), list(activities)), NOON + 1, failing)


SCHOOL = Reserved("School of ML", "teaching", 4, NOON, NOON + 3600, kept=3)
SAID = ("", "4 reserved for School of ML ", "from ", NOON, " to ", NOON + 3600)


@pytest.mark.parametrize(
    ("free", "activity", "words"),
    [
        pytest.param(5, "lhcb", Words("free", "2 of 8 free", reserved=SAID), id="what is kept is not for others"),
        pytest.param(5, "teaching", Words("free", "5 of 8 free", reserved=SAID), id="but for its people"),
        pytest.param(3, "lhcb", Words("none", "none free of 8", expected=[], reserved=SAID), id="all of it is kept"),
        pytest.param(
            0, "lhcb", Words("none", "none free of 8", expected=[NO_DATA], reserved=SAID), id="nobody has any"
        ),
    ],
)
def test_what_the_calendar_keeps(free: int, activity: str, words: Words) -> None:
    offer = FlavourOffer("t4", 8, free, "unit", reserved=[SCHOOL])
    assert availability(seen(offer, activities=(ActivityOffer(activity, 0.0),)), "t4") == words


def test_two_of_the_calendar_are_told_apart() -> None:
    later = msgspec.structs.replace(SCHOOL, title="Hackathon", begin=NOON + 7200, end=NOON + 9000, kept=0)
    offer = FlavourOffer("t4", 8, 8, "unit", reserved=[SCHOOL, later])
    found = availability(seen(offer), "t4").reserved
    assert found[6:8] == ("; ", "4 reserved for Hackathon ")


@pytest.mark.parametrize(
    ("offer", "words"),
    [
        pytest.param(FlavourOffer("t4", 7, 3, "unit"), Words("free", "3 of 7 free"), id="some are free"),
        pytest.param(
            FlavourOffer("t4", 8, 3, "unit", neighbours=3),
            Words("free", "3 of 8 free, each shared with up to 3 others"),
            id="a device that several use in turns",
        ),
        pytest.param(
            FlavourOffer("t4", 192, 64, "core"), Words("free", "64 of 192 cores free"), id="cores are counted"
        ),
        pytest.param(
            FlavourOffer("t4", 7, 0, "unit"), Words("none", "none free of 7", expected=[NO_DATA]), id="none is free"
        ),
        pytest.param(
            FlavourOffer("t4", 7, 0, "unit", expected=Expected(limit=NOON)),
            Words("none", "none free of 7", expected=["by ", NOON, " at the latest"]),
            id="none is free before noon",
        ),
        pytest.param(
            FlavourOffer("t4", 7, -1, "unit"),
            Words("none", "none free of 7", expected=[NO_DATA]),
            id="more are promised than exist",
        ),
        pytest.param(FlavourOffer("t4", 0, 0, "unit"), Words("none", "none here now"), id="no node has any"),
        pytest.param(
            FlavourOffer("t4", 7, 7, "unit", NOON, "gpu-2 does not answer"),
            Words("unknown", "unknown", NOON, "gpu-2 does not answer"),
            id="old numbers are not shown as free",
        ),
        pytest.param(
            FlavourOffer("t4", 7, 3, "unit", None, "gpu-2 does not answer"),
            Words("free", "3 of 7 free", None, "gpu-2 does not answer"),
            id="a node that is silent is named beside what is free",
        ),
    ],
)
def test_what_the_service_says_is_put_into_words(offer: FlavourOffer, words: Words) -> None:
    assert availability(seen(offer), "t4") == words


@pytest.mark.parametrize(
    ("found", "words"),
    [
        pytest.param(
            seen(FlavourOffer("t4", 7, 7, "unit"), failing="the service does not answer"),
            Words("unknown", "unknown", NOON + 1, "the service does not answer"),
            id="since the last good answer",
        ),
        pytest.param(
            Seen(failing="the service does not answer"),
            Words("unknown", "unknown", None, "the service does not answer"),
            id="without any good answer, with the reason only",
        ),
        pytest.param(Seen(), Words("unknown", "unknown", None, "the service says nothing about it"), id="never asked"),
        pytest.param(
            seen(), Words("unknown", "unknown", None, "the service says nothing about it"), id="not in the offer"
        ),
    ],
)
def test_what_is_not_known_is_never_free(found: Seen, words: Words) -> None:
    assert availability(found, "t4") == words


@pytest.mark.parametrize(
    ("offer", "text"),
    [
        pytest.param(ActivityOffer("lhcb", 28.0, 40.0), "12.0 of 40 GPU-h left", id="something is left"),
        pytest.param(ActivityOffer("lhcb", 41.0, 40.0), "0.0 of 40 GPU-h left", id="more was used than allowed"),
        pytest.param(ActivityOffer("lhcb", 2.04, None), "2.0 GPU-h used, no limit", id="there is no limit"),
        pytest.param(ActivityOffer("cms", 2.0, None), "", id="another activity"),
    ],
)
def test_what_an_activity_has_left(offer: ActivityOffer, text: str) -> None:
    assert budget(seen(activities=(offer,)), "lhcb") == text


def test_what_an_activity_has_left_lasts_until_a_day() -> None:
    found = seen(activities=(ActivityOffer("lhcb", 28.0, 40.0),))
    noon = datetime(2026, 12, 3, 12, tzinfo=UTC).timestamp()
    ends = [QuotaOffer("a", "A", 40, 30, 28, activities=["lhcb"], out_at=noon), QuotaOffer("b", "B", 9, 7, 1, out_at=1)]
    assert found.offer is not None
    found = replace(found, offer=msgspec.structs.replace(found.offer, quotas=ends))
    assert budget(found, "lhcb") == "12.0 of 40 GPU-h left, out on Thu 03 Dec at this rate"
    assert live(found, {}, [])["quotas"][0]["out_at"] == noon


@pytest.mark.parametrize(
    ("changes", "failing", "words"),
    [
        pytest.param({}, "", "", id="somebody answers"),
        pytest.param({}, "the service does not answer", "start all the same", id="open"),
        pytest.param({"quotas": {"unreachable": "closed"}}, "it is away", "no session starts", id="closed"),
        pytest.param({"activities": [ACTIVITIES[1]], "flavours": FLAVOURS[:1]}, "it is away", "", id="no limits"),
    ],
)
def test_what_holds_while_nobody_can_look_up_a_quota(changes: dict[str, Any], failing: str, words: str) -> None:
    said = unasked(small_platform(**changes), seen(failing=failing))
    assert (words in said) if words else said == ""


def test_an_old_budget_is_not_shown() -> None:
    assert budget(seen(activities=(ActivityOffer("lhcb", 1, 40),), failing="x"), "lhcb") == ""
    assert budget(Seen(), "lhcb") == ""


def test_the_stream_says_the_same_as_the_page() -> None:
    found = seen(FlavourOffer("t4", 7, 3, "unit"), activities=(ActivityOffer("lhcb", 28, 40),))
    assert live(found, {"t4": "NVIDIA T4", "a30": "NVIDIA A30"}, ["lhcb"]) == {
        "at": NOON + 1,
        "flavours": {
            "t4": {"state": "free", "text": "3 of 7 free", "since": None, "reason": "", "expected": (), "reserved": ()},
            "a30": {
                "state": "unknown",
                "text": "unknown",
                "since": None,
                "reason": "the service says nothing about it",
                "expected": (),
                "reserved": (),
            },
        },
        "activities": {"lhcb": "12.0 of 40 GPU-h left"},
        "quotas": [],
        "tickets": [],
    }


def test_before_the_first_answer_the_stream_has_no_time() -> None:
    assert live(Seen(failing="x"), {"t4": "NVIDIA T4"}, [])["at"] is None


# Tickets

LAB = TicketOffer("u1", "lab", "t4", "lhcb", NOON, place=2, of=3, reason="All are taken.")


def with_tickets(*tickets: TicketOffer, failing: str = "") -> Seen:
    return Seen(Offer("mrossi", NOON, [], [], list(tickets)), NOON, failing)


def test_the_stream_has_the_words_of_each_ticket() -> None:
    other = TicketOffer("u2", "", "gone", "lhcb", NOON, admitted=True)
    lab = msgspec.structs.replace(LAB, expected=Expected(NOON, NOON + 1800, NOON + 3600, 9))
    assert live(with_tickets(lab, other), {"t4": "NVIDIA T4"}, [])["tickets"] == [
        {
            "uid": "u1",
            "server": "lab",
            "headline": "NVIDIA T4, place 2 of 3",
            "reason": "All are taken.",
            "since": NOON,
            "expected": ["about ", NOON, " to ", NOON + 1800, " (from 9 cases)"],
        },
        {"uid": "u2", "server": "", "headline": "gone, its turn has come", "reason": "", "since": NOON, "expected": ()},
    ]


@pytest.mark.parametrize(
    "found", [Seen(), Seen(failing="x"), with_tickets(LAB, failing="the service does not answer")], ids=str
)
def test_while_nobody_knows_the_tickets_the_stream_says_nothing_of_them(found: Seen) -> None:
    assert live(found, {}, [])["tickets"] is None


@pytest.mark.parametrize(("server", "known"), [("lab", LAB), ("", None), ("other", None)])
def test_a_server_has_its_own_ticket(server: str, known: TicketOffer | None) -> None:
    assert ticket_of(with_tickets(LAB), server) == known
    assert ticket_of(Seen(), server) is None


@pytest.mark.parametrize(
    ("known", "text"),
    [
        pytest.param(OnNodes(3, 3, 5), "on the node already", id="on all"),
        pytest.param(OnNodes(0, 3, 18_000_000_000), "to fetch: about 6 min (18.0 GB)", id="on none"),
        pytest.param(OnNodes(0, 3, 100_000_000), "to fetch: about 1 min (0.1 GB)", id="a small one"),
        pytest.param(OnNodes(0, 3), "to fetch: some minutes", id="nobody has it, so nobody knows its size"),
        pytest.param(
            OnNodes(1, 3, 6_000_000_000), "on 1 of 3 nodes already, else to fetch: about 2 min (6.0 GB)", id="on one"
        ),
    ],
)
def test_how_soon_an_image_is_there(known: OnNodes, text: str) -> None:
    offer = FlavourOffer("t4", 8, 8, "unit", images={"pytorch": known})
    assert on_nodes(seen(offer), "t4") == {"pytorch": text}


@pytest.mark.parametrize(
    "found",
    [
        Seen(),
        seen(FlavourOffer("t4", 8, 8, "unit"), failing="x"),
        seen(FlavourOffer("t4", 8, 8, "unit", images={"pytorch": OnNodes(0, 0)})),
        seen(FlavourOffer("a30", 8, 8, "unit", images={"pytorch": OnNodes(1, 1)})),
    ],
)
def test_where_nobody_knows_nothing_is_said_of_images(found: Seen) -> None:
    assert on_nodes(found, "t4") == {}


@pytest.mark.parametrize(("mine", "free"), [("lhcb", "6 of 8 free"), ("cms", "8 of 8 free")])
def test_nodes_that_are_kept_for_an_activity_are_its_own(mine: str, free: str) -> None:
    offer = FlavourOffer("t4", 8, 8, "unit", reserved=[Reserved("CMS machine learning", "cms", 4, None, None, 2)])
    found = availability(seen(offer, activities=(ActivityOffer(mine, 0.0),)), "t4")
    assert (found.text, found.reserved) == (free, ("", "4 reserved for CMS machine learning"))
