"""What is free, worked out from nodes and pods."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.cluster_records import node, pod, stranger, taint
from support.small_platform import small_platform

from aiinfn_hub.capacity.inventory import Demand, Stock, count, inventory, shelves
from aiinfn_hub.kube.slim import decode_node

PLATFORM = small_platform()


def t4(nodes: list[Any], pods: list[Any]) -> Stock:
    return inventory(PLATFORM, nodes, pods)["t4"]


@pytest.mark.parametrize(
    ("nodes", "pods", "total", "free"),
    [
        pytest.param([node()], [], 8, 8, id="an empty node is free"),
        pytest.param([node()], [pod()], 8, 7, id="a session takes one"),
        pytest.param([node()], [stranger()], 8, 7, id="a pod of another namespace takes one too"),
        pytest.param(
            [node()], [pod(phase="Succeeded"), pod(phase="Failed")], 8, 8, id="what has finished holds nothing"
        ),
        pytest.param(
            [node()], [pod(node="", phase="Pending")], 8, 7, id="a pod without a node that may start takes one"
        ),
        pytest.param(
            [node()],
            [pod(node="", phase="Pending", gates=("kueue.x-k8s.io/admission",))],
            8,
            8,
            id="a pod that waits in the queue takes none yet",
        ),
        pytest.param(
            [node()],
            [pod(node="", phase="Pending", gates=("aiinfn.infn.it/session", "kueue.x-k8s.io/admission"))],
            8,
            8,
            id="nor does a ticket",
        ),
        pytest.param(
            [node()],
            [pod(node="", phase="Pending", gates=("aiinfn.infn.it/session",))],
            8,
            7,
            id="a ticket that the queue has let in takes one",
        ),
        pytest.param([node(), node("gpu-2")], [pod()] * 2, 16, 14, id="nodes add up"),
        pytest.param([node()], [pod()] * 9, 8, 0, id="free is never less than none"),
        pytest.param([node(ready=False)], [], 0, 0, id="a node that does not answer has none to give"),
        pytest.param([node(unschedulable=True)], [], 0, 0, id="a drained node has none to give"),
        pytest.param([node(product="NVIDIA-A30")], [], 0, 0, id="another model is another flavour"),
        pytest.param([node(taints=(taint("reserved", "atlas"),))], [], 0, 0, id="a node for nobody that there is"),
        pytest.param([node(taints=(taint("other", "cms"),))], [], 0, 0, id="a taint that nothing tolerates"),
        pytest.param([node(allocatable={})], [], 0, 0, id="a node without devices has none"),
    ],
)
def test_units_of_a_flavour(nodes: list[Any], pods: list[Any], total: int, free: int) -> None:
    stock = t4(nodes, pods)
    assert (stock.total, stock.free) == (total, free)


def test_units_on_nodes_that_are_kept_for_an_activity_are_told_apart() -> None:
    nodes = [
        node(),
        node("gpu-2", taints=(taint("reserved", "cms"),)),
        node("gpu-3", taints=(taint("reserved", "cms", "NoExecute"),)),
        node("gpu-4", taints=(taint("reserved", "lhcb"),)),
        node("gpu-5", taints=(taint("reserved", "cms", "PreferNoSchedule"),)),
        node("gpu-6", taints=(taint("reserved", "cms"),), ready=False),
    ]
    stock = t4(nodes, [pod(), pod(node="gpu-2"), pod(node="gpu-2")])
    assert (stock.total, stock.free) == (40, 37)
    assert stock.reserved == {"cms": (16, 14), "lhcb": (8, 8)}
    assert t4([node()], []).reserved == {}


def test_a_silent_node_is_named() -> None:
    assert t4([node(), node("gpu-2", ready=False)], []).silent == ("gpu-2",)


def test_a_taint_that_the_flavour_tolerates_does_not_hide_the_node() -> None:
    sliced = node(
        "gpu-3", "NVIDIA-A100-PCIE-40GB", allocatable={"nvidia.com/mig-1g.5gb": 7}, taints=(taint("nvidia.com/gpu"),)
    )
    labelled = type(sliced)(
        **{f: getattr(sliced, f) for f in sliced.__struct_fields__} | {"labels": sliced.labels | {"zone": "one"}}
    )
    stock = inventory(PLATFORM, [labelled], [pod("a100-1g.5gb", node="gpu-3", requests={"nvidia.com/mig-1g.5gb": 1})])
    assert (stock["a100-1g.5gb"].total, stock["a100-1g.5gb"].free) == (7, 6)
    assert inventory(PLATFORM, [sliced], [])["a100-1g.5gb"].total == 0, "every label of the selector counts"


def test_a_flavour_without_accelerator_counts_cores_of_every_node() -> None:
    stock = inventory(PLATFORM, [node(), node("cpu-1", "", allocatable={})], [pod()])["cpu"]
    assert (stock.total, stock.free, stock.unit) == (128, 126, "core")


def test_one_resource_on_two_models_is_told_apart_by_the_node() -> None:
    nodes = [node(), node("far-1", labels={"site": "far"}, allocatable={"nvidia.com/gpu": 2})]
    found = inventory(PLATFORM, nodes, [pod("far", node="far-1"), pod("t4", node="", phase="Pending")])
    assert (found["far"].free, found["t4"].free) == (1, 7)


@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=4),
    st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 3), st.sampled_from(["Running", "Pending", "Failed"])), max_size=12
    ),
)
def test_free_lies_between_none_and_all(devices: list[int], wanted: list[tuple[int, int, str]]) -> None:
    nodes = [node(f"n{i}", allocatable={"nvidia.com/gpu": amount}) for i, amount in enumerate(devices)]
    pods = [
        pod(node=f"n{where}" if where < len(devices) else "", phase=phase, requests={"nvidia.com/gpu": amount})
        for where, amount, phase in wanted
    ]
    stock = t4(nodes, pods)
    assert 0 <= stock.free <= stock.total == sum(devices)


_STATES = st.fixed_dictionaries(
    {
        "node": st.sampled_from(["", "gpu-1", "gpu-2", "elsewhere"]),
        "phase": st.sampled_from(["Pending", "Running", "Failed"]),
        "gates": st.sampled_from([(), ("aiinfn.infn.it/session",), ("kueue.x-k8s.io/admission",)]),
        "labels": st.sampled_from([{}, {"aiinfn.infn.it/flavour": "t4"}, {"aiinfn.infn.it/flavour": "far"}]),
        "requests": st.fixed_dictionaries({"nvidia.com/gpu": st.integers(0, 3)}),
    }
)


@given(st.lists(st.tuples(st.integers(0, 4), st.none() | _STATES), max_size=30))
def test_counting_by_differences_is_counting_anew(changes: list[tuple[int, dict[str, Any] | None]]) -> None:
    """Pods come, change and go; None is the end of one, of which a watch may tell twice."""
    demand, pods = Demand(), dict[int, Any]()
    where = shelves(PLATFORM, [node(), node("gpu-2")])
    for number, state in changes:
        before = pods.pop(number, None)
        if state is not None:
            pods[number] = pod(uid=f"uid-{number}", **state)
        demand.change(pods.get(number), before)
        assert count(where, demand) == count(where, Demand(pods.values()))


@pytest.mark.parametrize(
    ("labels", "neighbours"),
    [
        pytest.param({}, 0, id="no label"),
        pytest.param({"nvidia.com/gpu.replicas": "4"}, 3, id="offered four times"),
        pytest.param({"nvidia.com/gpu.replicas": "1"}, 0, id="offered once"),
        pytest.param({"nvidia.com/gpu.replicas": "many"}, 0, id="what is no number"),
        pytest.param({"nvidia.com/mig-1g.5gb.replicas": "4"}, 0, id="slices are another resource"),
    ],
)
def test_who_shares_a_device_in_turns_is_said(labels: dict[str, str], neighbours: int) -> None:
    shared = node("gpu-2", labels={"nvidia.com/gpu.product": "Tesla-T4"} | labels)
    assert t4([node(), shared], []).neighbours == neighbours


TORCH, ROOT = (image.ref for image in PLATFORM.images[:2])


@pytest.mark.parametrize(
    ("nodes", "images"),
    [
        pytest.param([node()], {}, id="nodes that do not say what they have"),
        pytest.param([node(images={TORCH: 7}), node("gpu-2")], {"pytorch": (1, 7), "root": (0, 0)}, id="on one"),
        pytest.param([node(images={"docker.io/x:1": 5})], {"pytorch": (0, 0), "root": (0, 0)}, id="only others"),
        pytest.param(
            [node(images={TORCH: 7}, unschedulable=True), node("gpu-2", images={"x:1": 1})],
            {"pytorch": (0, 7), "root": (0, 0)},
            id="a drained node has it for nobody, and knows its size",
        ),
        pytest.param([node(product="NVIDIA-A30", images={TORCH: 7})], {}, id="on nodes of another flavour"),
    ],
)
def test_where_the_images_of_the_list_are(nodes: list[Any], images: dict[str, tuple[int, int]]) -> None:
    found = t4(nodes, []).images
    assert {name: where for name, where in found.items() if name in ("pytorch", "root")} == images


def test_the_images_of_a_node_as_kubernetes_lists_them() -> None:
    names = [f"ghcr.io/infn/root@sha256:{'ab' * 32}", "ghcr.io/infn/root:6"]
    status = {"images": [{"names": names, "sizeBytes": 42}, {"names": None, "sizeBytes": 1}]}
    assert decode_node(json.dumps({"metadata": {"name": "n"}, "status": status}).encode()).images == dict.fromkeys(
        names, 42
    )
