"""The objects themselves: one resource version for all, a short history for watches, subscribers told at once.

An object that is stored is never mutated: whoever changes one starts from `Stored.fresh()`. Its JSON is made once and
serves the journal, every list and every watch.
"""

from __future__ import annotations

import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec

from aiinfn_hub.local.api import status
from aiinfn_hub.local.api.persistence import Journal, Ref

Object = dict[str, Any]
Table = tuple[str, str]
Verb = Literal["ADDED", "MODIFIED", "DELETED"]

encode = msgspec.json.Encoder().encode
decode = msgspec.json.Decoder().decode


@dataclass(frozen=True, slots=True)
class Stored:
    """One object as it is kept; do not mutate `obj`."""

    ref: Ref
    revision: int
    obj: Object
    raw: bytes

    def fresh(self) -> Object:
        """A copy of one's own."""
        copy: Object = decode(self.raw)
        return copy


@dataclass(frozen=True, slots=True)
class Change:
    """What happened to one object; after a deletion `now` is its last state, under the version of the deletion."""

    verb: Verb
    now: Stored
    before: Stored | None


Subscriber = Callable[[Change], None]


class Store:
    """Every object of the cluster.

    Args:
        journal: where changes are recorded before they count; None keeps them in memory only.
        history: how many changes of each table a watch may go back.
    """

    def __init__(self, journal: Journal | None = None, history: int = 10_000) -> None:
        self._journal = journal
        self._tables: defaultdict[Table, dict[tuple[str, str], Stored]] = defaultdict(dict)
        self._subscribers: defaultdict[Table | None, list[Subscriber]] = defaultdict(list)
        self._history: defaultdict[Table, deque[Change]] = defaultdict(lambda: deque(maxlen=history))
        self._forgotten: dict[Table, int] = {}
        # Without a journal versions start at the clock: those of an earlier server are then too old, never too new.
        self.revision = journal.revision() if journal else int(time.time() * 1000)
        for ref, body in journal.load() if journal else ():
            obj = decode(body)
            stored = Stored(ref, int(obj["metadata"]["resourceVersion"]), obj, body)
            self._tables[ref.group, ref.plural][ref.namespace, ref.name] = stored
        self._start = self.revision

    def get(self, ref: Ref) -> Stored | None:
        """The object that lives there."""
        return self._tables[ref.group, ref.plural].get((ref.namespace, ref.name))

    def select(self, table: Table, namespace: str = "") -> list[Stored]:
        """The objects of a table (in a namespace, "" for all), by namespace and name."""
        rows = self._tables[table].values()
        return sorted((row for row in rows if not namespace or row.ref.namespace == namespace), key=_key)

    def tables(self) -> Iterable[Table]:
        """The tables that hold or held something."""
        return list(self._tables)

    def put(self, ref: Ref, obj: Object) -> Stored:
        """Create or replace; `obj` belongs to the store from now on.

        Raises:
            Unavailable: the journal could not be written; nothing has changed.
        """
        before = self.get(ref)
        stored = self._record(ref, obj, deleted=False)
        self._tables[ref.group, ref.plural][ref.namespace, ref.name] = stored
        self._publish(Change("MODIFIED" if before else "ADDED", stored, before))
        return stored

    def drop(self, ref: Ref, last: Object | None = None) -> Stored:
        """Delete; returns its last state (`last` if it changed on the way out) under the version of the deletion.

        Raises:
            Unavailable: the journal could not be written; nothing has changed.
        """
        before = self._tables[ref.group, ref.plural][ref.namespace, ref.name]
        stored = self._record(ref, before.fresh() if last is None else last, deleted=True)
        del self._tables[ref.group, ref.plural][ref.namespace, ref.name]
        self._publish(Change("DELETED", stored, before))
        return stored

    def since(self, table: Table, revision: int) -> list[Change]:
        """What happened in a table after a version.

        Raises:
            Expired: that is further back than the history goes.
        """
        oldest = self._forgotten.get(table, self._start)
        if revision < oldest:
            raise status.too_old(revision, oldest)
        found: list[Change] = []
        for change in reversed(self._history[table]):
            if change.now.revision <= revision:
                break
            found.append(change)
        return found[::-1]

    def subscribe(self, table: Table | None, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` at each change of a table (None for every table); returns what ends it."""
        self._subscribers[table].append(subscriber)
        return lambda: self._subscribers[table].remove(subscriber)

    def close(self) -> None:
        """Close the journal."""
        if self._journal:
            self._journal.close()

    def _record(self, ref: Ref, obj: Object, *, deleted: bool) -> Stored:
        revision = self.revision + 1
        obj["metadata"]["resourceVersion"] = str(revision)
        raw = encode(obj)
        if self._journal:
            self._journal.write(revision, ref, None if deleted else raw)
        self.revision = revision
        return Stored(ref, revision, obj, raw)

    def _publish(self, change: Change) -> None:
        table = change.now.ref.group, change.now.ref.plural
        history = self._history[table]
        if len(history) == history.maxlen:
            self._forgotten[table] = history[0].now.revision
        history.append(change)
        for subscriber in (*self._subscribers[table], *self._subscribers[None]):
            subscriber(change)


def _key(stored: Stored) -> Ref:
    return stored.ref
