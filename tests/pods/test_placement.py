from __future__ import annotations

from typing import Any

import pytest
from support.small_platform import FLAVOURS, small_platform

from aiinfn_hub.catalogue import Site
from aiinfn_hub.pods.placement import ACCELERATOR_LABELS, PLACE, placement

REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"

HERE = {"key": PLACE, "operator": "Equal", "value": "local", "effect": "NoSchedule"}


def expressions(found: dict[str, Any]) -> dict[str, list[str]]:
    """Label -> values of the only required term."""
    (term,) = found["affinity"]["nodeAffinity"][REQUIRED]["nodeSelectorTerms"]
    assert all(expression["operator"] == "In" for expression in term["matchExpressions"])
    return {expression["key"]: expression["values"] for expression in term["matchExpressions"]}


def test_the_accelerator_that_was_chosen_is_required() -> None:
    found = placement(small_platform().flavour("t4"))
    assert expressions(found) == {"nvidia.com/gpu.product": ["Tesla-T4"]}
    assert PREFERRED not in found["affinity"]["nodeAffinity"]


def test_every_label_of_a_selector_must_match_in_one_term() -> None:
    # Terms are alternatives in Kubernetes: two of them would let a T4 in zone one pass for an A100.
    found = expressions(placement(small_platform().flavour("a100-1g.5gb")))
    assert found == {"nvidia.com/gpu.product": ["NVIDIA-A100-PCIE-40GB"], "zone": ["one"]}


def test_a_flavour_without_accelerator_only_prefers_plain_nodes() -> None:
    affinity = placement(small_platform().flavour("cpu"))["affinity"]["nodeAffinity"]
    (preference,) = affinity[PREFERRED]
    assert REQUIRED not in affinity
    assert {(e["key"], e["operator"]) for e in preference["preference"]["matchExpressions"]} == {
        (label, "DoesNotExist") for label in ACCELERATOR_LABELS
    }


def test_a_flavour_without_any_selector_at_a_site_has_no_affinity() -> None:
    platform = small_platform()
    bare = platform.site("leonardo").model_copy(update={"node_selector": {}})
    assert "affinity" not in placement(platform.flavour("cpu"), bare)


def test_a_site_adds_its_selector_and_its_tolerations() -> None:
    platform = small_platform()
    found = placement(platform.flavour("a100-1g.5gb"), platform.site("leonardo"))
    assert expressions(found)["kubernetes.io/hostname"] == ["vk-leonardo"]
    assert found["tolerations"] == [
        {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},
        {"key": "virtual-node.interlink/no-schedule", "operator": "Exists", "effect": "NoSchedule"},
        {"key": PLACE, "operator": "Equal", "value": "leonardo", "effect": "NoSchedule"},
    ]


@pytest.mark.parametrize(
    ("site", "value"),
    [
        pytest.param(None, "local", id="a session"),
        pytest.param({"name": "cluster", "title": "This cluster"}, "local", id="the cluster under another name"),
        pytest.param({"name": "leonardo", "kind": "interlink", "title": "Leonardo"}, "leonardo", id="a virtual node"),
    ],
)
def test_a_pod_tells_kueue_the_place_where_it_goes_and_no_other(site: dict[str, str] | None, value: str) -> None:
    found = placement(small_platform().flavour("t4"), Site(**site) if site else None)
    assert [t for t in found["tolerations"] if t["key"] == PLACE] == [
        {"key": PLACE, "operator": "Equal", "value": value, "effect": "NoSchedule"}
    ]


@pytest.mark.parametrize(
    ("toleration", "expected"),
    [
        pytest.param({"key": "a"}, {"key": "a", "operator": "Exists"}, id="any value, any effect"),
        pytest.param(
            {"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute"},
            {"key": "a", "operator": "Equal", "value": "b", "effect": "NoExecute"},
            id="one value, one effect",
        ),
    ],
)
def test_a_toleration_says_no_more_than_the_catalogue(toleration: dict[str, str], expected: dict[str, str]) -> None:
    platform = small_platform(flavours=[FLAVOURS[0] | {"tolerations": [toleration, toleration]}])
    assert placement(platform.flavour("cpu"))["tolerations"] == [expected, HERE]


def test_nodes_that_are_kept_for_the_activity_take_its_pods_on_the_cluster_only() -> None:
    mine = {"key": "reserved", "operator": "Equal", "value": "lhcb"}
    platform = small_platform()
    cpu = platform.flavour("cpu")
    assert mine in placement(cpu, activity="lhcb")["tolerations"]
    assert mine in placement(cpu, platform.site("here"), "lhcb")["tolerations"]
    assert mine not in placement(cpu, platform.site("leonardo"), "lhcb")["tolerations"]
    assert not any(one["key"] == "reserved" for one in placement(cpu)["tolerations"])


def test_callers_do_not_share_what_they_get() -> None:
    flavour = small_platform().flavour("cpu")
    placement(flavour)["affinity"]["nodeAffinity"][PREFERRED].clear()
    assert placement(flavour)["affinity"]["nodeAffinity"][PREFERRED]
