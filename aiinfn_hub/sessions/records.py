"""Sessions that ran, as the person can have them again: the same options, and the very image. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.catalogue.references import parse_reference
from aiinfn_hub.contract.quantities import format_duration
from aiinfn_hub.errors import AiinfnError
from aiinfn_hub.identity.person import Person
from aiinfn_hub.sessions.options import SessionSpec, validate

#: How many a server keeps.
MOST = 6
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Again:
    """A link of the form: when the session ran (Unix seconds), what it was, and the query that fills the form in."""

    at: float
    detail: str
    query: str


def image_of(pod: Mapping[str, Any] | None) -> str:
    """What the first container of a pod runs, by its digest where the node says it; "" without a pod.

    The image ID of containerd and CRI-O is the reference in the registry; of an image that nobody pulled it is none.
    """
    containers = ((pod or {}).get("spec") or {}).get("containers") or ()
    if not containers:
        return ""
    name = str(containers[0].get("name"))
    statuses = ((pod or {}).get("status") or {}).get("containerStatuses") or ()
    known = next((str(one.get("imageID", "")) for one in statuses if one.get("name") == name), "")
    digest = known.rpartition("@")[2]
    image = str(containers[0].get("image", "")).partition("@")[0]
    return f"{image}@{digest}" if "@" in known and _DIGEST.fullmatch(digest) else str(containers[0].get("image", ""))


def remembered(
    records: Sequence[Mapping[str, Any]], options: Mapping[str, Any], image: str, now: float
) -> list[dict[str, Any]]:
    """The records with that of the session that runs first; asked again while it runs, it stays as it is."""
    new = {"options": dict(options), "image": image}
    if records and _same(records[0], new):
        return [dict(one) for one in records]
    return [new | {"at": now}, *(dict(one) for one in records if not _same(one, new))][:MOST]


def _same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return all(one.get(key) == other.get(key) for key in ("options", "image"))


def exactly(platform: Platform, record: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a record with the image by its digest; an Apptainer image is what lies at its path."""
    options = dict(record["options"])
    ref, _, digest = str(record.get("image", "")).partition("@")
    if not digest or str(options.get("environment", "")).startswith("apptainer:"):
        return options
    listed = next((one.name for one in platform.images if one.ref.partition("@")[0] == ref), "")
    return options | {"environment": f"image:{listed}@{digest}" if listed else f"registry:{ref}@{digest}"}


def again(platform: Platform, person: Person, records: Iterable[Mapping[str, Any]]) -> list[Again]:
    """The links for the records that the person can still have."""
    found = []
    for record in records:
        options = exactly(platform, record)
        try:
            spec = validate(platform, person, options)
        except AiinfnError:
            continue
        query = urlencode([(f"opt-{name}", one) for name, value in options.items() for one in _values(value)])
        found.append(Again(float(record.get("at", 0)), detail(spec), query))
    return found


def detail(spec: SessionSpec) -> str:
    """What one gets, on a line."""
    cores = "core" if spec.cpu_millis == 1000 else "cores"
    amounts = f"{spec.cpu_millis / 1000:g} {cores}, {spec.memory_bytes / 1024**3:g} GB"
    image = spec.apptainer or image_words(spec.image)
    return f"{spec.flavour.title}, {amounts}, {format_duration(spec.lifetime_s)}, {image}, {spec.activity.title}"


def image_words(ref: str) -> str:
    """An image as people call it: the end of its name, its tag, and of a digest as much as they compare."""
    reference = parse_reference(ref)
    name = reference.repository.rpartition("/")[2] + (f":{reference.tag}" if reference.tag else "")
    return f"{name} ({reference.digest[:19]})" if reference.digest else name


def _values(value: Any) -> list[Any]:
    """A list as its items; the hidden field of the form stands for none of them."""
    return [*value] or [""] if isinstance(value, list | tuple) else [value]
