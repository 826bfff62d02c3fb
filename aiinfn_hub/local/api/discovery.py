"""What a client asks before it asks for objects: versions, groups, resources."""

from __future__ import annotations

from itertools import groupby
from typing import Any

from aiinfn_hub.kube.kinds import Kind
from aiinfn_hub.local.api.kinds import Resource, Resources

Object = dict[str, Any]

VERSION = {
    "major": "1",
    "minor": "36",
    "gitVersion": "v1.36.0+aiinfn.embedded",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "1970-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "",
}
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
#: What `kubectl get all` means.
_ALL = frozenset({("", "pods"), ("", "services"), ("batch", "jobs")})
#: Subresources: of which table, name, kind of the body, its apiVersion, verbs.
_SUBRESOURCES = (
    (("", "pods"), "binding", "Binding", "", "v1", ["create"]),
    (("", "pods"), "eviction", "Eviction", "policy", "v1", ["create"]),
    (("", "pods"), "log", "Pod", "", "", ["get"]),
)
#: Answered without being stored.
_REVIEWS = {
    "authorization.k8s.io": Kind(
        "authorization.k8s.io", "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", namespaced=False
    ),
    "authentication.k8s.io": Kind(
        "authentication.k8s.io", "v1", "SelfSubjectReview", "selfsubjectreviews", namespaced=False
    ),
}


def core_versions() -> Object:
    """`/api`."""
    return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}


def groups(resources: Resources) -> Object:
    """`/apis`."""
    names = sorted({resource.kind.group for resource in resources if resource.kind.group} | set(_REVIEWS))
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(resources, name) for name in names]}


def group(resources: Resources, name: str) -> Object | None:
    """`/apis/GROUP`."""
    found = _group(resources, name)
    return {"kind": "APIGroup", "apiVersion": "v1", **found} if found["versions"] else None


def resource_list(resources: Resources, name: str, version: str) -> Object | None:
    """`/api/v1`, `/apis/GROUP/VERSION`."""
    served = [r for r in resources if (r.kind.group, r.kind.version) == (name, version)]
    entries = sorted((entry for resource in served for entry in _entries(resource)), key=lambda entry: entry["name"])
    review = _REVIEWS.get(name)
    if review and review.version == version:
        entries.append(_entry(review.plural, review, ["create"]))
    if not entries:
        return None
    title = f"{name}/{version}" if name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": title, "resources": entries}


def _group(resources: Resources, name: str) -> Object:
    """A group with its versions; the one that objects are kept in is preferred."""
    served = [r for r in resources if r.kind.group == name]
    served.sort(key=lambda r: (r.kind.version != r.stored.version, r.kind.version))
    names = [version for version, _ in groupby(r.kind.version for r in served)]
    if name in _REVIEWS:
        names.append(_REVIEWS[name].version)
    versions = [{"groupVersion": f"{name}/{v}", "version": v} for v in dict.fromkeys(names)]
    return {"name": name, "versions": versions} | ({"preferredVersion": versions[0]} if versions else {})


def _entries(resource: Resource) -> list[Object]:
    kind = resource.kind
    entry = _entry(kind.plural, kind, _VERBS)
    if resource.table in _ALL:
        entry["categories"] = ["all"]
    if resource.short:
        entry["shortNames"] = list(resource.short)
    entries = [entry]
    if resource.status:
        entries.append(_entry(f"{kind.plural}/status", kind, ["get", "patch", "update"]))
    for table, name, body, group_name, version, verbs in _SUBRESOURCES:
        if table == resource.table:
            found: Object = _entry(f"{kind.plural}/{name}", kind, verbs) | {"kind": body}
            entries.append(found | ({"group": group_name, "version": version} if group_name else {}))
    return entries


def _entry(name: str, kind: Kind, verbs: list[str]) -> Object:
    # The empty singular name of a subresource is what the real one sends too.
    singular = "" if "/" in name else kind.kind.lower()
    return {"name": name, "singularName": singular, "namespaced": kind.namespaced, "kind": kind.kind, "verbs": verbs}
