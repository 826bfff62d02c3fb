"""What is done for each kind at a creation and an update: defaults, first status, rules."""

from __future__ import annotations

import base64
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any

from aiinfn_hub.local.api import definitions, jobs, pod_defaults, pod_rules, quantity, services
from aiinfn_hub.local.api.status import Problem
from aiinfn_hub.local.api.validation import MAX_DATA, config_key

Object = dict[str, Any]

_MOST_PRIORITY = 1_000_000_000
_SYSTEM_CLASSES = frozenset({"system-node-critical", "system-cluster-critical"})


def _nothing(_obj: Object) -> None:
    pass


def _no_status(obj: Object, _now: str) -> None:
    obj.pop("status", None)


def _keep(_obj: Object, _now: str) -> None:
    pass


def _no_problems(_obj: Object) -> list[Problem]:
    return []


def _carry_nothing(_new: Object, _old: Object) -> None:
    pass


def _no_changes(_new: Object, _old: Object) -> list[Problem]:
    return []


@dataclass(frozen=True)
class Strategy:
    """The habits of one kind.

    Attributes:
        default: fills in what was left out, at creations and updates.
        prepare: sets what a new object starts with, its status above all; gets the time as text.
        problems: the mistakes in an object.
        carry: gives an updated object what an update cannot change, from the old one.
        changes: the mistakes in a change, from the new and the old object.
    """

    default: Callable[[Object], None] = _nothing
    prepare: Callable[[Object, str], None] = _no_status
    problems: Callable[[Object], Iterable[Problem]] = _no_problems
    carry: Callable[[Object, Object], None] = _carry_nothing
    changes: Callable[[Object, Object], Iterable[Problem]] = _no_changes


def _prepare_job(job: Object, _now: str) -> None:
    jobs.prepare_job(job)


def _prepare_namespace(namespace: Object, _now: str) -> None:
    namespace["spec"] = {"finalizers": ["kubernetes"]}
    namespace["status"] = {"phase": "Active"}
    namespace["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = namespace["metadata"]["name"]


def _carry_finalizers(new: Object, old: Object) -> None:
    new["spec"] = dict(old["spec"])


def _prepare_claim(claim: Object, _now: str) -> None:
    claim["status"] = {"phase": "Pending"}


def _default_claim(claim: Object) -> None:
    spec = claim.setdefault("spec", {})
    spec.setdefault("volumeMode", "Filesystem")
    for part in ("requests", "limits"):
        amounts = (spec.get("resources") or {}).get(part) or {}
        for name in amounts:
            amounts[name] = quantity.canonical(amounts[name])


def _claim_problems(claim: Object) -> Iterable[Problem]:
    spec = claim["spec"]
    if not spec.get("accessModes"):
        yield Problem.required("spec.accessModes", "at least 1 access mode is required")
    if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
        yield Problem.required("spec.resources[storage]")


def _claim_changes(new: Object, old: Object) -> Iterable[Problem]:
    if _fixed(new) != _fixed(old):
        detail = "spec is immutable after creation except resources.requests and volumeAttributesClassName"
        yield Problem.forbidden("spec", f"{detail} for bound claims")


def _fixed(claim: Object) -> Object:
    spec = {key: value for key, value in claim["spec"].items() if key != "volumeAttributesClassName"}
    bound = (claim.get("status") or {}).get("phase") == "Bound"
    return spec | ({"resources": None} if bound else {})


def _prepare_volume(volume: Object, _now: str) -> None:
    volume["status"] = {"phase": "Pending"}


def _default_secret(secret: Object) -> None:
    secret.setdefault("type", "Opaque")
    plain = secret.pop("stringData", None) or {}
    if plain:
        coded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        secret["data"] = (secret.get("data") or {}) | coded


def _secret_problems(secret: Object) -> Iterable[Problem]:
    yield from _key_problems(secret.get("data"), ())
    yield from _size_problems(_decoded(secret.get("data")))


def _map_problems(config_map: Object) -> Iterable[Problem]:
    data, binary = config_map.get("data"), config_map.get("binaryData")
    yield from _key_problems(data, binary or ())
    text = sum(len(value.encode()) for value in (data or {}).values())
    yield from _size_problems(text + _decoded(binary))


def _key_problems(data: Object | None, others: Collection[str]) -> Iterable[Problem]:
    for key in data or ():
        if wrong := config_key(key):
            yield Problem.invalid(f"data[{key}]", key, wrong)
        if key in others:
            yield Problem.invalid(f"data[{key}]", key, "duplicate of key present in binaryData")


def _decoded(data: Object | None) -> int:
    """Bytes behind base64 values, within two a value."""
    return sum(len(value) * 3 // 4 for value in (data or {}).values())


def _size_problems(size: int) -> Iterable[Problem]:
    if size > MAX_DATA:
        yield Problem("data", "FieldValueTooLong", f"Too long: may not be more than {MAX_DATA} bytes")


def _data_changes(new: Object, old: Object) -> Iterable[Problem]:
    if old.get("immutable"):
        for field in ("data", "binaryData", "immutable"):
            if new.get(field) != old.get(field):
                yield Problem.forbidden(field, "field is immutable when `immutable` is set")
    if new.get("type") != old.get("type"):
        yield Problem.invalid("type", new.get("type"), "field is immutable")


def _event_problems(event: Object) -> Iterable[Problem]:
    namespace = (event.get("involvedObject") or {}).get("namespace") or ""
    own = event["metadata"]["namespace"]
    if namespace != own and (namespace or own != "default"):
        yield Problem.invalid("involvedObject.namespace", namespace, "does not match event.namespace")


def _default_node(node: Object) -> None:
    if not (node.get("spec") or {}).get("unschedulable", True):
        del node["spec"]["unschedulable"]
    found = node.get("status") or {}
    if found.get("capacity"):
        found.setdefault("allocatable", dict(found["capacity"]))


def _node_problems(node: Object) -> Iterable[Problem]:
    seen = set()
    effects = ("NoSchedule", "PreferNoSchedule", "NoExecute")
    for index, taint in enumerate((node.get("spec") or {}).get("taints") or ()):
        field = f"metadata.taints[{index}]"  # so it says, though they are in the specification
        if taint.get("effect") not in effects:
            yield Problem.unsupported(f"{field}.effect", taint.get("effect") or "", effects)
        if (taint.get("key"), taint.get("effect")) in seen:
            yield Problem.duplicate(field, taint)
        seen.add((taint.get("key"), taint.get("effect")))


def _default_event(event: Object) -> None:
    # Never left out, which those who read them count on.
    empty: Object = {"eventTime": None, "firstTimestamp": None, "lastTimestamp": None, "source": {}}
    for key, value in {**empty, "reportingComponent": "", "reportingInstance": ""}.items():
        event.setdefault(key, value)


def _default_class(priority_class: Object) -> None:
    priority_class.setdefault("preemptionPolicy", "PreemptLowerPriority")


def _class_problems(priority_class: Object) -> Iterable[Problem]:
    name, value = priority_class["metadata"]["name"], priority_class.get("value", 0)
    if not name.startswith("system-"):
        if value > _MOST_PRIORITY:
            yield Problem.forbidden("value", f"maximum allowed value of a user defined priority is {_MOST_PRIORITY}")
    elif name not in _SYSTEM_CLASSES:
        why = "priority class names with 'system-' prefix are reserved for system use only. error: "
        yield Problem.forbidden("metadata.name", f"{why}{name} is not a known system priority class")


def _lease_problems(lease: Object) -> Iterable[Problem]:
    spec = lease.get("spec") or {}
    if spec.get("leaseDurationSeconds", 1) <= 0:
        yield Problem.invalid("spec.leaseDurationSeconds", spec["leaseDurationSeconds"], "must be greater than 0")
    if spec.get("leaseTransitions", 0) < 0:
        detail = "must be greater than or equal to 0"
        yield Problem.invalid("spec.leaseTransitions", spec["leaseTransitions"], detail)


def _class_changes(new: Object, old: Object) -> Iterable[Problem]:
    if new.get("value") != old.get("value"):
        yield Problem.forbidden("value", "may not be changed in an update.")


STRATEGIES: dict[tuple[str, str], Strategy] = {
    ("", "pods"): Strategy(
        pod_defaults.default_pod, pod_defaults.prepare_pod, pod_rules.pod_problems, changes=pod_rules.pod_changes
    ),
    ("batch", "jobs"): Strategy(jobs.default_job, _prepare_job, jobs.job_problems, changes=jobs.job_changes),
    ("", "namespaces"): Strategy(prepare=_prepare_namespace, carry=_carry_finalizers),
    # A kubelet registers its node with a status; the real server keeps it, unlike that of other kinds.
    ("", "nodes"): Strategy(_default_node, _keep, _node_problems),
    ("", "services"): Strategy(services.default_service, services.prepare_service, services.service_problems),
    ("", "persistentvolumeclaims"): Strategy(_default_claim, _prepare_claim, _claim_problems, changes=_claim_changes),
    ("", "persistentvolumes"): Strategy(prepare=_prepare_volume),
    ("", "secrets"): Strategy(_default_secret, problems=_secret_problems, changes=_data_changes),
    ("", "configmaps"): Strategy(problems=_map_problems, changes=_data_changes),
    ("", "events"): Strategy(_default_event, _keep, _event_problems),
    ("scheduling.k8s.io", "priorityclasses"): Strategy(
        _default_class, problems=_class_problems, changes=_class_changes
    ),
    ("coordination.k8s.io", "leases"): Strategy(problems=_lease_problems),
    ("apiextensions.k8s.io", "customresourcedefinitions"): Strategy(
        definitions.default_definition,
        definitions.prepare_definition,
        definitions.definition_problems,
        changes=definitions.definition_changes,
    ),
}
_OTHER = Strategy()
#: A custom resource without `status` subresource keeps the status that it is given.
_CUSTOM_WHOLE = Strategy(prepare=_keep)


def strategy(table: tuple[str, str], *, status: bool) -> Strategy:
    """The habits of a kind; `status` tells whether it has that subresource."""
    return STRATEGIES.get(table, _OTHER if status else _CUSTOM_WHOLE)
