"""What a pod may look like and how it may change, as far as our code or its users can get it wrong."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from aiinfn_hub.local.api import quantity, validation
from aiinfn_hub.local.api.pod_defaults import containers
from aiinfn_hub.local.api.status import Problem

Object = dict[str, Any]

_MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_COMPUTE = frozenset({"cpu", "memory", "ephemeral-storage"})


def pod_problems(pod: Object) -> list[Problem]:
    """The mistakes in a new pod."""
    spec = pod["spec"]
    return [*spec_problems(spec), *_choice(spec, "spec.restartPolicy", ("Always", "OnFailure", "Never"))]


def spec_problems(spec: Object) -> Iterator[Problem]:
    """The mistakes that a pod and a Job's template can both have."""
    if not spec.get("containers"):
        yield Problem.required("spec.containers")
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    yield from _names("spec.volumes", spec.get("volumes") or ())
    yield from _names("spec.schedulingGates", spec.get("schedulingGates") or (), validation.qualified_name)
    seen: set[str] = set()
    for field, container in containers(spec):
        yield from _container_problems(field, container, volumes, seen)
    yield from validation.label_problems("spec.nodeSelector", spec.get("nodeSelector"))
    if spec.get("nodeName") and spec.get("schedulingGates"):
        yield Problem.forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared")
    grace = spec.get("terminationGracePeriodSeconds", 30)
    if grace < 0:
        yield Problem.invalid("spec.terminationGracePeriodSeconds", grace, "must be greater than or equal to 0")
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= 2**31 - 1:
        detail = "must be between 1 and 2147483647, inclusive"
        yield Problem.invalid("spec.activeDeadlineSeconds", deadline, detail)


def pod_changes(new: Object, old: Object) -> list[Problem]:
    """What an update may not change."""
    after, before = new["spec"], old["spec"]
    problems = list(_toleration_changes(after, before))
    gates = {gate["name"] for gate in before.get("schedulingGates") or ()}
    added = {gate["name"] for gate in after.get("schedulingGates") or ()} - gates
    if added:
        detail = "only deletion is allowed, but found new scheduling gate " + repr(min(added)).replace("'", '"')
        problems.append(Problem.forbidden("spec.schedulingGates", detail))
    if _frozen(after, before, gated=bool(gates)) != _frozen(before, before, gated=bool(gates)):
        problems.append(Problem.forbidden("spec", _MUTABLE))
    return problems


def _frozen(spec: Object, before: Object, *, gated: bool) -> Object:
    """The part of a specification that must stay what it was."""
    rest = deepcopy(spec)
    for _, container in containers(rest):
        container.pop("image", None)
        container.pop("imagePullPolicy", None)
    rest.pop("tolerations", None)
    rest.pop("schedulingGates", None)
    deadline, earlier = spec.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    if deadline is not None and (earlier is None or deadline <= earlier):
        rest.pop("activeDeadlineSeconds", None)
    elif earlier is not None:
        rest["activeDeadlineSeconds"] = ("changed", deadline)
    if gated:  # a gated pod's placement may be narrowed, by Kueue for one
        selector = rest.pop("nodeSelector", None) or {}
        if not (before.get("nodeSelector") or {}).items() <= selector.items():
            rest["nodeSelector"] = ("widened", selector)
        rest.pop("affinity", None)
    return rest


def _toleration_changes(after: Object, before: Object) -> Iterator[Problem]:
    present = after.get("tolerations") or []
    if any(toleration not in present for toleration in before.get("tolerations") or ()):
        yield Problem.forbidden(
            "spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"
        )


def _container_problems(field: str, container: Object, volumes: set[Any], seen: set[str]) -> Iterator[Problem]:
    name = container.get("name") or ""
    if not name:
        yield Problem.required(f"{field}.name")
    elif wrong := validation.dns_label(name):
        yield Problem.invalid(f"{field}.name", name, wrong)
    elif name in seen:
        yield Problem.duplicate(f"{field}.name", name)
    seen.add(name)
    if not container.get("image"):
        yield Problem.required(f"{field}.image")
    yield from _mount_problems(field, container, volumes)
    for index, variable in enumerate(container.get("env") or ()):
        if not variable.get("name"):
            yield Problem.required(f"{field}.env[{index}].name")
        if variable.get("value") and variable.get("valueFrom"):
            detail = "may not be specified when `value` is not empty"
            yield Problem.invalid(f"{field}.env[{index}].valueFrom", "", detail)
    yield from _needs_problems(f"{field}.resources", container.get("resources") or {})


def _mount_problems(field: str, container: Object, volumes: set[Any]) -> Iterator[Problem]:
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        if mount.get("name") not in volumes:
            yield Problem(
                f"{field}.volumeMounts[{index}].name", "FieldValueNotFound", f'Not found: "{mount.get("name")}"'
            )
        if not mount.get("mountPath"):
            yield Problem.required(f"{field}.volumeMounts[{index}].mountPath")
        if ".." in str(mount.get("subPath") or "").split("/"):
            yield Problem.invalid(f"{field}.volumeMounts[{index}].subPath", mount["subPath"], "must not contain '..'")


def _needs_problems(field: str, needs: Object) -> Iterator[Problem]:
    requests, limits = needs.get("requests") or {}, needs.get("limits") or {}
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, value in amounts.items():
            yield from _amount_problems(f"{field}.{part}[{name}]", name, value)
    for name, value in requests.items():
        limit, asked = quantity.parse(limits.get(name)), quantity.parse(value)
        if asked is None or (limit is None and not _extended(name)):
            continue
        if _extended(name) and limit is None:
            yield Problem.required(f"{field}.limits", f"Limit must be set for non overcommitable resources: {name}")
        elif _extended(name) and asked != limit:
            yield Problem.invalid(f"{field}.requests", value, f"must be equal to {name} limit of {limits[name]}")
        elif limit is not None and asked > limit:
            yield Problem.invalid(
                f"{field}.requests", value, f"must be less than or equal to {name} limit of {limits[name]}"
            )


def _amount_problems(field: str, name: str, value: Any) -> Iterator[Problem]:
    amount = quantity.parse(value)
    if wrong := validation.qualified_name(name):
        yield Problem.invalid(field, name, wrong)
    elif "/" not in name and name not in _COMPUTE and not name.startswith("hugepages-"):
        yield Problem.invalid(field, name, "must be a standard resource for containers")
    if amount is None:
        detail = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
        yield Problem.invalid(field, value, detail)
    elif amount < 0:
        yield Problem.invalid(field, value, "must be greater than or equal to 0")
    elif _extended(name) and amount != amount.to_integral_value():
        yield Problem.invalid(field, value, "must be an integer")


def _extended(name: str) -> bool:
    return "/" in name or name.startswith("hugepages-")


def _names(field: str, entries: Any, check: Any = validation.dns_label) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, entry in enumerate(entries):
        name = entry.get("name") or ""
        if not name:
            yield Problem.required(f"{field}[{index}].name")
        elif wrong := check(name):
            yield Problem.invalid(f"{field}[{index}].name", name, wrong)
        elif name in seen:
            yield Problem.duplicate(f"{field}[{index}].name", name)
        seen.add(name)


def _choice(spec: Object, field: str, choices: tuple[str, ...]) -> Iterator[Problem]:
    value = spec.get(field.rpartition(".")[2])
    if value not in choices:
        yield Problem.unsupported(field, value, choices)
