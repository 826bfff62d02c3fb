"""Names, labels, annotations, owners: what apimachinery lets through, and in which words it refuses the rest."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aiinfn_hub.local.api import status, validation
from aiinfn_hub.local.api.kinds import Resources

RESOURCES = Resources()
PODS = RESOURCES.builtin(("", "pods"))
Check = Callable[[str], str]


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        pytest.param(
            validation.dns_label,
            ["a", "0", "a-b", "a" * 63],
            ["", "-a", "a-", "A", "a.b", "a_b", "a" * 64, "é", "a\n"],
            id="labels of DNS",
        ),
        pytest.param(
            validation.dns_subdomain,
            ["a", "a.b", "0.0", "a-b.c-d", "a" * 253],
            ["", ".", "a.", ".a", "a..b", "a.-b", "A.b", "a" * 254, "a/b", "a\n"],
            id="subdomains of DNS",
        ),
        pytest.param(
            validation.path_segment, ["a:b", "A", "é", "...", "system:node"], [".", "..", "a/b", "%2f"], id="RBAC"
        ),
        pytest.param(
            validation.qualified_name,
            ["a", "A_b.c-d", "x.io/a", "a" * 63, "nvidia.com/mig-1g.5gb"],
            ["", "/a", "x.io/", "X/a", "a/b/c", "-a", "a-", "a" * 64, "a b", "x_y/a", "a\n"],
            id="keys of labels",
        ),
        pytest.param(
            validation.label_value,
            ["", "a", "A_b.c-d", "a" * 63],
            ["-a", "a-", "a b", "a/b", "a" * 64, "a\n", "é"],
            id="values of labels",
        ),
    ],
)
def test_grammars(check: Check, good: list[str], bad: list[str]) -> None:
    assert [text for text in good if check(text)] == []
    assert [text for text in bad if not check(text)] == []


@pytest.mark.parametrize(
    ("check", "text", "said"),
    [
        (validation.dns_label, "a" * 64, "must be no more than 63 bytes"),
        (validation.dns_subdomain, "a" * 254, "must be no more than 253 bytes"),
        (validation.label_value, "a" * 64, "must be no more than 63 bytes"),
        (validation.qualified_name, "x.io/" + "a" * 64, "name part must be no more than 63 bytes"),
        (validation.qualified_name, "x.io/", "name part must be non-empty"),
        (validation.qualified_name, "/a", "prefix part must be non-empty"),
        (validation.path_segment, "a/b", "may not contain '/'"),
        (validation.path_segment, "..", "may not be '..'"),
    ],
)
def test_the_words_of_a_refusal(check: Check, text: str, said: str) -> None:
    assert check(text) == said


@given(st.text("aA0.-_/é\n", max_size=12))
def test_whatever_passes_is_what_the_quoted_expression_matches(text: str) -> None:
    """The sentence tells a person which expression was used; it must be that one."""
    for check in (validation.dns_label, validation.dns_subdomain, validation.label_value):
        said = check("*")
        quoted = re.search(r"regex used for validation is '(.*)'\)$", said)
        assert quoted is not None
        assert (check(text) == "") is (re.fullmatch(quoted[1], text) is not None)


def problems(**meta: Any) -> list[str]:
    return [str(problem) for problem in validation.metadata_problems(PODS, {"name": "a", **meta})]


def owner(**fields: Any) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", **fields}


@pytest.mark.parametrize(
    ("meta", "said"),
    [
        pytest.param({"name": ""}, "metadata.name: Required value: name or generateName is required", id="no name"),
        pytest.param(
            {"labels": {"a": "b c"}}, 'metadata.labels: Invalid value: "b c": a valid label must be', id="label"
        ),
        pytest.param(
            {"labels": {"a b": ""}}, 'metadata.labels: Invalid value: "a b": name part must consist', id="key"
        ),
        pytest.param({"annotations": {"a b": ""}}, 'metadata.annotations: Invalid value: "a b": name', id="annotation"),
        pytest.param(
            {"annotations": {"a": "x" * (256 * 1024)}},
            "metadata.annotations: Too long: may not be more than 262144 bytes",
            id="too much in annotations",
        ),
        pytest.param({"finalizers": ["a b"]}, 'metadata.finalizers[0]: Invalid value: "a b": name', id="finalizer"),
        pytest.param(
            {"ownerReferences": [owner(uid="")]},
            'metadata.ownerReferences[0].uid: Invalid value: "": uid must not be empty',
            id="an owner without uid",
        ),
        pytest.param(
            {"ownerReferences": [owner(controller=True), owner(uid="v", controller=True)]},
            "metadata.ownerReferences: Invalid value: 2: Only one reference can have Controller set to true",
            id="two controllers",
        ),
    ],
)
def test_mistakes_in_metadata_are_named(meta: dict[str, Any], said: str) -> None:
    found = problems(**meta)
    assert len(found) == 1
    assert found[0].startswith(said)


def test_annotations_may_hold_anything_and_their_keys_capitals() -> None:
    assert problems(annotations={"X.io/Key": "any\nthing at all: é"}, labels={"x.io/a": ""}) == []
    assert problems(ownerReferences=[owner(controller=True), owner(uid="v")]) == []


@pytest.mark.parametrize(
    ("table", "name", "good"),
    [
        (("", "namespaces"), "a.b", False),
        (("", "pods"), "a.b", True),
        (("", "services"), "a.b", False),
        (("", "configmaps"), "0a", True),
        (("rbac.authorization.k8s.io", "clusterroles"), "system:node", True),
        (("rbac.authorization.k8s.io", "clusterroles"), "a/b", False),
    ],
)
def test_kinds_have_their_own_names(table: tuple[str, str], name: str, *, good: bool) -> None:
    assert (validation.metadata_problems(RESOURCES.builtin(table), {"name": name}) == []) is good


def test_one_mistake_is_a_sentence_and_several_are_a_list() -> None:
    one = status.Problem.required("spec.a")
    two = status.Problem.duplicate("spec.b", "x")
    assert str(status.invalid(PODS, "p", [one])) == 'Pod "p" is invalid: spec.a: Required value'
    assert str(status.invalid(PODS, "p", [one, two])) == (
        'Pod "p" is invalid: [spec.a: Required value, spec.b: Duplicate value: "x"]'
    )
    body = status.to_status(status.invalid(PODS, "p", [one, two]))
    assert body["details"] == {
        "name": "p",
        "kind": "Pod",
        "causes": [
            {"reason": "FieldValueRequired", "message": "Required value", "field": "spec.a"},
            {"reason": "FieldValueDuplicate", "message": 'Duplicate value: "x"', "field": "spec.b"},
        ],
    }
    assert (body["code"], body["reason"], body["status"]) == (422, "Invalid", "Failure")


@pytest.mark.parametrize(
    ("error", "code", "reason"),
    [
        (status.not_found(PODS, "a"), 404, "NotFound"),
        (status.already_exists(PODS, "a", leaving=False), 409, "AlreadyExists"),
        (status.modified(PODS, "a"), 409, "Conflict"),
        (status.forbidden(PODS, "a", "no"), 403, "Forbidden"),
        (status.bad_request("x"), 400, "BadRequest"),
        (status.unprocessable(), 422, "Invalid"),
        (status.unauthorized(), 401, "Unauthorized"),
        (status.denied("x"), 403, "Forbidden"),
        (status.not_allowed(), 405, "MethodNotAllowed"),
        (status.unsupported_media(["application/json"]), 415, "UnsupportedMediaType"),
        (status.too_old(1, 2), 410, "Expired"),
        (status.too_large_version(2, 1), 504, "Timeout"),
        (status.too_large(5), 413, "RequestEntityTooLarge"),
        (status.no_such_path(), 404, "NotFound"),
        (status.AiinfnError("x"), 500, "InternalError"),
        (status.Unavailable("x"), 503, "ServiceUnavailable"),
    ],
)
def test_every_error_has_its_code_and_reason(error: status.AiinfnError, code: int, reason: str) -> None:
    body = status.to_status(error)
    assert (body["code"], body["reason"]) == (code, reason)
    assert (body["kind"], body["apiVersion"], body["status"]) == ("Status", "v1", "Failure")
