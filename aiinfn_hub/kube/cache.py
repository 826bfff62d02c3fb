"""A live copy of one kind of objects: lists once, then follows the changes, and lists again when it lost the thread."""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import aclosing, suppress
from typing import Generic, Protocol, TypeVar

import msgspec

from aiinfn_hub.errors import AiinfnError, Expired, InvalidInput
from aiinfn_hub.kube.client import Kind, KubeClient, Object
from aiinfn_hub.kube.shapes import ObjectMeta

#: Seconds between attempts while the API does not answer: the first and the longest pause.
BACKOFF_S = (0.2, 15.0)
#: Objects that one request lists.
PAGE = 500
#: Changes of a list that are reported before others have their turn on the event loop.
AT_A_TIME = 50


class Record(Protocol):
    """What a decoder returns: it knows its uid and its resource version."""

    @property
    def uid(self) -> str:
        """`metadata.uid`."""

    @property
    def rv(self) -> str:
        """`metadata.resourceVersion`."""


T = TypeVar("T", bound=Record)


class _AnyObject(msgspec.Struct):
    metadata: ObjectMeta


_META = msgspec.json.Decoder(_AnyObject)


class WatchCache(Generic[T]):
    """Objects of one kind by uid, as `decode` made them.

    Args:
        decode: JSON text to record. An object that it cannot decode is logged and left out; the others stay.
        on_event: called on the event loop with ("ADDED" | "MODIFIED" | "DELETED", record, record before or None) after
            `items` has changed. For a deletion the record is the last state. It must not block.
        clock: Unix seconds.

    Attributes:
        synced: set after the first complete list.
        synced_at: when `items` was last known to be true (list, event, bookmark or end of a watch); 0 before.
        failing_since: when the API ceased to answer; None while all is well.
        changes: counts every change of `items`, so that a consumer knows whether to compute again.
        restarts: how often it had to list again.
    """

    def __init__(
        self,
        client: KubeClient,
        kind: Kind,
        decode: Callable[[bytes], T],
        *,
        namespace: str | None = None,
        labels: str = "",
        on_event: Callable[[str, T, T | None], None] | None = None,
        clock: Callable[[], float] = time.time,
        log: logging.Logger | None = None,
    ) -> None:
        self.client = client
        self.kind = kind
        self.decode = decode
        self.namespace = namespace
        self.labels = labels
        self.on_event = on_event
        self.clock = clock
        self.log = log or logging.getLogger("aiinfn.kube")
        self.items: dict[str, T] = {}
        self.synced = asyncio.Event()
        self.synced_at = 0.0
        self.failing_since: float | None = None
        self.changes = 0
        self.restarts = 0
        self._gone: deque[str] = deque(maxlen=1024)
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Begin to follow in the background; wait for `synced` where the first list is needed."""
        self._task = asyncio.create_task(self._run(), name=f"watch {self.kind.plural}")

    async def close(self) -> None:
        """Stop following; `items` stays as it is."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task

    def learn(self, obj: Object) -> None:
        """Take the API's answer to our own write at once, so that we do not act on what we have changed already."""
        record = self._decoded(msgspec.json.encode(obj))
        if record is not None and record.uid not in self._gone:
            self._take("MODIFIED" if record.uid in self.items else "ADDED", record)

    async def _run(self) -> None:
        failures = 0
        while True:
            try:
                version = await self._list()
                failures = 0
                while True:
                    version = await self._follow(version)
                    await asyncio.sleep(BACKOFF_S[0])  # a server that ends every watch at once is not asked in a loop
            except Expired:
                self.log.info("The watch of %s is too old; listing again.", self.kind.plural)
            except AiinfnError as error:
                failures += 1
                self._failed(error)
            except Exception as error:  # the loop outlives what nobody expected
                failures += 1
                self.log.exception("Following %s failed.", self.kind.plural)
                self._failed(error)
            self.restarts += 1
            first, longest = BACKOFF_S
            # Jitter, so that the caches of many processes do not all list in the moment in which the API comes back.
            await asyncio.sleep(min(longest, first * 2**failures) * random.uniform(0.5, 1.0))  # noqa: S311  # no secret

    def _failed(self, error: Exception) -> None:
        if self.failing_since is None:
            self.failing_since = self.clock()
            self.log.warning("Following %s: %s", self.kind.plural, error)

    async def _list(self) -> str:
        """Take a complete list, report what differs, and return its version.

        Ten thousand pods are seconds of work, so it gives way to others: pages are decoded in a thread, and what they
        change is reported a few at a time. `items` is between the old list and the new one meanwhile.
        """
        found: dict[str, T] = {}
        version = ""
        # For each page of a custom kind the API server begins anew at etcd: seven seconds for 5,000 Workloads, of which
        # it has a copy in memory.
        limit = 0 if self.kind.custom else PAGE
        async with aclosing(self.client.pages(self.kind, self.namespace, labels=self.labels, limit=limit)) as pages:
            async for page in pages:
                texts, version = page
                found |= await asyncio.to_thread(self._all_decoded, texts)
        gone = [old for old in self.items.values() if old.uid not in found and not _after(old.rv, version)]
        changes = itertools.chain((("DELETED", old) for old in gone), (("ADDED", new) for new in found.values()))
        for number, (event, record) in enumerate(changes, start=1):
            self._take(event, record)
            if number % AT_A_TIME == 0:
                await asyncio.sleep(0)
        self.failing_since = None
        self.synced_at = self.clock()
        self.synced.set()
        return version

    async def _follow(self, version: str) -> str:
        """Apply one watch's events until the server ends it; returns the version from which to go on."""
        stream = self.client.watch(self.kind, self.namespace, labels=self.labels, resource_version=version)
        async with aclosing(stream):
            async for event, text in stream:
                version = _META.decode(text).metadata.resource_version or version
                self.synced_at = self.clock()
                if event == "BOOKMARK":
                    continue
                record = self._decoded(text)
                if record is not None:
                    self._take(event, record)
        # There was no more to tell. Nothing else says so of a quiet kind: a watch from the last bookmark gets none.
        self.synced_at = self.clock()
        return version

    def _all_decoded(self, texts: Iterable[bytes]) -> dict[str, T]:
        return {record.uid: record for record in map(self._decoded, texts) if record is not None}

    def _decoded(self, text: bytes) -> T | None:
        try:
            return self.decode(text)
        except (msgspec.DecodeError, InvalidInput) as error:
            self.log.warning("One of the %s cannot be read and is left out: %s", self.kind.plural, error)
            return None

    def _take(self, event: str, record: T) -> None:
        """Apply what is news: the watch repeats what the list or an answer to a write had already."""
        before = self.items.get(record.uid)
        if event != "DELETED" and before is not None:
            if not _newer(record.rv, before.rv):
                return
            event = "MODIFIED"
        self._apply(event, record)

    def _apply(self, event: str, record: T) -> None:
        before = self.items.get(record.uid)
        if event == "DELETED":
            self.items.pop(record.uid, None)
            self._gone.append(record.uid)
        else:
            self.items[record.uid] = record
        self.changes += 1
        if self.on_event is None:
            return
        try:
            self.on_event(event, record, before)
        except Exception:  # a consumer's mistake over one object must not stop the others
            self.log.exception("Handling %s of %s %s failed.", event, self.kind.kind, record.uid)


def _after(version: str, than: str) -> bool:
    """Whether an object was written after a list was made: it was learned of meanwhile, and the list cannot have it."""
    return version.isdigit() and than.isdigit() and int(version) > int(than)


def _newer(version: str, than: str) -> bool:
    """Whether a resource version is another and not older; Kubernetes says since 1.35 that they compare as integers."""
    if version.isdigit() and than.isdigit():
        return int(version) > int(than)
    return version != than
