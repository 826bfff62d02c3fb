"""Strategic merge patch: lists of named things are merged by their key instead of being replaced.

The keys are those of the `patchMergeKey` tags in k8s.io/api. Tolerations, taints and the sources of a projected volume
have none there: they are replaced, which surprises people and is kept.
"""

from __future__ import annotations

from typing import Any

from aiinfn_hub.local.api import status

Object = dict[str, Any]

#: Field -> keys; the first that the entry has is the one ("ports" of a container and of a service).
MERGE_KEYS: dict[str, tuple[str, ...]] = {
    "addresses": ("type",),
    "allocatedResourcesStatus": ("name",),
    "conditions": ("type",),
    "containers": ("name",),
    "env": ("name",),
    "ephemeralContainers": ("name",),
    "hostAliases": ("ip",),
    "hostIPs": ("ip",),
    "imagePullSecrets": ("name",),
    "initContainers": ("name",),
    "ownerReferences": ("uid",),
    "podIPs": ("ip",),
    "ports": ("containerPort", "port"),
    "resourceClaimStatuses": ("name",),
    "resourceClaims": ("name",),
    "schedulingGates": ("name",),
    "secrets": ("name",),
    "topologySpreadConstraints": ("topologyKey",),
    "volumeDevices": ("devicePath",),
    "volumeMounts": ("mountPath",),
    "volumes": ("name",),
}
#: Lists of plain values that are united.
UNITED = frozenset({"finalizers", "podCIDRs"})
_DELETE_FROM = "$deleteFromPrimitiveList/"
_ORDER = "$setElementOrder/"


def strategic(document: Any, patch: Any) -> Any:
    """The document with a strategic merge patch applied; both are used up.

    Raises:
        InvalidInput: a directive is unknown, or an entry of a merged list lacks its key.
    """
    if not isinstance(patch, dict):
        return patch
    if not isinstance(document, dict):
        document = {}
    directive = patch.pop("$patch", "merge")
    if directive == "replace":
        return patch
    if directive == "delete":
        return {}
    if directive != "merge":
        raise status.internal(f"unknown patch type: {directive} in map: {patch}")
    _retain(document, patch.pop("$retainKeys", None))
    orders = {key[len(_ORDER) :]: patch.pop(key) for key in list(patch) if key.startswith(_ORDER)}
    before = {key: list(value) for key, value in document.items() if isinstance(value, list)}
    for key, value in patch.items():
        _apply(document, key, value)
        if key not in orders and isinstance(value, list) and (key in MERGE_KEYS or key in UNITED):
            orders[key] = value
    for key, order in orders.items():
        if isinstance(document.get(key), list):
            document[key] = _woven(key, document[key], order, before.get(key, []))
    return document


def _apply(document: Object, key: str, value: Any) -> None:
    if key.startswith(_DELETE_FROM):
        name = key[len(_DELETE_FROM) :]
        document[name] = [item for item in document.get(name) or [] if item not in value]
    elif value is None:
        document.pop(key, None)
    elif isinstance(value, list) and key in UNITED:
        present = document.get(key) or []
        document[key] = present + [item for item in value if item not in present]
    elif isinstance(value, list) and key in MERGE_KEYS and all(isinstance(item, dict) for item in value):
        document[key] = _merge_list(key, document.get(key) or [], value)
    elif isinstance(value, dict) and value.get("$patch") == "delete":
        document.pop(key, None)
    else:
        document[key] = strategic(document.get(key), value)


def _merge_list(field: str, present: list[Object], changes: list[Object]) -> list[Object]:
    if any(item.get("$patch") == "replace" for item in changes):
        return [item for item in changes if "$patch" not in item]
    merged = list(present)
    for change in changes:
        key = _merge_key(field, change)
        position = next((i for i, item in enumerate(merged) if item.get(key) == change[key]), None)
        if change.get("$patch") == "delete":
            merged = [item for item in merged if item.get(key) != change[key]]
        elif position is None:
            merged.append(strategic({}, change))
        else:
            merged[position] = strategic(merged[position], change)
    return merged


def _merge_key(field: str, entry: Object) -> str:
    for key in MERGE_KEYS[field]:
        if key in entry:
            return key
    text = " ".join(f"{key}:{value}" for key, value in sorted(entry.items()))
    raise status.internal(f"map: map[{text}] does not contain declared merge key: {MERGE_KEYS[field][0]}")


def _retain(document: Object, keys: Any) -> None:
    if keys is not None:
        for key in [key for key in document if key not in keys]:
            del document[key]


def _woven(field: str, items: list[Any], order: list[Any], before: list[Any]) -> list[Any]:
    """The items that the patch names in its order, the others in theirs (strategicpatch.normalizeElementOrder).

    One of the others comes first only if both it and the patch's next item were there before, in that order: so what a
    patch adds goes to the front.
    """
    wanted = [_identity(field, entry) for entry in order]
    was = [_identity(field, entry) for entry in before]
    named = [item for item in items if _identity(field, item) in wanted]
    named.sort(key=lambda item: wanted.index(_identity(field, item)))
    others = [item for item in items if _identity(field, item) not in wanted]
    woven: list[Any] = []
    while named and others:
        ours, theirs = _identity(field, others[0]), _identity(field, named[0])
        first = ours in was and theirs in was and was.index(ours) < was.index(theirs)
        woven.append((others if first else named).pop(0))
    return [*woven, *named, *others]


def _identity(field: str, item: Any) -> Any:
    """What makes an entry of a list the same entry in another one."""
    if not isinstance(item, dict):
        return item
    return next(((key, item[key]) for key in MERGE_KEYS.get(field, ()) if key in item), None)
