"""What a person does to a job that goes on: more time for it, and a rehearsal of an eviction."""

from __future__ import annotations

import sqlalchemy as sa

from aiinfn_hub.contract.jobs import JobState
from aiinfn_hub.contract.quantities import format_duration
from aiinfn_hub.errors import Conflict, InvalidInput, NotFound
from aiinfn_hub.kube.client import WORKLOADS, KubeClient
from aiinfn_hub.kube.slim import Workload
from aiinfn_hub.offload import runs
from aiinfn_hub.offload.entry import Budget
from aiinfn_hub.offload.runs import Run
from aiinfn_hub.offload.submit import Submitter
from aiinfn_hub.pods import names

#: Values of `names.REHEARSAL`: it is to go, and it has gone.
GO, GONE = "go", "gone"


async def extend(submitter: Submitter, run: Run, time_s: int) -> Run:
    """Give a run so many seconds in all, within what its flavour allows and its quotas have; the run as it is then.

    Raises:
        InvalidInput: no more than it has, or longer than a job may last.
        Conflict: it is over.
        QuotaExceeded: no quota has room for it.
    """
    longest = submitter.platform.flavour(run.flavour).max_lifetime_s
    if time_s > longest:
        raise InvalidInput(
            f"{format_duration(time_s)}: a job on {run.flavour} may last {format_duration(longest)} in all.",
            hint=f"{run.name} has {format_duration(run.wanted.resources.time_s)}.",
        )
    extended = await submitter.database.write(_extend, run.id, time_s, submitter.budget, now=submitter.clock())
    submitter.bell.ring(run.id)
    return extended


def _extend(connection: sa.Connection, run_id: str, time_s: int, budget: Budget, *, now: float) -> Run:
    run = runs.extend(connection, run_id, time_s, now=now)
    budget.check(connection, run, now=now)
    return run


async def rehearse(submitter: Submitter, run: Run, workload: Workload | None) -> None:
    """Have Kueue take a run's place away; `take_up` gives it back to the queue once it has gone.

    Raises:
        Conflict: it does not run.
    """
    if run.state is not JobState.RUNNING or workload is None or not workload.active:
        raise Conflict(f"{run.name} does not run: it is {run.state.value}.", hint="There is nothing to evict it from.")
    await _set(submitter.client, workload, GO)


async def take_up(client: KubeClient, workload: Workload) -> None:
    """Put an evicted Workload back into the queue, if its eviction was a rehearsal and has come to its end."""
    evicted = workload.conditions.get("Evicted")
    gone = workload.released is not None and evicted is not None and evicted.status == "True"
    if workload.rehearsal == GO and not workload.active and gone:
        await _set(client, workload, GONE)


async def _set(client: KubeClient, workload: Workload, value: str) -> None:
    patch = {"metadata": {"annotations": {names.REHEARSAL: value}}, "spec": {"active": value == GONE}}
    try:
        await client.patch(WORKLOADS, workload.name, patch, workload.namespace)
    except NotFound:
        return  # its job has just ended
