"""How a run comes into being: what a request must be, and the one transaction that makes its row."""

from __future__ import annotations

from typing import Protocol

import sqlalchemy as sa

from aiinfn_hub.contract.jobs import JobRequest
from aiinfn_hub.contract.run.codecs import MAX_VALUE
from aiinfn_hub.errors import Conflict, InvalidInput, QuotaExceeded
from aiinfn_hub.offload import blobs, checkpoints, runs
from aiinfn_hub.offload.results import CODECS
from aiinfn_hub.offload.runs import NewRun, Run

#: Jobs of one person that are not over.
MAX_ACTIVE = 500
_MAX_ORIGIN = 4096


class Budget(Protocol):
    """What a job may spend."""

    def check(self, connection: sa.Connection, run: Run, *, now: float) -> None:
        """Raise `QuotaExceeded` if a run that is about to be submitted has no room."""

    def place(self, connection: sa.Connection, run: Run, *, now: float) -> str:
        """Let a run into the queue and note that, or say why it waits for units; "" once it is in."""

    def refused(self, connection: sa.Connection, new: NewRun, error: QuotaExceeded, *, now: float) -> None:
        """Note what was refused."""


def check_values(request: JobRequest) -> None:
    """Raise `InvalidInput` for inputs that no runner could read."""
    for name, value in request.sent.items():
        blobs.check_hash(value.sha256)
        if value.codec not in CODECS and value is not request.modules:
            raise InvalidInput(
                f"{name} has the codec {value.codec[:40]!r}.", hint=f"Codecs: {', '.join(sorted(CODECS))}."
            )
        if value.size < 0 or value.size > MAX_VALUE:
            raise InvalidInput(f"{name} is said to have {value.size} bytes; at most {MAX_VALUE} can travel.")
    if sum(len(key) + len(text) for key, text in request.origin.items()) > _MAX_ORIGIN:
        raise InvalidInput(f"The origin is longer than {_MAX_ORIGIN} characters.")


def enter(
    connection: sa.Connection, new: NewRun, budget: Budget, after: Run | None = None, *, now: float
) -> tuple[Run, bool]:
    """Make the row, if there is room and all of its inputs are here; in one transaction, so that none goes between.

    It inherits the checkpoints of the run that it comes `after`.
    """
    run, created = runs.create(connection, new, now=now)
    if not created:
        return run, False
    if runs.count_active(connection, new.owner) > MAX_ACTIVE:
        raise QuotaExceeded(f"You have {MAX_ACTIVE} jobs that are not over.", hint="Cancel some, or wait for them.")
    budget.check(connection, run, now=now)
    check_inputs(connection, new, now=now)
    if after is not None:
        checkpoints.hand_on(connection, after, run)
    return run, True


def check_inputs(connection: sa.Connection, new: NewRun, *, now: float) -> None:
    """Raise `Conflict`, with the hashes in `details["missing"]`, where a value has not come yet."""
    lacking = blobs.missing(connection, new.owner, new.request.sent.values(), now=now)
    if lacking:
        absent = [name for name, value in new.request.sent.items() if value.sha256 in lacking]
        raise Conflict(
            f"These inputs were not sent: {', '.join(absent)}.",
            hint="PUT each to /api/blobs/SHA256 first, then submit again.",
            details={"missing": lacking},
        )
