"""What jobs spend from: the quotas, asked by the offload room in the transaction that makes a run."""

from __future__ import annotations

import sqlalchemy as sa

from aiinfn_hub.accounting import spending
from aiinfn_hub.accounting.quota_routes import exceeded
from aiinfn_hub.accounting.quotas import Ask, of_session
from aiinfn_hub.accounting.refusals import note_refusal
from aiinfn_hub.accounting.sighting import planned_s
from aiinfn_hub.catalogue import Platform
from aiinfn_hub.contract.jobs import JobRequest
from aiinfn_hub.errors import QuotaExceeded
from aiinfn_hub.offload import runs
from aiinfn_hub.offload.runs import NewRun, Run
from aiinfn_hub.sessions.tickets import Ticket
from aiinfn_hub.store.engine import Database, lock
from aiinfn_hub.store.ledger_tables import reservation


async def full(database: Database, platform: Platform, ticket: Ticket, *, now: float) -> str:
    """Why no quota has room any more for a session whose turn in the queue has come; "" if they have.

    Raises:
        Unavailable: the database does not answer.
    """
    offer, seconds = ticket.offer, planned_s(ticket.pod)
    flavour = platform.known_flavour(offer.flavour)
    if flavour is None or not seconds:
        return ""
    ask = of_session(flavour, offer.activity, ticket.person, offer.server, seconds)
    decision = await database.read(spending.decide, platform, ask, now=now)
    return "" if decision.verdict.granted else decision.verdict.sentence


class QuotaBudget:
    """The quotas of a platform, for jobs: a run that is not over has a claim to all that it asked for."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform

    def check(self, connection: sa.Connection, run: Run, *, now: float) -> None:
        """Raise `QuotaExceeded` if no quota has room for all of it."""
        # Sessions and other jobs that ask in this moment wait until this one has its claim.
        lock(connection, reservation)
        decision = spending.decide(connection, self._platform, self._ask(run, run.wanted, run.id), now=now)
        if not decision.verdict.granted:
            raise exceeded(decision)

    def place(self, connection: sa.Connection, run: Run, *, now: float) -> str:
        """Why no quota has units for it now; "" if they have, and it has taken them."""
        lock(connection, reservation)
        sentence = spending.room(connection, self._platform, self._ask(run, run.wanted, run.id), now=now)
        if not sentence:
            runs.note(connection, run.id, now=now, placed_at=now)
        return sentence

    def refused(self, connection: sa.Connection, new: NewRun, error: QuotaExceeded, *, now: float) -> None:
        """Note what was refused, for a quota or for another limit."""
        note_refusal(connection, self._ask(new, new.request, None), str(error.details.get("quota", "")), now=now)

    def _ask(self, job: Run | NewRun, request: JobRequest, run_id: str | None) -> Ask:
        flavour = self._platform.flavour(job.flavour)
        return Ask(
            kind="job",
            person=job.owner,
            activity=job.activity,
            flavour=job.flavour,
            units=job.units,
            weight=flavour.weight,
            planned_s=request.resources.time_s,
            run_id=run_id,
        )
