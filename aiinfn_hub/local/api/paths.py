"""URL paths of the Kubernetes API."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Target:
    """What a path names: a collection, an object, or a subresource; empty where it says nothing."""

    group: str
    version: str
    plural: str
    namespace: str = ""
    name: str = ""
    subresource: str = ""


def version(parts: list[str]) -> tuple[str, str] | None:
    """The group and the version that the parts of a path begin with."""
    match parts:
        case ["api", version, *_]:
            return "", version
        case ["apis", group, version, *_]:
            return group, version
    return None


def parse(path: str) -> Target | None:
    """The target of `/api/v1/...` or `/apis/GROUP/VERSION/...`; None for any other path.

    `/namespaces/NAME` and its subresources are the namespace itself, `/namespaces/NAME/PLURAL` is a collection in it.
    """
    parts = path.strip("/").split("/")
    found = version(parts)
    if not all(parts) or found is None:
        return None
    rest = parts[2 if parts[0] == "api" else 3 :]
    namespace = ""
    if len(rest) > 2 and rest[0] == "namespaces" and not (len(rest) == 3 and rest[2] in {"status", "finalize"}):
        namespace, rest = rest[1], rest[2:]
    if not rest or len(rest) > 3:
        return None
    return Target(*found, rest[0], namespace, *rest[1:])
