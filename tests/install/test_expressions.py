"""CEL as text: literals, and image patterns that say the same as the policy of the catalogue."""

from __future__ import annotations

import re

import pytest
from support.small_platform import DIGEST

from aiinfn_hub.catalogue.policy import ImagePolicy
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.install.expressions import (
    FULL_REFERENCE,
    Rule,
    binding,
    image_pattern,
    policy,
    table,
    text,
    texts,
    words,
)

REGISTRIES = ("quay.io/jupyter/*", "ghcr.io/aiinfn/**", "registry.example.org:5000/lab-*", "docker.io/library/*")
REFERENCES = [
    "quay.io/jupyter/scipy-notebook:python-3.12",
    f"quay.io/jupyter/scipy-notebook@{DIGEST}",
    f"quay.io/jupyter/scipy-notebook:1@{DIGEST}",
    "quay.io/jupyter/a/b:1",
    "quay.io/jupyter:1",
    "quay.io/jupyterlab/a:1",
    "quay.io.evil.example.org/jupyter/a:1",
    "evil.example.org/quay.io/jupyter/a:1",
    "quayXio/jupyter/a:1",
    "ghcr.io/aiinfn/hub:0.1.0",
    "ghcr.io/aiinfn/deep/er/lab:2",
    "ghcr.io/aiinfn:2",
    "registry.example.org:5000/lab-gpu:2",
    "registry.example.org:5000/lab:2",
    "registry.example.org/lab-gpu:2",
    "docker.io/library/python:3.12",
    "docker.io/other/python:3.12",
    "localhost/x:1",
]
#: What `check` never returns: it is completed, put into lower case or refused there.
STRANGE = [
    "python:3.12",
    "jupyter/scipy-notebook:1",
    "quay.io/jupyter/scipy-notebook",
    "QUAY.io/jupyter/a:1",
    "quay.io/jupyter/../evil:1",
    "quay.io/jupyter/a:1;reboot",
    "quay.io/jupyter/a:1\n",
    "quay.io/jupyter/a:1 ",
    "quay.io/jupyter/A:1",
    "docker://quay.io/jupyter/a:1",
    "quay.io/jupyter/a@sha256:short",
    "",
]


def taken(image: str, given: ImagePolicy) -> bool:
    """As the policy's rule asks it. `$` is RE2's end of the text, where Python's would forgive a line's end."""
    patterns = (FULL_REFERENCE, image_pattern(given))
    return all(re.search(re.sub(r"\$$", r"\\Z", pattern), image) is not None for pattern in patterns)


def allowed(image: str, given: ImagePolicy) -> bool:
    try:
        return given.check(image) == image
    except InvalidInput:
        return False


@pytest.mark.parametrize("any_tag", [True, False], ids=["tags", "digests"])
@pytest.mark.parametrize("image", REFERENCES + STRANGE)
def test_an_image_is_taken_where_a_person_may_name_it(image: str, any_tag: bool) -> None:
    given = ImagePolicy(registries=REGISTRIES, any_tag=any_tag)
    assert taken(image, given) == allowed(image, given)


@pytest.mark.parametrize("image", REFERENCES)
def test_without_registries_the_list_is_all_there_is(image: str) -> None:
    assert not taken(image, ImagePolicy())


def test_the_table_of_images_has_both_answers() -> None:
    given = ImagePolicy(registries=REGISTRIES)
    assert {allowed(image, given) for image in REFERENCES} == {True, False}
    assert not any(allowed(image, given) for image in STRANGE)


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (text('a "quoted" \\ text'), '"a \\"quoted\\" \\\\ text"'),
        (texts(["a", "b", "a"]), '["a", "b"]'),
        (texts([]), "[]"),
        (table({"cms": 20002, "lhcb": 20001}), '{"cms": 20002, "lhcb": 20001}'),
        (words({"this": "x", "that": "y"}), '(x ? ["this"] : []) + (y ? ["that"] : [])'),
    ],
)
def test_literals_of_cel(made: str, expected: str) -> None:
    assert made == expected


def test_a_rule_is_a_variable_that_must_be_empty_and_a_sentence_that_shows_it() -> None:
    made = policy("p", [], {"spec": "object.spec"}, [Rule("wrong", "[]", "These are wrong")])["spec"]
    assert made["failurePolicy"] == "Fail"
    assert [one["name"] for one in made["variables"]] == ["spec", "wrong"]
    (validation,) = made["validations"]
    assert validation["expression"] == "size(variables.wrong) == 0"
    assert validation["messageExpression"] == '"These are wrong: " + variables.wrong.join(", ")'
    assert validation["message"] == "These are wrong."


def test_a_binding_denies_in_one_namespace_whoever_asks() -> None:
    spec = binding("p", "aiinfn")["spec"]
    assert spec["validationActions"] == ["Deny"]
    assert spec["matchResources"] == {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "aiinfn"}}}
