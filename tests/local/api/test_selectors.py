"""Label and field selectors, by table and by law."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.local.api import selectors

PODS = ("", "pods")


def labelled(**labels: str) -> dict[str, Any]:
    return {"metadata": {"labels": labels}}


def selects(selector: str, obj: dict[str, Any]) -> bool:
    predicate = selectors.labels(selector)
    return predicate is None or predicate(obj)


@pytest.mark.parametrize(
    ("selector", "labels", "selected"),
    [
        pytest.param("", {"a": "1"}, True, id="an empty selector selects everything"),
        pytest.param("a=1", {"a": "1"}, True, id="equality holds"),
        pytest.param("a==1", {"a": "1"}, True, id="two equal signs are one"),
        pytest.param("a = 1", {"a": "1"}, True, id="spaces around an operator are ignored"),
        pytest.param("a=1", {"a": "2"}, False, id="another value is not selected"),
        pytest.param("a=1", {}, False, id="a missing label equals nothing"),
        pytest.param("a=", {"a": ""}, True, id="a label may be empty"),
        pytest.param("a!=1", {}, True, id="inequality holds for a missing label"),
        pytest.param("a!=1", {"a": "1"}, False, id="inequality does not hold for the value"),
        pytest.param("a in (1,2)", {"a": "2"}, True, id="in lists the values"),
        pytest.param("a in (1, 2)", {}, False, id="in needs the label"),
        pytest.param("a notin (1,2)", {"a": "2"}, False, id="notin refuses the values"),
        pytest.param("a notin (1,2)", {}, True, id="notin holds for a missing label"),
        pytest.param("a", {"a": ""}, True, id="a key alone asks for existence"),
        pytest.param("!a", {"a": ""}, False, id="a key with ! asks for absence"),
        pytest.param("!a", {}, True, id="absence holds"),
        pytest.param("a>5", {"a": "6"}, True, id="greater compares numbers"),
        pytest.param("a>5", {"a": "5"}, False, id="greater is strict"),
        pytest.param("a<10", {"a": "9"}, True, id="less compares numbers, not text"),
        pytest.param("a<10", {"a": "x"}, False, id="what is no number is neither less nor greater"),
        pytest.param("a=1,b=2", {"a": "1", "b": "2"}, True, id="a comma means and"),
        pytest.param("a=1,b=2", {"a": "1"}, False, id="every requirement must hold"),
        pytest.param("a in (1,2),!b", {"a": "1"}, True, id="commas inside of a set do not separate"),
        pytest.param("x.io/a-b=c.d", {"x.io/a-b": "c.d"}, True, id="a key may have a prefix"),
    ],
)
def test_label_selectors(selector: str, labels: dict[str, str], *, selected: bool) -> None:
    assert selects(selector, labelled(**labels)) is selected


@pytest.mark.parametrize(
    "selector",
    ["a=1,", "=1", "a in 1", "a in (1", "a=b=c", "a>x", "a b", "A_b!", "a=-x", ",", "a=" + "x" * 64, "(a)", "a in (-)"],
)
def test_what_is_no_label_selector_is_refused(selector: str) -> None:
    with pytest.raises(InvalidInput, match="unable to parse requirement"):
        selectors.labels(selector)


KEYS = st.sampled_from(["a", "b", "x.io/c"])
VALUES = st.from_regex(r"[a-z0-9]{0,3}", fullmatch=True)
LABELS = st.dictionaries(KEYS, VALUES, max_size=3)


@given(LABELS, KEYS, VALUES)
def test_a_requirement_and_its_opposite_split_everything(labels: dict[str, str], key: str, value: str) -> None:
    obj = labelled(**labels)
    for yes, no in (
        (f"{key}={value}", f"{key}!={value}"),
        (f"{key} in ({value})", f"{key} notin ({value})"),
        (key, f"!{key}"),
    ):
        assert selects(yes, obj) is not selects(no, obj)


@given(LABELS, st.lists(st.tuples(KEYS, VALUES), min_size=1, max_size=3))
def test_a_conjunction_selects_what_each_part_selects(labels: dict[str, str], pairs: list[tuple[str, str]]) -> None:
    parts = [f"{key}={value}" for key, value in pairs]
    obj = labelled(**labels)
    assert selects(",".join(parts), obj) is all(selects(part, obj) for part in parts)


@given(st.text(max_size=30))
def test_any_text_is_a_selector_or_refused(text: str) -> None:
    try:
        predicate = selectors.labels(text)
    except InvalidInput:
        return
    assert predicate is None or predicate(labelled()) in {True, False}


POD = {
    "metadata": {"name": "a", "namespace": "ns"},
    "spec": {"nodeName": "n1", "restartPolicy": "Never"},
    "status": {"phase": "Running"},
}
EVENT = {
    "metadata": {"name": "e", "namespace": "ns"},
    "involvedObject": {"kind": "Pod", "name": "a", "uid": "u"},
    "reason": "Started",
    "source": {"component": "kubelet"},
}


@pytest.mark.parametrize(
    ("selector", "obj", "table", "selected"),
    [
        pytest.param("metadata.name=a", POD, PODS, True, id="by name"),
        pytest.param("metadata.name=a,metadata.namespace!=ns", POD, PODS, False, id="comma means and"),
        pytest.param("spec.nodeName=n1", POD, PODS, True, id="pods by node"),
        pytest.param("spec.nodeName=", {"metadata": {}}, PODS, True, id="pods without a node"),
        pytest.param("status.phase!=Succeeded,status.phase!=Failed", POD, PODS, True, id="pods that are not over"),
        pytest.param(
            "involvedObject.uid=u,involvedObject.kind=Pod", EVENT, ("", "events"), True, id="events by object"
        ),
        pytest.param("source=kubelet", EVENT, ("", "events"), True, id="events by component"),
        pytest.param("spec.unschedulable=false", {"metadata": {}}, ("", "nodes"), True, id="nodes that are open"),
        pytest.param("spec.unschedulable=true", {"spec": {"unschedulable": True}}, ("", "nodes"), True, id="cordoned"),
    ],
)
def test_field_selectors(selector: str, obj: dict[str, Any], table: tuple[str, str], *, selected: bool) -> None:
    predicate = selectors.fields(selector, table)
    assert predicate is not None
    assert predicate(obj) is selected


def test_no_field_selector_selects_everything() -> None:
    assert selectors.fields("", PODS) is None
    assert selectors.both(None, None) is None
