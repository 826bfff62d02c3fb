"""CustomResourceDefinitions: whatever is defined is served at once; objects are not checked against the schema."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from aiinfn_hub.local.api.status import Problem

Object = dict[str, Any]

#: Keeps a definition until the last of its objects is gone.
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


def default_definition(definition: Object) -> None:
    """Fill in what was left out; what is there stays."""
    spec = definition.setdefault("spec", {})
    names = spec.setdefault("names", {})
    if isinstance(names.get("kind"), str):
        names.setdefault("singular", names["kind"].lower())
        names.setdefault("listKind", f"{names['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})


def prepare_definition(definition: Object, now: str) -> None:
    """A new definition is accepted and established."""
    finalizers = definition["metadata"].setdefault("finalizers", [])
    if CLEANUP not in finalizers:
        finalizers.append(CLEANUP)
    spec = definition["spec"]

    def condition(kind: str, reason: str, message: str) -> Object:
        return {"type": kind, "status": "True", "lastTransitionTime": now, "reason": reason, "message": message}

    definition["status"] = {
        "conditions": [
            condition("NamesAccepted", "NoConflicts", "no conflicts found"),
            condition("Established", "InitialNamesAccepted", "the initial names have been accepted"),
        ],
        "acceptedNames": spec["names"],
        "storedVersions": [v.get("name") for v in spec.get("versions") or () if v.get("storage")],
    }


def definition_problems(definition: Object) -> Iterable[Problem]:
    """The mistakes that would keep it from being served."""
    spec = definition["spec"]
    names, versions = spec["names"], spec.get("versions") or []
    for field in ("plural", "kind"):
        if not names.get(field):
            yield Problem.required(f"spec.names.{field}")
    if not spec.get("group"):
        yield Problem.required("spec.group")
    wanted = f"{names.get('plural')}.{spec.get('group')}"
    if definition["metadata"]["name"] != wanted:
        yield Problem.invalid(
            "metadata.name", definition["metadata"]["name"], 'must be spec.names.plural+"."+spec.group'
        )
    if spec.get("scope") not in {"Namespaced", "Cluster"}:
        yield Problem.unsupported("spec.scope", spec.get("scope"), ("Cluster", "Namespaced"))
    if [bool(version.get("storage")) for version in versions].count(True) != 1:
        yield Problem.invalid("spec.versions", len(versions), "must have exactly one version marked as storage version")
    if any(not version.get("name") for version in versions):
        yield Problem.required("spec.versions[].name")


def definition_changes(new: Object, old: Object) -> Iterable[Problem]:
    """What an update may not change."""
    for path in (("group",), ("scope",), ("names", "plural"), ("names", "kind")):
        after, before = new["spec"], old["spec"]
        for key in path:
            after, before = after.get(key), before.get(key)
        if after != before:
            yield Problem.invalid(f"spec.{'.'.join(path)}", after, "field is immutable")
