"""What hub and Kueue said of the pods of a demo, and where its ledger disagrees with them."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Collection
from contextlib import closing

from support.demo import RunningDemo, Visitor

WORDS = """
SELECT pod_uid, source || ' ' || kind FROM observation WHERE source = 'kueue'
UNION SELECT json_extract(facts, '$.uid'), what FROM audit WHERE what LIKE 'session-%'
"""


def said(demo: RunningDemo) -> dict[str, set[str]]:
    """By the uid of a pod: "kueue began", "kueue ended", "session-started", "session-stopped"."""
    found: dict[str, set[str]] = {}
    with closing(sqlite3.connect(f"file:{demo.home / 'service' / 'aiinfn.sqlite'}?mode=ro", uri=True)) as database:
        for uid, word in database.execute(WORDS):
            found.setdefault(uid, set()).add(word)
    return found


async def heard(demo: RunningDemo, uid: str, words: Collection[str], seconds: float = 30) -> None:
    """Wait until so much was said of a pod; the hub's acts are fetched every five seconds."""
    deadline = time.monotonic() + seconds
    while not set(words) <= (known := said(demo).get(uid, set())):
        assert time.monotonic() < deadline, (uid, words, known)
        await asyncio.sleep(0.3)


async def disagreements(demo: RunningDemo) -> list[tuple[str, str, str]]:
    """What an operator is told: kind, pod, sentence."""
    operator = Visitor(demo, "operator")
    await operator.login()
    answer = await operator.http.get(f"{demo.info['service_url']}/api/accounting/reconcile")
    assert answer.status_code == 200, answer.text
    return [(one["kind"], one["about"], one["sentence"]) for one in answer.json()["disagreements"]]
