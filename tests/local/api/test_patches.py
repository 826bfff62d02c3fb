"""Merge, JSON and strategic merge patches: examples of the standards and of Kubernetes, and laws."""

from __future__ import annotations

import copy
import json
from importlib import resources
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.local.api import patches
from aiinfn_hub.local.api.strategic import MERGE_KEYS, UNITED, strategic

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("abc", max_size=2),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text("abc", max_size=2), children, max_size=3),
    max_leaves=12,
)
OBJECTS = st.dictionaries(st.text("abc", max_size=2), JSON, max_size=4)


def without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_nulls(item) for key, item in value.items() if item is not None}
    return value


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        # The table of RFC 7396, appendix A.
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merge_patch_does_what_the_rfc_says(document: Any, patch: Any, result: Any) -> None:
    assert patches.merge(document, patch) == result


@given(JSON, OBJECTS)
def test_a_merge_patch_applied_twice_is_applied_once(document: Any, patch: Any) -> None:
    once = patches.merge(copy.deepcopy(document), patch)
    assert patches.merge(copy.deepcopy(once), patch) == once


@given(OBJECTS)
def test_an_empty_merge_patch_changes_nothing(document: Any) -> None:
    assert patches.merge(copy.deepcopy(document), {}) == document


@given(OBJECTS)
def test_a_patch_on_nothing_gives_the_patch_without_its_nulls(patch: Any) -> None:
    assert patches.merge(None, patch) == without_nulls(patch)


@given(OBJECTS, OBJECTS, OBJECTS)
def test_merge_patches_compose(document: Any, first: Any, second: Any) -> None:
    """What a patch names last is what counts: applying both is applying the second over the first."""
    both = patches.merge(patches.merge(copy.deepcopy(document), first), second)
    for key, value in second.items():
        assert key not in both if value is None else key in both
        if not isinstance(value, dict | None):
            assert both[key] == value


@given(OBJECTS, OBJECTS)
def test_a_merge_patch_leaves_what_it_does_not_name(document: Any, patch: Any) -> None:
    merged = patches.merge(copy.deepcopy(document), patch)
    assert all(merged[key] == value for key, value in document.items() if key not in patch)


def test_a_json_patch_is_applied_in_order() -> None:
    operations = [
        {"op": "test", "path": "/a", "value": 1},
        {"op": "replace", "path": "/a", "value": 2},
        {"op": "add", "path": "/b", "value": []},
        {"op": "add", "path": "/b/-", "value": "x"},
        {"op": "copy", "from": "/b/0", "path": "/m~1n"},
        {"op": "remove", "path": "/c"},
    ]
    assert patches.json_patch({"a": 1, "c": 3}, operations) == {"a": 2, "b": ["x"], "m/n": "x"}


@pytest.mark.parametrize(
    "operations",
    [
        pytest.param([{"op": "test", "path": "/a", "value": 2}], id="a test that fails"),
        pytest.param([{"op": "remove", "path": "/x"}], id="removing what is not there"),
        pytest.param([{"op": "replace", "path": "/x/y", "value": 1}], id="a path into nothing"),
        pytest.param([{"op": "jump", "path": "/a"}], id="an unknown operation"),
        pytest.param([{"path": "/a"}], id="no operation"),
        pytest.param(["remove"], id="not an object"),
        pytest.param({"op": "remove", "path": "/a"}, id="not a list"),
        pytest.param([{"op": "add", "path": "no-slash", "value": 1}], id="a path without slash"),
    ],
)
def test_a_json_patch_that_does_not_fit_is_refused(operations: Any) -> None:
    with pytest.raises(InvalidInput):
        patches.json_patch({"a": 1}, operations)


def spec(**fields: Any) -> dict[str, Any]:
    return {"spec": fields}


@pytest.mark.parametrize(
    ("document", "patch", "result"),
    [
        pytest.param(
            spec(containers=[{"name": "a", "image": "1"}, {"name": "b"}]),
            spec(containers=[{"name": "a", "image": "2"}]),
            spec(containers=[{"name": "a", "image": "2"}, {"name": "b"}]),
            id="containers are merged by name",
        ),
        pytest.param(
            spec(containers=[{"name": "a", "env": [{"name": "X", "value": "1"}]}]),
            spec(containers=[{"name": "a", "env": [{"name": "Y", "value": "2"}]}]),
            spec(containers=[{"name": "a", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}]}]),
            id="and what they hold too",
        ),
        pytest.param(
            spec(containers=[{"name": "a"}, {"name": "b"}]),
            spec(containers=[{"name": "a", "$patch": "delete"}]),
            spec(containers=[{"name": "b"}]),
            id="an entry is deleted by directive",
        ),
        pytest.param(
            spec(containers=[{"name": "a"}, {"name": "b"}]),
            spec(containers=[{"$patch": "replace"}, {"name": "c"}]),
            spec(containers=[{"name": "c"}]),
            id="a list is replaced by directive",
        ),
        pytest.param(
            spec(securityContext={"runAsUser": 1, "fsGroup": 2}),
            spec(securityContext={"$patch": "replace", "fsGroup": 3}),
            spec(securityContext={"fsGroup": 3}),
            id="a map is replaced by directive",
        ),
        pytest.param(
            spec(securityContext={"runAsUser": 1}, x=1),
            spec(securityContext={"$patch": "delete"}),
            spec(x=1),
            id="a map is deleted by directive",
        ),
        pytest.param(
            spec(tolerations=[{"key": "a"}]),
            spec(tolerations=[{"key": "b"}]),
            spec(tolerations=[{"key": "b"}]),
            id="tolerations are replaced, as in the real one",
        ),
        pytest.param(
            spec(containers=[{"name": "a", "args": ["x"]}]),
            spec(containers=[{"name": "a", "args": ["y"]}]),
            spec(containers=[{"name": "a", "args": ["y"]}]),
            id="plain lists are replaced",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"finalizers": ["b", "c"]}},
            {"metadata": {"finalizers": ["a", "b", "c"]}},
            id="finalizers are united",
        ),
        pytest.param(
            {"metadata": {"finalizers": ["a", "b"]}},
            {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"]}},
            {"metadata": {"finalizers": ["b"]}},
            id="and taken away by directive",
        ),
        pytest.param(
            {"metadata": {"ownerReferences": [{"uid": "1", "name": "x"}]}},
            {"metadata": {"ownerReferences": [{"uid": "2", "name": "y"}]}},
            {"metadata": {"ownerReferences": [{"uid": "2", "name": "y"}, {"uid": "1", "name": "x"}]}},
            id="owners are merged by uid",
        ),
        pytest.param(
            {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "r"}]}},
            {"status": {"conditions": [{"type": "Ready", "status": "True"}, {"type": "New", "status": "True"}]}},
            {
                "status": {
                    "conditions": [
                        {"type": "Ready", "status": "True", "reason": "r"},
                        {"type": "New", "status": "True"},
                    ]
                }
            },
            id="conditions are merged by type",
        ),
        pytest.param(
            spec(ports=[{"port": 80, "name": "a"}]),
            spec(ports=[{"port": 80, "name": "b"}, {"port": 81}]),
            spec(ports=[{"port": 80, "name": "b"}, {"port": 81}]),
            id="ports of a service are merged by port",
        ),
        pytest.param(
            spec(containers=[{"name": "a", "ports": [{"containerPort": 1, "name": "x"}]}]),
            spec(containers=[{"name": "a", "ports": [{"containerPort": 1, "name": "y"}]}]),
            spec(containers=[{"name": "a", "ports": [{"containerPort": 1, "name": "y"}]}]),
            id="ports of a container by container port",
        ),
        pytest.param(
            spec(volumes=[{"name": "v", "emptyDir": {}}]),
            spec(volumes=[{"name": "v", "$retainKeys": ["name", "secret"], "secret": {"secretName": "s"}}]),
            spec(volumes=[{"name": "v", "secret": {"secretName": "s"}}]),
            id="retainKeys drops the other kind of volume",
        ),
        pytest.param(
            spec(containers=[{"name": "a"}, {"name": "b"}]),
            {
                "spec": {
                    "$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}],
                    "containers": [{"name": "c"}],
                }
            },
            spec(containers=[{"name": "c"}, {"name": "b"}, {"name": "a"}]),
            id="the order is set by directive",
        ),
        pytest.param(
            spec(containers=[{"name": "a"}, {"name": "x"}, {"name": "b"}]),
            {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}},
            spec(containers=[{"name": "x"}, {"name": "b"}, {"name": "a"}]),
            id="what the order does not name stays before what it preceded",
        ),
        pytest.param(
            {"metadata": {"labels": {"a": "1", "b": "2"}}},
            {"metadata": {"labels": {"a": None}}},
            {"metadata": {"labels": {"b": "2"}}},
            id="null removes",
        ),
    ],
)
def test_strategic_merge_patch(document: Any, patch: Any, result: Any) -> None:
    assert strategic(copy.deepcopy(document), copy.deepcopy(patch)) == result


@pytest.mark.parametrize(
    "patch",
    [{"$patch": "melt"}, {"spec": {"containers": [{"image": "x"}]}}],
    ids=["an unknown directive", "an entry without its key"],
)
def test_a_strategic_patch_that_cannot_be_applied_is_refused(patch: Any) -> None:
    with pytest.raises(InvalidInput):
        strategic({"spec": {"containers": []}}, patch)


@given(OBJECTS, OBJECTS)
def test_without_merged_lists_a_strategic_patch_is_a_merge_patch(document: Any, patch: Any) -> None:
    plain = without_nulls(patch)
    expected = patches.merge(copy.deepcopy(document), copy.deepcopy(plain))
    assert strategic(copy.deepcopy(document), copy.deepcopy(plain)) == expected


NAMED = st.lists(
    st.fixed_dictionaries({"name": st.sampled_from("abcd"), "value": st.integers(0, 3)}),
    max_size=4,
    unique_by=lambda e: e["name"],
)


@given(NAMED, NAMED)
def test_a_merged_list_holds_each_name_once_and_the_patch_wins(present: Any, change: Any) -> None:
    merged = strategic({"env": copy.deepcopy(present)}, {"env": copy.deepcopy(change)})["env"]
    expected = {e["name"]: e["value"] for e in present} | {e["name"]: e["value"] for e in change}
    assert {e["name"]: e["value"] for e in merged} == expected
    assert len(merged) == len(expected)


@given(NAMED, NAMED)
def test_a_strategic_patch_applied_twice_is_applied_once(present: Any, change: Any) -> None:
    once = strategic({"env": copy.deepcopy(present)}, {"env": copy.deepcopy(change)})
    assert strategic(copy.deepcopy(once), {"env": copy.deepcopy(change)}) == once


def published() -> dict[str, set[str]]:
    """The merge keys in the published schemas of the kinds that are served: field -> keys ("" for plain values)."""
    folder = resources.files("kubernetes_validate") / "kubernetes-json-schema" / "v1.36.0-local"
    kinds = ("pod", "container", "job", "node", "namespace", "service", "objectmeta", "secret", "configmap")
    found: dict[str, set[str]] = {}
    for file in folder.iterdir():
        kind = file.name.partition("-")[0]
        if not kind.startswith((*kinds, "ephemeralcontainer", "persistentvolume")) or "alpha" in file.name:
            continue
        for field, schema in (json.loads(file.read_text()).get("properties") or {}).items():
            if schema.get("x-kubernetes-patch-strategy", "").startswith("merge"):
                found.setdefault(field, set()).add(schema.get("x-kubernetes-patch-merge-key", ""))
    return found


def test_the_merge_keys_are_those_of_the_published_schemas() -> None:
    ours = {field: set(keys) for field, keys in MERGE_KEYS.items()} | {field: {""} for field in UNITED}
    assert published() == ours
