"""Silence, refusals, and what people read of each."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.iam import Clock

from aiinfn_hub.identity.standing import REFUSALS, Standing, Standings

#: 2026-09-21 14:13:20 UTC.
NOW = 1_790_000_000.0
HOUR = 3600.0


@pytest.fixture
def clock() -> Clock:
    return Clock(NOW)


@pytest.fixture
def standings(clock: Clock) -> Standings:
    return Standings(8 * HOUR, clock)


def test_of_whom_nothing_is_known_all_is_well(standings: Standings) -> None:
    assert standings.of("ada") is None


def test_silence_keeps_its_beginning_and_counts_from_the_last_word(standings: Standings, clock: Clock) -> None:
    first = standings.silent("ada", NOW - HOUR)
    assert (first.since, first.until, first.over) == (NOW, NOW + 7 * HOUR, False)
    clock.now += 7 * HOUR
    later = standings.silent("ada", NOW - HOUR)
    assert (later.since, later.until, later.over) == (NOW, first.until, True)


def test_a_word_ends_the_silence(standings: Standings, clock: Clock) -> None:
    standings.silent("ada", NOW)
    standings.heard("ada")
    assert standings.of("ada") is None
    clock.now += HOUR
    assert standings.silent("ada", NOW + HOUR).since == NOW + HOUR


def test_a_refusal_after_a_silence_has_its_own_time(standings: Standings, clock: Clock) -> None:
    standings.silent("ada", NOW)
    clock.now += HOUR
    assert standings.refused("ada", "aup") == Standing("aup", NOW + HOUR)
    assert standings.refused("bob", "a word of tomorrow").reason == "ended"
    assert standings.of("ada") == Standing("aup", NOW + HOUR), "people are told apart"


def test_each_case_has_its_own_sentence_and_its_own_next_step() -> None:
    cases = [Standing(reason, NOW).words for reason in REFUSALS]
    cases += [Standing("outage", NOW, NOW + HOUR).words, Standing("outage", NOW, NOW + HOUR, over=True).words]
    assert len({words.sentence for words in cases}) == len({words.next_step for words in cases}) == len(cases)


@pytest.mark.parametrize(
    ("over", "sentence"),
    [
        (False, "The login provider has not answered since 14:13 UTC. You keep your rights until 22:13 UTC."),
        (
            True,
            "The login provider has not answered since 14:13 UTC, and the rights that it gave ended at 22:13 UTC.",
        ),
    ],
)
def test_an_outage_has_its_times(sentence: str, *, over: bool) -> None:
    assert Standing("outage", NOW, NOW + 8 * HOUR, over=over).words.sentence == sentence


@given(st.lists(st.tuples(st.sampled_from(["silent", "heard", "aup"]), st.floats(0, 4 * HOUR)), max_size=20))
def test_rights_end_with_the_grace_after_the_last_word_and_never_before(steps: list[tuple[str, float]]) -> None:
    clock = Clock(NOW)
    standings, heard_at = Standings(8 * HOUR, clock), NOW
    for what, later in steps:
        clock.now += later
        if what == "heard":
            standings.heard("ada")
            heard_at = clock.now
        elif what == "aup":
            assert standings.refused("ada", what).until is None
        else:
            standing = standings.silent("ada", heard_at)
            assert standing.over is (clock.now >= heard_at + 8 * HOUR)
            assert standing.since <= clock.now
