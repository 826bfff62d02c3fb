"""From observations to a record."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.sightings import T0, life, seen

from aiinfn_hub.accounting.fold import fold
from aiinfn_hub.accounting.sighting import Sighting, absent


def test_a_whole_life_is_one_closed_record() -> None:
    row = fold(life())
    assert row is not None
    assert (row["held_from"], row["held_to"], row["ran_from"], row["ran_to"]) == (T0, T0 + 3600, T0 + 3, T0 + 3600)
    assert (row["end_source"], row["uncertainty_s"], row["exit_code"], row["node"]) == ("container", 0.0, 0, "gpu-3")


@given(st.data())
def test_order_and_repetition_do_not_matter(data: st.DataObject) -> None:
    stream = life()
    shuffled = data.draw(st.permutations(stream + data.draw(st.lists(st.sampled_from(stream), max_size=5))))
    assert fold(shuffled) == fold(stream)


@given(st.integers(1, 4))
def test_a_stream_that_was_cut_closes_by_absence_with_its_uncertainty(kept: int) -> None:
    stream = life()[:kept]
    if any(s.terminal for s in stream):
        assert fold([*stream, absent("u1", now=T0 + 9999)])["end_source"] == "container"  # type: ignore[index]
        return
    row = fold([*stream, absent("u1", now=T0 + 9999)])
    assert row is not None
    last = stream[-1].observed_at
    assert row["held_to"] == max(last, row["held_from"] or last)
    assert row["end_source"] == "last-seen"
    assert row["uncertainty_s"] == T0 + 9999 - last


@pytest.mark.parametrize(
    ("sightings", "expected"),
    [
        pytest.param([seen(held_from=0)], (T0, None, ""), id="a pod that runs has an open record"),
        pytest.param([seen(node="")], (None, None, ""), id="a pod that waits holds nothing"),
        pytest.param(
            [seen(held_from=0), seen(at=50, kind_="deleted", held_from=0)],
            (T0, T0 + 50, "deleted"),
            id="a deletion without a container's word ends it when it was seen",
        ),
        pytest.param(
            [seen(node=""), seen(at=7, kind_="deleted", node="")],
            (None, T0 + 7, "deleted"),
            id="a pod that never had a node ends without having held anything",
        ),
        pytest.param(
            [seen(held_from=0), absent("u1", now=T0 + 10), seen(at=20, held_from=0)],
            (T0, None, ""),
            id="a pod that was missing from one list and seen later is not closed",
        ),
        pytest.param(
            [seen(held_from=10), seen(at=11, ran_from=10, ran_to=9, terminal=True, held_from=10)],
            (T0 + 10, T0 + 10, "container"),
            id="an end before the beginning, by two clocks, is no time and never less",
        ),
    ],
)
def test_the_end_of_a_record_is_the_best_evidence(sightings: list[Sighting], expected: tuple[object, ...]) -> None:
    row = fold(sightings)
    assert row is not None
    assert (row["held_from"], row["held_to"], row["end_source"]) == expected


def test_absence_alone_is_nobodys_record() -> None:
    assert fold([absent("u1", now=T0)]) is None
