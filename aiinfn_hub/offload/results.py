"""What a run returned, in the database: values by name, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated

import msgspec
import sqlalchemy as sa

from aiinfn_hub.contract.jobs import JobState, JobView, Metrics, ValueRef, Vitals, Wire
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.offload import capability, runs
from aiinfn_hub.offload.runs import Run
from aiinfn_hub.store import tables

_T = tables.result
#: Codecs that our side reads back; each is data and never code.
CODECS = frozenset({"text", "bytes", "json", "npy", "tree"})
_MAX_TEXT = 500


class Report(Wire, frozen=True):
    """How an attempt ended, as its runner says; `missing` is why a value does not come back."""

    state: str
    exit_code: int
    verdict: str = ""
    missing: dict[str, str] = msgspec.field(default_factory=dict)
    memory: Annotated[int, msgspec.Meta(ge=0)] = 0
    metrics: Metrics = msgspec.field(default_factory=dict)

    @property
    def vitals(self) -> Vitals:
        """What it says of itself at the end."""
        return Vitals(self.memory, self.metrics)


def check_output(run: Run, name: str, codec: str) -> None:
    """Raise `InvalidInput` for a value that the run did not declare, or that nobody could read."""
    if name not in run.wanted.outputs:
        raise InvalidInput(f"{name[:60]!r} is not among the outputs that were asked for.")
    if codec not in CODECS:
        raise InvalidInput(f"{codec[:40]!r} is no codec.", hint=f"Codecs: {', '.join(sorted(CODECS))}.")


def put(connection: sa.Connection, run_id: str, name: str, value: ValueRef) -> None:
    """Store where a value is; a later delivery of the same name takes its place."""
    connection.execute(_T.delete().where((_T.c.run_id == run_id) & (_T.c.name == name)))
    row = {"codec": value.codec, "sha256": value.sha256, "size": value.size, "summary": plain(value.summary)}
    connection.execute(_T.insert().values(run_id=run_id, name=name, **row))


def of_run(connection: sa.Connection, run_id: str) -> dict[str, ValueRef]:
    """The values of a run, by name."""
    return of_runs(connection, [run_id]).get(run_id, {})


def of_runs(connection: sa.Connection, run_ids: Iterable[str]) -> dict[str, dict[str, ValueRef]]:
    """The values of several runs, by run and name."""
    found: dict[str, dict[str, ValueRef]] = {}
    query = sa.select(_T).where(_T.c.run_id.in_(list(run_ids))).order_by(_T.c.name)
    for row in connection.execute(query).mappings():
        value = ValueRef(codec=row["codec"], sha256=row["sha256"], size=row["size"], summary=row["summary"])
        found.setdefault(row["run_id"], {})[row["name"]] = value
    return found


def finish(connection: sa.Connection, run: Run, report: Report, *, now: float) -> bool:
    """End a run as its runner reports it; whether that changed anything.

    A run that was to be cancelled and did not make it is cancelled; one that made it has succeeded.

    Raises:
        InvalidInput: no state that a runner can report.
    """
    if report.state not in {JobState.SUCCEEDED.value, JobState.FAILED.value}:
        raise InvalidInput(f"{report.state[:40]!r} is no end that a run can report.", hint="succeeded or failed.")
    state = JobState(report.state)
    if state is JobState.FAILED and run.cancel_requested and run.state is not JobState.LOST:
        state = JobState.CANCELLED
    missing = {name: plain(why) for name, why in report.missing.items() if name in run.wanted.outputs}
    verdict = plain(report.verdict)
    reason = "Cancelled by you." if state is JobState.CANCELLED else verdict
    changes = {"exit_code": report.exit_code, "verdict": verdict, "missing": missing}
    moved = runs.move(connection, run.id, state, now=now, reason=reason, **changes)
    if moved:
        capability.close(connection, run.id, state.value, now=now)
    return moved


def plain(text: str) -> str:
    """Text from a job that is fit for the database and for a line on a page."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text[:_MAX_TEXT])
    return printable.encode("utf-8", "replace").decode()


def view(run: Run, outputs: Mapping[str, ValueRef]) -> JobView:
    """The run as its owner sees it. A value that does not come back has no codec, and the reason as its summary."""
    absent = {name: ValueRef(codec="", sha256="", size=0, summary=why) for name, why in run.missing.items()}
    wanted = run.wanted
    return JobView(
        id=run.id,
        name=run.name,
        state=run.state,
        reason=run.reason,
        target=run.target,
        activity=run.activity,
        flavour=run.flavour,
        resources=wanted.resources,
        submitted_at=run.submitted_at,
        started_at=run.started_at,
        finished_at=run.finished_at,
        attempt=run.attempt,
        exit_code=run.exit_code,
        verdict=run.verdict,
        outputs={**absent, **outputs},
        frames=run.frames,
        owner=run.owner,
        digest=run.digest,
        cell=wanted.origin.get("cell_id", ""),
        memory=run.memory,
        checkpointed_at=run.checkpointed_at,
        metrics=run.metrics,
        sweep=run.sweep,
        point=run.point,
    )


def views(connection: sa.Connection, found: Sequence[Run]) -> list[JobView]:
    """Runs as their owner sees them, in their order."""
    values = of_runs(connection, [run.id for run in found])
    return [view(run, values.get(run.id, {})) for run in found]
