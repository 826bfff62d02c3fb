"""Requests in a table with what must come back, so that one place answers many of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from support.kubeapi import Answer
from support.places import Place

MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"
JSON_PATCH = "application/json-patch+json"


@dataclass(frozen=True)
class Ask:
    """One request.

    Attributes:
        request: method and path; a path that does not begin with a slash is below the core API of the namespace.
        body: what is sent; `{ns}`, `{u}` and `{node}` are the place's.
        status: of the answer.
        reason: of a Status.
        says: a part of its message.
        fields: the fields of its causes.
        has: dotted paths into the answer and what is there; None for what must be absent or null.
        kind: the media type of the body.
    """

    request: str
    body: Any = None
    status: int = 200
    reason: str = ""
    says: str = ""
    fields: tuple[str, ...] = ()
    has: Mapping[str, Any] | None = None
    kind: str = "application/json"


async def ask(place: Place, one: Ask) -> Answer:
    """The answer to one request."""
    method, path = filled(place, one.request).split(" ", 1)
    if not path.startswith("/"):
        path = f"/api/v1/namespaces/{place.namespace}/{path}"
    body = (
        one.body if one.body is None or isinstance(one.body, str) else json.loads(filled(place, json.dumps(one.body)))
    )
    return await place.call(method, path, body, content_type=one.kind)


async def play(place: Place, asks: Iterable[Ask]) -> None:
    """Ask one after the other; every answer that is not as it must be is told."""
    wrong = []
    for one in asks:
        answer = await ask(place, one)
        found = [*_differences(place, one, answer)]
        if found:
            wrong.append(f"{one.request} {json.dumps(one.body)[:300]}: {'; '.join(found)}\n    {answer.text[:1500]}")
    assert not wrong, f"on the {place.name} one\n" + "\n".join(wrong)


def at(obj: Any, path: str) -> Any:
    """The value at a dotted path, whose numbers are places in lists; None where there is none."""
    for key in path.split("."):
        if isinstance(obj, list) and key.isdigit():
            obj = obj[int(key)] if int(key) < len(obj) else None
        else:
            obj = obj.get(key) if isinstance(obj, dict) else None
    return obj


def filled(place: Place, text: str) -> str:
    """A text with the place's own names in it."""
    return text.replace("{ns}", place.namespace).replace("{u}", place.unique).replace("{node}", place.node.name)


def _differences(place: Place, one: Ask, answer: Answer) -> Iterable[str]:
    if answer.status != one.status:
        yield f"status {answer.status}, not {one.status}"
    if one.reason and answer.json.get("reason") != one.reason:
        yield f"reason {answer.json.get('reason')}, not {one.reason}"
    said = answer.json.get("message") or answer.text
    if filled(place, one.says) not in said:
        yield f"does not say {one.says!r}"
    fields = {cause["field"] for cause in (answer.json.get("details") or {}).get("causes", ())}
    if one.fields and fields != set(one.fields):
        yield f"fields {sorted(fields)}, not {sorted(one.fields)}"
    for path, wanted in (one.has or {}).items():
        value = at(answer.json, path)
        if value != (filled(place, wanted) if isinstance(wanted, str) else wanted):
            yield f"{path} is {value!r}, not {wanted!r}"
