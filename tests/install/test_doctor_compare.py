"""What is different between what was rendered and what the cluster has."""

from __future__ import annotations

from typing import Any

import pytest

from aiinfn_hub.install.doctor.compare import differences, specs

SAME: dict[str, tuple[Any, Any]] = {
    "the same": ({"a": [1, {"b": "c"}]}, {"a": [1, {"b": "c"}]}),
    "cores": ({"q": "2"}, {"q": "2000m"}),
    "bytes": ({"q": "4Ti"}, {"q": "4096Gi"}),
    "a number": ({"q": "8"}, {"q": 8}),
    "an empty list that is not stored": ({"spec": {"ingress": []}}, {"spec": {}}),
    "null": ({}, {"a": None}),
    "a default of Kueue": ({"spec": {}}, {"spec": {"stopPolicy": "None"}}),
    "a default inside a list": (
        {"spec": {"matchConstraints": {"resourceRules": [{}]}}},
        {"spec": {"matchConstraints": {"resourceRules": [{"scope": "*"}]}}},
    ),
}


@pytest.mark.parametrize(("wanted", "found"), SAME.values(), ids=SAME)
def test_other_words_for_the_same_are_no_difference(wanted: Any, found: Any) -> None:
    assert list(differences(wanted, found)) == []


DIFFERENT: dict[str, tuple[Any, Any, list[str]]] = {
    "a value": ({"a": {"b": "x"}}, {"a": {"b": "y"}}, ["a.b is y, rendered x"]),
    "an amount": ({"q": "2"}, {"q": "2Gi"}, ["q is 2Gi, rendered 2"]),
    "a key too few": ({"a": "x"}, {}, ["a is absent, rendered x"]),
    "a key too many": ({}, {"a/b": "x"}, ['["a/b"] is x, rendered absent']),
    "not the default": ({"spec": {}}, {"spec": {"stopPolicy": "Hold"}}, ["spec.stopPolicy is Hold, rendered absent"]),
    "items too many, from the end": (
        {"a": [1]},
        {"a": [1, 2, 3]},
        ["a[2] is 3, rendered absent", "a[1] is 2, rendered absent"],
    ),
    "an item that means everything": ({"a": []}, {"a": [{}]}, ["a[0] is {}, rendered absent"]),
    "an item too few": ({"a": [{}]}, {"a": []}, ["a[0] is absent, rendered {}"]),
    "a list for a text": ({"a": "x"}, {"a": ["x"]}, ["a is ['x'], rendered x"]),
    "true is not 1": ({"a": "true"}, {"a": True}, ["a is True, rendered true"]),
    "a long text": ({"a": ""}, {"a": "x\n" * 60}, [f"a is {'x ' * 29}x…, rendered "]),
}


@pytest.mark.parametrize(("wanted", "found", "told"), DIFFERENT.values(), ids=DIFFERENT)
def test_a_difference_is_told_by_its_field(wanted: Any, found: Any, told: list[str]) -> None:
    assert [str(one) for one in differences(wanted, found)] == told


def test_only_the_keys_that_are_ours_are_compared() -> None:
    wanted, found = {"metadata": {"name": "a"}, "spec": {"x": 1}}, {"metadata": {"name": "b"}, "spec": {"x": 2}}
    assert [one.path for one in specs(wanted, found)] == [("spec", "x")]
    assert specs(wanted, found, ("status",)) == []


def test_a_path_is_a_json_pointer() -> None:
    (one,) = differences({}, {"a/b": {"c~d": 1}} | {})
    assert one.pointer == "/a~1b"
    (inner,) = differences({"a/b": {}}, {"a/b": {"c~d": 1}})
    assert inner.pointer == "/a~1b/c~0d"
