"""A cache that holds what a test puts there: the part of `WatchCache` that its readers use."""

from __future__ import annotations

import asyncio
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
        for record in records:
            self.put(record)

    def put(self, record: Any) -> None:
        self.items[record.uid] = record
        self.changes += 1

    def drop(self, record: Any) -> None:
        del self.items[record.uid]
        self.changes += 1
