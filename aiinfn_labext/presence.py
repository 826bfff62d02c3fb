"""What this session does, said to the service every half minute; and what the person leaves to do before it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from aiinfn_hub.contract.life import FULL_HOME_VARIABLE, REPORT_EVERY_S, SessionLife, SessionUse
from aiinfn_hub.contract.notices import Notice
from aiinfn_hub.errors import AiinfnError
from aiinfn_labext import token
from aiinfn_labext.client import ServiceClient
from aiinfn_labext.processor import MARK, Processor
from aiinfn_labext.space import Space
from aiinfn_labext.volumes import short_of_room, volumes

#: Seconds before the end at which the person's own program is started, and JupyterLab saves what is open.
BEFORE_S = 60.0
#: The program, below the home.
PROGRAM = Path(".aiinfn") / "before-stop"


@dataclass(frozen=True)
class Seen:
    """The state of a kernel or a terminal; `active_at` in Unix seconds."""

    busy: bool
    active_at: float


def use(found: Iterable[Seen], *, since: float, now: float, cpu_cores: float | None) -> SessionUse:
    """A report from what there is; `since` is when the person was last known to be here. Pure."""
    known = list(found)
    last = max([since, *(one.active_at for one in known)])
    return SessionUse(sum(one.busy for one in known), max(0.0, now - last), cpu_cores)


def kernels(models: Iterable[Mapping[str, Any]]) -> list[Seen]:
    """Of the models of Jupyter's kernels. One without a page may say for ever that it starts."""
    return [Seen(one["execution_state"] == "busy", _seconds(one["last_activity"])) for one in models]


def terminals(models: Iterable[Mapping[str, Any]]) -> list[Seen]:
    """Of those of its terminals, in which output counts as much as what is typed."""
    return [Seen(False, _seconds(one["last_activity"])) for one in models]


def _seconds(moment: Any) -> float:
    """Unix seconds of a time as Jupyter writes it."""
    return (moment if isinstance(moment, datetime) else datetime.fromisoformat(moment)).timestamp()


class Presence:
    """Tells the service for as long as the server runs.

    Attributes:
        life: how long the session may go on, as the service said last; None while it has said nothing.

    Args:
        look: the kernels and terminals that there are.
        known: what the session has to say itself.
        home: where the person's program is.
    """

    def __init__(
        self,
        service: ServiceClient,
        look: Callable[[], list[Seen]],
        threads: Executor,
        *,
        home: Path,
        processor: Processor | None = None,
        known: Callable[[], list[Notice]] = list,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.life: SessionLife | None = None
        self._service = service
        self._look = look
        self._threads = threads
        self._home = home
        self._processor = processor
        self._known = known
        self._clock = clock
        self._here = clock()
        self._ended: set[str] = set()
        self._log = logging.getLogger("aiinfn.presence")

    async def run(self) -> None:
        """Tell for ever, where there is a service."""
        while self._service.configured:
            pause = REPORT_EVERY_S
            try:
                await self.tell()
                pause = await self.before_end()
            except AiinfnError as error:
                # What is not heard is no evidence: the session does not end for it.
                self._log.info("The service does not hear what this session does: %s", error)
            except Exception:  # noqa: BLE001  a background loop: the next report may be heard
                self._log.exception("What this session does could not be told")
            await asyncio.sleep(pause)

    async def tell(self) -> SessionLife:
        """Once.

        Raises:
            Unavailable: the service does not answer.
        """
        cores = await self._thread(self._processor.cores) if self._processor is not None else None
        said = use(self._look(), since=self._here, now=self._clock(), cpu_cores=cores)
        self.life = await self._thread(lambda: self._service.tell(said))
        return self.life

    async def keep(self) -> SessionLife:
        """The person says to be here."""
        self._here = self._clock()
        return await self.tell()

    async def extend(self, ends: float) -> SessionLife:
        """Let the session go on for longer than to `ends`."""
        self.life = await self._thread(lambda: self._service.extend(ends))
        return self.life

    def notices(self) -> list[Notice]:
        """What the platform has to say, and what this session knows itself. It blocks.

        Raises:
            Unavailable: the service does not answer.
        """
        return [*self._service.notices(), *self._known()]

    async def before_end(self) -> float:
        """Start the person's program if the session is about to end, once for each end; seconds to the next look."""
        program = self._home / PROGRAM
        if not os.access(program, os.X_OK) or program.is_dir():
            return REPORT_EVERY_S
        notices: list[Notice] = await self._thread(self._service.notices)
        ends = [one for one in notices if one.due is not None and one.server is not None]
        now = self._clock()
        for one in ends:
            if one.due is not None and one.due - now <= BEFORE_S and one.id not in self._ended:
                self._ended.add(one.id)
                await self._start(program, one)
        left = [one.due - BEFORE_S - now for one in ends if one.due is not None and one.id not in self._ended]
        return max(1.0, min([REPORT_EVERY_S, *left]))

    async def _start(self, program: Path, notice: Notice) -> None:
        """It goes on by itself; what it says is beside it."""
        environ = {**os.environ, "AIINFN_STOPS_AT": f"{notice.due:.0f}"}
        try:
            with program.with_suffix(".log").open("ab") as log:
                await asyncio.create_subprocess_exec(program, cwd=self._home, env=environ, stdout=log, stderr=log)
        except OSError as error:
            self._log.warning("%s cannot be started: %s", program, error.strerror)

    async def _thread(self, call: Callable[[], Any]) -> Any:
        return await asyncio.wrap_future(self._threads.submit(call))


def presence_of(settings: Mapping[str, Any], service: ServiceClient, threads: Executor) -> Presence:
    """The presence of a Jupyter server with these settings."""

    def look() -> list[Seen]:
        found = kernels(settings["kernel_manager"].list_kernels())
        with contextlib.suppress(KeyError):  # without terminals
            found += terminals(settings["terminal_manager"].list())
        return found

    processor = Processor(os.environ.get(MARK, "")) if service.configured else None
    return Presence(service, look, threads, home=Path.home(), processor=processor, known=known_of(os.environ))


def known_of(environ: Mapping[str, str]) -> Callable[[], list[Notice]]:
    """What a session with this environment can say without the service; asking blocks as its file systems do."""
    full = environ.get(FULL_HOME_VARIABLE, "")
    space = Space(Path(full)) if full else None
    others = [one for one in volumes(environ) if one.mount != full]  # of the home that is full there is more to say

    def known() -> list[Notice]:
        return [*token.notices(environ), *([space.notice] if space else []), *short_of_room(others)]

    return known
