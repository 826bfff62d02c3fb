"""CEL of admission policies: literals, image patterns as RE2, and rules that name what is wrong. Pure.

The API server does not estimate the cost of these expressions beforehand; it counts while they run and refuses the
object when one call takes more than its budget. Lists of ours are constants, lists of the object's are walked once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aiinfn_hub.catalogue.policy import ImagePolicy

GROUP = "admissionregistration.k8s.io/v1"

_HOST = r"(?:[a-z0-9-]+(?:\.[a-z0-9-]+)+(?::[0-9]+)?|[a-z0-9-]+:[0-9]+|localhost)"
_PART = r"[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_TAG, _DIGEST = r":[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", r"@sha(?:256|384|512):[0-9a-f]{64,128}"
#: A whole reference with its registry, as `ImagePolicy.check` returns it: no name that a container tool completes.
FULL_REFERENCE = rf"^{_HOST}(?:/{_PART})+(?:{_TAG})?(?:{_DIGEST})?$"


@dataclass(frozen=True)
class Rule:
    """One thing that can be wrong.

    Args:
        name: of the variable that holds what is wrong; a CEL identifier.
        wrong: CEL for a list of strings, empty where all is well.
        sentence: what the refusal says before that list.
    """

    name: str
    wrong: str
    sentence: str


def text(value: str) -> str:
    """A CEL string: its escapes are JSON's."""
    return json.dumps(value)


def texts(values: Iterable[str]) -> str:
    """A CEL list of strings, each once."""
    return "[" + ", ".join(text(value) for value in dict.fromkeys(values)) + "]"


def table(entries: Mapping[str, Any]) -> str:
    """A CEL map from strings to strings or integers."""
    return "{" + ", ".join(f"{text(key)}: {json.dumps(value)}" for key, value in entries.items()) + "}"


def words(conditions: Mapping[str, str]) -> str:
    """CEL for the words whose condition (CEL, by the word) holds."""
    return " + ".join(f"({condition} ? [{text(word)}] : [])" for word, condition in conditions.items())


def image_pattern(policy: ImagePolicy) -> str:
    """RE2 for the references that the policy lets a person name; matches nothing where it lists no registry."""
    if not policy.registries:
        return "^$"
    pinned = rf"(?:{_TAG})?{_DIGEST}"
    end = rf"(?:{_TAG}|{pinned})" if policy.any_tag else pinned
    return rf"^(?:{'|'.join(map(_registry_pattern, policy.registries))}){end}$"


def _registry_pattern(pattern: str) -> str:
    """As `catalogue.references.matches` reads a pattern: * within one component, a last /** for one or more."""
    host, *parts = pattern.removesuffix("/**").split("/")
    found = [_wild(host, "[^/@]*"), *(_wild(part, "[a-z0-9._-]*") for part in parts)]
    return "/".join(found) + (f"(?:/{_PART})+" if pattern.endswith("/**") else "")


def _wild(component: str, star: str) -> str:
    return star.join(map(re.escape, component.split("*")))


def policy(
    name: str, resources: Sequence[Mapping[str, Any]], variables: Mapping[str, str], rules: Sequence[Rule]
) -> dict[str, Any]:
    """A ValidatingAdmissionPolicy that refuses on failure too.

    Args:
        name: of the policy.
        resources: what it looks at, as `resourceRules`.
        variables: CEL by name, evaluated when first needed; a later one may use an earlier one.
        rules: what may be wrong; the variable of each comes after `variables`.
    """
    named = {**variables, **{rule.name: rule.wrong for rule in rules}}
    return {
        "apiVersion": GROUP,
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": name},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": list(resources)},
            "variables": [{"name": key, "expression": expression} for key, expression in named.items()],
            "validations": [_validation(rule) for rule in rules],
        },
    }


def _validation(rule: Rule) -> dict[str, Any]:
    return {
        "expression": f"size(variables.{rule.name}) == 0",
        "message": f"{rule.sentence}.",
        # An empty list would be no refusal. A text above 5 kB is dropped, and the message above is shown.
        "messageExpression": f'{text(rule.sentence + ": ")} + variables.{rule.name}.join(", ")',
        "reason": "Forbidden",
    }


def binding(name: str, namespace: str) -> dict[str, Any]:
    """The policy of that name, in force in the namespace for whoever asks."""
    return {
        "apiVersion": GROUP,
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": name},
        "spec": {
            "policyName": name,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}},
        },
    }
