"""What people do to their jobs over HTTP: end, try again, give more time, rehearse an eviction."""

from __future__ import annotations

import secrets
from typing import Any

from tornado.web import RequestHandler

from aiinfn_hub.contract.jobs import Extend, Retry
from aiinfn_hub.errors import Conflict
from aiinfn_hub.offload import acts
from aiinfn_hub.offload.routes import JobHandler, Room


class CancelHandler(JobHandler):
    """POST: end a job."""

    async def post(self, id_or_name: str) -> None:
        """-> JobView."""
        self.send(await self.view(await self.room.submitter.cancel(await self.mine(id_or_name))))


class RetryHandler(JobHandler):
    """POST: the same again, with other amounts where they are given."""

    async def post(self, id_or_name: str) -> None:
        """Retry -> JobView of a new job; `Conflict` while the old one is not over."""
        change, old = self.read(Retry), await self.mine(id_or_name)
        if not old.final:
            raise Conflict(f"{old.name} is not over: it is {old.state.value}.", hint="Cancel it first, or wait.")
        heritage = await self.room.heritage(self.caller, "")
        key = secrets.token_hex(16)
        run, _ = await self.room.submitter.submit(self.caller.person, change.of(old.wanted), heritage, key, after=old)
        self.send(await self.view(run), 201)


class ExtendHandler(JobHandler):
    """POST: more time for a job."""

    async def post(self, id_or_name: str) -> None:
        """Extend -> JobView."""
        time_s = self.read(Extend).time_s
        run = await self.mine(id_or_name)
        self.send(await self.view(await acts.extend(self.room.submitter, run, time_s)))


class EvictHandler(JobHandler):
    """POST: take a job's place away for a moment, as a session with more right would."""

    async def post(self, id_or_name: str) -> None:
        """-> JobView."""
        run = await self.mine(id_or_name)
        await acts.rehearse(self.room.submitter, run, self.room.follower.sight(run).workload)
        self.send(await self.view(run))


def routes(prefix: str, *, room: Room) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """These routes below `prefix`."""
    given = {"room": room}
    job = rf"{prefix}/api/jobs/([^/]+)"
    return [
        (rf"{job}/cancel", CancelHandler, given),
        (rf"{job}/retry", RetryHandler, given),
        (rf"{job}/extend", ExtendHandler, given),
        (rf"{job}/evict", EvictHandler, given),
    ]
