"""The hub's acts on their way to the audit: nothing is lost, nothing stops a login."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import stat
from pathlib import Path

import pytest

from aiinfn_hub.errors import Unavailable
from aiinfn_hub.hub.outbox import AT_ONCE, Outbox
from aiinfn_hub.identity.audit import Act

pytestmark = pytest.mark.asyncio


async def test_what_is_put_is_given_until_it_is_stored(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    acts = [Act(what="login", actor=f"p{number}") for number in range(3)]
    for act in acts:
        outbox.put(act)
    assert await outbox.next([]) == acts
    assert await outbox.next([acts[0].id]) == acts[1:]
    assert await Outbox(tmp_path / "outbox.sqlite").next(["unknown"]) == acts[1:], "a hub that starts anew has them"
    assert await outbox.next([act.id for act in acts]) == []
    assert stat.S_IMODE((tmp_path / "outbox.sqlite").stat().st_mode) == 0o600


async def test_a_long_absence_is_fetched_in_parts_in_order(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "outbox.sqlite")
    acts = [Act(what="login", actor=str(number)) for number in range(AT_ONCE + 5)]
    for act in acts:
        outbox.put(act)
    first = await outbox.next([])
    assert first == acts[:AT_ONCE]
    assert await outbox.next([act.id for act in first]) == acts[AT_ONCE:]


def _put_and_die(path: Path) -> None:
    outbox = Outbox(path)
    outbox.put(Act(what="login", actor="ada")).result()
    multiprocessing.current_process().kill()


async def test_it_outlives_a_hub_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "outbox.sqlite"
    hub = multiprocessing.get_context("spawn").Process(target=_put_and_die, args=(path,))
    hub.start()
    await asyncio.to_thread(hub.join, 30)
    assert [act.actor for act in await Outbox(path).next([])] == ["ada"]


async def test_a_disk_that_cannot_be_written_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    outbox = Outbox(tmp_path / "missing" / "outbox.sqlite", logging.getLogger("aiinfn.audit"))
    with caplog.at_level(logging.INFO):
        outbox.put(Act(what="login", actor="ada")).result(5)
    assert '"actor":"ada"' in caplog.text, "the log has it"
    assert "is in the log only" in caplog.text
    with pytest.raises(Unavailable):
        await outbox.next([])
