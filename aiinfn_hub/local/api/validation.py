"""Names, labels and annotations: the rules that every object must keep, in the words of apimachinery."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from aiinfn_hub.local.api.kinds import Resource
from aiinfn_hub.local.api.status import Problem

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL_VALUE = f"({_QUALIFIED})?"
_ENDS = "and must start and end with an alphanumeric character"
MAX_ANNOTATIONS = 256 * 1024
#: Total size of the values of a ConfigMap or a Secret.
MAX_DATA = 1024 * 1024


def dns_label(value: str) -> str:
    """What is wrong with a DNS-1123 label; "" if nothing is."""
    if len(value) > 63:
        return "must be no more than 63 bytes"
    if re.fullmatch(_LABEL, value):
        return ""
    return (
        f"a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', {_ENDS} "
        f"(e.g. 'my-name',  or '123-abc', regex used for validation is '{_LABEL}')"
    )


def dns_subdomain(value: str) -> str:
    """What is wrong with a DNS-1123 subdomain; "" if nothing is."""
    if len(value) > 253:
        return "must be no more than 253 bytes"
    if re.fullmatch(_SUBDOMAIN, value):
        return ""
    return (
        f"a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', {_ENDS} "
        f"(e.g. 'example.com', regex used for validation is '{_SUBDOMAIN}')"
    )


def path_segment(value: str) -> str:
    """What is wrong with a name that only has to fit into a path; "" if nothing is."""
    if value in {".", ".."}:
        return f"may not be '{value}'"
    return next((f"may not contain '{bad}'" for bad in "/%" if bad in value), "")


def qualified_name(value: str) -> str:
    """What is wrong with the key of a label, an annotation, a resource; "" if nothing is."""
    prefix, slash, name = value.rpartition("/")
    if slash and (not prefix or dns_subdomain(prefix)):
        return f"prefix part {dns_subdomain(prefix) if prefix else 'must be non-empty'}"
    if not name:
        return "name part must be non-empty"
    if len(name) > 63:
        return "name part must be no more than 63 bytes"
    if re.fullmatch(_QUALIFIED, name):
        return ""
    return (
        f"name part must consist of alphanumeric characters, '-', '_' or '.', {_ENDS} "
        f"(e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '{_QUALIFIED}')"
    )


def config_key(value: str) -> str:
    """What is wrong with a key of a ConfigMap or a Secret; "" if nothing is."""
    if len(value) > 253:
        return "must be no more than 253 characters"
    if value in {".", ".."}:
        return f"must not be '{value}'"
    if value.startswith(".."):
        return "must not start with '..'"
    if re.fullmatch("[-._a-zA-Z0-9]+", value):
        return ""
    return (
        "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or "
        "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
    )


def label_value(value: str) -> str:
    """What is wrong with the value of a label; "" if nothing is."""
    if len(value) > 63:
        return "must be no more than 63 bytes"
    if re.fullmatch(_LABEL_VALUE, value):
        return ""
    return (
        f"a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', {_ENDS} "
        f"(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '{_LABEL_VALUE}')"
    )


#: Finalizers without a domain.
_FINALIZERS = frozenset({"orphan", "foregroundDeletion", "kubernetes"})
_NAMES = {
    ("", "namespaces"): dns_label,
    ("", "services"): dns_label,
    **{
        ("rbac.authorization.k8s.io", plural): path_segment
        for plural in ("roles", "rolebindings", "clusterroles", "clusterrolebindings")
    },
}


def metadata_problems(resource: Resource, meta: dict[str, Any]) -> list[Problem]:
    """The mistakes in an object's metadata, whose shape has been checked."""
    problems: list[Problem] = []
    name, prefix = meta.get("name", ""), meta.get("generateName", "")
    check = _NAMES.get(resource.table, dns_subdomain)
    # A prefix may end in what a name may not.
    if (
        prefix
        and resource.table != ("", "events")
        and (wrong := check(f"{prefix[:-1]}a" if prefix[-1] == "-" else prefix))
    ):
        problems.append(Problem.invalid("metadata.generateName", prefix, wrong))
    if not name:
        problems.append(Problem.required("metadata.name", "name or generateName is required"))
    elif wrong := check(name):
        problems.append(Problem.invalid("metadata.name", name, wrong))
    problems += label_problems("metadata.labels", meta.get("labels"))
    annotations: dict[str, str] = meta.get("annotations") or {}
    for key in annotations:
        if wrong := qualified_name(key.lower()):
            problems.append(Problem.invalid("metadata.annotations", key, wrong))
    if sum(len(key) + len(value) for key, value in annotations.items()) > MAX_ANNOTATIONS:
        message = f"Too long: may not be more than {MAX_ANNOTATIONS} bytes"
        problems.append(Problem("metadata.annotations", "FieldValueTooLong", message))
    for index, finalizer in enumerate(meta.get("finalizers") or ()):
        field = f"metadata.finalizers[{index}]"
        if wrong := qualified_name(finalizer):
            problems.append(Problem.invalid(field, finalizer, wrong))
        elif "/" not in finalizer and finalizer not in _FINALIZERS and not _is_extension(resource):
            detail = "name is neither a standard finalizer name nor is it fully qualified"
            problems.append(Problem.invalid(field, finalizer, detail))
    return problems + list(_owner_problems(meta.get("ownerReferences") or ()))


def _is_extension(resource: Resource) -> bool:
    """Whether another validation than that of core kinds looks at it."""
    return resource.custom or resource.kind.group == "apiextensions.k8s.io"


def label_problems(field: str, labels: dict[str, str] | None) -> list[Problem]:
    """The mistakes in a map of labels."""
    problems = []
    for key, value in (labels or {}).items():
        if wrong := qualified_name(key):
            problems.append(Problem.invalid(field, key, wrong))
        if wrong := label_value(value):
            problems.append(Problem.invalid(field, value, wrong))
    return problems


def _owner_problems(owners: Iterable[dict[str, Any]]) -> Iterable[Problem]:
    controllers = 0
    for index, owner in enumerate(owners):
        for key in ("apiVersion", "kind", "name", "uid"):
            if not owner.get(key):
                yield Problem.invalid(f"metadata.ownerReferences[{index}].{key}", "", f"{key} must not be empty")
        controllers += bool(owner.get("controller"))
    if controllers > 1:
        detail = "Only one reference can have Controller set to true"
        yield Problem.invalid("metadata.ownerReferences", controllers, detail)
