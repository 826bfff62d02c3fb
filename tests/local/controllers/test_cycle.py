"""The admission cycle as tables and as properties; sentences are those seen from Kueue 0.19.2."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.kube.slim import Taint
from aiinfn_hub.local.controllers.constraints import Constraints, Expression, Term, Toleration
from aiinfn_hub.local.controllers.cycle import Admitted, Decisions, Pending, cycle
from aiinfn_hub.local.controllers.flavors import Flavor
from aiinfn_hub.local.controllers.quota import Cell, ClusterQueue, Pool, Quota, ResourceGroup

GPU = "nvidia.com/gpu"
A100 = Flavor("a100", {"gpu": "a100"})
T4 = Flavor("t4", {"gpu": "t4"})
PREFIX = "couldn't assign flavors to pod set main: "


def queue(name: str, *quotas: tuple[str, Quota], **fields: Any) -> ClusterQueue:
    """A queue for GPUs; each quota is of one flavor."""
    group = ResourceGroup(frozenset({GPU}), tuple(flavor for flavor, _ in quotas))
    cells: dict[Cell, Quota] = {(flavor, GPU): quota for flavor, quota in quotas}
    return ClusterQueue(name, (group,), cells, **({"cohort": "c"} | fields))


def interactive(gpus: int = 4, **fields: Any) -> ClusterQueue:
    return queue("interactive", ("a100", Quota(gpus)), **({"reclaims": "Any"} | fields))


def batch(**fields: Any) -> ClusterQueue:
    return queue("batch", ("a100", Quota(0)), **fields)


def wants(key: str, gpus: int = 1, queue: str = "interactive", **fields: Any) -> Pending:
    return Pending(key, queue, {GPU: gpus}, **fields)


def holds(key: str, gpus: int = 1, queue: str = "batch", flavor: str = "a100", **fields: Any) -> Admitted:
    return Admitted(key, queue, {(flavor, GPU): gpus}, **fields)


def decide(queues: list[ClusterQueue], admitted: list[Admitted], pending: list[Pending]) -> Decisions:
    by_name = {one.name: one for one in queues}
    for one in admitted:
        usage = by_name[one.queue].usage
        for cell, amount in one.usage.items():
            usage[cell] = usage.get(cell, 0) + amount
    return cycle(queues, {"a100": A100, "t4": T4}, admitted, pending)


def test_what_fits_is_admitted_and_the_rest_told_how_much_is_missing() -> None:
    found = decide([interactive(3)], [], [wants("a", 2), wants("b", 2, since=1)])
    assert found.admit == {"a": {GPU: "a100"}}
    assert found.wait == {"b": f"{PREFIX}insufficient unused quota for {GPU} in flavor a100, 1 more needed"}


@pytest.mark.parametrize(
    ("pending", "message"),
    [
        pytest.param(
            wants("a", 9),
            f"insufficient quota for {GPU} in flavor a100, previously considered podsets requests (0)"
            " + current podset request (9) > maximum capacity (4)",
            id="more than there ever is",
        ),
        pytest.param(
            Pending("a", "interactive", {"nvidia.com/mig-1g.10gb": 1}),
            "resource nvidia.com/mig-1g.10gb unavailable in ClusterQueue",
            id="a resource that the queue does not cover",
        ),
        pytest.param(
            wants("a", constraints=Constraints(selector=(("gpu", "t4"),))),
            "flavor a100 doesn't match node affinity",
            id="its own node selector excludes the flavor",
        ),
        pytest.param(
            wants("a", constraints=Constraints(required=(Term((Expression("gpu", "In", ("t4", "a30")),)),))),
            "flavor a100 doesn't match node affinity",
            id="its own required affinity excludes the flavor",
        ),
    ],
)
def test_why_something_can_never_start(pending: Pending, message: str) -> None:
    assert decide([interactive()], [], [pending]).wait == {"a": PREFIX + message}


def test_labels_that_no_flavor_has_are_left_to_the_scheduler() -> None:
    anywhere = Constraints(selector=(("zone", "one"),), required=(Term((Expression("zone", "Exists"),)),))
    assert decide([interactive()], [], [wants("a", constraints=anywhere)]).admit


def test_labels_of_another_flavor_are_not_compared() -> None:
    """Since Kueue 0.19: a flavor without labels takes whoever comes, so that places are told apart by taints."""
    two = queue("interactive", ("any", Quota(1)), ("t4", Quota(1)))
    wanted = Constraints(selector=(("gpu", "t4"),))
    found = cycle([two], {"any": Flavor("any"), "t4": T4}, [], [wants("a", constraints=wanted)])
    assert found.admit == {"a": {GPU: "any"}}


def test_a_taint_of_the_flavor_needs_a_toleration_of_the_pod_or_of_the_flavor() -> None:
    taint = Taint("site", "leonardo", "NoSchedule")
    tainted = Flavor("a100", {}, (taint,))
    found = cycle([interactive()], {"a100": tainted}, [], [wants("a")])
    assert found.wait["a"].endswith("untolerated taint {site leonardo NoSchedule <nil>} in flavor a100")
    tolerant = Constraints(tolerations=(Toleration("site", "Exists"),))
    assert cycle([interactive()], {"a100": tainted}, [], [wants("a", constraints=tolerant)]).admit
    automatic = Flavor("a100", {}, (taint,), (Toleration("site", "Exists"),))
    assert cycle([interactive()], {"a100": automatic}, [], [wants("a")]).admit


def test_the_first_flavor_that_fits_is_taken_and_all_are_named_when_none_does() -> None:
    two = queue("interactive", ("a100", Quota(1)), ("t4", Quota(2)))
    found = decide([two], [], [wants("a", since=1), wants("b", since=2), wants("c", 2, since=3)])
    assert found.admit == {"a": {GPU: "a100"}, "b": {GPU: "t4"}}
    assert found.wait["c"] == (
        f"{PREFIX}insufficient quota for {GPU} in flavor a100, previously considered podsets requests (0)"
        f" + current podset request (2) > maximum capacity (1), "
        f"insufficient unused quota for {GPU} in flavor t4, 1 more needed"
    )


def test_priority_comes_before_age() -> None:
    found = decide([interactive(1)], [], [wants("old", since=1), wants("urgent", since=2, priority=5)])
    assert list(found.admit) == ["urgent"]


def test_with_best_effort_a_small_one_overtakes_and_with_strict_order_it_does_not() -> None:
    line = [wants("big", 4, since=1), wants("small", 1, since=2)]
    held = [holds("s", 2, "interactive")]
    assert list(decide([interactive()], held, line).admit) == ["small"]
    strict = decide([interactive(strict=True)], held, line)
    assert strict.admit == {}
    assert list(strict.wait) == ["big"]


def test_an_inactive_queue_decides_nothing() -> None:
    assert decide([interactive(active=False)], [], [wants("a")]) == Decisions()


def test_idle_quota_is_borrowed_up_to_the_limit() -> None:
    limited = queue("batch", ("a100", Quota(0, borrowing_limit=3)))
    found = decide([interactive(), limited], [], [wants(name, queue="batch") for name in "abcd"])
    assert sorted(found.admit) == ["a", "b", "c"]


def test_a_lending_limit_keeps_room_for_the_owner() -> None:
    keeps = queue("interactive", ("a100", Quota(4, lending_limit=3)))
    found = decide([keeps, batch()], [], [wants(name, queue="batch") for name in "abcd"])
    assert sorted(found.admit) == ["a", "b", "c"]
    assert decide([keeps, batch()], [], [wants("s")]).admit


def test_the_owner_comes_before_the_borrower() -> None:
    found = decide([interactive(1), batch()], [], [wants("job", queue="batch", since=1), wants("s", since=2)])
    assert list(found.admit) == ["s"]


def test_nothing_is_borrowed_outside_of_a_cohort() -> None:
    found = decide([interactive(cohort=""), batch(cohort="")], [], [wants("job", queue="batch")])
    assert "maximum capacity (0)" in found.wait["job"]


def test_the_latest_borrower_gives_way() -> None:
    held = [holds("early", since=1), holds("late", since=2)]
    found = decide([interactive(2), batch()], held, [wants("s")])
    assert found.evict == {"late": "s"}
    assert found.admit == {}
    assert found.wait["s"].endswith("1 more needed. Pending the preemption of 1 workload(s)")


def test_the_lowest_priority_gives_way_first() -> None:
    held = [holds("low", since=1), holds("high", since=2, priority=9)]
    assert decide([interactive(2), batch()], held, [wants("s")]).evict == {"low": "s"}


def test_whoever_is_going_already_is_waited_for_and_not_evicted_again() -> None:
    held = [holds("early", since=1, evicted=True), holds("late", since=2)]
    found = decide([interactive(2), batch()], held, [wants("s")])
    assert found.evict == {}
    assert "Pending the preemption of 1 workload(s)" in found.wait["s"]


def test_two_sessions_evict_two_jobs_and_not_the_same_one_twice() -> None:
    held = [holds("early", since=1), holds("late", since=2)]
    found = decide([interactive(2), batch()], held, [wants("s1", since=3), wants("s2", since=4)])
    assert found.evict == {"late": "s1", "early": "s2"}


def test_no_more_are_evicted_than_needed() -> None:
    held = [holds("small", 1, since=3), holds("large", 2, since=2)]
    found = decide([interactive(3), batch()], held, [wants("s", 2)])
    assert found.evict == {"large": "s"}


def test_what_is_freed_for_a_session_goes_to_no_job_in_the_same_cycle() -> None:
    held = [holds("job", 2, since=1)]
    found = decide([interactive(2), batch()], held, [wants("s", 1, since=3), wants("other", 1, "batch", since=2)])
    assert found.evict == {"job": "s"}
    assert found.admit == {}


def test_what_is_free_but_promised_to_a_session_goes_to_no_job() -> None:
    held = [holds("job", 3, since=1)]
    found = decide([interactive(4), batch()], held, [wants("s", 2, since=3), wants("other", 1, "batch", since=2)])
    assert found.evict == {"job": "s"}
    assert found.wait["other"] == "Workload no longer fits after processing another workload"


@pytest.mark.parametrize(
    ("owner", "held", "pending"),
    [
        pytest.param(interactive(2), [holds("s0", 2, "interactive")], wants("s"), id="a session evicts no session"),
        pytest.param(
            interactive(2, reclaims="Never"), [holds("job", 2)], wants("s"), id="a queue that does not reclaim"
        ),
        pytest.param(
            interactive(2),
            [holds("s0", 1, "interactive"), holds("job", 1)],
            wants("s", 2),
            id="only one's own quota comes back, never more",
        ),
        pytest.param(
            interactive(2, reclaims="LowerPriority"),
            [holds("job", 2, priority=5)],
            wants("s", priority=5),
            id="by priority, equals do not give way",
        ),
    ],
)
def test_nobody_is_evicted(owner: ClusterQueue, held: list[Admitted], pending: Pending) -> None:
    found = decide([owner, batch()], held, [pending])
    assert found.evict == {}
    assert "preemption" not in found.wait["s"]


def test_a_queue_that_uses_its_own_is_not_reclaimed_from() -> None:
    own = queue("batch", ("a100", Quota(2)))
    found = decide([interactive(2), own], [holds("job", 2), holds("s0", 2, "interactive")], [wants("s")])
    assert found.evict == {}


def test_quota_lowered_below_its_use_evicts_nobody_and_admits_nobody() -> None:
    found = decide([interactive(1)], [holds("s0", 3, "interactive")], [wants("s")])
    assert found.evict == {}
    assert "3 more needed" in found.wait["s"]


SIZES = st.integers(1, 3)
WAITING = st.lists(st.tuples(st.sampled_from(["interactive", "batch"]), SIZES, st.integers(0, 2)), max_size=14)
HELD = st.lists(st.tuples(st.sampled_from(["interactive", "batch"]), SIZES), max_size=8)


@given(HELD, WAITING, st.integers(0, 6), st.integers(0, 3))
def test_whatever_waits_the_cohort_is_never_overbooked(
    held: list[tuple[str, int]], waiting: list[tuple[str, int, int]], gpus: int, own: int
) -> None:
    total, used, admitted = gpus + own, 0, []
    for number, (name, size) in enumerate(held):
        if used + size <= total:
            used += size
            admitted.append(holds(f"held{number}", size, name, since=number))
    queues = [interactive(gpus), queue("batch", ("a100", Quota(own)))]
    pending = [wants(f"w{n}", size, name, priority=p, since=n) for n, (name, size, p) in enumerate(waiting)]
    found = decide(queues, admitted, pending)
    size_of = {one.key: one.requests[GPU] for one in pending}
    queue_of = {one.key: one.queue for one in [*pending, *admitted]}
    assert set(found.admit) | set(found.wait) == set(size_of)
    assert not set(found.admit) & set(found.wait)
    assert used + sum(size_of[key] for key in found.admit) <= total, "what is evicted still holds its quota"
    assert {queue_of[key] for key in found.evict} <= {"batch"}
    assert {queue_of[key] for key in found.evict.values()} <= {"interactive"}


@given(st.lists(st.tuples(st.sampled_from(["a", "b"]), st.integers(0, 3), st.booleans()), max_size=30))
def test_the_pool_counts_the_same_step_by_step_as_from_scratch(moves: list[tuple[str, int, bool]]) -> None:
    def fresh() -> list[ClusterQueue]:
        return [
            queue("a", ("a100", Quota(4, lending_limit=2))),
            queue("b", ("a100", Quota(1, borrowing_limit=2))),
        ]

    pool, kept = Pool(fresh()), {"a": 0, "b": 0}
    for name, amount, gives_back in moves:
        change = -min(amount, kept[name]) if gives_back else amount
        kept[name] += change
        pool.use(name, {("a100", GPU): abs(change)}, -1 if change < 0 else 1)
    again = fresh()
    for one in again:
        one.usage = {("a100", GPU): kept[one.name]}
    scratch = Pool(again)
    for name in kept:
        cell: Cell = ("a100", GPU)
        assert pool.available(pool.queues[name], cell) == scratch.available(scratch.queues[name], cell)


def test_a_thousand_waiting_jobs_are_decided_in_one_quick_cycle() -> None:
    found = decide([interactive(20), batch()], [], [wants(f"j{n}", queue="batch", since=n) for n in range(1000)])
    assert len(found.admit) == 20
    assert len(found.wait) == 980


def test_two_small_victims_go_where_both_are_needed() -> None:
    held = [holds("a", 1, since=1), holds("b", 1, since=2), holds("c", 2, since=3)]
    found = decide([interactive(4), batch()], held, [wants("s", 3)])
    assert found.evict == {"c": "s", "b": "s"}


def test_of_several_queues_only_those_that_still_borrow_give_way() -> None:
    owner = interactive(2)
    half = queue("half", ("a100", Quota(1)))
    held = [holds("x", 1, "half", since=9), holds("y", 1, "half", since=8), holds("z", 1, since=1)]
    found = decide([owner, half, batch()], held, [wants("s", 2)])
    assert found.evict == {"x": "s", "z": "s"}, "y runs in its queue's own quota once x has gone"


def test_a_flavor_that_could_be_taken_back_is_preferred_to_one_that_is_too_small() -> None:
    owner = queue("interactive", ("a100", Quota(1)), ("t4", Quota(2)), reclaims="Any")
    lender = queue("lender", ("a100", Quota(1)), ("t4", Quota(0)))
    held = [holds("x", 1, "interactive"), holds("job", 2, "lender", flavor="t4")]
    found = decide([owner, lender], held, [wants("s", 2)])
    assert found.evict == {"job": "s"}
