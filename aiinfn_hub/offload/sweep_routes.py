"""Sweeps over HTTP: submit, look at, end, try again. A sweep is its owner's alone: for others it does not exist."""

from __future__ import annotations

import secrets
from typing import Any

import msgspec
from tornado.web import RequestHandler

from aiinfn_hub.contract.jobs import JobState
from aiinfn_hub.contract.sweeps import SweepRequest, SweepRetry, SweepView
from aiinfn_hub.errors import Conflict
from aiinfn_hub.identity.person import Caller
from aiinfn_hub.offload import sweeps
from aiinfn_hub.offload.routes import JobHandler, Room
from aiinfn_hub.offload.session import Heritage
from aiinfn_hub.offload.submit import Submitter
from aiinfn_hub.offload.sweeps import Sweep


class SweepHandler(JobHandler):
    """What the routes share."""

    async def sweep(self, id_or_name: str) -> Sweep:
        """The caller's sweep."""
        return await self.room.database.read(sweeps.find, self.caller.person.name, id_or_name)

    async def seen(self, sweep: Sweep) -> SweepView:
        """The sweep with its jobs."""
        view = await self.room.database.read(sweeps.view, sweep)
        return msgspec.structs.replace(view, jobs=await self.room.outlook.add(view.jobs))


class SweepsHandler(SweepHandler):
    """POST submits a sweep."""

    async def post(self) -> None:
        """SweepRequest -> SweepView: 201 if new, 200 if this Idempotency-Key has brought it before."""
        asked = self.read(SweepRequest)
        heritage = await self.room.heritage(self.caller, asked.request.server)
        sweep, created = await submit(self.room.submitter, self.caller, asked, heritage, self.idempotency_key())
        self.send(await self.seen(sweep), 201 if created else 200)


class OneSweepHandler(SweepHandler):
    """GET: one sweep, by identifier or by name."""

    async def get(self, id_or_name: str) -> None:
        """-> SweepView."""
        self.send(await self.seen(await self.sweep(id_or_name)))


class CancelSweepHandler(SweepHandler):
    """POST: end all of it."""

    async def post(self, id_or_name: str) -> None:
        """-> SweepView."""
        sweep, submitter = await self.sweep(id_or_name), self.room.submitter
        for run in await submitter.database.write(sweeps.cancel, sweep, now=submitter.clock()):
            await submitter.end(run)
        self.send(await self.seen(sweep))


class RetrySweepHandler(SweepHandler):
    """POST: run the points again that did not succeed."""

    async def post(self, id_or_name: str) -> None:
        """SweepRetry -> SweepView; `Conflict` if there are none."""
        asked, sweep = self.read(SweepRetry), await self.sweep(id_or_name)
        heritage = await self.room.heritage(self.caller, "")
        await retry(self.room.submitter, self.caller, sweep, asked, heritage)
        self.send(await self.seen(sweep), 201)


async def submit(
    submitter: Submitter, caller: Caller, asked: SweepRequest, heritage: Heritage, key: str
) -> tuple[Sweep, bool]:
    """The sweep of a request, and whether it is new; its first runs are in the queue, or on their way.

    Raises:
        InvalidInput, Forbidden, Conflict, QuotaExceeded: as for each of its jobs.
    """
    asked.check()
    # What the plan finds for the first point holds for all: they differ in values only.
    base = submitter.planned(caller.person, asked.of(0), heritage, key)
    inherited = {"server": base.request.server, "uid": base.request.uid}
    own = msgspec.structs.replace(asked, request=msgspec.structs.replace(asked.request, **inherited))
    new = sweeps.new_runs(base, own, range(len(asked.points)), key)
    async with submitter.noting(base):
        found = await submitter.database.write(sweeps.enter, own, new, key, submitter.budget, now=submitter.clock())
    sweep, created = found
    if created:
        submitter.log.info("%s submits the sweep %s (%s), %d points", sweep.owner, sweep.name, sweep.id, len(new))
        await submitter.go_on(sweep.id)
    return sweep, created


async def retry(submitter: Submitter, caller: Caller, sweep: Sweep, asked: SweepRetry, heritage: Heritage) -> None:
    """Run the points again that have ended otherwise than well.

    Raises:
        Conflict: there are none.
        InvalidInput, Forbidden, QuotaExceeded: as for each of its jobs.
    """
    latest = await submitter.database.read(sweeps.latest_of, sweep.id)
    bad = [run for run in latest if run.final and run.state is not JobState.SUCCEEDED]
    if not bad:
        going = any(not run.final for run in latest)
        hint = "Some go on: look again when they have ended." if going else "All points have succeeded."
        raise Conflict(f"No point of {sweep.name} has failed.", hint=hint)
    key = secrets.token_hex(16)
    new = []
    for old in bad:
        planned = submitter.planned(caller.person, asked.change.of(old.wanted), heritage, f"{key}:{old.place}")
        new.append((old, msgspec.structs.replace(planned, place=old.place, point=old.point)))
    async with submitter.noting(new[0][1]):
        await submitter.database.write(sweeps.again, sweep, new, submitter.budget, now=submitter.clock())
    await submitter.go_on(sweep.id)


def routes(prefix: str, *, room: Room) -> list[tuple[str, type[RequestHandler], dict[str, Any]]]:
    """These routes below `prefix`."""
    given = {"room": room}
    sweep = rf"{prefix}/api/sweeps/([^/]+)"
    return [
        (rf"{prefix}/api/sweeps", SweepsHandler, given),
        (sweep, OneSweepHandler, given),
        (rf"{sweep}/cancel", CancelSweepHandler, given),
        (rf"{sweep}/retry", RetrySweepHandler, given),
    ]
