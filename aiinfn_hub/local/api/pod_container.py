"""What a container may look like, as far as our code or its users can get it wrong.

The words are those of k8s.io/kubernetes/pkg/apis/core/validation 1.36.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from aiinfn_hub.local.api import validation
from aiinfn_hub.local.api.pod_needs import needs_problems
from aiinfn_hub.local.api.status import Problem

Object = dict[str, Any]

_VARIABLE = re.compile("[ -<>-~]+")
_SUBSCRIPT = re.compile(r"metadata\.(labels|annotations)\['[^']+'\]")
#: Fields that a variable may hold; the whole maps are for volumes only.
_FIELDS = (
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
)
_HANDLERS = ("httpGet", "exec", "tcpSocket", "grpc")


def container_problems(field: str, container: Object, volumes: set[Any], seen: set[str]) -> Iterator[Problem]:
    """The mistakes in a container; `volumes` are its pod's, `seen` the names of the containers before it."""
    name, image = container.get("name") or "", container.get("image") or ""
    if not name:
        yield Problem.required(f"{field}.name")
    elif wrong := validation.dns_label(name):
        yield Problem.invalid(f"{field}.name", name, wrong)
    elif name in seen:
        yield Problem.duplicate(f"{field}.name", name)
    seen.add(name)
    if not image:
        yield Problem.required(f"{field}.image")
    elif image != image.strip():
        yield Problem.invalid(f"{field}.image", image, "must not have leading or trailing whitespace")
    yield from _port_problems(field, container.get("ports") or ())
    yield from _variable_problems(field, container.get("env") or ())
    yield from _mount_problems(field, container, volumes)
    for probe in ("livenessProbe", "readinessProbe", "startupProbe"):
        if container.get(probe) is not None and not any(container[probe].get(handler) for handler in _HANDLERS):
            yield Problem.required(f"{field}.{probe}", "must specify a handler type")
    policies = ("Always", "IfNotPresent", "Never")
    if container.get("imagePullPolicy") not in policies:
        yield Problem.unsupported(f"{field}.imagePullPolicy", container.get("imagePullPolicy"), policies)
    yield from needs_problems(f"{field}.resources", container.get("resources") or {})


def _port_problems(field: str, ports: Any) -> Iterator[Problem]:
    for index, port in enumerate(ports):
        where, name, number = f"{field}.ports[{index}]", port.get("name") or "", port.get("containerPort") or 0
        for wrong in _port_name(name) if name else ():
            yield Problem.invalid(f"{where}.name", name, wrong)
        if not number:
            yield Problem.required(f"{where}.containerPort")
        elif not 1 <= number <= 65535:
            yield Problem.invalid(f"{where}.containerPort", number, "must be between 1 and 65535, inclusive")


def _port_name(name: str) -> Iterator[str]:
    if len(name) > 15:
        yield "must be no more than 15 characters"
    if not re.fullmatch("[-a-z0-9]+", name):
        yield "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"
    if not re.search("[a-z]", name):
        yield "must contain at least one letter (a-z)"
    if "--" in name:
        yield "must not contain consecutive hyphens"
    if name[0] == "-" or name[-1] == "-":
        yield "must not begin or end with a hyphen"


def _variable_problems(field: str, variables: Any) -> Iterator[Problem]:
    for index, variable in enumerate(variables):
        where, name, origin = f"{field}.env[{index}]", variable.get("name") or "", variable.get("valueFrom")
        if not name:
            yield Problem.required(f"{where}.name")
        elif not _VARIABLE.fullmatch(name):
            detail = "a valid environment variable name must consist only of printable ASCII characters other than '='"
            yield Problem.invalid(f"{where}.name", name, detail)
        if variable.get("value") and origin:
            detail = "may not be specified when `value` is not empty"
            yield Problem.invalid(f"{where}.valueFrom", "", detail)
        path = ((origin or {}).get("fieldRef") or {}).get("fieldPath")
        if path is not None:
            yield from _path_problems(f"{where}.valueFrom.fieldRef.fieldPath", path)


def _path_problems(field: str, path: str) -> Iterator[Problem]:
    if path in _FIELDS or _SUBSCRIPT.fullmatch(path):
        return
    if path in {"metadata.labels", "metadata.annotations"}:
        yield Problem.unsupported(field, path, sorted(_FIELDS))
        return
    detail = f"error converting fieldPath: field label not supported: {path}"
    yield Problem.invalid(field, path, detail)


def _mount_problems(field: str, container: Object, volumes: set[Any]) -> Iterator[Problem]:
    paths: set[str] = set()
    for index, mount in enumerate(container.get("volumeMounts") or ()):
        where, path, within = f"{field}.volumeMounts[{index}]", mount.get("mountPath"), str(mount.get("subPath") or "")
        if mount.get("name") not in volumes:
            yield Problem(f"{where}.name", "FieldValueNotFound", f'Not found: "{mount.get("name")}"')
        if not path:
            yield Problem.required(f"{where}.mountPath")
        elif path in paths:
            yield Problem.invalid(f"{where}.mountPath", path, "must be unique")
        paths.add(path or "")
        # The real one leaves the index out here.
        if within.startswith("/"):
            yield Problem.invalid(f"{field}.volumeMounts.subPath", within, "must be a relative path")
        elif ".." in within.split("/"):
            yield Problem.invalid(f"{field}.volumeMounts.subPath", within, "must not contain '..'")
