"""Notice, end, and second thoughts: the plan as a table and at random, and the table that outlives a restart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.identity.lapse import Lapse
from aiinfn_hub.kube.slim import Workload
from aiinfn_hub.sessions.drains import Drain, Plan, Running, drains, keep, plan
from aiinfn_hub.sessions.notices import of_drain, of_held
from aiinfn_hub.store.engine import Database

NOTICE = 900.0
ADA = Running("uid-1", "ada", "", "lhcb")
LOST = Lapse("activity", "You are no longer in /lhcb.", "Save.")
BLOCKED = Lapse("inactive", "The account is not active.", "Ask.", at_once=True)


ENDS = Lapse("lifetime", "You asked for 8 h.", "Extend it.", due=2000.0)
IDLE = Lapse("idle", "Nothing ran for 1 h.", "Run anything.")


def drain(since: float = 0.0, due: float = NOTICE, kind: str = "activity") -> Drain:
    return Drain("uid-1", "ada", "", "lhcb", kind, "s", "n", since, due)


@pytest.mark.parametrize(
    ("lapse", "known", "now", "begins", "called_off", "stops"),
    [
        pytest.param(None, None, 5.0, None, False, False, id="all is well"),
        pytest.param(LOST, None, 5.0, 905.0, False, False, id="lost: notice"),
        pytest.param(LOST, drain(), 899.0, None, False, False, id="the notice runs, and does not begin anew"),
        pytest.param(LOST, drain(), 900.0, None, False, True, id="it is over"),
        pytest.param(LOST, drain(), 9000.0, None, False, True, id="and over for long: tried again"),
        pytest.param(None, drain(), 899.0, None, True, False, id="regained in time"),
        pytest.param(None, drain(), 901.0, None, True, False, id="regained at the last moment"),
        pytest.param(BLOCKED, None, 5.0, 5.0, False, True, id="blocked: at once"),
        pytest.param(BLOCKED, drain(), 5.0, 5.0, False, True, id="blocked while a notice runs"),
        pytest.param(BLOCKED, drain(due=5.0), 6.0, None, False, True, id="blocked, and told so already"),
        pytest.param(ENDS, None, 1100.0, 2000.0, False, False, id="a known end"),
        pytest.param(ENDS, None, 1990.0, 2890.0, False, False, id="late news of it still gives notice"),
        pytest.param(IDLE, None, 5.0, 905.0, False, False, id="nobody uses it"),
        pytest.param(None, drain(kind="idle"), 899.0, None, True, False, id="and then somebody does"),
        pytest.param(ENDS, drain(kind="idle"), 1200.0, 2100.0, False, False, id="used again, and its time is over"),
        pytest.param(IDLE, drain(kind="lifetime"), 1200.0, 2100.0, False, False, id="extended, and nobody uses it"),
        pytest.param(LOST, drain(kind="groups"), 100.0, None, False, False, id="one right after the other"),
        pytest.param("unknown", drain(), 9000.0, None, False, False, id="without the hub's word nothing happens"),
        pytest.param("unknown", None, 9000.0, None, False, False, id="nor begins"),
    ],
)
def test_the_plan(
    lapse: Lapse | str | None,
    known: Drain | None,
    now: float,
    begins: float | None,
    called_off: bool,
    stops: bool,
) -> None:
    lapses = {} if isinstance(lapse, str) else {"uid-1": lapse}
    found = plan([ADA], lapses, {"uid-1": known} if known else {}, now=now, notice_s=NOTICE)
    assert [one.due for one in found.begin] == ([] if begins is None else [begins])
    assert bool(found.call_off) is called_off
    assert bool(found.stop) is stops


def test_a_session_that_is_gone_is_forgotten() -> None:
    assert plan([], {}, {"uid-1": drain()}, now=5.0, notice_s=NOTICE) == Plan(call_off=(drain(),))


@given(st.lists(st.tuples(st.sampled_from([None, LOST, BLOCKED]), st.floats(0.1, 1000.0)), max_size=30))
def test_nobody_is_stopped_without_the_whole_notice(steps: list[tuple[Lapse | None, float]]) -> None:
    """Whatever comes and goes: between the last moment of being well and the end there is the notice period."""
    known: dict[str, Drain] = {}
    now, well = 0.0, 0.0
    for lapse, pause in steps:
        now += pause
        if lapse is None:
            well = now
        found = plan([ADA], {"uid-1": lapse}, known, now=now, notice_s=NOTICE)
        known |= {one.uid: one for one in found.begin}
        for one in found.call_off:
            del known[one.uid]
        if found.stop and lapse is LOST and found.stop[0].reason == "activity":
            assert now - well >= NOTICE
        assert bool(known) is (lapse is not None)


def test_what_was_decided_outlives_a_restart(database: Database) -> None:
    database.run(keep, Plan(begin=(drain(),)))
    assert database.run(drains) == {"uid-1": drain()}
    database.run(keep, Plan(begin=(drain(due=5.0, kind="inactive"),)))
    assert database.run(drains)["uid-1"].due == 5.0
    database.run(keep, Plan(call_off=(drain(),)))
    assert database.run(drains) == {}


def test_the_words() -> None:
    notice = of_drain(drain())
    assert notice.title == "This session ends at {due}."
    assert (notice.due, notice.server, notice.level) == (NOTICE, "", "error")
    held = [Workload(uid=str(n), name="w", namespace="n", held="You are no longer in /lhcb.") for n in range(2)]
    assert of_held("ada", held[:1]).title == "One thing that you have in the queue is held."
    assert of_held("ada", held).title == "2 things that you have in the queue are held."
    assert "/lhcb" in of_held("ada", held).text
