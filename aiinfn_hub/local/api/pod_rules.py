"""What a pod may look like and how it may change, as far as our code or its users can get it wrong."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from aiinfn_hub.local.api import validation
from aiinfn_hub.local.api.pod_container import container_problems
from aiinfn_hub.local.api.pod_defaults import containers
from aiinfn_hub.local.api.pod_placement import placement_changes, placement_problems
from aiinfn_hub.local.api.status import Problem

Object = dict[str, Any]

#: The real one shows the difference below this.
_MUTABLE = (
    "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
    "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
    "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
)
_MOST = 2**31 - 1
_IDS = ("runAsUser", "runAsGroup", "fsGroup")
_DNS = ("ClusterFirstWithHostNet", "ClusterFirst", "Default", "None")


def pod_problems(pod: Object) -> list[Problem]:
    """The mistakes in a new pod."""
    spec = pod["spec"]
    return [*spec_problems(spec), *_choice(spec, "spec.restartPolicy", ("Always", "OnFailure", "Never"))]


def spec_problems(spec: Object) -> Iterator[Problem]:
    """The mistakes that a pod and a Job's template can both have."""
    if not spec.get("containers"):
        yield Problem.required("spec.containers")
    volumes = {volume.get("name") for volume in spec.get("volumes") or ()}
    yield from _volume_names(spec.get("volumes") or ())
    seen: set[str] = set()
    for field, container in containers(spec):
        yield from container_problems(field, container, volumes, seen)
    yield from placement_problems(spec)
    yield from _choice(spec, "spec.dnsPolicy", _DNS)
    for name in _IDS:
        number = (spec.get("securityContext") or {}).get(name, 0)
        if not 0 <= number <= _MOST:
            detail = f"must be between 0 and {_MOST}, inclusive"
            yield Problem.invalid(f"spec.securityContext.{name}", number, detail)
    deadline = spec.get("activeDeadlineSeconds")
    if deadline is not None and not 1 <= deadline <= _MOST:
        yield Problem.invalid("spec.activeDeadlineSeconds", deadline, f"must be between 1 and {_MOST}, inclusive")
    if spec.get("hostname") and (wrong := validation.dns_label(spec["hostname"])):
        yield Problem.invalid("spec.hostname", spec["hostname"], wrong)


def pod_changes(new: Object, old: Object) -> list[Problem]:
    """What an update may not change."""
    after, before = new["spec"], old["spec"]
    problems = [*placement_changes(after, before), *_deadline_changes(after, before)]
    gated = bool(before.get("schedulingGates"))
    if not problems and _frozen(after, gated=gated) != _frozen(before, gated=gated):
        problems.append(Problem.forbidden("spec", _MUTABLE))
    return problems


def _deadline_changes(after: Object, before: Object) -> Iterator[Problem]:
    now, was = after.get("activeDeadlineSeconds"), before.get("activeDeadlineSeconds")
    field = "spec.activeDeadlineSeconds"
    if was is not None and now is None:
        yield Problem.invalid(field, None, "must not update from a positive integer to nil value")
    elif was is not None and now > was:
        yield Problem.invalid(field, now, "must be less than or equal to previous value")


def _frozen(spec: Object, *, gated: bool) -> Object:
    """The part of a specification that must stay what it was, besides what has rules of its own."""
    rest = deepcopy(spec)
    for _, container in containers(rest):
        container.pop("image", None)
        container.pop("imagePullPolicy", None)
    for name in ("tolerations", "schedulingGates", "activeDeadlineSeconds"):
        rest.pop(name, None)
    if gated:
        rest.pop("nodeSelector", None)
        affinity = rest.pop("affinity", None) or {}
        affinity.pop("nodeAffinity", None)
        rest |= {"affinity": affinity} if affinity else {}
    return rest


def _volume_names(volumes: Any) -> Iterator[Problem]:
    seen: set[str] = set()
    for index, volume in enumerate(volumes):
        name = volume.get("name") or ""
        if not name:
            yield Problem.required(f"spec.volumes[{index}].name")
        elif wrong := validation.dns_label(name):
            yield Problem.invalid(f"spec.volumes[{index}].name", name, wrong)
        elif name in seen:
            yield Problem.duplicate(f"spec.volumes[{index}].name", name)
        seen.add(name)


def _choice(spec: Object, field: str, choices: tuple[str, ...]) -> Iterator[Problem]:
    value = spec.get(field.rpartition(".")[2])
    if value not in choices:
        yield Problem.unsupported(field, value, choices)
