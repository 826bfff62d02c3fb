from __future__ import annotations

import msgspec
from support.offload import workload

from aiinfn_hub.capacity.queue import Lines, place
from aiinfn_hub.kube.slim import Workload


def queued(
    uid: str, created: float, priority: int = 0, queue: str = "q", **conditions: tuple[str, str, str]
) -> Workload:
    found = workload(uid, **conditions)
    return Workload(
        uid=uid, name=uid, namespace="n", queue=queue, priority=priority, created=created, conditions=found.conditions
    )


def test_the_place_counts_those_that_wait_in_the_same_queue() -> None:
    mine = queued("b", 20)
    others = [
        queued("a", 10),
        mine,
        queued("c", 30),
        queued("urgent", 40, priority=5),
        queued("elsewhere", 1, queue="other"),
        queued("admitted", 2, QuotaReserved=("True", "", "")),
        queued("done", 3, Finished=("True", "", "")),
    ]
    assert place(mine, others) == (3, 4)


def test_those_that_kueue_does_not_count_have_no_place() -> None:
    """As its visibility API lists them: without the gated and those that were put aside, with the impossible."""
    aside = queued("aside", 4)
    never = ("False", "Pending", "insufficient quota for nvidia.com/gpu in flavor a100")
    others = [
        queued("gated", 1, QuotaReserved=("False", "AdmissionGated", "Admission is gated by: a.example/one")),
        queued("impossible", 2, QuotaReserved=never),
        msgspec.structs.replace(aside, active=False),
        mine := queued("mine", 9),
    ]
    assert place(mine, others) == (2, 2)


def test_the_place_of_one_that_the_cache_does_not_hold_yet() -> None:
    assert place(queued("b", 20), []) == (1, 1)


def test_many_questions_have_the_answers_that_each_would_have_alone() -> None:
    everybody = [
        queued(f"w{number}", created=number * 7 % 10, priority=number % 3, queue=f"q{number % 2}")
        for number in range(30)
    ]
    lines = Lines(everybody)
    places = [lines.place(one) for one in everybody]
    assert places == [place(one, everybody) for one in everybody]
    for queue in ("q0", "q1"):
        mine = [found for one, found in zip(everybody, places, strict=True) if one.queue == queue]
        assert sorted(mine) == [(position, 15) for position in range(1, 16)]
