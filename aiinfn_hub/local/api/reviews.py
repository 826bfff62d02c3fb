"""Questions about rights: whoever has the token may do everything."""

from __future__ import annotations

from typing import Any

from aiinfn_hub.local.api.paths import Target

Object = dict[str, Any]

_KINDS = {
    ("authorization.k8s.io", "v1", "selfsubjectaccessreviews"): "SelfSubjectAccessReview",
    ("authentication.k8s.io", "v1", "selfsubjectreviews"): "SelfSubjectReview",
}


def kind_of(target: Target) -> str | None:
    """The review that a path asks for."""
    return _KINDS.get((target.group, target.version, target.plural)) if not target.name else None


def reply(kind: str, review: Object) -> Object:
    """The review with its answer."""
    if kind == "SelfSubjectReview":
        status: Object = {"userInfo": {"username": "demo", "groups": ["system:masters", "system:authenticated"]}}
        return {**review, "kind": kind, "apiVersion": "authentication.k8s.io/v1", "status": status}
    return {**review, "kind": kind, "apiVersion": "authorization.k8s.io/v1", "status": {"allowed": True}}
