"""The environment of a container: literals, references, `$(VARIABLE)`; as the kubelet makes it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiinfn_hub.contract.quantities import parse_bytes, parse_cpu
from aiinfn_hub.errors import InvalidInput, NotFound
from aiinfn_hub.local.agent.references import Data, Source

_REFERENCE = re.compile(r"\$(?:(?P<escaped>\$)|\((?P<name>[^()]*)\))")
_SUBSCRIPT = re.compile(r"metadata\.(?P<field>labels|annotations)\['(?P<key>[^']+)'\]")
_VARIABLE = re.compile(r"[^=\0]+")


@dataclass(frozen=True)
class Facts:
    """What a pod can ask about itself: its object, and what only its node knows."""

    pod: Mapping[str, Any]
    ip: str
    host_ip: str
    node_cpu_millis: int
    node_memory_bytes: int

    def field(self, path: str) -> str:
        """The value of a `fieldRef`.

        Raises:
            InvalidInput: there is no such field.
        """
        meta, spec = self.pod["metadata"], self.pod["spec"]
        plain = {
            "metadata.name": meta["name"],
            "metadata.namespace": meta["namespace"],
            "metadata.uid": meta["uid"],
            "spec.nodeName": spec.get("nodeName", ""),
            "spec.serviceAccountName": spec.get("serviceAccountName", ""),
            "status.hostIP": self.host_ip,
            "status.hostIPs": self.host_ip,
            "status.podIP": self.ip,
            "status.podIPs": self.ip,
        }
        if path in plain:
            return str(plain[path])
        subscript = _SUBSCRIPT.fullmatch(path)
        if subscript:
            return str((meta.get(subscript["field"]) or {}).get(subscript["key"], ""))
        if path in ("metadata.labels", "metadata.annotations"):
            return map_lines(meta.get(path.removeprefix("metadata.")) or {})
        raise InvalidInput(f"unsupported fieldPath: {path}")

    def resource(self, container: Mapping[str, Any], path: str, divisor: str = "1") -> str:
        """The value of a `resourceFieldRef`, in units of `divisor`, rounded up; the node's where there is no limit.

        Raises:
            InvalidInput: there is no such resource.
        """
        section, _, name = path.partition(".")
        parse = {"cpu": parse_cpu, "memory": parse_bytes, "ephemeral-storage": parse_bytes}.get(name)
        if section not in ("limits", "requests") or parse is None:
            raise InvalidInput(f"unsupported container resource: {path}")
        resources = container.get("resources") or {}
        # A request that is not written is the limit.
        given = (resources.get(section) or {}).get(name) or (resources.get("limits") or {}).get(name)
        whole = {"cpu": self.node_cpu_millis, "memory": self.node_memory_bytes}.get(name, 0)
        amount = parse(given) if given is not None else whole if section == "limits" else 0
        return str(-(-amount // (parse(divisor if divisor != "0" else "1"))))


def map_lines(values: Mapping[str, str]) -> str:
    """Labels or annotations as the downward API writes them: one `key="value"` a line."""
    escape = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\t": "\\t", "\r": "\\r"})
    return "\n".join(f'{key}="{value.translate(escape)}"' for key, value in sorted(values.items()))


def expand(text: str, variables: Mapping[str, str]) -> str:
    """`$(NAME)` replaced where it is known and left where it is not; `$$` is a dollar that means nothing."""

    def replaced(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        return variables.get(match["name"], match[0])

    return _REFERENCE.sub(replaced, text)


async def resolve(container: Mapping[str, Any], facts: Facts, source: Source) -> dict[str, str]:
    """Everything under `envFrom` and `env` of a container.

    Raises:
        NotFound: a ConfigMap, a Secret or a key is missing and not optional; the message is the kubelet's.
        InvalidInput: a reference or a name that cannot be.
    """
    found: dict[str, str] = {}
    for item in container.get("envFrom") or ():
        data = await _whole(item, source)
        found |= {item.get("prefix", "") + key: _text(value) for key, value in data.items()}
    for item in container.get("env") or ():
        name = item["name"]
        if _VARIABLE.fullmatch(name) is None:
            raise InvalidInput(f"{name!r} is not the name of an environment variable.")
        if "valueFrom" not in item:
            found[name] = expand(item.get("value") or "", found)
        elif (value := await _value(item["valueFrom"], container, facts, source)) is not None:
            found[name] = value
    return {name: _without_null(name, value) for name, value in found.items()}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _without_null(name: str, value: str) -> str:
    if "\0" in value:
        raise InvalidInput(f"The environment variable {name} contains a null byte.")
    return value


async def _whole(item: Mapping[str, Any], source: Source) -> Data:
    """An `envFrom` entry."""
    for field, get in (("configMapRef", source.config_map), ("secretRef", source.secret)):
        reference = item.get(field)
        if reference is None:
            continue
        try:
            return await get(reference["name"])
        except NotFound:
            if not reference.get("optional"):
                raise
    return {}


async def _value(origin: Mapping[str, Any], container: Mapping[str, Any], facts: Facts, source: Source) -> str | None:
    """A `valueFrom`; None if it is optional and missing."""
    if "fieldRef" in origin:
        return facts.field(origin["fieldRef"]["fieldPath"])
    if "resourceFieldRef" in origin:
        reference = origin["resourceFieldRef"]
        return facts.resource(container, reference["resource"], str(reference.get("divisor") or "1"))
    reference = origin.get("secretKeyRef") or origin.get("configMapKeyRef")
    if reference is None:
        raise InvalidInput(f"unsupported valueFrom: {', '.join(origin) or 'empty'}")
    secret = "secretKeyRef" in origin
    try:
        data = await (source.secret if secret else source.config_map)(reference["name"])
    except NotFound:
        if reference.get("optional"):
            return None
        raise
    if reference["key"] in data:
        return _text(data[reference["key"]])
    if reference.get("optional"):
        return None
    where = f"{'Secret' if secret else 'ConfigMap'} {facts.field('metadata.namespace')}/{reference['name']}"
    raise NotFound(f"couldn't find key {reference['key']} in {where}")
