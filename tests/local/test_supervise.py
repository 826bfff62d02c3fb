"""Child processes that are kept alive."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from aiinfn_hub.errors import Unavailable
from aiinfn_hub.local.supervise import Program, Supervised, until

SLEEPER = "import os, time\nprint(os.getpid(), flush=True)\ntime.sleep(60)"
STUBBORN = "import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\nprint('up', flush=True)\ntime.sleep(60)"


def program(folder: Path, code: str, **environment: str) -> Program:
    return Program("child", [sys.executable, "-c", code], environment, folder / "child.log", folder)


@asynccontextmanager
async def supervised(made: Program) -> AsyncIterator[Supervised]:
    child = Supervised(made, logging.getLogger("test"))
    task = asyncio.create_task(child.run())
    try:
        yield child
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def pids(made: Program, number: int) -> list[int]:
    async with asyncio.timeout(20):
        while len(lines := made.log.read_text().split() if made.log.exists() else []) < number:
            await asyncio.sleep(0.02)
    return [int(line) for line in lines]


def lives(pid: int) -> bool:
    try:
        return "Z" not in Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False


@pytest.mark.asyncio
async def test_a_child_that_is_killed_is_started_again_and_ends_with_us(tmp_path: Path) -> None:
    made = program(tmp_path, SLEEPER)
    async with supervised(made) as child:
        first = (await pids(made, 1))[0]
        os.kill(first, signal.SIGKILL)
        second = (await pids(made, 2))[1]
        assert child.restarts == 1
        assert lives(second)
    assert not lives(first)
    assert not lives(second)


@pytest.mark.asyncio
async def test_a_child_that_dies_at_once_is_said_to_be_broken(tmp_path: Path) -> None:
    made = program(tmp_path, "raise SystemExit('no such file')")
    async with supervised(made) as child:
        with pytest.raises(Unavailable, match=r"The child did not start.*child\.log"):
            await until(lambda: False, "The child", [child], timeout_s=30)
    assert "no such file" in made.log.read_text()


@pytest.mark.asyncio
async def test_a_child_that_does_not_listen_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = program(tmp_path, STUBBORN)
    child = Supervised(made, logging.getLogger("test"))
    task = asyncio.create_task(child._once())
    async with asyncio.timeout(20):
        while not made.log.exists() or not made.log.read_text():
            await asyncio.sleep(0.02)
    await child._end(patience_s=0.2)
    assert await task == -signal.SIGKILL


@pytest.mark.asyncio
async def test_a_child_sees_the_environment_that_it_is_given_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OUR_SECRET", "do not tell")
    made = program(tmp_path, "import os, time\nprint(','.join(sorted(os.environ)), flush=True)\ntime.sleep(60)", A="1")
    async with supervised(made):
        async with asyncio.timeout(20):
            while not made.log.exists() or not made.log.read_text():
                await asyncio.sleep(0.02)
        assert "OUR_SECRET" not in made.log.read_text()
        assert "A" in made.log.read_text().strip().split(",")


@pytest.mark.asyncio
async def test_waiting_too_long_says_where_to_look(tmp_path: Path) -> None:
    made = program(tmp_path, SLEEPER)
    async with supervised(made) as child:
        with pytest.raises(Unavailable, match=r"did not answer within 0 s.*child\.log"):
            await until(lambda: False, "The child", [child], timeout_s=0.1)


@pytest.mark.asyncio
async def test_waiting_ends_when_the_condition_holds() -> None:
    answers = iter([False, False, True])

    async def condition() -> bool:
        return next(answers)

    await until(condition, "It", [], timeout_s=5)


@pytest.mark.asyncio
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a child that its parent died")
async def test_children_of_a_supervisor_that_is_killed_end_too(tmp_path: Path) -> None:
    script = f"""
import asyncio, logging, sys
from pathlib import Path
from aiinfn_hub.local.supervise import Program, Supervised
folder = Path({str(tmp_path)!r})
made = Program("child", [sys.executable, "-c", {SLEEPER!r}], {{}}, folder / "child.log", folder)
asyncio.run(Supervised(made, logging.getLogger()).run())
"""
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
    made = program(tmp_path, SLEEPER)
    child = (await pids(made, 1))[0]
    parent.kill()
    await parent.wait()
    async with asyncio.timeout(10):
        while lives(child):
            await asyncio.sleep(0.05)
