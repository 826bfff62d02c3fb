"""WATCH: what is there, then every change, none lost or doubled; bookmarks in between; 410 for too old a start."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Self

from aiohttp import web

from aiinfn_hub.errors import Expired
from aiinfn_hub.local.api import listing, status
from aiinfn_hub.local.api.selectors import Predicate
from aiinfn_hub.local.api.status import Problem
from aiinfn_hub.local.api.store import Change, Store, Stored, Verb, encode
from aiinfn_hub.local.api.views import View

#: A watcher that lets this many events wait is cut off; it starts again from the last one that it read.
MAX_WAITING = 50_000


class Watch:
    """The events of one open watch, encoded, until they are sent.

    Args:
        store: whose changes.
        view: how objects are encoded.
        namespace: only there; "" for all.
        chosen: only these; None for all.
        most: how many events may wait for a client that does not read.
    """

    def __init__(
        self, store: Store, view: View, namespace: str, chosen: Predicate | None, *, most: int = MAX_WAITING
    ) -> None:
        self._store = store
        self._view = view
        self._namespace = namespace
        self._chosen = chosen
        self._most = most
        self._waiting: deque[bytes] = deque()
        self._wake = asyncio.Event()
        self._unsubscribe: Callable[[], None] | None = None
        self.cut = False

    def open(self, query: Mapping[str, str]) -> None:
        """Queue what the query's version asks for and follow from there; one step, so that nothing falls between.

        Raises:
            Expired: the version is too old.
        """
        asked = listing.number(query, "resourceVersion")
        table = self._view.resource.table
        if not asked:
            for stored in self._store.select(table, self._namespace):
                if self._chosen is None or self._chosen(stored.obj):
                    self._waiting.append(self._frame("ADDED", stored))
        else:
            for change in self._store.since(table, asked):
                self.offer(change)
        self._unsubscribe = self._store.subscribe(table, self.offer)
        self._wake.set()

    def offer(self, change: Change) -> None:
        """Queue a change, as it looks from here: what stops matching the selector is DELETED, what starts is ADDED."""
        if self._namespace and change.now.ref.namespace != self._namespace:
            return
        verb, stored = change.verb, change.now
        if self._chosen is not None:
            is_in = change.verb != "DELETED" and self._chosen(stored.obj)
            was_in = change.before is not None and self._chosen(change.before.obj)
            if not is_in and not was_in:
                return
            if was_in and not is_in:
                verb, stored = "DELETED", _gone(change)
            else:
                verb = "MODIFIED" if was_in else "ADDED"
        self._waiting.append(self._frame(verb, stored))
        if len(self._waiting) > self._most:
            self.cut = True
            self._waiting.clear()
            self.close()
        self._wake.set()

    async def next(self, seconds: float) -> bytes:
        """Every event that waits, or b"" if none comes within that time."""
        try:
            async with asyncio.timeout(max(seconds, 0)):
                await self._wake.wait()
        except TimeoutError:
            return b""
        return self.take()

    def take(self) -> bytes:
        """Every event that waits, without waiting for more."""
        self._wake.clear()
        events = b"".join(self._waiting)
        self._waiting.clear()
        return events

    def wake(self) -> None:
        """Make `next` return, with or without events."""
        self._wake.set()

    def bookmark(self) -> bytes:
        """An event that says only how far the watch has come."""
        metadata = {"resourceVersion": str(self._store.revision), "creationTimestamp": None}
        kind = self._view.resource.kind
        return _event("BOOKMARK", encode({"kind": kind.kind, "apiVersion": kind.api_version, "metadata": metadata}))

    def close(self) -> None:
        """Stop following."""
        if self._unsubscribe:
            self._unsubscribe()
            self._unsubscribe = None

    def _frame(self, verb: Verb, stored: Stored) -> bytes:
        return _event(verb, self._view.one(stored))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _err: BaseException | None, _tb: TracebackType | None
    ) -> None:
        self.close()


class Watches:
    """Every open watch of a server.

    Args:
        store: whose changes.
        bookmark_s: seconds between bookmarks.
    """

    def __init__(self, store: Store, bookmark_s: float) -> None:
        self._store = store
        self._bookmark_s = bookmark_s
        self._open: set[Watch] = set()
        self._closing = False

    async def serve(
        self, request: web.Request, view: View, namespace: str, chosen: Predicate | None
    ) -> web.StreamResponse:
        """Answer a watch until its time is over, its client has gone, or the server stops."""
        response = web.StreamResponse(
            headers={"Content-Type": "application/json", "Cache-Control": "no-cache, private"}
        )
        _check(request.query)  # refused before the answer has begun
        watch = Watch(self._store, view, namespace, chosen)
        try:
            watch.open(request.query)
        except Expired as error:
            # The real one accepts the watch and reports this as its only event.
            await response.prepare(request)
            await response.write(_event("ERROR", encode(status.to_status(error))))
            return response
        self._open.add(watch)
        try:
            with watch:
                await response.prepare(request)
                await self._send(response, watch, request.query)
        finally:
            self._open.discard(watch)
        return response

    def close(self) -> None:
        """End every watch."""
        self._closing = True
        for watch in self._open:
            watch.wake()

    async def _send(self, response: web.StreamResponse, watch: Watch, query: Mapping[str, str]) -> None:
        loop = asyncio.get_running_loop()
        # The real one ends a watch without a limit after 30 to 60 minutes, so that clients spread out.
        lasts = listing.number(query, "timeoutSeconds") or random.uniform(1800, 3600)  # noqa: S311  no secret
        end = loop.time() + lasts
        bookmarks = listing.flag(query, "allowWatchBookmarks")
        mark = loop.time() + self._bookmark_s
        while not self._closing and not watch.cut and loop.time() < end:
            events = await watch.next(min(end, mark) - loop.time())
            if bookmarks and loop.time() >= min(mark, end):
                events += watch.bookmark()
            if loop.time() >= mark:
                mark = loop.time() + self._bookmark_s
            if events:
                await response.write(events)


def _event(verb: str, obj: bytes) -> bytes:
    return b'{"type":"%s","object":%s}\n' % (verb.encode(), obj)


def _gone(change: Change) -> Stored:
    """The state that matched last, under the version of the change that ended it."""
    if change.verb == "DELETED" or change.before is None:
        return change.now
    obj = change.before.fresh()
    obj["metadata"]["resourceVersion"] = str(change.now.revision)
    return Stored(change.now.ref, change.now.revision, obj, encode(obj))


def _check(query: Mapping[str, str]) -> None:
    """What the real server refuses; it streams no list where its gate WatchList is off, and clients then list first."""
    listing.number(query, "timeoutSeconds")
    name = "sendInitialEvents"
    if name in query:
        why = f"{name} is forbidden for watch unless the WatchList feature gate is enabled"
        raise status.invalid_value(
            "ListOptions.meta.k8s.io", Problem.forbidden(name, why), kind="ListOptions", group="meta.k8s.io"
        )
