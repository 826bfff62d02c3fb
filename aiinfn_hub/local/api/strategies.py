"""What is done for each kind at a creation and an update: defaults, first status, rules."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from aiinfn_hub.local.api import definitions, jobs, pod_defaults, pod_rules, services
from aiinfn_hub.local.api.status import Problem
from aiinfn_hub.local.api.validation import MAX_DATA

Object = dict[str, Any]


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
    claim.setdefault("spec", {}).setdefault("volumeMode", "Filesystem")


def _claim_problems(claim: Object) -> Iterable[Problem]:
    spec = claim["spec"]
    if not spec.get("accessModes"):
        yield Problem.required("spec.accessModes", "at least 1 access mode is required")
    if "storage" not in ((spec.get("resources") or {}).get("requests") or {}):
        yield Problem.required("spec.resources[storage]")


def _prepare_volume(volume: Object, _now: str) -> None:
    volume["status"] = {"phase": "Available"}


def _default_secret(secret: Object) -> None:
    secret.setdefault("type", "Opaque")
    plain = secret.pop("stringData", None) or {}
    if plain:
        coded = {key: base64.b64encode(value.encode()).decode() for key, value in plain.items()}
        secret["data"] = (secret.get("data") or {}) | coded


def _secret_problems(secret: Object) -> Iterable[Problem]:
    for key, value in (secret.get("data") or {}).items():
        try:
            base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            # The value itself stays out of the message: it is a secret.
            yield Problem(f"data[{key}]", "FieldValueInvalid", "Invalid value: illegal base64 data")
    yield from _size_problems(_decoded(secret.get("data")))


def _map_problems(config_map: Object) -> Iterable[Problem]:
    text = sum(len(value.encode()) for value in (config_map.get("data") or {}).values())
    return _size_problems(text + _decoded(config_map.get("binaryData")))


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


def _default_event(event: Object) -> None:
    event.setdefault("type", "Normal")


def _default_class(priority_class: Object) -> None:
    priority_class.setdefault("preemptionPolicy", "PreemptLowerPriority")


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
    ("", "nodes"): Strategy(prepare=_keep),
    ("", "services"): Strategy(services.default_service, services.prepare_service, services.service_problems),
    ("", "persistentvolumeclaims"): Strategy(_default_claim, _prepare_claim, _claim_problems),
    ("", "persistentvolumes"): Strategy(prepare=_prepare_volume),
    ("", "secrets"): Strategy(_default_secret, problems=_secret_problems, changes=_data_changes),
    ("", "configmaps"): Strategy(problems=_map_problems, changes=_data_changes),
    ("", "events"): Strategy(_default_event, _keep),
    ("scheduling.k8s.io", "priorityclasses"): Strategy(_default_class, changes=_class_changes),
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
