"""From a request to a Job in the queue: in steps that can be repeated, so that a killed service continues where it was.

The row comes first (`staging`), then the Job (gated: nobody starts it), its ConfigMap and Secret (owned by the Job, so
that they go with it), then the gate is removed. Objects are found again by names and labels made from the run.
"""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import sqlalchemy as sa

from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.jobs import JobRequest, JobState
from aiinfn_hub.errors import AiinfnError, Conflict, NotFound, QuotaExceeded, Unavailable
from aiinfn_hub.identity.person import Person
from aiinfn_hub.kube.client import CONFIGMAPS, JOBS, SECRETS, KubeClient
from aiinfn_hub.offload import capability, manifest, runs, sweeps
from aiinfn_hub.offload.bell import Bell
from aiinfn_hub.offload.entry import Budget, check_values, enter
from aiinfn_hub.offload.orders import APPTAINER, Shipment, order_of
from aiinfn_hub.offload.plan import make_plan
from aiinfn_hub.offload.reasons import refusal_reason
from aiinfn_hub.offload.runs import NewRun, Run
from aiinfn_hub.offload.session import Heritage
from aiinfn_hub.offload.sweeps import Waits
from aiinfn_hub.pods import names
from aiinfn_hub.store.engine import Database

#: Seconds for which the cluster may refuse to answer before a job that waits for it is given up.
STAGING_S = 3600.0
#: For which the ConfigMap of the runner is taken to be there still.
RUNNER_S = 600.0


class Submitter:
    """Brings runs into the queue, and takes them out again.

    Args:
        give_token: has the token of the IAM written that a run asked for, given the uid of its Job.
        budget: whether the quotas have room for a run.
        clock: Unix seconds.
    """

    def __init__(
        self,
        platform: Platform,
        database: Database,
        client: KubeClient,
        shipment: Shipment,
        bell: Bell,
        *,
        give_token: Callable[[Run, str], Awaitable[None]],
        budget: Budget,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.platform = platform
        self.database = database
        self.client = client
        self.shipment = shipment
        self.bell = bell
        self.clock = clock
        self.log = logging.getLogger("aiinfn.offload")
        self._give_token = give_token
        self.budget = budget
        self._staging: dict[str, asyncio.Event] = {}
        self._had_runner = -math.inf

    async def submit(
        self, person: Person, request: JobRequest, heritage: Heritage, key: str, *, after: Run | None = None
    ) -> tuple[Run, bool]:
        """The run of a request, and whether it is new. It may still be staging, when the cluster does not answer now.

        It goes on from what `after` has kept of its work, if that is given.

        Raises:
            InvalidInput, Forbidden: as the plan says.
            Conflict: inputs that were not sent (`details["missing"]`), or a key that was used for another request.
            QuotaExceeded: too many jobs that are not over, or no quota has room for this one.
        """
        new = self.planned(person, request, heritage, key)
        if after is not None:
            new = msgspec.structs.replace(new, sweep=after.sweep, place=after.place, point=after.point)
        async with self.noting(new):
            run, created = await self.database.write(enter, new, self.budget, after, now=self.clock())
        if created:
            self.log.info(
                "%s submits %s (%s) to %s, charged to %s", run.owner, run.name, run.id, run.target, run.activity
            )
            await self.stage(run)
        return await self.database.read(runs.get, run.id), created

    def planned(self, person: Person, request: JobRequest, heritage: Heritage, key: str) -> NewRun:
        """What a request becomes, as the plan says.

        Raises:
            InvalidInput, Forbidden: as the plan says, or for a value that no runner could read.
        """
        # The name of a session and the POSIX user end in a manifest: what was found, not what was typed.
        request = msgspec.structs.replace(request, server=heritage.server, uid=heritage.uid)
        plan = make_plan(self.platform, person, request, heritage)
        plan.check()
        check_values(request)
        return NewRun(
            owner=person.name,
            activity=plan.activity,
            activity_reason=heritage.activity_reason,
            request=request,
            target=plan.site,
            flavour=plan.flavour,
            units=plan.units,
            queue=plan.queue,
            image=f"{APPTAINER}{plan.apptainer}" if plan.apptainer else plan.image,
            idempotency_key=key,
        )

    @asynccontextmanager
    async def noting(self, new: NewRun) -> AsyncIterator[None]:
        """Have the ledger remember what a quota refuses."""
        try:
            yield
        except QuotaExceeded as error:
            await self.database.write(self.budget.refused, new, error, now=self.clock())
            raise

    async def stage(self, run: Run) -> Waits:
        """Put a run's objects in place, or continue to; on a refusal the run fails and nothing is left behind."""
        if (other := self._staging.get(run.id)) is not None:  # the sweep was faster than who submits
            await other.wait()
            return Waits.NOT
        self._staging[run.id] = asyncio.Event()
        try:
            if run.placed_at is None:
                why, waits = await self.database.write(sweeps.let_in, run, self.budget, now=self.clock())
                if why:
                    await self._move(run, JobState.STAGING, why)
                    return waits
            await self._place(run)
        except Unavailable as error:
            self.log.warning("%s waits for the cluster: %s", run.id, error)
            await self._move(run, JobState.STAGING, refusal_reason(error.message))
        except AiinfnError as error:
            self.log.warning("%s cannot be put in place: %s", run.id, error)
            await self._fail(run, str(error))
        finally:
            self._staging.pop(run.id).set()
            self.bell.ring(run.id)
        return Waits.NOT

    async def go_on(self, sweep_id: str) -> None:
        """Bring as many runs of a sweep into the queue as may be there at once."""
        while waiting := await self.database.read(sweeps.waiting, sweep_id):
            for run in waiting:
                if await self.stage(run) is not Waits.NOT:
                    return

    async def cancel(self, run: Run) -> Run:
        """End a run: at once if it has not started, else as soon as its pod has ended.

        Raises:
            Conflict: it is over.
        """
        return await self.end(await self.database.write(runs.ask_to_cancel, run.id, now=self.clock()))

    async def end(self, run: Run) -> Run:
        """End a run that is to be cancelled; the run as it is then."""
        if not run.final and run.placed_at is not None:
            await self.withdraw(run)
        if run.state in {JobState.STAGING, JobState.QUEUED}:
            await self._move(run, JobState.CANCELLED, "Cancelled by you.")
        self.bell.ring(run.id)
        return await self.database.read(runs.get, run.id)

    async def withdraw(self, run: Run) -> None:
        """Delete a run's Job, and with it all that it owns. If the cluster does not answer, the sweep does it later."""
        try:
            await self.client.delete(JOBS, manifest.job_name(run.id), self.platform.namespace)
        except NotFound:
            return
        except Unavailable as error:
            self.log.warning("The Job of %s could not be deleted yet: %s", run.id, error)

    async def sweep(self) -> None:
        """Continue, or give up, what waits for units, or what a killed process or a silent cluster left in staging."""
        wait: set[tuple[str, str, str]] = set()
        full: set[str] = set()
        for run in await self.database.read(runs.active):
            if run.state is not JobState.STAGING or run.id in self._staging:
                continue
            # Where one waits for units, those behind it do too: a large job is not overtaken for ever.
            line = (run.owner, run.activity, run.flavour)
            if run.cancel_requested:
                await self.withdraw(run)
                await self._move(run, JobState.CANCELLED, "Cancelled by you.")
            elif run.placed_at is None and (line in wait or run.sweep in full):
                continue
            elif run.placed_at is not None and self.clock() - run.placed_at > STAGING_S:
                await self._fail(run, "The cluster did not answer for too long.")
            elif (waits := await self.stage(run)) is Waits.UNITS:
                wait.add(line)
            elif waits is Waits.SWEEP:
                full.add(run.sweep)

    async def _place(self, run: Run) -> None:
        order = order_of(self.platform, run, self.shipment)
        await self._have_runner()
        namespace, name = self.platform.namespace, manifest.job_name(run.id)
        job = await self._job(manifest.job_manifest(self.platform, order), run)
        uid = job["metadata"]["uid"]
        if manifest.GATED_BY in (job["metadata"].get("annotations") or {}):
            secret = await self.database.write(_introduce, run.id, name, uid, now=self.clock())
            await self._create_or_keep(manifest.configmap_manifest(self.platform, order, uid))
            await self._create_or_replace(manifest.secret_manifest(self.platform, order, uid, secret))
            await self._give_token(run, uid)
            await self.client.patch(JOBS, name, {"metadata": {"annotations": {manifest.GATED_BY: None}}}, namespace)
        # Without the gate, an earlier process had come this far: a pod may already hold the capability.
        await self._move(run, JobState.QUEUED, "It is in the queue.", job_name=name, job_uid=uid)
        if (await self.database.read(runs.get, run.id)).cancel_requested:
            await self.withdraw(run)

    async def _job(self, wanted: dict[str, Any], run: Run) -> dict[str, Any]:
        """Create the Job, or find the one that was created before."""
        try:
            return await self.client.create(JOBS, wanted)
        except Conflict:
            found = await self.client.get(JOBS, wanted["metadata"]["name"], self.platform.namespace)
        if (found["metadata"].get("labels") or {}).get(names.RUN) != run.id:
            raise Conflict(f"There is another Job named {wanted['metadata']['name']}.")
        return found

    async def _have_runner(self) -> None:
        """Have the ConfigMap of the runner's files there; looked at again now and then, in case somebody deletes it."""
        if self.clock() - self._had_runner > RUNNER_S:
            wanted = manifest.runner_manifest(self.platform, self.shipment.name, self.shipment.runner)
            await self._create_or_keep(wanted)
            self._had_runner = self.clock()

    async def _create_or_keep(self, wanted: dict[str, Any]) -> None:
        try:
            await self.client.create(CONFIGMAPS, wanted)
        except Conflict:
            return

    async def _create_or_replace(self, wanted: dict[str, Any]) -> None:
        """Only the hash of the capability is stored, so a second try brings a new one."""
        try:
            await self.client.create(SECRETS, wanted)
        except Conflict:
            await self.client.replace(SECRETS, wanted)

    async def _fail(self, run: Run, sentence: str) -> None:
        await self.withdraw(run)
        await self._move(run, JobState.FAILED, sentence, verdict=sentence)

    async def _move(self, run: Run, state: JobState, reason: str, **changes: Any) -> None:
        await self.database.write(runs.move, run.id, state, now=self.clock(), reason=reason, **changes)


def _introduce(connection: sa.Connection, run_id: str, job_name: str, job_uid: str, *, now: float) -> str:
    """Note which Job is the run's, before any pod of it can ask; its new capability."""
    runs.note(connection, run_id, now=now, job_name=job_name, job_uid=job_uid)
    return capability.give(connection, run_id, now=now)
