"""What a new Job may say of its indexes and of failed pods. Pure; the words are Kubernetes'."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiinfn_hub.local.api.status import Problem

Object = dict[str, Any]

_ACTIONS = ("Count", "FailIndex", "FailJob", "Ignore")


def counting_problems(spec: Object) -> Iterable[Problem]:
    """Completions that are numbered need a number; limits of theirs need them to be numbered."""
    indexed = spec["completionMode"] == "Indexed"
    if indexed and spec.get("completions") is None:
        yield Problem.required("spec.completions", "when completion mode is Indexed")
    limit, most = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    if limit is not None and not indexed:
        yield Problem.invalid("spec.backoffLimitPerIndex", limit, "requires indexed completion mode")
    if most is not None and limit is None:
        yield Problem.required("spec.backoffLimitPerIndex", "when maxFailedIndexes is specified")


def policy_problems(spec: Object) -> Iterable[Problem]:
    """The mistakes in `podFailurePolicy`."""
    policy = spec.get("podFailurePolicy")
    if policy is None:
        return
    replaced = spec["podReplacementPolicy"]
    if replaced != "Failed":
        yield Problem.unsupported("spec.podReplacementPolicy", replaced, ("Failed",))
    pod = spec["template"]["spec"]
    names = {one.get("name") for one in (*(pod.get("initContainers") or ()), *(pod.get("containers") or ()))}
    for number, rule in enumerate(policy.get("rules") or ()):
        path = f"spec.podFailurePolicy.rules[{number}]"
        if rule.get("action") not in _ACTIONS:
            yield Problem.unsupported(f"{path}.action", rule.get("action"), _ACTIONS)
        codes = rule.get("onExitCodes")
        if codes is not None:
            yield from _code_problems(codes, f"{path}.onExitCodes", names)
        elif not rule.get("onPodConditions"):
            detail = "specifying one of OnExitCodes and OnPodConditions is required"
            yield Problem(path, "FieldValueInvalid", f"Invalid value: {detail}")


def _code_problems(codes: Object, path: str, names: set[str | None]) -> Iterable[Problem]:
    named, values = codes.get("containerName"), codes.get("values") or []
    if named is not None and named not in names:
        detail = "must be one of the container or initContainer names in the pod template"
        yield Problem.invalid(f"{path}.containerName", named, detail)
    if not values:
        yield Problem.invalid(f"{path}.values", values, "at least one value is required")
    elif values != sorted(values):
        yield Problem.invalid(f"{path}.values", values, "must be ordered")
    if codes.get("operator") == "In" and 0 in values:
        yield Problem.invalid(f"{path}.values[{values.index(0)}]", 0, "must not be 0 for the In operator")
