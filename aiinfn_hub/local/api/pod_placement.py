"""Where a pod may ask to go: tolerations, node affinity, scheduling gates; and how a gated pod may change its mind.

The words are those of k8s.io/kubernetes/pkg/apis/core/validation 1.36.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aiinfn_hub.local.api import validation
from aiinfn_hub.local.api.status import Problem

Object = dict[str, Any]

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_AFFINITY = "spec.affinity.nodeAffinity"
_EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")
#: A pod outlives this many seconds of its node's silence unless it says otherwise (admission DefaultTolerationSeconds).
_SILENCE_S = 300
_SILENT = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")


def default_tolerations(spec: Object) -> None:
    """What the API server adds to every pod, also to one that is changed."""
    given = spec.get("tolerations") or []
    executed = {t.get("key") or "" for t in given if t.get("effect") in {None, "", "NoExecute"}}
    added = [
        {"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": _SILENCE_S}
        for key in _SILENT
        if not {key, ""} & executed
    ]
    spec["tolerations"] = [*given, *added]


def placement_problems(spec: Object) -> Iterator[Problem]:
    """The mistakes that a pod and a Job's template can both have."""
    for index, toleration in enumerate(spec.get("tolerations") or ()):
        yield from _toleration_problems(f"spec.tolerations[{index}]", toleration)
    yield from validation.label_problems("spec.nodeSelector", spec.get("nodeSelector"))
    yield from _gate_problems(spec.get("schedulingGates") or ())
    if spec.get("nodeName") and spec.get("schedulingGates"):
        yield Problem.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")
    affinity = _node_affinity(spec)
    if affinity.get(_REQUIRED) is not None:
        terms = affinity[_REQUIRED].get("nodeSelectorTerms") or ()
        field = f"{_AFFINITY}.{_REQUIRED}.nodeSelectorTerms"
        if not terms:
            yield Problem.required(field, "must have at least one node selector term")
        for index, term in enumerate(terms):
            yield from _term_problems(f"{field}[{index}]", term)
    for index, wish in enumerate(affinity.get(_PREFERRED) or ()):
        field = f"{_AFFINITY}.{_PREFERRED}[{index}]"
        if not 1 <= wish.get("weight", 0) <= 100:
            yield Problem.invalid(f"{field}.weight", wish.get("weight", 0), "must be in the range 1-100")
        yield from _term_problems(f"{field}.preference", wish.get("preference") or {})


def placement_changes(after: Object, before: Object) -> Iterator[Problem]:
    """What an update may not change of where a pod goes; a gated one may be narrowed, by Kueue for one."""
    present = after.get("tolerations") or []
    if any(toleration not in present for toleration in before.get("tolerations") or ()):
        detail = "existing toleration can not be modified except its tolerationSeconds"
        yield Problem.forbidden("spec.tolerations", detail)
    gates = {gate["name"] for gate in before.get("schedulingGates") or ()}
    for index, gate in enumerate(after.get("schedulingGates") or ()):
        if gate["name"] not in gates:
            detail = f"only deletion is allowed, but found new scheduling gate '{gate['name']}'"
            yield Problem.forbidden(f"spec.schedulingGates[{index}].name", detail)
    if gates:
        yield from _narrowed(after, before)


def _narrowed(after: Object, before: Object) -> Iterator[Problem]:
    selector = after.get("nodeSelector")
    if not (before.get("nodeSelector") or {}).items() <= (selector or {}).items():
        detail = "only additions to spec.nodeSelector are allowed (no mutations or deletions)"
        yield Problem.invalid("spec.nodeSelector", selector, detail)
    old, new = (((_node_affinity(s).get(_REQUIRED)) or {}).get("nodeSelectorTerms") or [] for s in (before, after))
    field = f"{_AFFINITY}.{_REQUIRED}.nodeSelectorTerms"
    if old and len(old) != len(new):
        detail = "no additions/deletions to non-empty NodeSelectorTerms list are allowed"
        yield Problem.invalid(field, new or None, detail)
        return
    for index, (was, now) in enumerate(zip(old, new, strict=False)):
        if not all(_begins_with(now.get(key), was.get(key)) for key in ("matchExpressions", "matchFields")):
            yield Problem.invalid(f"{field}[{index}]", now, "only additions are allowed (no mutations or deletions)")


def _begins_with(now: list[Object] | None, was: list[Object] | None) -> bool:
    return (now or [])[: len(was or [])] == (was or [])


def _node_affinity(spec: Object) -> Object:
    return (spec.get("affinity") or {}).get("nodeAffinity") or {}


def _toleration_problems(field: str, toleration: Object) -> Iterator[Problem]:
    key, operator, value = (toleration.get(name) or "" for name in ("key", "operator", "value"))
    effect = toleration.get("effect") or ""
    if key and (wrong := validation.qualified_name(key)):
        yield Problem.invalid(f"{field}.key", key, wrong)
    if not key and operator != "Exists":
        detail = 'operator must be Exists when `key` is empty, which means "match all values and all keys"'
        yield Problem.invalid(f"{field}.operator", operator, detail)
    if toleration.get("tolerationSeconds") is not None and effect != "NoExecute":
        yield Problem.invalid(f"{field}.effect", effect, "effect must be 'NoExecute' when `tolerationSeconds` is set")
    if operator == "Exists" and value:
        yield Problem.invalid(f"{field}.operator", value, "value must be empty when `operator` is 'Exists'")
    elif operator in {"", "Equal"} and (wrong := validation.label_value(value)):
        yield Problem.invalid(f"{field}.operator", value, wrong)
    elif operator not in {"", "Equal", "Exists"}:
        yield Problem.unsupported(f"{field}.operator", operator, ("Equal", "Exists"))
    if effect and effect not in _EFFECTS:
        yield Problem.unsupported(f"{field}.effect", effect, _EFFECTS)


def _gate_problems(gates: Any) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, gate in enumerate(gates):
        field, name = f"spec.schedulingGates[{index}]", gate.get("name") or ""
        if wrong := validation.qualified_name(name):
            yield Problem.invalid(field, name, wrong)
        if name in seen:
            yield Problem.duplicate(field, name)
        seen.add(name)


def _term_problems(field: str, term: Object) -> Iterator[Problem]:
    for index, expression in enumerate(term.get("matchExpressions") or ()):
        where, values = f"{field}.matchExpressions[{index}]", expression.get("values") or ()
        match expression.get("operator"):
            case "In" | "NotIn" if not values:
                yield Problem.required(f"{where}.values", "must be specified when `operator` is 'In' or 'NotIn'")
            case "Exists" | "DoesNotExist" if values:
                detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
                yield Problem.forbidden(f"{where}.values", detail)
            case "Gt" | "Lt" if len(values) != 1:
                yield Problem.required(
                    f"{where}.values", "must be specified single value when `operator` is 'Lt' or 'Gt'"
                )
            case "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt":
                pass
            case unknown:
                yield Problem.invalid(f"{where}.operator", unknown, "not a valid selector operator")
        if wrong := validation.qualified_name(expression.get("key") or ""):
            yield Problem.invalid(f"{where}.key", expression.get("key") or "", wrong)
