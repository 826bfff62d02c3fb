"""Deleting: preconditions, grace of pods, finalizers, what happens to dependents (k8s.io/apiserver, registry/rest)."""

from __future__ import annotations

from typing import Any

import msgspec

from aiinfn_hub.local.api import status
from aiinfn_hub.local.api.columns import seconds
from aiinfn_hub.local.api.kinds import Resource
from aiinfn_hub.local.api.objects import Objects, timestamp
from aiinfn_hub.local.api.store import Object, Stored

ORPHAN, FOREGROUND = "orphan", "foregroundDeletion"
_IMMORTAL = frozenset({"default", "kube-system", "kube-public"})
_FINISHED = frozenset({"Succeeded", "Failed"})


class Preconditions(msgspec.Struct, rename={"resource_version": "resourceVersion"}, frozen=True):
    """Delete only this very object, or only this version of it."""

    uid: str | None = None
    resource_version: str | None = None


class DeleteOptions(msgspec.Struct, rename="camel", frozen=True):
    """`meta.k8s.io/v1 DeleteOptions`, as far as they are heeded."""

    grace_period_seconds: int | None = None
    propagation_policy: str | None = None
    orphan_dependents: bool | None = None
    preconditions: Preconditions | None = None
    dry_run: list[str] | None = None


def parse_options(body: Any, query: dict[str, str]) -> DeleteOptions:
    """Options from the body, and where that is silent from the query.

    Raises:
        InvalidInput: they cannot be read.
    """
    known = {key: query[key] for key in ("gracePeriodSeconds", "propagationPolicy", "orphanDependents") if key in query}
    try:
        options = msgspec.convert(known | (body or {}), DeleteOptions, strict=False)
    except (msgspec.ValidationError, TypeError) as error:
        raise status.bad_request(f"DeleteOptions cannot be read: {error}") from error
    if options.propagation_policy not in {None, "", "Background", "Foreground", "Orphan"}:
        choices = ("Foreground", "Background", "Orphan", "nil")
        problem = status.Problem.unsupported("propagationPolicy", options.propagation_policy, choices)
        group = "meta.k8s.io"
        raise status.invalid_value(f"DeleteOptions.{group}", problem, "DeleteOptions", group)
    return options


def delete(
    objects: Objects, resource: Resource, namespace: str, name: str, options: DeleteOptions, *, dry_run: bool = False
) -> tuple[Stored, bool]:
    """The object as it is now, and whether it is gone; otherwise it waits for finalizers or a pod's end.

    Raises:
        NotFound: there is none.
        Conflict: a precondition does not hold.
        Forbidden: it is a namespace that must stay.
    """
    old = objects.get(resource, namespace, name)
    _check(resource, old, options.preconditions)
    if resource.kind.kind == "Namespace" and name in _IMMORTAL:
        raise status.forbidden(resource, name, "this namespace may not be deleted")
    new = old.fresh()
    meta = new["metadata"]
    finalizers = _finalizers(resource, meta, options)
    grace = _grace(resource, new, options.grace_period_seconds)
    held = bool(finalizers) or grace > 0 or resource.kind.kind == "Namespace"
    if not held:
        return (old if dry_run else objects.store.drop(old.ref)), True
    meta["finalizers"] = finalizers
    _mark(objects, new, grace)
    if resource.kind.kind == "Namespace":
        new["status"]["phase"] = "Terminating"
    return objects.replace(resource, old, new, dry_run=dry_run), False


def _check(resource: Resource, old: Stored, wanted: Preconditions | None) -> None:
    if wanted is None:
        return
    meta = old.obj["metadata"]
    for key, given, found, perhaps in (
        ("UID", wanted.uid, meta["uid"], "deleted and then recreated"),
        ("ResourceVersion", wanted.resource_version, meta["resourceVersion"], "modified"),
    ):
        if given and given != found:
            why = f"the {key} in the precondition ({given}) does not match the {key} in record ({found}). "
            raise status.unmet(resource, meta["name"], f"{why}The object might have been {perhaps}")


def _finalizers(resource: Resource, meta: Object, options: DeleteOptions) -> list[str]:
    """Those of the object, with the one that the propagation asks for."""
    policy = options.propagation_policy
    if not policy and options.orphan_dependents is not None:
        policy = "Orphan" if options.orphan_dependents else "Background"
    present: list[str] = meta.get("finalizers") or []
    if not policy:
        # batch/v1 orphans unless told otherwise: an old promise that surprises everybody, and is kept.
        policy = "Orphan" if resource.table == ("batch", "jobs") and not {ORPHAN, FOREGROUND} & set(present) else ""
    if not policy:
        return present
    others = [name for name in present if name not in {ORPHAN, FOREGROUND}]
    return others + {"Orphan": [ORPHAN], "Foreground": [FOREGROUND], "Background": []}[policy]


def _grace(resource: Resource, obj: Object, asked: int | None) -> int:
    """Seconds that a pod gets to end; 0 where nobody would end it."""
    if resource.table != ("", "pods"):
        return 0
    spec = obj["spec"]
    grace = int(spec.get("terminationGracePeriodSeconds", 30) if asked is None else asked)
    if not spec.get("nodeName") or (obj.get("status") or {}).get("phase") in _FINISHED:
        return 0
    return 1 if grace < 0 else grace


def _mark(objects: Objects, obj: Object, grace: int) -> None:
    """Set the time of the deletion; a second deletion can only bring it nearer."""
    meta = obj["metadata"]
    if "deletionTimestamp" in meta:
        earlier = meta.get("deletionGracePeriodSeconds") or 0
        if grace >= earlier:
            return
        begun = seconds(meta["deletionTimestamp"]) - earlier
    else:
        begun = seconds(objects.now())
        if "generation" in meta:
            meta["generation"] += 1
    meta["deletionTimestamp"] = timestamp(begun + grace)
    meta["deletionGracePeriodSeconds"] = grace
