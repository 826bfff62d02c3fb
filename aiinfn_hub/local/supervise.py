"""Child processes that are kept alive: started with a log file, restarted when they die, ended together."""

from __future__ import annotations

import asyncio
import ctypes
import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiinfn_hub.errors import Unavailable

PR_SET_PDEATHSIG = 1
#: Deaths in a row, each within QUICK_S of the start, after which the program is said to be broken.
MAX_QUICK_DEATHS = 4
QUICK_S = 5.0


@dataclass(frozen=True)
class Program:
    """What to run. The environment is complete: nothing of ours is inherited."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    log: Path
    folder: Path


def die_with_parent() -> Callable[[], None] | None:
    """For `preexec_fn`: the kernel ends the child if we are killed (Linux; elsewhere None)."""
    if not sys.platform.startswith("linux"):
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def arm() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != parent:
            os._exit(1)

    return arm


class Supervised:
    """One program that is running, or about to run again."""

    def __init__(self, program: Program, log: logging.Logger) -> None:
        self.program = program
        self.log = log
        self.process: asyncio.subprocess.Process | None = None
        self.restarts = 0
        self.broken: str = ""

    async def run(self) -> None:
        """Keep it alive until cancelled; then end it."""
        quick = 0
        try:
            while quick < MAX_QUICK_DEATHS:
                born = asyncio.get_running_loop().time()
                code = await self._once()
                quick = quick + 1 if asyncio.get_running_loop().time() - born < QUICK_S else 1
                self.restarts += 1
                self.log.warning("%s ended with %s; starting it again.", self.program.name, code)
                await asyncio.sleep(0.2 * 2**quick)
            self.broken = f"{self.program.name} does not stay alive; its last words are in {self.program.log}"
            self.log.error(self.broken)
        finally:
            await self._end()

    async def _once(self) -> int:
        with self.program.log.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                *self.program.command,
                env=dict(self.program.environment),
                cwd=self.program.folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for us; we end our children ourselves, in order
                preexec_fn=die_with_parent(),  # it only calls prctl; without it a kill -9 of ours leaves orphans
            )
        return await self.process.wait()

    async def _end(self, patience_s: float = 6.0) -> None:
        process = self.process
        if process is None or process.returncode is not None:
            return
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), patience_s)
        except TimeoutError:
            self.log.warning("%s did not end in %.0f s; killing it.", self.program.name, patience_s)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            await process.wait()


async def until(condition: Callable[[], object], what: str, programs: Sequence[Supervised], timeout_s: float) -> None:
    """Wait until an awaitable condition is true.

    Raises:
        Unavailable: it took too long, or a program that it depends on is broken.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + timeout_s
    while True:
        result = condition()
        if await result if asyncio.iscoroutine(result) else result:
            return
        for program in programs:
            if program.broken:
                raise Unavailable(f"{what} did not start: {program.broken}.")
        if loop.time() > deadline:
            logs = ", ".join(str(program.program.log) for program in programs)
            raise Unavailable(f"{what} did not answer within {timeout_s:.0f} s.", hint=f"Look into {logs}.")
        await asyncio.sleep(0.05)
