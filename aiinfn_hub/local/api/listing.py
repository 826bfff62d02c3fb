"""LIST: selection, pages that belong to one moment, and the collection on the wire."""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from aiinfn_hub.local.api import selectors, status
from aiinfn_hub.local.api.kinds import Resource
from aiinfn_hub.local.api.selectors import Predicate
from aiinfn_hub.local.api.store import Store, Stored

#: Snapshots of unfinished lists that are kept; an older one answers 410, as etcd's compaction would.
MAX_SNAPSHOTS = 64
_TOKEN = re.compile("[0-9a-f]{16}")
_TOO_OLD = (
    "The provided continue parameter is too old to display a consistent list result. "
    "You must start a new list without the continue parameter."
)


@dataclass(frozen=True)
class Page:
    """Some objects of a collection, as they were at one version."""

    items: list[Stored]
    revision: int
    token: str = ""
    remaining: int | None = None

    def metadata(self) -> dict[str, Any]:
        """The `metadata` of the list."""
        meta: dict[str, Any] = {"resourceVersion": str(self.revision)}
        if self.token:
            meta["continue"] = self.token
            if self.remaining is not None:
                meta["remainingItemCount"] = self.remaining
        return meta


def selection(query: Mapping[str, str], resource: Resource) -> Predicate | None:
    """What `labelSelector` and `fieldSelector` select together.

    Raises:
        InvalidInput: one of them cannot be used.
    """
    return selectors.both(
        selectors.labels(query.get("labelSelector", "")),
        selectors.fields(_stored_fields(query.get("fieldSelector", ""), resource), resource.table),
    )


def _stored_fields(text: str, resource: Resource) -> str:
    """A field selector in the terms of the stored version."""
    return text.replace("regarding.", "involvedObject.") if resource.kind.group == "events.k8s.io" else text


def number(query: Mapping[str, str], name: str, default: int = 0) -> int:
    """A whole, not negative number of the query.

    Raises:
        InvalidInput: it is none.
    """
    text = query.get(name, "")
    if not text:
        return default
    if not (text.isascii() and text.isdigit()):
        raise status.bad_request(f'strconv.ParseInt: parsing "{text}": invalid syntax')
    return int(text)


def flag(query: Mapping[str, str], name: str) -> bool:
    """A switch of the query as the real server reads it: anything but absent, `false` and `0` is on."""
    return name in query and query[name].lower() not in {"false", "0"}


class Listing:
    """Pages over a store; the rest of an unfinished list is remembered, so that all its pages show one moment."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._snapshots: OrderedDict[str, Page] = OrderedDict()

    def page(self, resource: Resource, namespace: str, query: Mapping[str, str]) -> Page:
        """The page that a query asks for.

        Raises:
            InvalidInput: a parameter cannot be used.
            Expired: the continuation is too old.
            Unavailable: a version is asked that does not exist yet.
        """
        limit = number(query, "limit")
        counted = not query.get("labelSelector") and not query.get("fieldSelector")
        if token := query.get("continue", ""):
            return self._cut(self._resume(token), limit, counted=counted)
        asked = number(query, "resourceVersion")
        if asked > self._store.revision:
            raise status.too_large_version(asked, self._store.revision)
        chosen = selection(query, resource)
        items = self._store.select(resource.table, namespace)
        if chosen is not None:
            items = [item for item in items if chosen(item.obj)]
        return self._cut(Page(items, self._store.revision), limit, counted=counted)

    def _resume(self, token: str) -> Page:
        if not _TOKEN.fullmatch(token):
            raise status.bad_request("invalid continue token: continue key is not valid")
        # Kept, so that a page whose answer was lost can be asked for again.
        page = self._snapshots.get(token)
        if page is None:
            raise status.expired(_TOO_OLD)
        return page

    def _cut(self, page: Page, limit: int, *, counted: bool) -> Page:
        if not limit or len(page.items) <= limit:
            return page
        rest = Page(page.items[limit:], page.revision)
        token = secrets.token_hex(8)
        self._snapshots[token] = rest
        while len(self._snapshots) > MAX_SNAPSHOTS:
            self._snapshots.popitem(last=False)
        return Page(page.items[:limit], page.revision, token, len(rest.items) if counted else None)
