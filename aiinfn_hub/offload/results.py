"""What a run returned, in the database: values by name, and how it ended."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec
import sqlalchemy as sa

from aiinfn_hub.contract.jobs import JobState, ValueRef, Wire
from aiinfn_hub.errors import InvalidInput
from aiinfn_hub.offload import capability, runs
from aiinfn_hub.offload.runs import Run
from aiinfn_hub.store import tables

_T = tables.result
#: Codecs that our side reads back; each is data and never code.
CODECS = frozenset({"text", "bytes", "json", "npy", "tree"})
_MAX_TEXT = 500


class Report(Wire, frozen=True):
    """How an attempt ended, as its runner says; `missing` is why a value does not come back, `memory` its peak."""

    state: str
    exit_code: int
    verdict: str = ""
    missing: dict[str, str] = msgspec.field(default_factory=dict)
    memory: int = 0


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
