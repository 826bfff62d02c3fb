"""What is different between an object as it was rendered and as the cluster has it. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from aiinfn_hub.catalogue.document import Location, spell
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.kube.amounts import amount

#: What one of the two does not have.
ABSENT = object()
#: Path -> what the API server and Kueue's webhook write where nothing was said; indices of lists are left out.
DEFAULTS: dict[str, Any] = {
    "spec.flavorFungibility": {"whenCanBorrow": "MayStopSearch", "whenCanPreempt": "TryNextFlavor"},
    "spec.stopPolicy": "None",
    "spec.preemption.borrowWithinCohort": {"policy": "Never"},
    "spec.matchConstraints.matchPolicy": "Equivalent",
    "spec.matchConstraints.namespaceSelector": {},
    "spec.matchConstraints.objectSelector": {},
    "spec.matchConstraints.resourceRules.scope": "*",
    "spec.matchResources.matchPolicy": "Equivalent",
    "spec.matchResources.objectSelector": {},
}
_SHOWN = 60
#: "500m" is of the first kind, "16Gi" of the second.
_AMOUNTS = ("cpu", "memory")


@dataclass(frozen=True)
class Difference:
    """One field: what it should be and what it is; either may be `ABSENT`."""

    path: Location
    wanted: Any
    found: Any

    def __str__(self) -> str:
        return f"{spell(self.path)} is {_shown(self.found)}, rendered {_shown(self.wanted)}"

    @property
    def pointer(self) -> str:
        """The path as a JSON patch writes it."""
        return "".join(f"/{str(key).replace('~', '~0').replace('/', '~1')}" for key in self.path)


def differences(wanted: Any, found: Any, path: Location = ()) -> Iterator[Difference]:
    """Every field that differs, amounts by value; what the API server adds by itself is none."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in dict.fromkeys([*wanted, *found]):
            here = (*path, key)
            one, other = wanted.get(key, ABSENT), found.get(key, ABSENT)
            if not (one is ABSENT and _default(here, other)):
                yield from differences(one, other, here)
    elif isinstance(wanted, list) and isinstance(found, list):
        pairs = list(enumerate(zip_longest(wanted, found, fillvalue=ABSENT)))
        # What is too much comes from the end, so that one can be taken away after the other.
        for index, (one, other) in (*pairs[: len(wanted)], *reversed(pairs[len(wanted) :])):
            yield from differences(one, other, (*path, index))
    elif not _same(wanted, found) and not (found is ABSENT and wanted in ([], {}) and isinstance(path[-1], str)):
        # An empty list or mapping under a key is not stored; as an item of a list it means "everything".
        yield Difference(path, wanted, found)


def specs(wanted: dict[str, Any], found: dict[str, Any], keys: Collection[str] = ("spec",)) -> list[Difference]:
    """As `differences`, of these keys of two objects only; the rest of an object is the cluster's."""
    one, other = ({key: thing[key] for key in keys if key in thing} for thing in (wanted, found))
    return list(differences(one, other))


def _default(path: Location, value: Any) -> bool:
    plain = ".".join(key for key in path if isinstance(key, str))
    return value is None or (plain in DEFAULTS and DEFAULTS[plain] == value)


def _same(one: Any, other: Any) -> bool:
    if one == other:
        return True
    if not all(isinstance(value, str | int) for value in (one, other)):
        return False
    return any(_amount(kind, one) is not None and _amount(kind, one) == _amount(kind, other) for kind in _AMOUNTS)


def _amount(kind: str, text: str | int) -> int | None:
    try:
        return amount(kind, text)
    except InvalidInput:
        return None


def _shown(value: Any) -> str:
    if value is ABSENT:
        return "absent"
    text = re.sub(r"\s+", " ", str(value))
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
