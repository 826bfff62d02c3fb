"""A cache that holds what a test puts there: the part of `WatchCache` that its readers use."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class FakeCache:
    """`put` and `drop` change it as a watch would."""

    def __init__(self, *records: Any, synced_at: float = 50.0) -> None:
        self.items: dict[str, Any] = {}
        self.synced = asyncio.Event()
        self.synced.set()
        self.synced_at = synced_at
        self.failing_since: float | None = None
        self.changes = 0
        self.restarts = 0
        self.on_event: Callable[[str, Any, Any], None] | None = None
        for record in records:
            self.put(record)

    def put(self, record: Any) -> None:
        before = self.items.get(record.uid)
        self.items[record.uid] = record
        self._changed("ADDED" if before is None else "MODIFIED", record, before)

    def drop(self, record: Any) -> None:
        self._changed("DELETED", record, self.items.pop(record.uid))

    def _changed(self, event: str, record: Any, before: Any) -> None:
        self.changes += 1
        if self.on_event is not None:
            self.on_event(event, record, before)
