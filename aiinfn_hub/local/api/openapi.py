"""As much OpenAPI v3 as makes `kubectl apply` content: which objects can be patched, and no schemas."""

from __future__ import annotations

from typing import Any

from aiinfn_hub.local.api.kinds import Resource, Resources

Object = dict[str, Any]

_PARAMETERS = [
    {"name": name, "in": "query", "schema": {"type": "string", "uniqueItems": True}}
    for name in ("dryRun", "fieldManager", "fieldValidation")
]


def index(resources: Resources) -> Object:
    """`/openapi/v3`: where the document of each group and version is."""
    versions = sorted({resource.kind.api_version for resource in resources})
    paths = [f"apis/{version}" if "/" in version else f"api/{version}" for version in versions]
    return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in paths}}


def document(resources: Resources, group: str, version: str) -> Object | None:
    """`/openapi/v3/apis/GROUP/VERSION`: the objects that it serves."""
    served = [r for r in resources if (r.kind.group, r.kind.version) == (group, version)]
    if not served:
        return None
    return {
        "openapi": "3.0.0",
        "info": {"title": "Kubernetes", "version": version},
        "paths": {_path(resource): _item(resource) for resource in served},
    }


def _path(resource: Resource) -> str:
    namespace = "{namespace}" if resource.kind.namespaced else None
    return resource.kind.path(namespace).replace("%7B", "{").replace("%7D", "}") + "/{name}"


def _item(resource: Resource) -> Object:
    kind = resource.kind
    patch = {
        "x-kubernetes-action": "patch",
        "x-kubernetes-group-version-kind": {"group": kind.group, "version": kind.version, "kind": kind.kind},
        "parameters": _PARAMETERS,
        "responses": {"200": {"description": "OK"}},
    }
    return {"patch": patch}
