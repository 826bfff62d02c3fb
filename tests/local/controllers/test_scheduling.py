"""The scheduler's rules as tables; the words are kube-scheduler's."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.kubefake import a_node, a_pod, raw

from aiinfn_hub.kube.slim import decode_node
from aiinfn_hub.local.controllers.bookings import Bookings
from aiinfn_hub.local.controllers.constraints import Claimant, Expression, decode_claimant, holds
from aiinfn_hub.local.controllers.scheduling import NodeView, Unschedulable, place, refusal

PREFIX, SUFFIX = "0/{n} nodes are available: ", ". no new claims to deallocate, preemption: 0/{n} nodes are available: "
HOPELESS, VICTIMS = "Preemption is not helpful for scheduling", "No preemption victims found for incoming pod"


def view(name: str = "n1", *, used: dict[str, int] | None = None, **node: Any) -> NodeView:
    return NodeView(decode_node(raw(a_node(name, **node))), used or {})


def claimant(name: str = "p", **spec: Any) -> Claimant:
    pod = a_pod(name, **spec)
    pod["metadata"]["uid"] = f"uid-{name}"
    return decode_claimant(raw(pod))


def required(*expressions: dict[str, Any]) -> dict[str, Any]:
    """Required affinity with one term."""
    terms = [{"matchExpressions": list(expressions)}]
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}


def preferred(weight: int, key: str, operator: str, *values: str) -> dict[str, Any]:
    term = {"matchExpressions": [{"key": key, "operator": operator, "values": list(values)}]}
    wishes = [{"weight": weight, "preference": term}]
    return {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": wishes}}


@pytest.mark.parametrize(
    ("found", "operator", "values", "answer"),
    [
        pytest.param("a", "In", ["a", "b"], True, id="In: one of them"),
        pytest.param("c", "In", ["a", "b"], False, id="In: none of them"),
        pytest.param(None, "In", ["a"], False, id="In: an absent label is in nothing"),
        pytest.param("c", "NotIn", ["a"], True, id="NotIn: another one"),
        pytest.param("a", "NotIn", ["a"], False, id="NotIn: one of them"),
        pytest.param(None, "NotIn", ["a"], True, id="NotIn: an absent label is not in it"),
        pytest.param("", "Exists", [], True, id="Exists: an empty value is there"),
        pytest.param(None, "Exists", [], False, id="Exists: absent"),
        pytest.param(None, "DoesNotExist", [], True, id="DoesNotExist: absent"),
        pytest.param("a", "DoesNotExist", [], False, id="DoesNotExist: there"),
        pytest.param("41", "Gt", ["40"], True, id="Gt: more"),
        pytest.param("40", "Gt", ["40"], False, id="Gt: as many"),
        pytest.param("39", "Lt", ["40"], True, id="Lt: less"),
        pytest.param("9", "Lt", ["40"], True, id="Lt: as numbers, not as text"),
        pytest.param("many", "Gt", ["40"], False, id="Gt: a label that is no number"),
        pytest.param(None, "Lt", ["40"], False, id="Lt: absent"),
        pytest.param("41", "Gt", ["40", "50"], False, id="Gt: takes one value"),
        pytest.param("a", "Like", ["a"], False, id="an unknown operator matches nothing"),
    ],
)
def test_expressions(found: str | None, operator: str, values: list[str], *, answer: bool) -> None:
    assert holds(found, Expression("key", operator, tuple(values))) is answer


TAINT = {"key": "virtual-node", "value": "slurm", "effect": "NoSchedule"}


@pytest.mark.parametrize(
    ("spec", "node", "reasons"),
    [
        pytest.param({}, {}, (), id="a small pod fits an empty node"),
        pytest.param({"cpu": "9"}, {}, ("Insufficient cpu",), id="more CPU than there is"),
        pytest.param({"gpu": 1}, {}, ("Insufficient nvidia.com/gpu",), id="a resource that the node does not have"),
        pytest.param(
            {"cpu": "9", "memory": "17Gi"}, {}, ("Insufficient cpu", "Insufficient memory"), id="both are named"
        ),
        pytest.param({"cpu": "8", "memory": "16Gi"}, {}, (), id="exactly as much as there is"),
        pytest.param({}, {"pods": 0}, ("Too many pods",), id="no place for another pod"),
        pytest.param({}, {"unschedulable": True}, ("node(s) were unschedulable",), id="a cordoned node"),
        pytest.param(
            {"tolerations": [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]},
            {"unschedulable": True},
            (),
            id="a cordon can be tolerated",
        ),
        pytest.param({}, {"taints": [TAINT]}, ("node(s) had untolerated taint(s)",), id="a taint"),
        pytest.param(
            {"tolerations": [{"key": "virtual-node", "operator": "Exists"}]}, {"taints": [TAINT]}, (), id="Exists"
        ),
        pytest.param({"tolerations": [{"key": "virtual-node", "value": "slurm"}]}, {"taints": [TAINT]}, (), id="Equal"),
        pytest.param(
            {"tolerations": [{"key": "virtual-node", "value": "condor"}]},
            {"taints": [TAINT]},
            ("node(s) had untolerated taint(s)",),
            id="another value is not tolerated",
        ),
        pytest.param(
            {"tolerations": [{"key": "virtual-node", "operator": "Exists", "effect": "NoExecute"}]},
            {"taints": [TAINT]},
            ("node(s) had untolerated taint(s)",),
            id="another effect is not tolerated",
        ),
        pytest.param({"tolerations": [{"operator": "Exists"}]}, {"taints": [TAINT]}, (), id="everything is tolerated"),
        pytest.param({}, {"taints": [TAINT | {"effect": "PreferNoSchedule"}]}, (), id="a soft taint keeps nobody away"),
        pytest.param({"nodeSelector": {"gpu": "a100"}}, {"labels": {"gpu": "a100"}}, (), id="the selector matches"),
        pytest.param(
            {"nodeSelector": {"gpu": "a100"}},
            {"labels": {"gpu": "t4"}},
            ("node(s) didn't match Pod's node affinity/selector",),
            id="the selector does not match",
        ),
        pytest.param(
            {"affinity": required({"key": "gpu", "operator": "In", "values": ["a100", "a30"]})},
            {"labels": {"gpu": "a30"}},
            (),
            id="required affinity matches",
        ),
        pytest.param(
            {"affinity": required({"key": "gpu", "operator": "Exists"}, {"key": "zone", "operator": "Exists"})},
            {"labels": {"gpu": "a30"}},
            ("node(s) didn't match Pod's node affinity/selector",),
            id="all expressions of a term must hold",
        ),
        pytest.param(
            {"affinity": required()},
            {},
            ("node(s) didn't match Pod's node affinity/selector",),
            id="an empty term matches nothing",
        ),
        pytest.param(
            {"affinity": preferred(10, "gpu", "Exists")}, {}, (), id="a preference that fails keeps nobody away"
        ),
        pytest.param(
            {"cpu": "9", "nodeSelector": {"gpu": "a100"}},
            {"taints": [TAINT]},
            ("node(s) had untolerated taint(s)",),
            id="the first filter that refuses is the reason",
        ),
    ],
)
def test_filters(spec: dict[str, Any], node: dict[str, Any], reasons: tuple[str, ...]) -> None:
    no = refusal(claimant(**spec).constraints, view(**node))
    assert (no.reasons if no else ()) == reasons


def test_init_containers_count_with_their_maximum() -> None:
    small, large = {"requests": {"cpu": "1"}}, {"requests": {"cpu": "9"}}
    pod = claimant(initContainers=[{"name": "i", "resources": small}, {"name": "j", "resources": large}])
    assert dict(pod.constraints.requests)["cpu"] == 9000


def test_the_sentence_counts_reasons_and_says_whether_waiting_helps() -> None:
    views = [
        view("n1", taints=[TAINT]),
        view("n2", gpu=1, used={"nvidia.com/gpu": 1}),
        view("n3", gpu=1, used={"nvidia.com/gpu": 1}),
        view("n4"),
    ]
    found = place(claimant(gpu=1).constraints, views)
    assert isinstance(found, Unschedulable)
    assert found.message == (
        "0/4 nodes are available: 1 node(s) had untolerated taint(s), 3 Insufficient nvidia.com/gpu. "
        "no new claims to deallocate, preemption: 0/4 nodes are available: "
        f"2 {VICTIMS}, 2 {HOPELESS}."
    )


def test_without_nodes_the_sentence_is_short() -> None:
    assert place(claimant().constraints, []) == Unschedulable("no nodes available to schedule pods")


def choice(pod: Claimant, *views: NodeView) -> str:
    found = place(pod.constraints, views)
    assert isinstance(found, NodeView)
    return found.node.name


def test_the_emptier_node_is_taken() -> None:
    assert choice(claimant(), view("a", used={"cpu": 4000}), view("b")) == "b"


def test_of_equal_nodes_the_first_by_name_is_taken() -> None:
    assert choice(claimant(), view("b"), view("a")) == "a"


def test_a_preference_outweighs_room() -> None:
    pod = claimant(affinity=preferred(1, "gpu", "DoesNotExist"))
    assert choice(pod, view("a", labels={"gpu": "t4"}), view("b", used={"cpu": 7000})) == "b"


def test_a_soft_taint_outweighs_a_preference() -> None:
    pod = claimant(affinity=preferred(1, "disk", "Exists"))
    avoided = view("a", labels={"disk": "fast"}, taints=[TAINT | {"effect": "PreferNoSchedule"}])
    assert choice(pod, avoided, view("b")) == "b"


AMOUNTS = st.integers(0, 4)


@given(st.lists(st.tuples(AMOUNTS, st.sampled_from(["place", "finish", "delete"])), max_size=60))
def test_bookings_never_exceed_a_node_and_return_to_nothing(moves: list[tuple[int, str]]) -> None:
    bookings = Bookings()
    for name in ("a", "b"):
        bookings.set_node(decode_node(raw(a_node(name, gpu=4))))
    live: list[Claimant] = []
    for number, (amount, move) in enumerate(moves):
        if move == "place":
            pod = claimant(f"p{number}", gpu=amount, cpu="0")
            found = place(pod.constraints, list(bookings.views.values()))
            if isinstance(found, NodeView):
                bookings.book(pod.pod, found.node.name)
                live.append(pod)
        elif live:
            bookings.cancel(live.pop(0).uid)
        assert all(one.free("nvidia.com/gpu") >= 0 for one in bookings.views.values())
    for pod in live:
        bookings.cancel(pod.uid)
    assert all(one.pods == 0 and not any(one.used.values()) for one in bookings.views.values())


def test_old_news_of_a_pod_do_not_undo_its_booking() -> None:
    bookings = Bookings()
    bookings.set_node(decode_node(raw(a_node("a", gpu=1))))
    pod = claimant(gpu=1).pod
    bookings.book(pod, "a")
    assert bookings.see(pod) is False  # as it was before the binding
    assert bookings.views["a"].free("nvidia.com/gpu") == 0


def test_pods_are_known_before_their_node_is() -> None:
    bookings = Bookings()
    bound = a_pod("p", gpu=1, nodeName="late")
    bound["metadata"]["uid"] = "u"
    bookings.see(decode_claimant(raw(bound)).pod)
    bookings.set_node(decode_node(raw(a_node("late", gpu=1))))
    assert bookings.views["late"].free("nvidia.com/gpu") == 0


def test_a_node_that_comes_back_still_holds_its_pods() -> None:
    bookings = Bookings()
    node = decode_node(raw(a_node("a", gpu=2)))
    bookings.set_node(node)
    bookings.book(claimant(gpu=1).pod, "a")
    bookings.remove_node("a")
    assert bookings.views == {}
    bookings.set_node(node)
    assert bookings.views["a"].free("nvidia.com/gpu") == 1


def test_a_pod_that_is_booked_again_holds_one_place_only() -> None:
    bookings = Bookings()
    for name in ("a", "b"):
        bookings.set_node(decode_node(raw(a_node(name, gpu=1))))
    pod = claimant(gpu=1).pod
    bookings.book(pod, "a")
    bookings.book(pod, "b")
    assert [bookings.views[name].free("nvidia.com/gpu") for name in ("a", "b")] == [1, 0]
    assert bookings.where(pod.uid) == "b"


@pytest.mark.parametrize(
    ("spec", "used", "hope"),
    [
        pytest.param({"cpu": "2"}, {"cpu": 7000}, VICTIMS, id="room that others hold may come back"),
        pytest.param({"cpu": "9"}, {}, HOPELESS, id="room that never was does not come"),
        pytest.param(
            {"cpu": "9", "memory": "2Gi"},
            {"memory": 15 * 2**30},
            HOPELESS,
            id="one resource that never comes is enough",
        ),
    ],
)
def test_whether_waiting_helps(spec: dict[str, Any], used: dict[str, int], hope: str) -> None:
    found = place(claimant(**spec).constraints, [view(used=used)])
    assert isinstance(found, Unschedulable)
    assert found.message.endswith(f"preemption: 0/1 nodes are available: 1 {hope}.")


def test_names_of_nodes_can_be_asked_for_as_fields() -> None:
    term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["b"]}]}
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}}
    assert choice(claimant(affinity=affinity), view("a"), view("b"), view("c")) == "b"


def test_terms_are_alternatives() -> None:
    terms = [{"matchExpressions": [{"key": "gpu", "operator": "In", "values": [name]}]} for name in ("t4", "a30")]
    affinity = {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}
    assert choice(claimant(affinity=affinity), view("a"), view("b", labels={"gpu": "a30"})) == "b"


def test_the_weights_of_preferences_add_up() -> None:
    def wish(weight: int, label: str) -> dict[str, Any]:
        return {"weight": weight, "preference": {"matchExpressions": [{"key": label, "operator": "Exists"}]}}

    wishes = [wish(1, "x"), wish(1, "y"), wish(3, "z")]
    pod = claimant(affinity={"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": wishes}})
    assert choice(pod, view("a", labels={"x": "", "y": ""}), view("b", labels={"z": ""})) == "b"
    assert choice(pod, view("a", labels={"x": "", "y": "", "z": ""}), view("b", labels={"z": ""})) == "a"
