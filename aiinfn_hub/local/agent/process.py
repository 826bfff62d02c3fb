"""One run of a container: started under a shim, waited for without polling, found again by a later agent."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from aiinfn_hub.errors import InvalidInput, Unavailable
from aiinfn_hub.local.agent.shim import identity
from aiinfn_hub.local.agent.wording import VANISHED

SHIM = Path(__file__).with_name("shim.py")


@dataclass(frozen=True)
class Launch:
    """What to run. The environment is complete; `memory_limit` is in bytes, 0 for none."""

    argv: Sequence[str]
    environment: Mapping[str, str]
    cwd: Path
    log: Path
    memory_limit: int = 0


@dataclass(frozen=True)
class Ended:
    """How a run ended. `code` as a shell says it, 128 + signal; times in Unix seconds."""

    code: int
    reason: str
    started: float
    finished: float
    message: str = ""


class _State(msgspec.Struct):
    """`state.json` of the shim."""

    shim: int
    shim_identity: str
    child: int
    child_identity: str
    started: float
    error: int = 0
    status: int | None = None
    finished: float = 0.0
    oom: int = 0


class ContainerProcess:
    """A run of a container, in a folder of its own.

    `await started()` says whether it runs; `await wait()` how it ended. Any number of callers may wait.
    """

    def __init__(self, folder: Path, descriptor: int, popen: subprocess.Popen[bytes] | None) -> None:
        loop = asyncio.get_running_loop()
        self.folder = folder
        self._descriptor = descriptor
        self._popen = popen
        self._started: asyncio.Future[None] = loop.create_future()
        self._gone: asyncio.Future[None] = loop.create_future()
        loop.add_reader(descriptor, self._readable)

    @classmethod
    def start(cls, folder: Path, launch: Launch) -> ContainerProcess:
        """Start the shim; it starts the container's first process some 25 ms later.

        Raises:
            Unavailable: this machine cannot start another process.
        """
        folder.mkdir(parents=True, mode=0o700)
        os.mkfifo(folder / "alive", 0o600)
        reading = os.open(folder / "alive", os.O_RDONLY | os.O_NONBLOCK)
        writing = os.open(folder / "alive", os.O_WRONLY)
        options = [str(writing), str(folder), str(launch.log), str(launch.cwd), str(launch.memory_limit)]
        try:
            with launch.log.open("ab") as errors:
                popen = subprocess.Popen(  # noqa: S603  running what the pod says is the purpose
                    [sys.executable, "-I", "-S", str(SHIM), *options, *launch.argv],
                    env=launch.environment,
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=errors,
                    pass_fds=[writing],
                    start_new_session=True,
                )
        except (OSError, ValueError) as error:
            os.close(reading)
            shutil.rmtree(folder)
            raise Unavailable(f"{launch.argv[0]!r} cannot be started: {error}.") from error
        finally:
            os.close(writing)
        return cls(folder, reading, popen)

    @classmethod
    def find(cls, folder: Path) -> ContainerProcess:
        """The run that an earlier agent started in this folder, still going or not."""
        # The FIFO has a writer as long as the shim lives; without one, the first read says "end of file" at once.
        with contextlib.suppress(FileExistsError):
            os.mkfifo(folder / "alive", 0o600)
        found = cls(folder, os.open(folder / "alive", os.O_RDONLY | os.O_NONBLOCK), None)
        if found._state() is not None:
            found._announce(found._started)
        found._readable()  # a FIFO that has had no writer since it was opened wakes nobody up
        return found

    async def started(self) -> float:
        """Wait until the first process runs (or has run); since when, in Unix seconds.

        Raises:
            InvalidInput: it cannot be run: no such program, not executable; `details["errno"]` says why.
        """
        await asyncio.wait({self._started, self._gone}, return_when=asyncio.FIRST_COMPLETED)
        state = self._state()
        if state is not None and state.error:
            raise InvalidInput(os.strerror(state.error), details={"errno": state.error})
        return state.started if state else 0.0

    async def wait(self) -> Ended:
        """Wait for the end, and for the end of everything that it left."""
        await asyncio.wait({self._gone})
        if self._popen is not None:
            await asyncio.to_thread(self._popen.wait)  # it has closed its files: no more than a moment
            self._popen = None
        state = self._state()
        if state is not None and state.status is not None:
            code = state.status if state.status >= 0 else 128 - state.status
            reason = "OOMKilled" if state.oom else "Completed" if code == 0 else "Error"
            return Ended(code, reason, state.started, state.finished)
        return await self._lost(state)

    def terminate(self) -> None:
        """Ask it to end: SIGTERM."""
        self._signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and everything that it started: SIGKILL."""
        self._signal(signal.SIGUSR1)

    @property
    def alive(self) -> bool:
        """Whether it has not ended as far as we know."""
        return not self._gone.done()

    def close(self) -> None:
        """Stop watching; what runs goes on, and is the next agent's."""
        if self.alive:
            self._finish()
        if self._popen is not None:
            self._popen.returncode = 0  # else Python complains that nobody waited for it

    def _signal(self, number: int) -> None:
        if not self.alive:
            return
        if self._popen is not None:
            self._popen.send_signal(number)
        elif (state := self._state()) and identity(state.shim) == state.shim_identity:
            os.kill(state.shim, number)

    def _readable(self) -> None:
        try:
            said = os.read(self._descriptor, 64)
        except BlockingIOError:
            return
        if said:
            self._announce(self._started)
        else:
            self._finish()

    def _finish(self) -> None:
        asyncio.get_running_loop().remove_reader(self._descriptor)
        os.close(self._descriptor)
        self._announce(self._gone)

    @staticmethod
    def _announce(future: asyncio.Future[None]) -> None:
        if not future.done():
            future.set_result(None)

    def _state(self) -> _State | None:
        try:
            return msgspec.json.decode((self.folder / "state.json").read_bytes(), type=_State)
        except FileNotFoundError:
            return None

    async def _lost(self, state: _State | None) -> Ended:
        """The shim was killed from outside, and on Linux its container is killed with it by the kernel."""
        # Its numbers count only as long as they are the same process: after a reboot they are somebody else's.
        while state is not None and state.child_identity and identity(state.child) == state.child_identity:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(state.child, signal.SIGKILL)
            await asyncio.sleep(0.01)
        finished = self.folder.stat().st_mtime
        return Ended(137, "ContainerStatusUnknown", state.started if state else finished, finished, VANISHED)
