"""How objects go over the wire: whole, as their metadata only, or as the rows that `kubectl get` prints."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from aiinfn_hub.local.api import conversion, tables
from aiinfn_hub.local.api.kinds import Resource
from aiinfn_hub.local.api.listing import Page
from aiinfn_hub.local.api.store import Stored, encode

Object = dict[str, Any]


class View(ABC):
    """One representation of a resource's objects, as JSON."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource

    @abstractmethod
    def one(self, stored: Stored) -> bytes:
        """An object by itself, also in an event of a watch."""

    @abstractmethod
    def many(self, page: Page) -> bytes:
        """A collection."""


class Whole(View):
    """The objects themselves."""

    def one(self, stored: Stored) -> bytes:
        """The JSON that was made when it was stored."""
        return conversion.served_json(self.resource, stored)

    def many(self, page: Page) -> bytes:
        """A `PodList` and the like; items of builtin kinds do not repeat what they are."""
        kind = self.resource.kind
        items = [self.one(item) for item in page.items]
        if not self.resource.custom:
            head = encode({"apiVersion": kind.api_version, "kind": kind.kind})[:-1] + b","
            items = [b"{" + item.removeprefix(head) if item.startswith(head) else item for item in items]
        return _collection(f"{kind.kind}List", kind.api_version, page, items)


class Metadata(View):
    """`PartialObjectMetadata`."""

    def one(self, stored: Stored) -> bytes:
        """The metadata alone."""
        return encode(_partial(stored))

    def many(self, page: Page) -> bytes:
        """A `PartialObjectMetadataList`."""
        return _collection("PartialObjectMetadataList", "meta.k8s.io/v1", page, [self.one(item) for item in page.items])


class Rows(View):
    """A `Table`.

    Args:
        include: what each row carries besides its cells: `None`, `Metadata` or `Object`.
        now: Unix time, for ages.
    """

    def __init__(self, resource: Resource, include: str, now: float) -> None:
        super().__init__(resource)
        self._include = include
        self._now = now
        self._printer = tables.printer(resource)

    def one(self, stored: Stored) -> bytes:
        """A table of one row."""
        return encode(self._table([stored], {"resourceVersion": str(stored.revision)}))

    def many(self, page: Page) -> bytes:
        """A table of all rows."""
        return encode(self._table(page.items, page.metadata()))

    def _table(self, items: list[Stored], metadata: Object) -> Object:
        return {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": metadata,
            "columnDefinitions": self._printer.definitions(),
            "rows": [self._row(item) for item in items],
        }

    def _row(self, stored: Stored) -> Object:
        row: Object = {"cells": self._printer.cells(stored.obj, self._now)}
        if self._include == "Object":
            row["object"] = conversion.served(self.resource, stored)
        elif self._include != "None":
            row["object"] = _partial(stored)
        return row


def choose(accept: str, resource: Resource, include: str, now: float) -> View:
    """The first representation of an `Accept` header that is known; whole objects for everything else."""
    for clause in accept.split(","):
        options = dict(part.strip().partition("=")[::2] for part in clause.split(";")[1:])
        if options.get("as") == "Table" and options.get("v", "v1") == "v1":
            return Rows(resource, include or "Metadata", now)
        if options.get("as", "").startswith("PartialObjectMetadata"):
            return Metadata(resource)
        if "as" not in options:
            break
    return Whole(resource)


def _partial(stored: Stored) -> Object:
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": stored.obj["metadata"]}


def _collection(kind: str, api_version: str, page: Page, items: list[bytes]) -> bytes:
    head = encode({"kind": kind, "apiVersion": api_version, "metadata": page.metadata()})
    return b'%s,"items":[%s]}' % (head[:-1], b",".join(items))
