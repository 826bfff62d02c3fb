"""Selectors, names and rights of the facts."""

from __future__ import annotations

from typing import Any

import pytest

from aiinfn_hub.install.doctor.facts import SOURCES, Facts, Named, Unread, at, named, selects
from aiinfn_hub.install.doctor.rights_checks import granted

LABELS = {"a": "1", "b": "2"}


def expression(operator: str, key: str, *values: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": operator, **({"values": list(values)} if values else {})}]}


@pytest.mark.parametrize(
    ("selector", "taken"),
    [
        ({}, True),
        ({"matchLabels": {"a": "1"}}, True),
        ({"matchLabels": {"a": "2"}}, False),
        ({"matchLabels": {"c": "1"}}, False),
        (expression("In", "a", "1", "9"), True),
        (expression("In", "c", "1"), False),
        (expression("NotIn", "a", "9"), True),
        (expression("NotIn", "a", "1"), False),
        (expression("NotIn", "c", "1"), True),
        (expression("Exists", "a"), True),
        (expression("Exists", "c"), False),
        (expression("DoesNotExist", "c"), True),
        (expression("DoesNotExist", "a"), False),
        ({"matchLabels": {"a": "1"}, **expression("Exists", "c")}, False),
        ({"matchLabels": None, "matchExpressions": None}, True),
    ],
    ids=str,
)
def test_a_selector_takes_labels_as_kubernetes_does(selector: dict[str, Any], taken: bool) -> None:
    assert selects(selector, LABELS) is taken


def test_a_value_that_is_not_there_is_none() -> None:
    assert at({"a": {"b": 1}}, "a", "b") == 1
    assert at({"a": None}, "a", "b") is None
    assert at({"a": [1]}, "a", "b") is None


def test_an_object_is_named_for_people_and_for_kubectl() -> None:
    cluster = named("ClusterQueue", {"metadata": {"name": "batch"}})
    assert (str(cluster), cluster.kubectl("get")) == ("ClusterQueue batch", "kubectl get clusterqueue batch")
    inside = Named("Pod", "p", "aiinfn")
    assert (str(inside), inside.kubectl("delete")) == ("Pod aiinfn/p", "kubectl --namespace aiinfn delete pod p")


def test_rights_are_single_ones() -> None:
    rules = [
        {"apiGroups": [""], "resources": ["pods", "secrets"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get"], "resourceNames": ["leonardo"]},
        {"nonResourceURLs": ["/metrics"], "verbs": ["get"]},
    ]
    assert granted({"rules": rules}) == {
        ("", "pods", "get", ""),
        ("", "secrets", "get", ""),
        ("", "nodes", "get", "leonardo"),
    }
    assert granted({"rules": None}) == set()


def test_an_unread_part_has_no_objects() -> None:
    facts = Facts(now=0, parts={"nodes": Unread("forbidden"), "pods": [{}]})
    assert (facts.of("nodes"), facts.of("pods"), facts.of("jobs")) == ((), [{}], ())
    assert (facts.namespace, facts.system_namespace) == ("aiinfn", "aiinfn-system")


def test_nothing_secret_is_read() -> None:
    assert not {"secrets", "serviceaccounts/token"} & {source.kind.plural for source in SOURCES.values()}
